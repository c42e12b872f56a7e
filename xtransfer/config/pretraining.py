"""How the demo's own encoder is pretrained, as settings; `xtransfer.train.pretrain` does it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xtransfer.tasks.task import Record

Objective = Literal["text", "concat", "ranking"]


class PretrainSpec(Record):
    """Everything but the corpus that determines the encoder."""

    seed: int = 0
    vocabulary: int = Field(default=1500, ge=1)
    """Entries of the tokenizer at most."""
    layers: int = Field(default=4, ge=1)
    width: int = Field(default=64, ge=1)
    heads: int = Field(default=4, ge=1)
    max_length: int = Field(default=64, ge=1)
    """Tokens; longer inputs are cut."""
    steps: int = Field(default=3000, ge=1)
    batch_size: int = Field(default=32, ge=1)
    """Paragraphs, concatenated pairs, or pairs of a step."""
    learning_rate: float = Field(default=3e-3, gt=0, lt=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls linearly to 0."""
    weight_decay: float = Field(default=0.01, ge=0)
    mask: float = Field(default=0.15, gt=0, lt=1)
    """Share of tokens to predict."""
    objectives: tuple[Objective, ...] = Field(default=("text", "concat", "ranking"), min_length=1)
    """Taken in turn."""
    ranking_layer: int = 3
    """Index into the hidden states; 0 is the embeddings."""
    ranking_weight: float = Field(default=0.3, ge=0)
    neighbours: int = Field(default=2, ge=1)
    """Neighbouring pairs that are ranked in one batch: the sentences of one document."""
    temperature: float = Field(default=0.1, gt=0)
    """Divides the cosines of the ranking objective."""
    report_every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _fitting(self) -> PretrainSpec:
        if self.width % self.heads:
            raise ValueError(f"`width` {self.width} is no multiple of `heads` {self.heads}")
        if not 0 <= self.ranking_layer <= self.layers:
            raise ValueError(
                f"`ranking_layer` {self.ranking_layer} is none of {self.layers} `layers`"
            )
        if "ranking" in self.objectives and self.neighbours > self.batch_size:
            raise ValueError(
                f"`neighbours` {self.neighbours} do not fit into a `batch_size` of {self.batch_size}: raise "
                "that one, or lower `neighbours`"
            )
        return self
