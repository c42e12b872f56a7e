"""The pairs of intermediate and target task that recorded prune steps drop, and a plan without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xtransfer.plan import Plan, gates_of, is_dropped
from xtransfer.pruning.settings import NAMES
from xtransfer.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A pair that is not trained, and why."""

    target: str
    intermediate: str
    measure: str
    estimate: float
    least_kept: float
    """The lowest estimate of those that the target keeps."""
    prune: str
    """Key of the step that dropped it."""

    def why(self) -> str:
        """Say by what it was pruned."""
        return (
            f"was pruned ({NAMES[self.measure]} {self.estimate:.4f}; the lowest that is kept has "
            f"{self.least_kept:.4f})"
        )


def pruned_pairs(plan: Plan, records: Mapping[str, Record]) -> tuple[Pruned, ...]:
    """Return the pairs that recorded prune steps drop, in the order of the plan."""
    found: list[Pruned] = []
    for gate in plan.gates:
        record = records.get(gate.prune)
        if record is None or gate.estimate in record.result["kept"]:
            continue
        estimates: Mapping[str, float] = record.result["estimates"]
        found.append(
            Pruned(
                target=gate.target,
                intermediate=gate.intermediate,
                measure=plan.steps[gate.estimate].spec["measure"],
                estimate=estimates[gate.estimate],
                least_kept=min(estimates[key] for key in record.result["kept"]),
                prune=gate.prune,
            )
        )
    return tuple(found)


def dropped_steps(plan: Plan, records: Mapping[str, Record]) -> set[str]:
    """Return the keys of the steps that recorded prune steps leave out."""
    kept = {
        gate.prune: records[gate.prune].result["kept"]
        for gate in plan.gates
        if gate.prune in records
    }
    return {key for key, gates in gates_of(plan.gates).items() if is_dropped(gates, kept)}


def without_pruned(plan: Plan, records: Mapping[str, Record]) -> Plan:
    """Return the plan without the steps and cells that recorded prune steps leave out.

    A pruned step that has a record all the same, of a run without pruning, is left out, too.
    """
    dropped = dropped_steps(plan, records)
    if not dropped:
        return plan
    return replace(
        plan,
        steps={key: step for key, step in plan.steps.items() if key not in dropped},
        cells=tuple(cell for cell in plan.cells if cell.key not in dropped),
        probes=tuple(probe for probe in plan.probes if probe.key not in dropped),
        gates=tuple(gate for gate in plan.gates if gate.prune not in records),
    )
