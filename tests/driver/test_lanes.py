"""Full lanes: what Tune does with processes that are being started."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.execution.tune_controller import TuneController

from xtransfer.driver.lanes import WAITING, full_lanes

SETTING = "TUNE_MAX_PENDING_TRIALS_PG"


def controller(*, live: bool, started: bool) -> Any:
    """A controller whose trial has a process in some state, and that has one to spare."""
    actors = SimpleNamespace(
        live_actors=["own"] if live else [], is_actor_started=lambda actor: started
    )
    return SimpleNamespace(_trial_to_actor={"trial": "own"}, _actor_manager=actors)


def test_a_process_that_is_being_started_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuneController, "_maybe_reuse_cached_actor", lambda *_: True)
    with full_lanes():
        reuse: Any = TuneController._maybe_reuse_cached_actor
        assert not reuse(controller(live=True, started=False), "trial")
        # One that waits for room may never get it while the spare process holds that.
        assert reuse(controller(live=False, started=False), "trial")
        assert reuse(controller(live=True, started=True), "trial")
        assert reuse(controller(live=True, started=False), "a trial without a process")


def test_all_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    before = TuneController._maybe_reuse_cached_actor
    monkeypatch.delenv(SETTING, raising=False)
    with full_lanes():
        assert os.environ[SETTING] == str(WAITING)
        assert TuneController._maybe_reuse_cached_actor is not before
    assert SETTING not in os.environ
    assert TuneController._maybe_reuse_cached_actor is before
    monkeypatch.setenv(SETTING, "3")
    with full_lanes():
        assert os.environ[SETTING] == "3"
    assert os.environ[SETTING] == "3"


def test_ray_has_what_is_asked_of_it() -> None:
    from ray.air.execution._internal.actor_manager import RayActorManager

    assert isinstance(RayActorManager.live_actors, property)
    assert callable(RayActorManager.is_actor_started)
