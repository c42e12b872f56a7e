"""What a cluster has room for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ray import tune
from rich.console import Console

from tests.driver.untuned import OVERRIDES
from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.driver.progress import ProgressBoard
from xtransfer.driver.room import (
    AHEAD,
    AHEAD_PRIVATE,
    ASK_EVERY_S,
    Room,
    bundle_of,
    check_room,
    holds,
)
from xtransfer.driver.tuner import Driver
from xtransfer.errors import ConfigError
from xtransfer.plan import Plan
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings
from xtransfer.store import open_store

BIG = {"CPU": 8.0, "GPU": 2.0}
SMALL = {"CPU": 4.0}


@pytest.fixture
def plan() -> Plan:
    return build_plan(read_settings(Experiment, None, OVERRIDES, "test"), FakePrints())


def placement(address: str = "local", **sections: Any) -> Placement:
    return Placement.model_validate({"ray": {"address": address}, **sections})


@pytest.mark.parametrize(
    ("share", "count"),
    [
        ({"CPU": 1.0}, 12),
        ({"CPU": 3.0}, 3),
        ({"CPU": 1.0, "GPU": 1.0}, 2),
        ({"CPU": 0.1, "GPU": 0.3333}, 6),
        ({"CPU": 5.0, "GPU": 1.0}, 1),
        ({"CPU": 9.0}, 0),
        ({"CPU": 1.0, "GPU": 3.0}, 0),
    ],
)
def test_shares_do_not_reach_over_nodes(share: dict[str, float], count: int) -> None:
    assert holds([BIG, SMALL], share) == count
    assert holds([], share) == 0


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        (
            {"train": {"cpus": 9.0, "gpus": 1.0}},
            r"placement: train: train/\S+ takes 9 CPUs and 1 GPU,",
        ),
        ({"evaluate": {"cpus": 8.5, "gpus": 0.5}}, r"evaluate/\S+ takes 8.5 CPUs and 0.5 GPUs"),
        ({"prepare": {"cpus": 9.0}}, r"prepare/\S+ takes 9 CPUs"),
        ({"train": {"gpus": 1.0, "workers": 3}}, "takes 3 workers with 1 CPU and 1 GPU each"),
        ({"train": {"cpus": 7.0, "workers": (2, 4)}}, "takes 2 workers with 7 CPUs each"),
    ],
)
def test_a_step_that_a_private_cluster_never_has_room_for_is_refused(
    plan: Plan, sections: dict[str, Any], what: str
) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        check_room(plan, placement(**sections), done=(), nodes=[BIG, SMALL])
    assert "has 12 CPUs and 2 GPUs" in str(caught.value)
    check_room(plan, placement(**sections), done=plan.steps, nodes=[BIG, SMALL])


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"cpus": 8.0, "gpus": 1.0}, "evaluate": {"gpus": 0.3333}},
        {"train": {"gpus": 1.0, "workers": (2, 16)}},
        {"train": {"gpus": 1.0, "packing": {"gpu_memory_gb": 80.0}}},
    ],
)
def test_what_fits_is_not_refused(
    plan: Plan, sections: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    check_room(plan, placement(**sections), done=(), nodes=[BIG])
    check_room(plan, placement("auto", **sections), done=(), nodes=[BIG])
    assert not caplog.messages


def test_a_cluster_that_may_grow_is_waited_for_and_that_is_said_once_a_kind(
    plan: Plan, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants = placement(
        "auto", train={"cpus": 9.0, "gpus": 1.0}, evaluate={"cpus": 10.0, "gpus": 1.0}
    )
    with caplog.at_level(logging.WARNING):
        check_room(plan, wants, done=(), nodes=[BIG, SMALL])
    assert len(caplog.messages) == 2
    assert all("wait until one joins" in text for text in caplog.messages)
    caplog.clear()
    shares = iter(range(1, 1000))
    monkeypatch.setattr("xtransfer.driver.room.gpus_of", lambda step, *_: 1 / next(shares))
    with caplog.at_level(logging.WARNING):  # trials that take shares of a GPU, each another one
        check_room(plan, placement("auto"), done=(), nodes=[SMALL])
    assert len(caplog.messages) == 3


def test_trials_with_several_workers_are_as_many_as_their_workers_have_room() -> None:
    nodes, now = [BIG, BIG, SMALL], [0.0]
    wants: dict[str, Any] = {"train": {"gpus": 1.0, "workers": (2, 4)}}
    room = Room(placement=placement(**wants), nodes=lambda: nodes, clock=lambda: now[0])
    assert room() == 2 + AHEAD_PRIVATE
    nodes.append(BIG)
    assert room() == 2 + AHEAD_PRIVATE  # Ray is not asked at every event
    now[0] += ASK_EVERY_S
    assert room() == 3 + AHEAD_PRIVATE
    grown = Room(placement=placement("auto", **wants), nodes=list)
    assert grown() == AHEAD  # an autoscaler that starts from nothing sees what is wanted


def test_only_the_driver_of_several_workers_takes_memory_alone(plan: Plan) -> None:
    trial = next(step for step in plan.steps.values() if step.kind == "train")
    data = next(step for step in plan.steps.values() if step.kind == "prepare")
    several = placement(train={"gpus": 1.0, "workers": 2}, prepare={"cpus": 3.0})
    assert set(bundle_of(trial, plan, several)) == {"memory"}
    assert bundle_of(data, plan, several) == {"CPU": 3.0}
    one = placement(train={"gpus": 0.5, "cpus": 2.0})
    assert bundle_of(trial, plan, one) == {"CPU": 2.0, "GPU": 0.5}


def driver(plan: Plan, placed: Placement, scratch: Path) -> Driver:
    store = open_store(f"file://{scratch}/store")
    board = ProgressBoard(plan, Console(quiet=True))
    return Driver(
        plan=plan, plan_name="", store=store, placement=placed, board=board, scratch=scratch
    )


def test_a_driver_refuses_before_anything_is_given_out(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("Tune was asked for a tuner")

    monkeypatch.setattr(tune, "Tuner", never)
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [SMALL])
    several = placement(train={"gpus": 1.0, "workers": 2})
    with pytest.raises(ConfigError, match="2 workers"):
        driver(plan, several, tmp_path).work_off(set(), set())


class Gives:
    """A tuner that takes all it is given, and ends."""

    kinds: ClassVar[list[str]] = []

    def __init__(self, *_: Any, tune_config: Any, **__: Any) -> None:
        self.searcher = tune_config.search_alg

    def fit(self) -> None:
        steps = self.searcher.plan.steps
        while isinstance(found := self.searcher.suggest(str(len(self.kinds))), dict):
            self.kinds.append(steps[found["key"]].kind)
        self.searcher.end()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_driver_starts_trials_with_several_workers_as_there_is_room(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(tune, "Tuner", Gives)
    monkeypatch.setattr(Gives, "kinds", [])
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [BIG])
    data = {key for key, step in plan.steps.items() if step.kind == "prepare"}
    ready = [
        step
        for step in plan.steps.values()
        if step.kind == "train" and data.issuperset(step.inputs.values())
    ]
    assert len(ready) > 1 + AHEAD_PRIVATE
    placed = placement(train={"gpus": 1.0, "workers": workers})
    driver(plan, placed, tmp_path).work_off(data, set())
    assert Gives.kinds.count("train") == (1 + AHEAD_PRIVATE if workers == 2 else len(ready))
