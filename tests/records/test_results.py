from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.config.experiment import Experiment
from xtransfer.errors import IntegrityError
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Record
from xtransfer.records.results import check_result
from xtransfer.settings import read_settings

SETTINGS = [
    "name=small",
    "encoder=encoder",
    "intermediate={tasks: [mnli]}",
    "target={tasks: [xnli]}",
]


def record(kind: str) -> Record:
    plan = build_plan(read_settings(Experiment, None, SETTINGS, "test"), FakePrints())
    return next(record_of(step) for step in plan.steps.values() if step.kind == kind)


@pytest.mark.parametrize("kind", ["prepare", "train", "select", "evaluate"])
def test_what_steps_write_is_fine(kind: str) -> None:
    check_result(record(kind), "accuracy")
    check_result(record(kind).model_copy(update={"kind": "other", "result": {}}))


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("prepare", "languages", []),
        ("prepare", "languages.en", 3),
        ("prepare", "languages.en.used", "3"),
        ("prepare", "languages.en.skipped", {"a": "b"}),
        ("prepare", "languages.en.inputs cut", None),
        ("train", "score", "high"),
        ("train", "parts", {}),
        ("train", "parts.0.draws", None),
        ("train", "history", [1]),
        ("select", "chosen", ""),
        ("select", "chosen", "../../other"),
        ("select", "chosen", ["a"]),
        ("select", "score", {}),
        ("evaluate", "languages", None),
        ("evaluate", "languages.en", []),
        ("evaluate", "languages.en.metrics", {"other": 1.0}),
        ("evaluate", "languages.en.metrics", {"accuracy": "1"}),
        ("evaluate", "languages.en.examples", 0),
        ("evaluate", "layer", "x"),
    ],
)
def test_what_readers_cannot_read_is_named(kind: str, place: str, value: Any) -> None:
    found = record(kind)
    result: Any = copy.deepcopy(found.result)
    at = result
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    for step in steps:
        at = at[step]
    at[last] = value
    with pytest.raises(IntegrityError) as caught:
        check_result(found.model_copy(update={"result": result}), "accuracy")
    assert caught.value.where == f"{found.folder}/record.json"
    assert f"malformed record: result.{place.split('.', maxsplit=1)[0]}" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "by"),
    [
        ("file:///my runs/store", ", by `mv '/my runs/store/{name}' .`, and"),
        ("s3://bucket/study", " and"),  # by what depends on the service
    ],
)
def test_the_error_says_how_to_move_the_record_away(url: str, by: str) -> None:
    found = record("select").model_copy(update={"result": {}})
    with pytest.raises(IntegrityError) as caught:
        check_result(found, url=url)
    wanted = f"Move it out of the store{by.format(name=f'{found.folder}/record.json')} run its plan"
    assert wanted in caught.value.next
