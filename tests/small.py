"""An experiment of one classification task on made-up reviews, small enough to be run in a test."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tiny import tiny_encoder, tiny_tokenizer
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.config.placement import Placement
from xtransfer.execution.execute import run_step
from xtransfer.plan import Step
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.store import open_store

GOOD, BAD = ("cat", "dog", "bird"), ("old", "under", "near")
TASK = {
    "name": "reviews",
    "form": "classification",
    "metric": "accuracy",
    "labels": ["bad", "good"],
    "languages": ["en"],
    "source": {
        "format": "tsv",
        "files": {split: [f"{split}.tsv"] for split in ("train", "dev", "test")},
        "columns": {"text_a": "0", "label": "1"},
    },
    "stages": [{"epochs": 2, "batch_size": 8, "max_length": 32}],
}


def write_small(folder: Path, *, target: Mapping[str, Any] | None = None, **training: Any) -> Path:
    """Write encoder, data and experiment into `folder`; return the experiment's path."""
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder / "encoder")
    tiny_encoder(vocabulary=len(tokenizer)).save_pretrained(folder / "encoder")
    for split, count in (("train", 30), ("dev", 12), ("test", 12)):
        draw = random.Random(count)
        rows = []
        for _ in range(count):
            label = draw.choice(["good", "bad"])
            words = draw.choices(GOOD if label == "good" else BAD, k=4)
            rows.append(f"{' '.join(words)}\t{label}\n")
        (folder / f"{split}.tsv").write_text("".join(rows), encoding="utf-8")
    path = folder / "experiment.yaml"
    settings = {
        "name": "small",
        "encoder": {"name": str(folder / "encoder")},
        "data": {"root": str(folder)},
        "tasks": [TASK],
        "target": {"tasks": ["reviews"], "seeds": [1], "learning_rates": [0.01], **(target or {})},
        "training": {"eval_every": 2, "adam_epsilon": 1e-4, **training},
    }
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def bench_of(experiment: Experiment, folder: Path, **train: Any) -> Workbench:
    """Return a bench with an experiment's plan and a store in `folder`; `train`: section of the placement."""
    return Workbench(
        plan=build_plan(experiment, Fingerprints(experiment)),
        store=open_store(f"file://{folder}/store"),
        placement=Placement.model_validate({"train": {"engine": "torch", **train}}),
        scratch=folder / "scratch",
    )


def small_bench(
    folder: Path,
    train: dict[str, Any],
    *,
    target: Mapping[str, Any] | None = None,
    **training: Any,
) -> tuple[Workbench, Step]:
    """Return a bench on which all that precedes the trials is done, and the first trial.

    Args:
        folder: an empty one.
        train: the placement's section of that name.
        target: what differs in the experiment's section of that name.
        training: the experiment's section of that name.
    """
    experiment = load_experiment(write_small(folder, target=target, **training))
    bench = bench_of(experiment, folder, **train)
    plan = bench.plan
    trial = next(step for step in plan.steps.values() if step.kind == "train")
    for key in trial.inputs.values():
        run_step(plan.steps[key], bench)
    return bench, trial
