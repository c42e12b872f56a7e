"""Averages of weights: what an experiment asks for, and their rows in the table.

    checkpoints   the last or best k dev evaluations of the trial that a selection chose
    seeds         the models of all seeds of a target; of each the mean of its checkpoints, where asked for

The last checkpoints of all seeds need no dev set in any target language to be chosen by, so zero-shot transfer
may have them (Schmidt et al. 2023, "Free Lunch", ACL; checkpoints and runs). Runs average only where their heads agree on what each
unit means. Here that is by one rule: the heads of all seeds start from the same draw (`head_seed`), and
the seeds differ in their data order and dropout.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from xtransfer.settings import Settings


class Average(Settings):
    """Which weights of a target's trials are averaged, and scored as rows of their own."""

    checkpoints: int | None = Field(default=None, ge=2)
    """k: checkpoints of each selected trial, taken where its dev set is scored (`training.eval_every`)."""
    which: Literal["last", "best"] = "last"
    """The last k, or the k with the highest dev scores; of equal ones the earlier."""
    seeds: bool = False
    """Average the models of all seeds."""
    head_seed: int = Field(default=0, ge=0)
    """What the heads of all seeds are drawn from, where seeds are averaged."""

    @model_validator(mode="after")
    def _something(self) -> Average:
        if self.checkpoints is None and not self.seeds:
            raise ValueError("asks for nothing: give `checkpoints`, or `seeds: true`, or both")
        if self.checkpoints is None and self.which != "last":
            raise ValueError("`which` is between `checkpoints`, and their number is not given")
        if not self.seeds and self.head_seed:
            raise ValueError("`head_seed` does nothing without `seeds: true`")
        return self

    def of_trials(self) -> dict[str, Any]:
        """Return what of this changes the trials themselves, and so enters their keys."""
        found: dict[str, Any] = {}
        if self.checkpoints is not None:
            found["snapshots"] = {"count": self.checkpoints, "which": self.which}
        if self.seeds:
            found["head_seed"] = self.head_seed
        return found


def row_name(arm: str, label: str) -> str:
    """Return the name of an average's row in the table."""
    return f"{arm}, {label}"


def arm_of(row: str) -> str:
    """Return the arm of a row of the table, be it an average's or the arm's own."""
    return row.partition(", ")[0]


def is_average(row: str) -> bool:
    """Tell whether a row of the table is an average's; no arm has a comma in its name."""
    return ", " in row
