from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tests.costs.timed import plan_of
from tests.driver.test_gauges import Told
from tests.tracking.shown import Shown, record_all
from xtransfer.config.placement import Placement, Tracking
from xtransfer.driver.feed import Feed, TrackingBoard
from xtransfer.driver.runner import run_plan
from xtransfer.plan import Plan
from xtransfer.store import Store, open_store


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def shown_by(feed: Feed, keys: list[str]) -> None:
    """Have a feed show some steps, to its end."""
    for key in keys:
        feed.put(key)
    feed.put(None)  # pyright: ignore[reportArgumentType]
    feed.start()
    feed.join()


def test_a_board_hands_on_what_is_done_and_passes_all_on(plan: Plan, opened: Store) -> None:
    record_all(opened, plan)
    sink, told = Shown(), Told()
    feed = Feed(sink, plan, opened)
    board = TrackingBoard(told, [feed])
    first, second, third = list(plan.steps)[:3]
    board.changed(first, "recorded", "")
    board.changed(second, "running", "")
    board.told(second, {"step": 1})
    board.changed(second, "done", "")
    board.changed(third, "failed", "why")
    shown_by(feed, [second])  # told twice, shown once
    assert [each.key for each in sink.facts] == [first, second]
    assert told.lines[1:3] == [(second, "running", ""), (second, {"step": 1})]
    assert len(told.lines) == 5


def test_a_tracker_that_fails_is_tried_again_and_told_of_once(
    plan: Plan, opened: Store, caplog: pytest.LogCaptureFixture
) -> None:
    record_all(opened, plan)
    sink = Shown(fails=3)
    keys = list(plan.steps)
    with caplog.at_level(logging.WARNING):
        shown_by(Feed(sink, plan, opened, retry_s=0), keys)
    assert [each.key for each in sink.facts] == keys
    (line,) = caplog.messages
    assert line == (
        "shown: ConnectionError: the tracker is down; it is tried again, and the run goes on"
    )


def test_a_run_does_not_wait_for_a_tracker_that_is_down(
    plan: Plan, opened: Store, caplog: pytest.LogCaptureFixture
) -> None:
    record_all(opened, plan)
    feed = Feed(Shown(fails=10**9), plan, opened, retry_s=10**6)
    feed.put(next(iter(plan.steps)))
    feed.start()
    feed.failing.wait()
    feed.end(wait_s=10**6)  # would hang here
    feed.join()
    assert "`xtransfer track` does it" in caplog.messages[-1]


def test_what_another_driver_has_begun_is_looked_at_again_and_told_of(
    plan: Plan, opened: Store, caplog: pytest.LogCaptureFixture
) -> None:
    record_all(opened, plan)
    first, second = list(plan.steps)[:2]
    sink = Shown()
    sink.begun = {first}
    feed = Feed(sink, plan, opened)
    for key in (first, second):
        feed.put(key)
    feed.start()
    feed.end()
    assert [each.key for each in sink.facts] == [second]
    assert "`xtransfer track` does it" in caplog.messages[-1]
    sink.begun.clear()
    later = Feed(sink, plan, opened)
    shown_by(later, [first])
    assert [each.key for each in sink.facts] == [second, first]


def test_a_step_in_the_folder_of_a_former_name_is_shown(plan: Plan, opened: Store) -> None:
    record_all(opened, plan)
    key, step = next(iter(plan.steps.items()))
    renamed = replace(plan, steps={**plan.steps, key: replace(step, name=f"{step.name}-now")})
    sink = Shown()
    shown_by(Feed(sink, renamed, opened), [key])
    assert [each.key for each in sink.facts] == [key]


def test_a_run_shows_what_is_recorded_and_survives_a_server_that_is_not_there(
    plan: Plan, opened: Store, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow")
    record_all(opened, plan)
    tracking = Tracking(mlflow="http://127.0.0.1:9", tensorboard=str(tmp_path / "board"))
    summary = run_plan(plan, opened, Placement(tracking=tracking), Told())
    assert summary.complete
    there = {path.name for path in (tmp_path / "board").glob("*/*/*")}
    assert there == {step.folder.partition("/")[2] for step in plan.steps.values()}
