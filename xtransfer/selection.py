"""From dev scores to the trial that goes on. Pure; the record keeps all candidates and scores.

    best_dev         the highest score on the dev set of what was trained on (English, in the study)
    mean_over_seeds  the learning rate with the highest mean of that score over seeds; of its trials, that
                     of the seed that is asked for, or else the one with the highest score
    tied_over_seeds  as mean_over_seeds, but of all learning rates whose mean lies in the 95 % interval
                     (Student's t, over seeds) of the highest, the lowest: they are tied, as seeds alone may
                     have put one before the other. With two seeds the interval is very wide
    target_dev       the highest mean score on the target's dev sets in its own languages: an oracle, which
                     zero-shot transfer does not have, and labelled so wherever its scores stand

A trial that ASHA stopped never wins over one that went further, whatever their scores: of those that went
furthest, the rule chooses. A tie goes to the lower learning rate, then the lower seed, then the smaller key,
so that the outcome never depends on the order in which trials ended. A grid that lacks a trial is refused
unless the rule is told to take it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, get_args

from xtransfer.errors import StepError

if TYPE_CHECKING:
    from xtransfer.statistics.means import Mean

Rule = Literal["best_dev", "mean_over_seeds", "tied_over_seeds", "target_dev"]
RULES: tuple[Rule, ...] = get_args(Rule)
OVER_SEEDS: tuple[Rule, ...] = ("mean_over_seeds", "tied_over_seeds")
"""Rules that choose a learning rate by its trials with all seeds."""
Candidate = Mapping[str, Any]
WHOLE = 100
"""Percent of its training that a trial went which was not stopped."""


def select(
    rule: str,
    candidates: Sequence[Candidate],
    *,
    seed: int | None = None,
    incomplete: Literal["refuse", "allow"] = "refuse",
) -> Candidate:
    """Return the candidate that the rule chooses.

    Args:
        rule: one of `RULES`.
        candidates: each with `key`, `score` (None: the trial has none), `learning_rate` and `seed`; for
            `target_dev`, `score` is already that on the target's dev sets. One that was stopped has
            `rung`, the percent of its training at which it was.
        seed: with one of `OVER_SEEDS`, the seed of the trial that goes on; None: the best of its rate.
        incomplete: refuse: every trial must have a score, and but for trials whose learning rate was
            suggested (`suggested`), every learning rate must have a score with every seed. allow: trials without
            a score are left out, and one of `OVER_SEEDS` compares the rates that have most seeds.

    Raises:
        StepError: for an unknown rule, no candidates, or an incomplete grid.
    """
    if rule not in RULES:
        raise StepError("selection", f"no rule '{rule}'", f"Known: {', '.join(RULES)}.")
    scored = [each for each in candidates if each["score"] is not None]
    if incomplete == "refuse":
        _check_grid(candidates)
    if not scored:
        why = "See why no trial has a score: xtransfer status CONFIG, with the store of the run"
        raise StepError("selection", "there is no candidate to choose from", why)
    if rule in OVER_SEEDS:
        scored = _of_best_rate(scored, tied=rule == "tied_over_seeds")
        own = [each for each in scored if seed is None or each["seed"] == seed]
        if not own:
            rate = scored[0]["learning_rate"]
            raise StepError(
                "selection",
                f"seed {seed} has no trial at the chosen rate {rate:g}",
                "Finish that trial, or choose within each seed by `rule: best_dev`.",
            )
        scored = own
    return min(scored, key=_order)


def mean_scores(candidates: Sequence[Candidate]) -> dict[float, tuple[float, int]]:
    """Return learning rate -> (mean score over its seeds, number of seeds), of those with a score."""
    return {rate: (fmean(scores), len(scores)) for rate, scores in _by_rate(candidates).items()}


def means_with_intervals(candidates: Sequence[Candidate]) -> dict[float, Mean]:
    """Return learning rate -> mean score over its seeds with spread and interval, of those with a score."""
    from xtransfer.statistics.means import mean_with_interval

    return {rate: mean_with_interval(scores) for rate, scores in _by_rate(candidates).items()}


def _by_rate(candidates: Sequence[Candidate]) -> dict[float, list[float]]:
    rates: dict[float, list[float]] = {}
    for each in sorted(candidates, key=lambda each: (each["learning_rate"], each["seed"])):
        if each["score"] is not None:
            rates.setdefault(each["learning_rate"], []).append(each["score"])
    return rates


def _of_best_rate(candidates: Sequence[Candidate], *, tied: bool) -> list[Candidate]:
    """Return the candidates of the rate with the best mean, or (`tied`) of the lowest that is in its interval."""
    means = mean_scores(candidates)
    most = max(count for _, count in means.values())
    full = {rate: mean for rate, (mean, count) in means.items() if count == most}
    best = min(full, key=lambda rate: (-full[rate], rate))
    if tied and (low := means_with_intervals(candidates)[best].low) is not None:
        best = min(rate for rate, mean in full.items() if mean >= min(low, full[best]))
    return [each for each in candidates if each["learning_rate"] == best]


def _order(each: Candidate) -> tuple[int, float, float, int, str]:
    reached = each.get("rung", WHOLE)
    return (-reached, -each["score"], each["learning_rate"], each["seed"], each["key"])


def _check_grid(candidates: Sequence[Candidate]) -> None:
    """Refuse a grid in which a learning rate lacks a seed, or a trial its score."""
    rates = sorted({each["learning_rate"] for each in candidates})
    seeds = sorted({each["seed"] for each in candidates})
    there = {
        (each["learning_rate"], each["seed"]) for each in candidates if each["score"] is not None
    }
    suggested = any(each.get("suggested") for each in candidates)
    wanted = [(rate, seed) for rate in rates for seed in seeds]
    if suggested:  # each seed is a search of its own
        wanted = [(each["learning_rate"], each["seed"]) for each in candidates]
    absent = [
        f"learning rate {rate:g} with seed {seed}"
        for rate, seed in wanted
        if (rate, seed) not in there
    ]
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise StepError(
            "selection",
            f"the grid is incomplete: no score of {', '.join(absent[:3])}{more}",
            "Finish these trials, or set `incomplete: allow` in the phase.",
        )
