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
    learning_rate: float = 3e-3
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises; then it falls linearly to 0."""
    weight_decay: float = 0.01
    mask: float = 0.15
    """Share of tokens to predict."""
    objectives: tuple[Objective, ...] = ("text", "concat", "ranking")
    """Taken in turn."""
    ranking_layer: int = 3
    """Index into the hidden states; 0 is the embeddings."""
    ranking_weight: float = 0.3
    neighbours: int = 2
    """Neighbouring pairs that are ranked in one batch: the sentences of one document."""
    temperature: float = 0.1
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
        return self
