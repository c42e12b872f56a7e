"""How an experiment has sentences embedded and compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from xtransfer.settings import Settings
from xtransfer.tasks.task import Scoring, Task


class Retrieval(Settings):
    """How sentences are embedded for the retrieval targets."""

    layer: int | float = 14 / 24
    """Index into `hidden_states` (0: embeddings), or a share of the depth between 0 and 1."""
    pooling: Literal["mean", "cls"] = "mean"
    """Mean over non-padding positions, special tokens included; or the first token alone."""
    layers: Literal["all"] | tuple[int | float, ...] = ()
    """Layers that are scored beside `layer`, all in the one forward pass. They are for information:
    the score of the target is that of `layer`. Of BUCC, which has a dev set, the layer that is best
    there is noted too."""
    scoring: Mapping[str, Scoring] = Field(default_factory=dict)
    """Task -> cosine, ratio or csls, where not as the task has it (tatoeba cosine, bucc2018 ratio)."""
    neighbours: int = Field(default=4, ge=1)
    """Nearest neighbours of a sentence that a margin is taken over, and that are ranked by it."""

    @field_validator("layer")
    @classmethod
    def _index_or_share(cls, value: float) -> float:
        if value < 0 or (isinstance(value, float) and not value <= 1):
            raise ValueError("is an index (0, 1, ...) or a share of the depth (0.0 to 1.0)")
        return value

    @field_validator("layers")
    @classmethod
    def _indices_or_shares(cls, value: Any) -> Any:
        if value == "all":
            return value
        if len(set(map(repr, value))) != len(value):  # 1 is a layer, and 1.0 the last one
            raise ValueError(f"has a repeated entry: {list(value)}")
        return tuple(cls._index_or_share(each) for each in value)

    def of(self, task: Task) -> dict[str, Any]:
        """Return what of this decides a bitext task's scores; what is not used is left out."""
        settings: dict[str, Any] = {"layer": self.layer, "pooling": self.pooling}
        if self.layers:
            settings["layers"] = self.layers if self.layers == "all" else list(self.layers)
        scoring = self.scoring.get(task.name, task.scoring)
        if scoring != "cosine" or task.metric == "f1":
            settings |= {"scoring": scoring, "neighbours": self.neighbours}
        return settings
