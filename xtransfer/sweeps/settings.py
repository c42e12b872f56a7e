"""How an experiment's sweeps search, as a section of each phase.

    intermediate:
      search: {kind: random, low: 5e-6, high: 5e-5, trials: 8}   # or tpe
      asha: {grace: 25, reduction: 2}

Without either, a sweep is the grid of `learning_rates` and `seeds`, and every trial runs to its end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from xtransfer.errors import ConfigError
from xtransfer.settings import Settings

DIGITS = 3
"""Significant digits of a drawn learning rate: few enough for a step's name to show it whole."""

_MORE_DRAWS = 10_000
"""Draws after which a range has no further learning rate, or one that is not worth looking for."""


class Search(Settings):
    """Where a sweep's learning rates come from; a bare name is its `kind`."""

    kind: Literal["grid", "random", "tpe"] = "grid"
    """grid: the phase's `learning_rates`. random: drawn when the plan is made, see `rates`. tpe: the first
    `startup` so, the others suggested by Optuna's TPE from the scores of earlier ones."""
    low: float | None = Field(default=None, gt=0, lt=1)
    """Lower end of the range of learning rates ..."""
    high: float | None = Field(default=None, gt=0, lt=1)
    """... and its upper end."""
    trials: int = Field(default=8, ge=1, le=1000)
    """Learning rates that are tried, each with every seed of the phase."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the draw; it has nothing to do with the seeds of the trials."""
    startup: int = Field(default=4, ge=1)
    """tpe: learning rates that are drawn before any is suggested."""
    parallel: int = Field(default=1, ge=1)
    """tpe: suggested trials that may run at once; each does without the results of that many less one."""

    @model_validator(mode="before")
    @classmethod
    def _bare_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _range(self) -> Search:
        if self.kind == "grid":
            if self.low is not None or self.high is not None:
                raise ValueError("a grid has no range: its values are the phase's `learning_rates`")
            self._leave(("trials", "seed"), "a grid, whose trials are the phase's `learning_rates`")
        elif self.low is None or self.high is None:
            raise ValueError(f"{self.kind} needs `low` and `high`, the range of learning rates")
        elif self.low >= self.high:
            raise ValueError("`low` must be below `high`")
        if self.kind != "tpe":
            self._leave(("startup", "parallel"), f"a {self.kind} search, only to tpe")
        elif self.startup >= self.trials:
            raise ValueError(
                f"all {self.trials} `trials` are drawn, as `startup` is {self.startup}, and tpe suggests none: "
                "give more `trials`, or less `startup`"
            )
        return self

    def _leave(self, names: Sequence[str], to: str) -> None:
        """Raise ValueError for settings that do nothing here, unless they are as they are by default."""
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` does nothing to {to}")

    def rates(self, grid: Sequence[float], default: float) -> tuple[float, ...]:
        """Return the learning rates of a sweep that are known before anything runs, rising when drawn.

        They are all but those that tpe suggests. A random draw is uniform in the logarithm, as Ray Tune's
        `loguniform` draws it from the same seed, and rounded to three digits; what is drawn twice is made up
        for by further draws, unless the range is too narrow for so many. Its trials are the same steps as
        those of a grid that has these learning rates, and a longer draw has the trials of a shorter one
        among its own.

        Args:
            grid: the phase's own learning rates, empty for none.
            default: the task's own.
        """
        if self.kind == "grid":
            return tuple(grid) or (default,)
        assert self.low is not None
        assert self.high is not None
        # Of all generators of numpy, only RandomState is promised to draw the same in every version.
        draw = np.random.RandomState(self.seed)
        count = min(self.startup, self.trials) if self.kind == "tpe" else self.trials
        ends = math.log(self.low), math.log(self.high)
        found = {rounded(math.exp(each)) for each in draw.uniform(*ends, size=count)}
        # Of tpe's, those that are missing here are suggested.
        for _ in range(_MORE_DRAWS if self.kind == "random" else 0):
            if len(found) == count:
                break
            found.add(rounded(math.exp(draw.uniform(*ends))))
        return tuple(sorted(found))

    def suggested(self, drawn: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield, for each trial that tpe suggests after so many drawn ones, what its key says of that.

        And how many of the trials before it, by their order in the sweep, it knows of.
        """
        if self.kind != "tpe":
            return
        for number in range(drawn, self.trials):
            about = {"low": self.low, "high": self.high, "seed": self.seed, "number": number}
            yield about, max(drawn, number + 1 - self.parallel)


class Asha(Settings):
    """Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934) in each sweep.

    At each rung, a share of the training, a trial goes on only if its best dev score so far is among the
    best `1 / reduction` of what its sweep's trials had when they came to that rung.
    """

    grace: int = Field(ge=1, le=99)
    """The first rung, in percent of a trial's optimizer steps. The next ones are at `reduction` times
    the one before."""
    reduction: int = Field(default=2, ge=2)

    def identity(self, rates: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
        """Return what enters the key of each trial of a sweep: the rule, and whom it competes with."""
        return {
            "grace": self.grace,
            "reduction": self.reduction,
            "learning_rates": list(rates),
            "seeds": list(seeds),
        }


def rounded(rate: float) -> float:
    """Return a learning rate to the digits that a step's name shows."""
    return float(f"{rate:.{DIGITS}g}")


def check_sweeps(
    search: Search,
    asha: Asha | None,
    *,
    grid: Collection[float],
    rules: Collection[str],
    eval_every: int | None,
    where: str,
) -> None:
    """Check that what a phase says of its sweeps goes together.

    Args:
        search: where learning rates come from.
        asha: how trials are stopped, None for not at all.
        grid: the phase's `learning_rates`.
        rules: the phase's selection rules.
        eval_every: optimizer steps between two dev evaluations, None for one at the end.
        where: the phase's place in the experiment, for errors.

    Raises:
        ConfigError: when it does not.
    """
    if search.kind != "grid" and grid:
        raise ConfigError(
            f"{where}.learning_rates",
            f"are those of a grid, and {where.rpartition(' ')[2]}.search is {search.kind}",
            "Leave one of them out.",
        )
    others = sorted(set(rules) - {"best_dev"})
    if search.kind == "tpe" and (others or asha is not None):
        raise ConfigError(
            f"{where}.search",
            "tpe follows whole trials by the score that best_dev selects by, and "
            + (f"the rule is {others[0]}" if others else "asha stops them"),
            "Take a random search, or leave that out.",
        )
    if asha is None:
        return
    if others:
        raise ConfigError(
            f"{where}.asha",
            f"stops trials by the score that best_dev selects by, and the rule is {others[0]}",
            "Take the rule best_dev, or leave asha out.",
        )
    if eval_every is None:
        raise ConfigError(
            f"{where}.asha",
            "needs dev evaluations on the way, and there is only the last one",
            "Set training.eval_every to a number of steps.",
        )
