"""How the grid of intermediate and target tasks is pruned: the experiment's section `pruning`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from xtransfer.settings import Settings

FORMS = ("choice", "classification", "tagging")
"""Forms of which each example has one of a few labels, so that an estimate is defined. Targets of other forms
keep all their intermediate tasks."""
LEEP_AFTER = {"choice": "classification", "classification": "classification", "tagging": "tagging"}
"""Form of a target -> that of the intermediate tasks that LEEP compares: those whose head gives an input, or each
of its words, a distribution over classes. What is not compared is trained in any case; LogME compares all."""
NAMES = {"logme": "LogME", "leep": "LEEP"}


class Pruning(Settings):
    """Train a target only after the intermediate tasks that fit it best by an estimate without training.

    The baseline is always kept.
    """

    measure: Literal["logme", "leep"] = "logme"
    """logme: how well a linear model reads the target's labels off the encoder's features; leep: how well
    they follow from the classes that the intermediate task's own head gives the target's inputs."""
    keep: int | float
    """Intermediate tasks that each target keeps of those compared: a number of them, or (a float) a share,
    rounded up."""
    examples: int = Field(default=500, ge=10)
    """Labelled examples of the target's training set that an estimate is from; of tagging, words."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the draw of these examples."""

    @field_validator("keep")
    @classmethod
    def _some(cls, value: float) -> float:
        if value <= 0 or (isinstance(value, float) and value > 1):
            raise ValueError("is a number of tasks (1, 2, ...) or a share of them (0.0 to 1.0)")
        return value

    def compares(self, target: str, source: str) -> bool:
        """Say whether there is an estimate for a target of one form after tasks of another."""
        return target in FORMS and (self.measure == "logme" or source == LEEP_AFTER[target])

    def drops(self, target: str, sources: Sequence[str]) -> bool:
        """Say whether a target of this form loses any of the arms, given their forms."""
        compared = sum(self.compares(target, source) for source in sources)
        return self.kept_of(compared) < compared

    def kept_of(self, tasks: int) -> int:
        """Return how many of so many intermediate tasks a target keeps."""
        if isinstance(self.keep, int):
            return self.keep
        return math.ceil(round(self.keep * tasks, 9))  # 0.28 * 25 is a little more than 7

    def identity(self) -> dict[str, Any]:
        """Return what enters the key of an estimate."""
        return {"measure": self.measure, "examples": self.examples, "seed": self.seed}
