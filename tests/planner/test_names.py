"""A step's name is a function of its key: what is done under one plan is found where another looks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.driver.runner import recorded
from xtransfer.errors import InputLost
from xtransfer.plan import VERSIONS, Plan
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.record import Record, commit
from xtransfer.store import open_store

TARGETS = ["xquad", "mlqa", "xnli", "own", "udpos", "tatoeba"]
OWN = {
    "name": "own",
    "form": "classification",
    "metric": "accuracy",
    "labels": ["contradiction", "entailment", "neutral"],
    "languages": ["de"],
    "source": {
        "format": "tsv",
        "files": {"dev": ["dev.tsv"], "test": ["test.tsv"]},
        "columns": {"text_a": "0", "label": "1"},
    },
    "stages": [{"task": "mnli", "epochs": 2, "batch_size": 32, "max_length": 256}],
}
SETTINGS: dict[str, Any] = {
    "name": "small",
    "encoder": "encoder",
    "tasks": [OWN],
    "intermediate": {"tasks": ["mnli", "squad_v1"], "seeds": [1], "learning_rates": [1e-5, 2e-5]},
    "target": {
        "tasks": TARGETS,
        "seeds": [1, 2],
        "languages": {"xnli": ["de"], "xquad": ["de"], "mlqa": ["de"], "tatoeba": ["de", "fr"]},
    },
    "analyses": {
        "forgetting": True,
        "alignment": {"targets": ["xquad", "mlqa", "xnli"], "languages": ["de"]},
    },
    "pruning": {"keep": 1},
}


def varied(**sections: Any) -> dict[str, Any]:
    """Return the settings with some of a section's changed."""
    return SETTINGS | {name: SETTINGS.get(name, {}) | each for name, each in sections.items()}


VARIANTS = {
    "other-targets-first": varied(target={"tasks": TARGETS[::-1]}),
    "other-arms-first": varied(intermediate={"tasks": ["squad_v1", "mnli"]}),
    "one-target": varied(target={"tasks": ["mlqa"]}, analyses={"alignment": None}),
    "one-seed": varied(target={"seeds": [1]}),
    "one-seed-of-all": varied(target={"seeds": [1], "select_per_seed": False}),
    "one-for-all-seeds": varied(target={"select_per_seed": False}),
    "mean-over-seeds": varied(target={"rule": "mean_over_seeds"}),
    "mean-over-one-seed": varied(target={"rule": "mean_over_seeds", "seeds": [1]}),
    "suggested-oracle": varied(
        target={
            "tasks": ["xnli", "own"],
            "rule": "target_dev",
            "search": {"kind": "tpe", "low": 1e-6, "high": 1e-4},
        },
        analyses={"alignment": None},
    ),
    "averages": varied(target={"average": {"checkpoints": 2, "seeds": True}}),
    "few-shot": varied(
        target={"few_shot": {"xquad": {"examples": [5], "languages": ["de"]}}},
        data={"files": {"xquad": {"train": ["{lang}.json"]}}},
    ),
}


def plan(settings: dict[str, Any]) -> Plan:
    return build_plan(Experiment.model_validate_json(json.dumps(settings)), FakePrints())


def folders(settings: dict[str, Any]) -> dict[str, str]:
    return {key: step.folder for key, step in plan(settings).steps.items()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("other", ["plain", "one-seed"])
def test_equal_keys_have_equal_folders_in_any_plan(variant: str, other: str) -> None:
    one = folders(VARIANTS.get(other, SETTINGS))
    two = folders(VARIANTS[variant])
    shared = one.keys() & two.keys()
    assert shared
    assert {key: one[key] for key in shared} == {key: two[key] for key in shared}


def test_what_was_recorded_under_a_former_name_is_not_done_again(tmp_path: Path) -> None:
    made = plan(SETTINGS)
    step = next(step for step in made.steps.values() if step.kind == "prune")
    former = Record(
        key=step.key,
        kind=step.kind,
        name="xnli",
        version=VERSIONS[step.kind],
        spec=dict(step.spec),
        inputs=dict(step.inputs),
    )
    assert former.folder != step.folder
    store = open_store(f"file://{tmp_path}")
    former = commit(store, former)
    assert recorded(made, store) == ({step.key}, set())
    bench = Workbench(plan=made, store=store, placement=Placement(), scratch=tmp_path / "scratch")
    assert bench.record(step.key) == former  # as the driver reads which pairs are kept
    lacking = next(step for step in made.steps.values() if step.kind == "prepare")
    with pytest.raises(InputLost, match="has no record"):
        bench.record(lacking.key)
