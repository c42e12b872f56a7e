from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.studies import small_study
from xtransfer.records.leases import Attempt, State, _text, every_attempt
from xtransfer.report.costs import lost_seconds
from xtransfer.report.study import study_of
from xtransfer.store import open_store

KEY = "0" * 12


def attempt(
    epoch: int, state: State, *, began: float, ended: float | None, key: str = KEY
) -> Attempt:
    return Attempt(
        key=key, epoch=epoch, token="t", host="h", machine="m", pid=1, process_start="1",
        began=began, expires=began + 60, state=state, ended=ended,
    )  # fmt: skip


def test_lost_is_what_ended_without_a_record() -> None:
    log = [
        attempt(1, "failed", began=100, ended=130),
        attempt(2, "working", began=200, ended=None),
        attempt(3, "done", began=300, ended=400),
        attempt(4, "found", began=500, ended=501),
    ]
    assert lost_seconds(log, done=True) == [30, 60]
    working = [attempt(1, "working", began=0, ended=None)]
    assert lost_seconds(working, done=False) == []
    assert lost_seconds(working, done=True) == [60]
    assert lost_seconds([replace(log[0], token="")], done=False) == []  # damaged: nothing is known


def test_lost_time_is_read_from_the_store(tmp_path: Path) -> None:
    made = small_study(drawn=False)
    store = open_store(f"file://{tmp_path}/store")
    trial = next(key for key, step in made.plan.steps.items() if step.kind == "train")
    other = attempt(1, "failed", began=0, ended=3600)
    mine = [
        attempt(1, "failed", began=0, ended=1800, key=trial),
        attempt(2, "done", began=0, ended=1, key=trial),
    ]
    for each in (other, *mine):
        store.write(each.name, _text(each))
    store.write(f"leases/{trial}/000003.json", b"damaged")
    assert [each.epoch for each in every_attempt(store)[trial]] == [1, 2, 3]
    study = study_of(made.experiment, made.plan, made.records, store=store)
    lost = {cost.phase: (cost.lost_attempts, cost.lost_h) for cost in study.costs}
    assert lost["intermediate"] == (1, 0.5)
    assert sum(attempts for attempts, _ in lost.values()) == 1


def test_a_number_of_workers_that_varied_is_an_upper_bound() -> None:
    made = small_study(drawn=False)
    key, record = next((k, r) for k, r in made.records.items() if r.kind == "train")
    place = {**record.placement, "train": {"cpus": 1.0, "gpus": 1.0, "workers": [2, 8]}}
    record = record.model_copy(update={"placement": place})
    study = study_of(made.experiment, made.plan, {key: record})
    (cost,) = study.costs
    assert cost.at_most
    assert cost.gpu_h == pytest.approx(8 * record.timing["seconds"] / 3600)
