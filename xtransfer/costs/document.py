"""An estimate as a JSON document, for programs; `words.py` has it for people."""

from __future__ import annotations

from typing import Any

from xtransfer.costs.estimate import Cost, Estimate, amounts, hours
from xtransfer.costs.remainder import Group


def to_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON; hours have three digits after the point."""
    return {
        "trials": found.trials,
        "trials_recorded": found.trials_recorded,
        "steps": found.steps,
        "recorded": found.recorded,
        "device": found.device,
        "early_stopping": "ignored: times of trials are upper bounds",
        "pruning": {"pairs": found.pairs, "left_out": found.left_out},
        "complete": not found.total.unknown,
        "phases": {name: _group(group) for name, group in found.phases.items()},
        "left": _group(found.total),
        "figures": [
            {
                "basis": each.trust,
                "about": each.about,
                "source": each.source,
                "examples": each.examples,
                **_group(group),
            }
            for each, group in found.figures
        ],
        "durations": {
            key: {"seconds": each.seconds, "basis": each.trust}
            for key, each in found.durations.items()
        },
        "critical_path": {"hours": hours(found.critical_s), "steps": list(found.critical)},
        "gpus": found.gpus,
        "makespan_hours": hours(found.makespan_s),
        "lower_bound_hours": hours(found.bound_s),
        "quota": None
        if found.fit is None
        else {
            "gpus": found.fit.gpus,
            "fits": found.fit.fits,
            "largest_step_gpus": found.fit.largest,
            "makespan_hours": hours(found.fit.makespan_s),
            "over_hours": hours(found.fit.over_s),
            "short_gpu_hours": hours(found.fit.short_gpu_s),
        },
        "costs": [_cost(each) for each in found.costs],
        "unpriced": list(found.unpriced),
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "steps": group.steps,
        "gpu_hours": hours(group.gpu_s),
        "cpu_hours": hours(group.cpu_s),
        "unknown_steps": group.unknown,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "device": cost.device,
        "hours": round(cost.hours, 3),
        "currency": cost.price.currency,
        "used": amounts(cost, cost.hours),
        "held": None if cost.held_hours is None else amounts(cost, cost.held_hours),
        "source": cost.price.source,
        "date": cost.price.date.isoformat(),
    }
