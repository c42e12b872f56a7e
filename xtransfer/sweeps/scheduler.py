"""Ray Tune's ASHA in each sweep of a plan.

A plan's trials are of many sweeps, and a scheduler of Tune's knows of one. So each sweep has an ASHA
scheduler of its own. It is made for each decision from what the store says of the sweep: it forgets
nothing when a driver dies, and knows what another driver's trials scored.

What it says is not done by Tune but by the trial: Tune would end the trial's process, and with it the
weights and the record that its sweep's selection waits for. The trial is told by a ruling in the store
(`xtransfer.sweeps.rungs`), ends its training, and leaves a whole record that says where it was stopped.
The driver rules when Tune tells it of a rung (`xtransfer.driver.relays`), the trial itself where no driver
does (`xtransfer.sweeps.waiting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from xtransfer.plan import Step
from xtransfer.store import Store
from xtransfer.sweeps.rungs import TOP, Ruling, leave_ruling, read_ruling, read_rulings


def rule(
    store: Store,
    step: Step,
    *,
    rung: int,
    score: float,
    known: MutableMapping[str, Ruling] | None = None,
) -> Ruling:
    """Return whether a trial goes on after a rung, as it was or is now ruled.

    Args:
        store: where rulings are.
        step: the trial.
        rung: that it has come to, percent.
        score: its best dev score until then.
        known: rulings that were read before, as for `read_rulings`.
    """
    before = read_ruling(store, step, rung)
    if before is not None:
        return before
    others = {
        each.key: each.score
        for each in read_rulings(store, step, rung=rung, known=known)
        if each.rung == rung and each.key != step.key
    }
    asha: Mapping[str, Any] = step.spec["asha"]
    ruling = Ruling(
        key=step.key,
        rung=rung,
        score=score,
        others=others,
        cutoff=cutoff(others.values(), asha["reduction"]),
        goes_on=goes_on(asha, rung=rung, score=score, others=others),
    )
    return leave_ruling(store, step, ruling)


def goes_on(
    asha: Mapping[str, Any], *, rung: int, score: float, others: Mapping[str, float]
) -> bool:
    """Return what Tune's ASHA says of a trial that comes to a rung after others.

    Args:
        asha: `grace` and `reduction`.
        rung: percent.
        score: of the trial.
        others: key -> score of those that came before.
    """
    scheduler = ASHAScheduler(
        time_attr="percent",
        metric="score",
        mode="max",
        max_t=TOP,
        grace_period=asha["grace"],
        reduction_factor=asha["reduction"],
    )
    said = TrialScheduler.CONTINUE
    for name, value in [*sorted(others.items()), ("", score)]:
        trial: Any = SimpleNamespace(trial_id=name)
        scheduler.on_trial_add(_NO_CONTROLLER, trial)
        said = scheduler.on_trial_result(_NO_CONTROLLER, trial, {"percent": rung, "score": value})
    return said == TrialScheduler.CONTINUE


def cutoff(others: Iterable[float], reduction: int) -> float | None:
    """Return the score that a trial must reach, for readers of a ruling; None without others."""
    scores = list(others)
    return float(np.percentile(scores, 100 * (1 - 1 / reduction))) if scores else None


_NO_CONTROLLER: Any = None
"""ASHA asks its controller for nothing."""
