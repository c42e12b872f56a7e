"""How the grid of intermediate and target tasks is pruned: the experiment's section `pruning`."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, field_validator

from xtransfer.settings import Settings

FORMS = ("choice", "classification", "tagging")
"""Forms of which each example has one of a few labels, so that LogME is defined. Targets of other forms
keep all their intermediate tasks."""


class Pruning(Settings):
    """Train a target only after the intermediate tasks whose features fit it best, by LogME.

    The baseline is always kept.
    """

    keep: int | float
    """Intermediate tasks that each target keeps: a number of them, or (a float) a share, rounded up."""
    examples: int = Field(default=500, ge=10)
    """Labelled examples of the target's training set that an estimate is from; of tagging, words."""
    seed: int = Field(default=0, ge=0)
    """Of the draw of these examples."""

    @field_validator("keep")
    @classmethod
    def _some(cls, value: float) -> float:
        if value <= 0 or (isinstance(value, float) and value > 1):
            raise ValueError("is a number of tasks (1, 2, ...) or a share of them (0.0 to 1.0)")
        return value

    def kept_of(self, tasks: int) -> int:
        """Return how many of so many intermediate tasks a target keeps."""
        return self.keep if isinstance(self.keep, int) else math.ceil(self.keep * tasks)

    def identity(self) -> dict[str, Any]:
        """Return what enters the key of an estimate."""
        return {"measure": "logme", "examples": self.examples, "seed": self.seed}
