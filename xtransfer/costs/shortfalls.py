"""Which trials score their dev set too seldom for what is asked of them.

Too seldom for as many checkpoints as `target.average` is to take the mean of, or for `asha` ever to stop one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypedDict

from xtransfer.costs.amounts import amount_of, data_sizes
from xtransfer.plan import Plan, Step
from xtransfer.records.record import Record


class Shortfall(TypedDict):
    """Trials on one target that score their dev set less often than checkpoints are to be averaged."""

    target: str
    asked: int
    """Checkpoints of each trial that are to be averaged."""
    evaluations: int
    """Dev scores that each trial has at most, and so checkpoints."""
    source: str
    """Where the number of examples is from."""


class UnreachedRungs(TypedDict):
    """Trials that come to no rung of ASHA before their end, so that none of them is stopped."""

    phase: str
    trained_on: str
    """Task, or tasks joined by +."""
    grace: int
    """The first rung, percent."""
    steps: int
    """Optimizer steps of each trial."""
    eval_every: int
    source: str
    """Where the number of examples is from."""


def shortfalls(plan: Plan, records: Mapping[str, Record]) -> list[Shortfall]:
    """Return the targets whose averages will be of fewer checkpoints than asked for, as far as sizes are known.

    Early stopping, which may leave fewer still, is left out.

    Args:
        plan: of the experiment.
        records: key -> record; of prepare steps, which count exactly.
    """
    sizes = data_sizes(plan, records)
    found: dict[tuple[str, int], Shortfall] = {}
    for step in plan.steps.values():
        if step.kind != "average" or step.spec["of"] != "checkpoints" or step.key in records:
            continue
        chosen = plan.steps[step.inputs["trial-000"]]
        for role, key in chosen.inputs.items():
            trial = plan.steps[key]
            amount = amount_of(trial, sizes) if role.startswith("trial-") else None
            if amount is not None and amount.evaluations < step.spec["count"]:
                target = _trained_on(trial)
                found[target, amount.evaluations] = Shortfall(
                    target=target,
                    asked=step.spec["count"],
                    evaluations=amount.evaluations,
                    source=amount.source,
                )
    return list(found.values())


def unreached_rungs(plan: Plan, records: Mapping[str, Record]) -> list[UnreachedRungs]:
    """Return the sweeps none of whose trials ASHA will stop, as far as sizes are known.

    Args:
        plan: of the experiment.
        records: key -> record; of prepare steps, which count exactly.
    """
    sizes = data_sizes(plan, records)
    found: dict[tuple[str, str, str], UnreachedRungs | None] = {}
    for step in plan.steps.values():
        if step.kind != "train" or "asha" not in step.spec or step.key in records:
            continue
        sweep = (step.phase, step.sweep, _trained_on(step))
        if sweep in found:  # its trials differ in learning rate and seed alone
            continue
        found[sweep] = None
        grace, every = step.spec["asha"]["grace"], step.spec["eval_every"]
        amount = amount_of(step, sizes)
        if amount is None or 100 * (amount.evaluations - 1) * every >= grace * amount.steps:
            continue
        found[sweep] = UnreachedRungs(
            phase=step.phase,
            trained_on=_trained_on(step),
            grace=grace,
            steps=amount.steps,
            eval_every=every,
            source=amount.source,
        )
    once = {(each["phase"], each["trained_on"]): each for each in found.values() if each}
    return list(once.values())


def shortfall_lines(plan: Plan, records: Mapping[str, Record]) -> Iterator[str]:
    """Yield a line for each of either, with what to do."""
    yield from _average_lines(shortfalls(plan, records))
    for each in unreached_rungs(plan, records):
        yield (
            f"{each['phase']}.asha: trials on {each['trained_on']} take {each['steps']} steps (examples: "
            f"{each['source']}) and score their dev set every {each['eval_every']}, so that none comes to the rung "
            f"at {each['grace']} % before its end, and none is stopped. Lower training.eval_every."
        )


def _trained_on(trial: Step) -> str:
    return "+".join(part["task"] for part in trial.spec["parts"])


def _average_lines(found: list[Shortfall]) -> Iterator[str]:
    for each in found:
        times = "once" if each["evaluations"] == 1 else f"{each['evaluations']} times"
        yield (
            f"target.average.checkpoints: trials on {each['target']} score their dev set {times} (examples: "
            f"{each['source']}), so that the mean is of {each['evaluations']} and not of {each['asked']}. Lower "
            "training.eval_every for more."
        )
