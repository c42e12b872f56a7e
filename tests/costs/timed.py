"""Records with times, as a run on a GPU would leave them; a plan that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.recorded import record_of
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement, Resources, TrainResources
from xtransfer.plan import Plan, Step
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Record

GPU = "NVIDIA H100 80GB HBM3"
STARTED = 1_790_000_000.0  # 2026-09-21
SMALL = f"""
name: small
encoder: {{name: org/xlm-roberta-base, revision: {"a" * 40}}}
intermediate: {{tasks: [mnli], seeds: [1, 2]}}
target: {{tasks: [xnli, pawsx], seeds: [1], languages: {{xnli: [en], pawsx: [de]}}}}
training: {{eval_every: null}}
"""
PLACED = Placement(train=TrainResources(gpus=1), evaluate=Resources(gpus=1))


def plan_of(folder: Path, text: str = SMALL) -> Plan:
    path = folder / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    experiment = load_experiment(path)
    return build_plan(experiment, Fingerprints(experiment, lenient=True))


def counted(step: Step, rows: int = 1000, *, tokens: int = 30_000, **timing: float) -> Record:
    """Return the record of a prepare step; one that took 2 s to begin and 10 s to read its rows."""
    languages = {
        language: {
            "read": rows,
            "available": rows,
            "used": rows,
            "rows": rows,
            "tokens": tokens,
            "skipped": {},
        }
        for language in step.spec["data"]
    }
    timing = {"started": STARTED, "seconds": 12.0, "start_s": 2.0, **timing}
    return _with(step, {"result": {"languages": languages}, "timing": timing})


def trained(
    step: Step, *, device: str | None = GPU, gpus: float = 1, workers: int = 1, **timing: float
) -> Record:
    """Return the record of a trial: 5 s to begin and to end, 100 rows a second, 400 of them on dev."""
    result = {"score": 50.0, "best_step": 1, "steps": 20, "history": [], "parts": []}
    times = {
        "started": STARTED,
        "seconds": 5.0 + 20.0 + 2.5,
        "examples": 2000.0,
        "examples_per_s": 100.0,
        "dev_examples": 1000.0,
        "dev_s": 2.5,
        **timing,
    }
    placed = {"train": {"gpus": gpus, "workers": workers}, "device": device}
    return _with(step, {"result": result, "timing": times, "placement": placed})


def scored(step: Step, *, seconds: float = 13.0, start_s: float = 3.0) -> Record:
    """Return the record of an evaluation."""
    return _with(
        step,
        {
            "timing": {"started": STARTED, "seconds": seconds, "start_s": start_s},
            "placement": {"evaluate": {"gpus": 1}, "device": GPU},
        },
    )


def of_kind(plan: Plan, kind: str, name: str = "") -> list[Step]:
    return [s for s in plan.steps.values() if s.kind == kind and s.name.startswith(name)]


def by_key(*records: Record) -> dict[str, Record]:
    return {record.key: record for record in records}


def _with(step: Step, changes: Mapping[str, Any]) -> Record:
    return record_of(step).model_copy(update=dict(changes))
