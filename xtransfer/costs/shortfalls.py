"""Which trials will have fewer checkpoints than `target.average` is to take the mean of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypedDict

from xtransfer.costs.amounts import amount_of, data_sizes
from xtransfer.plan import Plan
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
                target = "+".join(part["task"] for part in trial.spec["parts"])
                found[target, amount.evaluations] = Shortfall(
                    target=target,
                    asked=step.spec["count"],
                    evaluations=amount.evaluations,
                    source=amount.source,
                )
    return list(found.values())


def shortfall_lines(found: list[Shortfall]) -> Iterator[str]:
    """Yield a line for each, with what to do."""
    for each in found:
        times = "once" if each["evaluations"] == 1 else f"{each['evaluations']} times"
        yield (
            f"target.average.checkpoints: trials on {each['target']} score their dev set {times} (examples: "
            f"{each['source']}), so that the mean is of {each['evaluations']} and not of {each['asked']}. Lower "
            "training.eval_every for more."
        )
