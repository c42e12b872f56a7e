"""A finished grid searched again on its records: sweeps under ASHA, and with fewer learning rates."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from xtransfer.selection import select
from xtransfer.sweeps.rungs import TOP

WORKERS = 2
"""Trials of a sweep that run at once."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A finished trial of the grid."""

    key: str
    sweep: str
    rate: float
    dev: float
    test: float | None
    """Mean over the languages; None of an intermediate trial."""
    seconds: float
    train_s: float
    points: tuple[tuple[float, float], ...]
    """(percent of the training, best dev score until then), rising."""

    def at(self, percent: float) -> float:
        """Return the seconds that the trial has taken when it has come so far."""
        return self.seconds - self.train_s * (1 - percent / TOP)


Run = tuple[Sequence[Trial], Trial, float]
"""A sweep, the trial that a search of it chose, and the seconds that it took."""


def replay_asha(
    sweeps: Mapping[str, Sequence[Trial]], *, grace: int, reduction: int, orders: int
) -> dict[str, Any]:
    """Return what ASHA saves and loses, over orders in which trials start."""
    runs: list[Run] = []
    stopped = 0
    for name, trials in sweeps.items():
        for number in range(orders):
            order = list(trials)
            random.Random(f"{name} {number}").shuffle(order)
            seconds, rungs = run_asha(order, grace=grace, reduction=reduction)
            runs.append((trials, choice(trials, rungs), seconds))
            stopped += len(rungs)
    return {
        "search": f"ASHA from {grace} %, 1 in {reduction} goes on",
        "grace": grace,
        "reduction": reduction,
        "stopped_percent": round(100 * stopped / sum(len(trials) for trials, *_ in runs), 1),
        **_figures(runs, orders),
    }


def replay_random(sweeps: Mapping[str, Sequence[Trial]], *, count: int, of: int) -> dict[str, Any]:
    """Return what it saves and loses to try only some of the learning rates, over all choices of them."""
    runs: list[Run] = []
    for trials in sweeps.values():
        runs += [
            (trials, choice(some, {}), sum(t.seconds for t in some))
            for some in itertools.combinations(trials, count)
        ]
    return {
        "search": f"random, {count} of {of}",
        "stopped_percent": None,
        **_figures(runs, len(runs) // len(sweeps)),
    }


def _figures(runs: Sequence[Run], times: int) -> dict[str, Any]:
    """Return saving and regret of runs of every sweep, each that many times."""
    devs: list[float] = []
    tests: list[float] = []
    for trials, other, _ in runs:
        chosen = choice(trials, {})
        devs.append(chosen.dev - other.dev)
        if chosen.test is not None and other.test is not None:
            tests.append(chosen.test - other.test)
    whole = sum(t.seconds for trials, *_ in runs for t in trials)
    spent = sum(seconds for *_, seconds in runs)
    return {
        "saved_percent": round(100 * (1 - spent / whole), 1),
        "saved_s": round((whole - spent) / times, 1),
        "other_choice_percent": round(100 * fmean(gap != 0 for gap in devs), 1),
        "dev_regret": {"mean": round(fmean(devs), 2), "worst": round(max(devs), 2)},
        "test_regret": {"mean": round(fmean(tests), 2), "worst": round(max(tests), 2)},
    }


def run_asha(order: Sequence[Trial], *, grace: int, reduction: int) -> tuple[float, dict[str, int]]:
    """Return the seconds that a sweep takes under ASHA, and the rung at which each trial stopped.

    The trials start in this order on two workers.
    """
    from xtransfer.sweeps.scheduler import goes_on  # Ray, imported before the run sets it up, fails

    asha = {"grace": grace, "reduction": reduction}
    rungs: list[int] = []
    while (rung := grace * reduction ** len(rungs)) < TOP:
        rungs.append(rung)
    seen: dict[int, dict[str, float]] = {rung: {} for rung in rungs}
    stopped: dict[str, int] = {}
    waiting, spent = list(order), 0.0
    events: list[tuple[float, int, float, Trial, int]] = []
    now, number = 0.0, 0
    while waiting or events:
        while waiting and len(events) < WORKERS:
            trial = waiting.pop(0)
            heapq.heappush(events, (now + trial.at(trial.points[0][0]), number, now, trial, 0))
            number += 1
        now, at, began, trial, point = heapq.heappop(events)
        percent, score = trial.points[point]
        rung = max((r for r in rungs if r <= percent), default=0)
        last = point == len(trial.points) - 1
        if rung and not last and trial.key not in seen[rung]:
            on = goes_on(asha, rung=rung, score=score, others=seen[rung])
            seen[rung][trial.key] = score
            if not on:
                stopped[trial.key] = rung
        if last or trial.key in stopped:
            now = began + (trial.seconds if last else trial.at(percent))
            spent += now - began
            continue
        following = began + trial.at(trial.points[point + 1][0])
        heapq.heappush(events, (following, at, began, trial, point + 1))
    return spent, stopped


def choice(trials: Sequence[Trial], rungs: Mapping[str, int]) -> Trial:
    """Return the trial that the product's own rule selects, some having stopped at rungs."""
    pool = []
    for t in trials:
        score, rung = t.dev, rungs.get(t.key)
        if rung is not None:
            score = next(reached for percent, reached in t.points if percent >= rung)
        entry = {"key": t.key, "score": score, "learning_rate": t.rate, "seed": 1}
        pool.append(entry if rung is None else {**entry, "rung": rung})
    key = select("best_dev", pool)["key"]
    return next(t for t in trials if t.key == key)
