"""Several drivers share a plan: steps that others are at work on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.driver.untuned import OVERRIDES, Driver, keys
from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.driver.search import (
    LOOK_EVERY_S,
    LOOKS_S,
    LOOKS_SHARE,
    REFUSED_AT_MOST,
)
from xtransfer.driver.waits import TELL_AFTER_S, TELL_EVERY_S
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings


def test_a_step_that_is_busy_elsewhere_is_waited_for(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: dict[str, str] = {}
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    driver = Driver(plan, look=lambda step: states.get(step.key, "free"))
    elsewhere, other, *_ = [key for key, step in plan.steps.items() if not step.inputs]
    states[elsewhere] = "busy"
    started = driver.start_all()
    assert elsewhere not in [key for _, key in started]
    # A step that turned out busy when it was started goes back, too.
    (trial,) = [trial for trial, key in started if key == other]
    driver.searcher.on_trial_complete(trial, {"error": "taken", "finished": 0, "busy": 1})
    for trial, key in started:
        driver.searcher.on_trial_complete(trial, {"error": "", "finished": 1})
        assert key != elsewhere
    assert driver.searcher.frontier.failed == {}
    states[elsewhere] = "recorded"
    assert elsewhere not in driver.searcher.frontier.done  # not looked at again at once
    clock[0] += LOOK_EVERY_S
    driver.run()
    assert (elsewhere, "done", "by another driver") in driver.events
    assert set(plan.steps) == driver.searcher.frontier.done


def test_a_step_that_is_found_busy_again_and_again_fails(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    driver = Driver(plan)
    trial, key = driver.start_all()[0]
    for _ in range(REFUSED_AT_MOST):
        driver.searcher.on_trial_complete(trial, {"error": "busy", "finished": 0, "busy": 1})
        assert key in driver.searcher.busy_until
        clock[0] += LOOK_EVERY_S
        ((trial, again),) = driver.start_all()
        assert again == key
    driver.searcher.on_trial_complete(trial, {"error": "busy", "finished": 0, "busy": 1})
    assert driver.searcher.frontier.failed == {key: "busy"}


def test_a_step_that_others_are_at_work_on_may_be_found_busy_as_often_as_it_likes(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, state = [0.0], ["free"]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    (last,) = keys(plan, "evaluate", "tatoeba-after-baseline")
    done = tuple(key for key in plan.steps if key != last)
    driver = Driver(plan, done=done, look=lambda _: state[0])
    for _ in range(3 * REFUSED_AT_MOST):
        state[0] = "free"
        ((trial, _),) = driver.start_all()  # another driver is first to take it, and is lost then
        driver.searcher.on_trial_complete(trial, {"error": "busy", "finished": 0, "busy": 1})
        clock[0] += LOOK_EVERY_S
        state[0] = "process 7 on b is at work on it"
        assert driver.start() is None
        clock[0] += LOOK_EVERY_S
    assert driver.searcher.frontier.failed == {}


def test_a_driver_that_only_waits_for_others_says_so_now_and_then(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    (last,) = keys(plan, "evaluate", "tatoeba-after-baseline")
    done = tuple(key for key in plan.steps if key != last)
    driver = Driver(plan, done=done, look=lambda _: "process 7 on b is at work on it")
    driver.searcher.running["t"] = last
    while clock[0] < 100:
        assert driver.start() is None
        clock[0] += 1.0
    assert caplog.text == ""  # something of its own runs
    driver.searcher.running.clear()
    while clock[0] < 100 + TELL_AFTER_S + 2 * TELL_EVERY_S + 10:
        assert driver.start() is None
        clock[0] += 1.0
    told = [record.getMessage() for record in caplog.records]
    what = f"{plan.steps[last].folder}: process 7 on b is at work on it"
    assert told == [f"nothing to do but to wait for others: {what}"] * 3


def test_looks_at_many_busy_steps_leave_the_driver_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overrides = [*OVERRIDES, f"intermediate.seeds={list(range(1, 101))}"]
    plan = build_plan(read_settings(Experiment, None, overrides, "test"), FakePrints())
    looked: Counter[str] = Counter()
    clock = [0.0]

    def look(step: Step) -> str:
        looked[step.key] += 1
        clock[0] += 0.05  # more than 2 s for all of them: some may be looked at again by then
        return "busy"

    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    driver = Driver(plan, done=tuple(keys(plan, "prepare")), look=look)
    assert driver.start() is None
    assert clock[0] < 2 * LOOKS_S  # and Tune hears of what runs
    trials = keys(plan, "train", "mnli-lr")
    while any(looked[key] == 0 for key in trials):
        assert driver.start() is None
    spent, began = 0.0, clock[0]
    while clock[0] < began + 2_000:
        before = clock[0]
        assert driver.start() is None
        spent += clock[0] - before
        clock[0] += 0.1  # what Tune waits for an event
    assert spent / 2_000 < 1.5 * LOOKS_SHARE
    assert min(looked[key] for key in trials) > 1


def test_what_others_have_recorded_is_taken_over_bit_by_bit(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def look(step: Step) -> str:
        clock[0] += LOOKS_S + 0.1
        return "recorded" if step.kind == "prepare" else "busy"

    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    driver = Driver(plan, look=look)
    driver.searcher.running["t"] = keys(plan, "evaluate")[0]
    assert driver.start() is None
    assert len(driver.searcher.frontier.done) == 1


def test_a_driver_with_nothing_but_foreign_steps_waits(plan: Plan) -> None:
    (last,) = keys(plan, "evaluate", "tatoeba-after-baseline")
    states = {last: "busy"}
    done = tuple(key for key in plan.steps if key != last)
    driver = Driver(plan, done=done, look=lambda step: states[step.key])
    assert driver.start() is None
    states[last] = "recorded"
    driver.searcher.busy_until = dict.fromkeys(driver.searcher.busy_until, 0.0)
    assert driver.start() == Searcher.FINISHED
    assert last in driver.searcher.frontier.done
