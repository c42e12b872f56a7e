"""Records of a plan that was never run, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from xtransfer.plan import VERSIONS, Plan, Step
from xtransfer.records.record import Record, commit
from xtransfer.store import Store


def record_steps(store: Store, plan: Plan, *kinds: str) -> dict[str, Record]:
    """Commit a record of every step of these kinds, with made-up results; return them by key."""
    return {
        key: commit(store, record_of(step))
        for key, step in plan.steps.items()
        if step.kind in kinds
    }


def record_of(step: Step) -> Record:
    """Return a record with made-up results."""
    return Record(
        key=step.key,
        kind=step.kind,
        name=step.name,
        version=VERSIONS[step.kind],
        spec=dict(step.spec),
        inputs=dict(step.inputs),
        result=_result(step),
    )


def _result(step: Step) -> dict[str, Any]:
    if step.kind == "prepare":
        counts = {"read": 500, "available": 500, "used": 100, "rows": 100, "skipped": {}}
        cut = {"inputs cut": 2} if step.spec["role"] == "train" else {}
        return {"languages": {language: {**counts, **cut} for language in step.spec["data"]}}
    if step.kind != "evaluate":
        if step.kind == "select":
            return {"score": 50.0, "chosen": step.inputs["trial-000"]}
        parts = [{"name": part["task"], "share": 1.0, "draws": 10} for part in step.spec["parts"]]
        return {"score": 50.0, "best_step": 1, "parts": parts, "history": []}
    value = 40.0 if "baseline" in step.name else 45.0
    metrics = {step.spec["metric"]: value, "other": 1.0}
    found = {"metrics": metrics, "examples": 100}
    layer = {"layer": 1} if step.spec["retrieval"] else {}
    return {"languages": dict.fromkeys(step.spec["languages"], found), **layer}
