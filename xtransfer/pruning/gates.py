"""What becomes of a plan's steps when pairs of intermediate and target task are pruned.

The plan has the steps of every pair, so that it is known whole before anything runs and a pair's keys do
not depend on the others. A gate says which steps belong to a pair and to no other work: they wait for the
target's prune step, and are left out where it drops the pair.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtransfer.plan import Plan
    from xtransfer.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One pair that may be pruned."""

    target: str
    intermediate: str
    estimate: str
    """Key of the pair's estimate step."""
    prune: str
    """Key of the target's prune step."""
    steps: tuple[str, ...]
    """Keys of the steps that only this pair and others with a gate need."""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Gate:
        """Rebuild a gate."""
        return Gate(**{**dict(value), "steps": tuple(value["steps"])})


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


def gates_of(gates: Iterable[Gate]) -> dict[str, list[Gate]]:
    """Return key of a step -> the gates that it stands behind."""
    found: dict[str, list[Gate]] = {}
    for gate in gates:
        for key in gate.steps:
            found.setdefault(key, []).append(gate)
    return found


def is_dropped(gates: Collection[Gate], kept: Mapping[str, Collection[str]]) -> bool:
    """Say whether a step is left out: every pair that needs it is dropped.

    Args:
        gates: that the step stands behind; none: it is never left out.
        kept: key of each prune step that is done -> keys of the estimates that it keeps.
    """
    return bool(gates) and all(
        gate.prune in kept and gate.estimate not in kept[gate.prune] for gate in gates
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
