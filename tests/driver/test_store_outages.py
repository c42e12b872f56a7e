"""The store is away for a while, or stays away."""

from __future__ import annotations

import pytest
from ray.tune.search import Searcher

from tests.driver.untuned import Driver, keys
from xtransfer.driver.outages import OUTAGE_S, STORE_PAUSE_S
from xtransfer.errors import StoreError
from xtransfer.plan import Plan, Step


def test_a_plan_that_a_process_could_not_read_is_written_anew_before_the_next_try(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    written: list[int] = []

    def leave() -> None:
        written.append(1)
        if len(written) == 1:
            raise StoreError("store", "is away")

    driver = Driver(plan, retries=2, leave_plan=leave)
    trial, key = driver.start_all()[0]
    said = {"error": "plans/x: is damaged", "finished": 0, "again": 1, "planless": 1}
    for times in (1, 2):
        driver.searcher.on_trial_complete(trial, said)
        assert len(written) == times
        clock[0] += 60
        ((trial, again),) = driver.start_all()
        assert again == key
    driver.searcher.on_trial_complete(trial, {"error": "", "finished": 1})
    assert key in driver.searcher.frontier.done


def test_a_step_that_could_not_reach_the_store_is_tried_again(plan: Plan) -> None:
    driver = Driver(plan, retries=1)
    trial, key = driver.start()  # type: ignore[misc]
    result = {"finished": 0, "error": "s3://b: no reply", "again": 1}
    driver.searcher.on_trial_complete(trial, result)
    assert key in driver.searcher.busy_until
    driver.searcher.busy_until = dict.fromkeys(driver.searcher.busy_until, 0.0)
    again, same = driver.start()  # type: ignore[misc]
    assert same == key
    driver.searcher.on_trial_complete(again, result)
    assert driver.searcher.frontier.failed[key] == "s3://b: no reply"


class Store:
    """A store that is away while `away` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away, self.asked, self.now = False, 0, 0.0
        monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: self.now)

    def look(self, _: Step) -> str:
        self.ask()
        return "free"

    def ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreError("s3://b", "no reply")


def test_a_selection_for_which_the_store_was_away_is_made_later(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch)
    (chosen,) = keys(plan, "select", "mnli-best")
    trials = list(plan.steps[chosen].inputs.values())
    driver = Driver(plan, done=(*keys(plan, "prepare"), *trials[:-1]), retries=2)
    choose = driver.searcher.work_inline
    driver.searcher.work_inline = lambda step: (store.ask(), choose(step))
    running = {key: trial for trial, key in driver.start_all()}
    store.away = True
    for trial in trials[-1:]:
        driver.searcher.on_trial_complete(running[trial], {"error": "", "finished": 1})
    assert driver.searcher.busy_until == {chosen: STORE_PAUSE_S}
    store.now = STORE_PAUSE_S
    assert driver.start() is None
    assert driver.searcher.busy_until == {chosen: 3 * STORE_PAUSE_S}
    store.away = False
    store.now = 3 * STORE_PAUSE_S
    driver.start_all()
    assert driver.inline == [chosen]
    assert driver.searcher.frontier.failed == {}


def test_a_selection_for_which_the_store_stays_away_fails(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch)
    (chosen,) = keys(plan, "select", "mnli-best")
    driver = Driver(plan, retries=1)
    driver.searcher.work_inline = lambda step: store.ask() if step.key == chosen else None
    store.away = True
    while driver.run() or driver.searcher.busy_until:
        store.now += 60
    assert driver.searcher.frontier.failed == {chosen: "s3://b: no reply"}
    assert driver.start() == Searcher.FINISHED


def test_no_error_of_the_store_comes_out_of_a_suggestion(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch)
    driver = Driver(plan, look=store.look, retries=2)
    trial, key = driver.start()  # type: ignore[misc]
    store.away = True
    asked = store.asked
    assert driver.start() is None
    assert store.asked == asked + 1  # one at a time: each may take minutes
    store.away = False
    driver.searcher.on_trial_complete(trial, {"finished": 1})
    store.now = STORE_PAUSE_S
    assert set(driver.run()) | set(driver.inline) | {key} == set(plan.steps)
    assert driver.searcher.frontier.failed == {}


def test_a_store_that_stays_away_ends_the_run_in_order(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch)
    driver = Driver(plan, look=store.look, retries=10**6)
    store.away = True
    while driver.start() is None:
        assert store.now < 2 * OUTAGE_S + 60
        store.now += 60
    assert driver.start() == Searcher.FINISHED
    assert driver.searcher.frontier.done == set()


def test_without_retries_one_look_that_fails_keeps_nothing_else_back(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch)
    first = next(key for key, step in plan.steps.items() if not step.inputs)

    def look(step: Step) -> str:
        store.away = step.key == first
        return store.look(step)

    driver = Driver(plan, look=look)
    driver.run()
    assert driver.searcher.frontier.failed == {first: "s3://b: no reply"}
    assert driver.searcher.frontier.done
