"""How a run stands, from its store alone: progress by sweep, who is at work, time left, what failed.

It asks no driver, so it works from any machine that reads the store, and after the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from xtransfer.config.placement import Placement
from xtransfer.costs.estimate import Question, estimate
from xtransfer.plan import Plan, Step
from xtransfer.pruning.pairs import dropped_steps
from xtransfer.records.failures import Failure, failures, noted
from xtransfer.records.leases import Attempt, every_attempt
from xtransfer.records.record import Record
from xtransfer.store import Store


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """Steps that belong together: the trials of a sweep, or all other steps of one kind and phase."""

    phase: str
    name: str
    steps: int = 0
    recorded: int = 0
    running: int = 0
    failed: int = 0
    blocked: int = 0


@dataclass(frozen=True, kw_only=True)
class AtWork:
    """A step that somebody holds."""

    step: Step
    host: str
    seconds: float
    """Since the attempt began."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A run at one moment. Pruned steps are left out of all numbers."""

    experiment: str
    plan: str
    """Its key."""
    sweeps: tuple[SweepProgress, ...]
    at_work: tuple[AtWork, ...]
    failures: tuple[Failure, ...]
    left_s: float | None
    """Seconds until the end at the present pace; None while nothing runs or nothing is known of it."""
    unknown: int
    """Steps to do of unknown time, which `left_s` leaves out."""

    @property
    def all(self) -> SweepProgress:
        """The sum of all sweeps."""
        total = SweepProgress(phase="", name="all")
        for each in self.sweeps:
            total = replace(
                total,
                steps=total.steps + each.steps,
                recorded=total.recorded + each.recorded,
                running=total.running + each.running,
                failed=total.failed + each.failed,
                blocked=total.blocked + each.blocked,
            )
        return total

    @property
    def over(self) -> bool:
        """Whether nothing more will come of this run: all is recorded, failed or blocked."""
        found = self.all
        return found.steps == found.recorded + found.failed + found.blocked


def look(
    plan: Plan,
    store: Store,
    records: Mapping[str, Record],
    placement: Placement,
    *,
    clock: Callable[[], float] = time.time,
) -> Sight:
    """Return how a plan's run stands.

    Args:
        plan: with all steps, pruned ones too.
        store: of the run.
        records: key -> all records of the store; those of other plans tell how long steps take.
        placement: says what a step takes.
        clock: the time, Unix seconds.
    """
    dropped = dropped_steps(plan, records)
    steps = {key: step for key, step in plan.steps.items() if key not in dropped}
    done = set(records) & set(steps)
    now = clock()
    held = {
        key: found[-1]
        for key, found in every_attempt(store, steps.keys() - done).items()
        if found[-1].live(now)
    }
    notes = {
        key: text
        for key, text in noted(store).items()
        if key in steps and key not in done and key not in held
    }
    failed = tuple(failures(plan, store, notes, recorded=done | dropped))
    left_s, unknown = _time_left(plan, records, placement, held, set(steps) - done, now)
    return Sight(
        experiment=plan.experiment,
        plan=plan.key,
        sweeps=_sweeps(steps, done, held, failed),
        at_work=tuple(
            AtWork(step=steps[key], host=each.host, seconds=now - each.began)
            for key, each in held.items()
        ),
        failures=failed,
        left_s=left_s,
        unknown=unknown,
    )


def time_left(sight: Sight) -> str:
    """Return the time left in words."""
    if sight.over:
        return ""
    if not sight.at_work:
        return "nothing is at work"
    if sight.left_s is None:
        return "time left unknown"
    minutes = sight.left_s / 60
    text = f"{sight.left_s:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
    text = text if minutes < 120 else f"{minutes / 60:.1f} h"
    if sight.unknown:
        return f"more than {text} left, for {sight.unknown} steps take an unknown time"
    return f"about {text} left"


def _sweeps(
    steps: Mapping[str, Step],
    done: set[str],
    held: Mapping[str, Attempt],
    failed: tuple[Failure, ...],
) -> tuple[SweepProgress, ...]:
    lost = {each.step.key for each in failed}
    waiting = {step.key for each in failed for step in each.blocked}
    found: dict[tuple[str, str], SweepProgress] = {}
    for key, step in steps.items():
        name = step.sweep if step.kind == "train" and step.sweep else step.kind
        before = found.get((step.phase, name), SweepProgress(phase=step.phase, name=name))
        found[step.phase, name] = replace(
            before,
            steps=before.steps + 1,
            recorded=before.recorded + (key in done),
            running=before.running + (key in held),
            failed=before.failed + (key in lost),
            blocked=before.blocked + (key in waiting),
        )
    return tuple(found.values())


def _time_left(
    plan: Plan,
    records: Mapping[str, Record],
    placement: Placement,
    held: Mapping[str, Attempt],
    undone: set[str],
    now: float,
) -> tuple[float | None, int]:
    """Return seconds to the end with as many steps at a time as now, and the steps of unknown time."""
    found = estimate(plan, records, placement, Question())
    durations = {key: found.durations[key].seconds for key in undone if key in found.durations}
    unknown = sum(seconds is None for seconds in durations.values())
    known = {key: seconds for key, seconds in durations.items() if seconds is not None}
    if not held or not any(known.values()):
        return None, unknown
    for key, attempt in held.items():
        if key in known:
            known[key] = max(0.0, known[key] - (now - attempt.began))
    work = sum(known.values()) / len(held)
    return max(work, _chain(plan, known)), unknown


def _chain(plan: Plan, known: Mapping[str, float]) -> float:
    """Return the longest time of steps that wait for each other."""
    ends: dict[str, float] = {}
    for key, step in plan.steps.items():  # parents come first
        before = max((ends.get(parent, 0.0) for parent in step.inputs.values()), default=0.0)
        ends[key] = before + known.get(key, 0.0)
    return max(ends.values(), default=0.0)
