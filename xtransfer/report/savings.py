"""What searching beyond the grid has saved, and what is known of what it may have lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from xtransfer.config.experiment import Experiment
from xtransfer.plan import Plan
from xtransfer.pruning.pairs import Pruned, dropped_steps, pruned_pairs
from xtransfer.pruning.settings import NAMES
from xtransfer.records.record import Record
from xtransfer.report.costs import held_by

HOUR = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopping:
    """What ASHA did in one phase."""

    phase: str
    trials: int
    """Recorded trials that could have been stopped."""
    stopped: int
    spent_h: float
    """Device hours of the stopped ones ..."""
    whole_h: float
    """... and what their whole training would have taken at their own speed."""
    behind: float | None
    """The least that a stopped trial's best dev score was below that of the trial chosen instead;
    negative: it was above. None without a choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaving:
    """What pruning left out."""

    pairs: tuple[Pruned, ...]
    trials: int
    """Trials that were not run ..."""
    saved_h: float | None
    """... and the device hours they would have taken, each as the mean of those of its target that were
    run; None where there were none."""
    spent_h: float
    """Device hours of the estimates."""


def stopping_of(plan: Plan, records: Mapping[str, Record]) -> tuple[Stopping, ...]:
    """Return what ASHA did in each phase that has it."""
    found: list[Stopping] = []
    for phase in ("intermediate", "target"):
        trials = [
            records[key]
            for key, step in plan.steps.items()
            if step.kind == "train"
            and step.phase == phase
            and "asha" in step.spec
            and key in records
        ]
        stopped = [trial for trial in trials if "stopped_at" in trial.result]
        if not trials:
            continue
        found.append(
            Stopping(
                phase=phase,
                trials=len(trials),
                stopped=len(stopped),
                spent_h=sum(map(device_hours, stopped)),
                whole_h=sum(
                    device_hours(each) * each.result["total_steps"] / each.result["steps"]
                    for each in stopped
                ),
                behind=_behind(plan, records, phase),
            )
        )
    return tuple(found)


def leaving_of(plan: Plan, records: Mapping[str, Record]) -> Leaving | None:
    """Return what pruning left out, None where nothing is pruned (yet)."""
    pairs = pruned_pairs(plan, records)
    if not pairs:
        return None
    left = [plan.steps[key] for key in dropped_steps(plan, records)]
    trials = [step for step in left if step.kind == "train"]
    saved: float | None = 0.0
    for step in trials:
        target = step.sweep.split(" after ")[0]
        alike = [
            device_hours(records[key])
            for key, other in plan.steps.items()
            if other.kind == "train"
            and other.phase == "target"
            and other.sweep.split(" after ")[0] == target
            and key in records
        ]
        saved = saved + fmean(alike) if alike and saved is not None else None
    estimates = [key for key, step in plan.steps.items() if step.kind == "estimate"]
    return Leaving(
        pairs=pairs,
        trials=len(trials),
        saved_h=saved,
        spent_h=sum(device_hours(records[key]) for key in estimates if key in records),
    )


def search_notes(experiment: Experiment, plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Return what a reader must know of a search: its saving, its risk, and each pair left out."""
    notes: list[str] = []
    unit = "GPU-hours" if any(held_by(record)[1] for record in records.values()) else "CPU-hours"
    for name, phase in (("intermediate", experiment.intermediate), ("target", experiment.target)):
        search = phase.search
        if search.kind != "grid":
            notes.append(
                f"{name} phase: learning rates by {search.kind} search, {search.trials} between "
                f"{search.low:g} and {search.high:g}, seed {search.seed}"
            )
    for each in stopping_of(plan, records):
        text = (
            f"{each.phase} phase: ASHA stopped {each.stopped} of {each.trials} trials; they took "
            f"{each.spent_h:.3g} {unit}, and would have taken about {each.whole_h:.3g} at their own speed"
        )
        if each.behind is not None:
            side = "below" if each.behind >= 0 else "ABOVE"
            text += (
                f"; when it was stopped, the nearest was {abs(each.behind):.1f} points {side} the dev "
                "score of the trial that was chosen"
            )
        notes.append(text)
    gated = {gate.target for gate in plan.gates}
    others = [target for target in experiment.target.tasks if target not in gated]
    if experiment.pruning is not None and others:
        notes.append(
            f"pruning does not concern {', '.join(others)}: all intermediate tasks are kept"
        )
    compared = {gate.intermediate for gate in plan.gates}
    apart = [arm.name for arm in experiment.intermediate.tasks if arm.name not in compared]
    if experiment.pruning is not None and gated and apart:
        notes.append(
            f"{NAMES[experiment.pruning.measure]} compares no {', '.join(apart)}: targets are trained after "
            "them in any case"
        )
    left = leaving_of(plan, records)
    if left is not None:
        saved = "an unknown number of" if left.saved_h is None else f"about {left.saved_h:.3g}"
        notes.append(
            f"pruning left out {len(left.pairs)} pairs and {left.trials} trials, {saved} {unit} by the "
            f"mean of the trials of the same target; the estimates took {left.spent_h:.3g}"
        )
        notes += [
            f"{each.target} after {each.intermediate}: pruned, {NAMES[each.measure]} "
            f"{each.estimate:.4f}; the lowest that is kept has {each.least_kept:.4f}"
            for each in left.pairs
        ]
    return notes


def device_hours(record: Record) -> float:
    """Return the GPU-hours that a step held, or its CPU-hours where it held no GPU."""
    cpus, gpus, _ = held_by(record)
    return float(record.timing.get("seconds", 0.0)) / HOUR * (gpus or cpus)


def _behind(plan: Plan, records: Mapping[str, Record], phase: str) -> float | None:
    gaps: list[float] = []
    for key, step in plan.steps.items():
        choice = records.get(key)
        if step.kind == "select" and step.phase == phase and choice is not None:
            gaps += _gaps(choice)
    return min(gaps, default=None)


def _gaps(choice: Record) -> Iterable[float]:
    score = choice.result["score"]
    for each in choice.result.get("candidates", ()):
        if "rung" in each and each["score"] is not None and score is not None:
            yield score - each["score"]
