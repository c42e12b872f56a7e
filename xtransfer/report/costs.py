"""What the recorded steps of each phase took: hours, energy, and time that was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xtransfer.config.judgement import Power
from xtransfer.config.placement import section_of
from xtransfer.plan import INLINE, Plan
from xtransfer.records.leases import Attempt
from xtransfer.records.record import Record

PHASES = ("encoder", "data", "intermediate", "target", "evaluation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What the recorded steps of a phase took."""

    phase: str
    steps: int
    wall_h: float
    """Sum over steps, whether they ran at the same time or not."""
    cpu_h: float
    """Reserved, not used."""
    gpu_h: float
    kwh: float | None
    """At the watts that the configuration assumes; None where it assumes none."""
    lost_attempts: int
    lost_h: float
    """Wall time of attempts that ended without a record."""
    at_most: bool
    """Whether a number of workers that varied was taken at its largest."""
    keys: tuple[str, ...]


def costs_of(
    plan: Plan,
    records: Mapping[str, Record],
    attempts: Mapping[str, Sequence[Attempt]],
    power: Power,
) -> tuple[Cost, ...]:
    """Return the cost of each phase of which a step is recorded or an attempt was lost.

    Args:
        plan: of the experiment.
        records: key -> record.
        attempts: key -> attempts at the step, oldest first.
        power: the watts that the configuration assumes.
    """
    costs: list[Cost] = []
    for phase in PHASES:
        steps = [step for step in plan.steps.values() if step.phase == phase]
        own = [records[step.key] for step in steps if step.key in records]
        lost = [
            seconds
            for step in steps
            for seconds in lost_seconds(attempts.get(step.key, ()), done=step.key in records)
        ]
        if not own and not lost:
            continue
        wall = [record.timing.get("seconds", 0.0) / 3600 for record in own]
        held = [held_by(record) for record in own]
        cpu = sum(hours * cpus for hours, (cpus, _, _) in zip(wall, held, strict=True))
        gpu = sum(hours * gpus for hours, (_, gpus, _) in zip(wall, held, strict=True))
        costs.append(
            Cost(
                phase=phase,
                steps=len(own),
                wall_h=sum(wall),
                cpu_h=cpu,
                gpu_h=gpu,
                kwh=_kwh(cpu, gpu, power),
                lost_attempts=len(lost),
                lost_h=sum(lost) / 3600,
                at_most=any(varied for _, _, varied in held),
                keys=tuple(record.key for record in own),
            )
        )
    return tuple(costs)


def lost_seconds(attempts: Sequence[Attempt], *, done: bool) -> list[float]:
    """Return how long each attempt lasted that ended without a record.

    One that has neither ended nor been followed may still be at work, and is not counted; after a record
    none is. What a later attempt went on from, by a checkpoint, is not deducted.
    """
    lost: list[float] = []
    for at, each in enumerate(attempts):
        over = each.state == "failed" or (
            each.state == "working" and (done or at + 1 < len(attempts))
        )
        if over and each.token:
            lost.append(max(0.0, (each.ended or each.expires) - each.began))
    return lost


def held_by(record: Record) -> tuple[float, float, bool]:
    """Return the CPUs and GPUs that a step reserved, and whether their number varied."""
    if record.kind in INLINE:
        return 0.0, 0.0, False  # the driver's own work
    place: Mapping[str, Any] = record.placement.get(section_of(record.kind), {})
    workers: Any = place.get("workers", 1) if record.kind == "train" else 1
    varied = not isinstance(workers, int)
    most: int = workers[-1] if varied else workers
    return place.get("cpus", 0.0) * most, place.get("gpus", 0.0) * most, varied


def _kwh(cpu_h: float, gpu_h: float, power: Power) -> float | None:
    if power.cpu_watts is None and power.gpu_watts is None:
        return None
    return (cpu_h * (power.cpu_watts or 0.0) + gpu_h * (power.gpu_watts or 0.0)) / 1000
