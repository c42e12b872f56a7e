from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.driver.outages import OUTAGE_S, STORE_PAUSE_S
from xtransfer.driver.repairs import REPAIRS_AT_MOST
from xtransfer.driver.search import (
    LOOK_EVERY_S,
    LOOKS_S,
    LOOKS_SHARE,
    REFUSED_AT_MOST,
    PlanSearcher,
)
from xtransfer.driver.waits import TELL_AFTER_S, TELL_EVERY_S
from xtransfer.errors import InputLost, StepError, StoreError
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings

OVERRIDES = (
    "name=small",
    "encoder=encoder",
    "intermediate={tasks: [mnli, squad_v1], seeds: [1, 2], learning_rates: [1e-5, 2e-5]}",
    "target={tasks: [xnli, tatoeba], languages: {xnli: [en], tatoeba: [de]}}",
)


@pytest.fixture
def plan() -> Plan:
    return build_plan(read_settings(Experiment, None, OVERRIDES, "test"), FakePrints())


class Driver:
    """Works a plan off as Tune would, without Tune."""

    def __init__(
        self, plan: Plan, *, done: tuple[str, ...] = (), broken: str = "", **more: Any
    ) -> None:
        self.plan = plan
        self.events: list[tuple[str, str, str]] = []
        self.inline: list[str] = []
        self.broken = broken
        self.lost = ""
        self.trials = 0
        self.searcher = PlanSearcher(
            plan,
            done=done,
            work_inline=self.select,
            changed=lambda *event: self.events.append(event),
            **more,
        )

    def select(self, step: Step) -> None:
        assert step.kind == "select"
        if self.lost:
            raise InputLost(self.lost, "altered")
        if step.name == self.broken:
            raise StepError(step.folder, "cannot choose")
        self.inline.append(step.key)

    def start(self) -> tuple[str, str] | str | None:
        """Return (trial, key) of the next step, or what else the searcher says."""
        self.trials += 1
        found: Any = self.searcher.suggest(f"t{self.trials}")
        return (f"t{self.trials}", found["key"]) if isinstance(found, dict) else found

    def start_all(self) -> list[tuple[str, str]]:
        started: list[tuple[str, str]] = []
        while isinstance(found := self.start(), tuple):
            started.append(found)
        return started

    def run(self) -> list[str]:
        """Run everything that can run, in waves; return the keys in order."""
        order: list[str] = []
        while wave := self.start_all():
            for trial, key in wave:
                name = self.plan.steps[key].name
                text = "cannot run" if name == self.broken else ""
                self.searcher.on_trial_complete(trial, {"error": text, "finished": not text})
                order.append(key)
        return order


def keys(plan: Plan, kind: str, name: str = "") -> list[str]:
    return [k for k, s in plan.steps.items() if s.kind == kind and s.name.startswith(name)]


def test_every_step_runs_once_after_its_parents(plan: Plan) -> None:
    driver = Driver(plan)
    order = driver.run()
    assert sorted(order + driver.inline) == sorted(plan.steps)
    ended = [key for key, state, _ in driver.events if state == "done"]
    for at, key in enumerate(ended):
        assert set(plan.steps[key].inputs.values()) <= set(ended[:at])
    assert driver.start() == Searcher.FINISHED
    assert not driver.searcher.frontier.unfinished


def test_only_steps_without_open_parents_start(plan: Plan) -> None:
    driver = Driver(plan)
    started = driver.start_all()
    ready = [key for key, step in plan.steps.items() if not step.inputs]
    assert [key for _, key in started] == ready
    assert driver.start() is None


def test_a_step_starts_as_soon_as_its_own_parents_are_done(plan: Plan) -> None:
    driver = Driver(plan)
    first = {key: trial for trial, key in driver.start_all()}
    for key in (*keys(plan, "prepare", "mnli-train"), *keys(plan, "prepare", "mnli-dev")):
        driver.searcher.on_trial_complete(first[key], {"error": "", "finished": 1})
    started = {plan.steps[key].name for _, key in driver.start_all()}
    assert started
    assert all(name.startswith("mnli-") for name in started)


def test_a_selection_is_made_when_its_last_trial_ends(plan: Plan) -> None:
    (chosen,) = keys(plan, "select", "mnli-best")
    trials = list(plan.steps[chosen].inputs.values())
    done = [*keys(plan, "prepare"), *trials[:-1]]
    driver = Driver(plan, done=tuple(done))
    running = {key: trial for trial, key in driver.start_all()}
    assert chosen not in driver.inline
    driver.searcher.on_trial_complete(running[trials[-1]], {"error": "", "finished": 1})
    assert driver.inline == [chosen]
    assert any("after-mnli" in plan.steps[key].name for _, key in driver.start_all())


def test_what_has_a_record_is_not_run_again(plan: Plan) -> None:
    driver = Driver(plan, done=tuple(plan.steps))
    assert driver.start() == Searcher.FINISHED
    assert driver.inline == []
    selections = set(keys(plan, "select"))
    driver = Driver(plan, done=tuple(key for key in plan.steps if key not in selections))
    assert set(driver.inline) == selections
    assert driver.start() == Searcher.FINISHED


def descendants(plan: Plan, key: str) -> set[str]:
    found: set[str] = set()
    for child, step in plan.steps.items():
        if {key, *found} & set(step.inputs.values()):
            found.add(child)
    return found


def test_a_failure_blocks_its_descendants_and_nothing_else(plan: Plan) -> None:
    (broken,) = keys(plan, "train", "mnli-lr2e-05-seed1")
    driver = Driver(plan, broken=plan.steps[broken].name)
    order = driver.run()
    below = descendants(plan, broken)
    assert {"select", "train", "evaluate"} == {plan.steps[key].kind for key in below}
    assert driver.searcher.frontier.failed == {broken: "cannot run"}
    assert driver.searcher.frontier.blocked == dict.fromkeys(below, broken)
    assert set(plan.steps) == {*order, *driver.inline} | below
    assert (broken, "failed", "cannot run") in driver.events
    assert {event for event in driver.events if event[1] == "blocked"} == {
        (key, "blocked", "cannot run") for key in below
    }
    assert driver.start() == Searcher.FINISHED


def test_a_selection_that_fails_blocks_too(plan: Plan) -> None:
    (chosen,) = keys(plan, "select", "mnli-best")
    driver = Driver(plan, broken="mnli-best")
    driver.run()
    assert list(driver.searcher.frontier.failed) == [chosen]
    assert "cannot choose" in driver.searcher.frontier.failed[chosen]
    assert set(driver.searcher.frontier.blocked) == descendants(plan, chosen)


def test_a_trial_whose_process_died_has_failed(plan: Plan) -> None:
    driver = Driver(plan)
    trial, key = driver.start_all()[0]
    driver.searcher.on_trial_complete(trial, None, error=True)
    assert "process died" in driver.searcher.frontier.failed[key]
    driver.searcher.on_trial_complete(trial, None, error=True)
    driver.searcher.on_trial_complete("never started", {"error": "x"})
    assert list(driver.searcher.frontier.failed) == [key]


@pytest.mark.parametrize("further", [True, False])
def test_a_trial_that_gets_further_each_time_may_die_often(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, further: bool
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    (trained, *_) = keys(plan, "train", "mnli-lr")
    others = [key for key in plan.steps if key != trained and plan.steps[key].kind != "select"]
    driver = Driver(plan, done=tuple(others), retries=2)
    died = 0
    for goes_on_from in range(0, 1000, 100):
        clock[0] += LOOK_EVERY_S
        found = driver.start()
        if not isinstance(found, tuple):
            break
        trial, key = found
        assert key == trained
        first = goes_on_from + 1 if further else 1
        # A process told of more than it could save before it died.
        for place in (first, first + 150 + goes_on_from):
            driver.searcher.on_trial_result(trial, {"step": place, "finished": 0})
        driver.searcher.on_trial_complete(trial, None, error=True)
        died += 1
    assert died == (10 if further else 3)
    assert (trained in driver.searcher.frontier.failed) is not further
    if further:  # nor does it die on and on at the place that it has come to
        for _ in range(2):
            clock[0] += LOOK_EVERY_S
            trial, _ = driver.start()  # type: ignore[misc]
            driver.searcher.on_trial_result(trial, {"step": 901, "finished": 0})
            driver.searcher.on_trial_complete(trial, None, error=True)
        assert trained in driver.searcher.frontier.failed


def test_other_steps_that_tell_of_progress_begin_anew_and_have_their_retries(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    driver = Driver(plan, retries=1)
    trial, key = driver.start_all()[0]
    for share in (10, 20):
        driver.searcher.on_trial_result(trial, {"step": share, "finished": 0})
        driver.searcher.on_trial_complete(trial, None, error=True)
        clock[0] += LOOK_EVERY_S
        found = driver.start()
        trial = found[0] if isinstance(found, tuple) else ""
    assert key in driver.searcher.frontier.failed


def test_the_reason_of_a_death_is_told(plan: Plan) -> None:
    driver = Driver(plan, why=lambda key: f"{key} was hung")
    trial, key = driver.start_all()[0]
    driver.searcher.on_trial_complete(trial, None, error=True)
    assert driver.searcher.frontier.failed[key] == f"{key} was hung"


def test_a_damaged_parent_is_done_again_before_its_child(plan: Plan) -> None:
    driver = Driver(plan, done=tuple(keys(plan, "prepare")))
    trial, child = next((t, k) for t, k in driver.start_all() if plan.steps[k].kind == "train")
    parent = next(iter(plan.steps[child].inputs.values()))
    lost = {"finished": 0, "error": "altered", "lost": plan.steps[parent].folder}
    driver.searcher.on_trial_complete(trial, lost)
    assert (parent, "waiting", "damaged, to be done again: altered") in driver.events
    again, key = driver.start_all()[0]
    assert key == parent
    assert driver.searcher.frontier.waits(child)
    driver.searcher.on_trial_complete(again, {"error": "", "finished": 1})
    assert child in [key for _, key in driver.start_all()]
    assert driver.searcher.frontier.failed == {}


def test_a_remote_ancestor_that_is_damaged_is_waited_for(plan: Plan) -> None:
    (chosen,) = keys(plan, "select", "mnli-best")
    trained = next(iter(plan.steps[chosen].inputs.values()))
    done = [key for key, step in plan.steps.items() if step.kind in ("prepare", "select")]
    driver = Driver(plan, done=(*done, *keys(plan, "train", "mnli-lr")))
    running = {key: trial for trial, key in driver.start_all()}
    children = [key for key in running if chosen in plan.steps[key].inputs.values()]
    for child in children:
        lost = {"finished": 0, "error": "altered", "lost": plan.steps[trained].folder}
        driver.searcher.on_trial_complete(running[child], lost)
    started = driver.start_all()
    assert [key for _, key in started if key in children] == []
    (trial,) = [trial for trial, key in started if key == trained]
    driver.searcher.on_trial_complete(trial, {"error": "", "finished": 1})
    assert set(children) <= {key for _, key in driver.start_all()}


def test_a_parent_that_is_damaged_again_and_again_fails_its_child(plan: Plan) -> None:
    driver = Driver(plan, done=tuple(keys(plan, "prepare")))
    trial, child = next((t, k) for t, k in driver.start_all() if plan.steps[k].kind == "train")
    parent = next(iter(plan.steps[child].inputs.values()))
    lost = {"finished": 0, "error": "altered", "lost": plan.steps[parent].folder}
    for _ in range(REPAIRS_AT_MOST):
        driver.searcher.on_trial_complete(trial, lost)
        again = {key: trial for trial, key in driver.start_all()}
        driver.searcher.on_trial_complete(again[parent], {"error": "", "finished": 1})
        trial = {key: trial for trial, key in driver.start_all()}[child]
    driver.searcher.on_trial_complete(trial, lost)
    assert driver.searcher.frontier.failed == {child: "altered"}


def test_a_selection_whose_candidate_is_damaged_waits_for_it(plan: Plan) -> None:
    (chosen,) = keys(plan, "select", "mnli-best")
    trials = list(plan.steps[chosen].inputs.values())
    driver = Driver(plan, done=(*keys(plan, "prepare"), *trials[:-1]))
    driver.lost = plan.steps[trials[0]].folder
    running = {key: trial for trial, key in driver.start_all()}
    driver.searcher.on_trial_complete(running[trials[-1]], {"error": "", "finished": 1})
    assert driver.searcher.frontier.waits(chosen)
    driver.lost = ""
    (trial,) = [trial for trial, key in driver.start_all() if key == trials[0]]
    driver.searcher.on_trial_complete(trial, {"error": "", "finished": 1})
    assert driver.inline == [chosen]


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


def test_only_so_many_of_the_steps_kept_apart_run_at_once(plan: Plan) -> None:
    room = [2]
    apart = set(keys(plan, "train"))
    driver = Driver(
        plan,
        done=tuple(keys(plan, "prepare", "mnli") + keys(plan, "prepare", "squad")),
        apart=lambda step: step.key in apart,
        room=lambda: room[0],
    )
    started = driver.start_all()
    assert len([key for _, key in started if key in apart]) == 2
    # Those that wait for room keep no other step from starting.
    others = [key for key, step in plan.steps.items() if not step.inputs]
    assert set(others) - driver.searcher.frontier.done <= {key for _, key in started}
    trial, key = next(each for each in started if each[1] in apart)
    driver.searcher.on_trial_complete(trial, {"error": "", "finished": 1})
    (after,) = [each for each in driver.start_all() if each[1] in apart]
    assert after[1] != key
    room[0] = 4
    assert len([each for each in driver.start_all() if each[1] in apart]) == 2
    room[0] = 0
    driver = Driver(plan, apart=lambda step: True, room=lambda: room[0])
    assert isinstance(driver.start(), tuple)  # one runs in any case
    assert driver.start() is None


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


def test_a_damaged_record_does_not_mean_that_another_driver_did_it(plan: Plan) -> None:
    (last,) = keys(plan, "evaluate", "tatoeba-after-baseline")
    done = tuple(key for key in plan.steps if key != last)
    driver = Driver(plan, done=done, look=lambda _: "recorded", suspect=(last,))
    found = driver.start()
    assert isinstance(found, tuple)
    assert found[1] == last


def test_tune_may_write_copies_to_disk(plan: Plan, tmp_path: Path) -> None:
    driver = Driver(plan)
    driver.start_all()
    again = pickle.loads(pickle.dumps(driver.searcher))
    assert again.running == driver.searcher.running
    driver.searcher.save(str(tmp_path / "searcher"))
    driver.searcher.restore(str(tmp_path / "searcher"))
    assert list(tmp_path.iterdir()) == []


def test_a_step_whose_process_died_is_tried_again_so_often(plan: Plan) -> None:
    driver = Driver(plan, retries=2)
    key = ""
    for tries in (1, 2, 3):
        trial, key = driver.start()  # type: ignore[misc]
        driver.searcher.on_trial_complete(trial, error=True)
        driver.searcher.busy_until = dict.fromkeys(driver.searcher.busy_until, 0.0)
        assert (key in driver.searcher.frontier.failed) == (tries == 3)
    assert driver.searcher.frontier.failed[key] == "its process died"
    assert (key, "waiting", "its process died; it is tried again") in driver.events


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


def test_a_step_that_left_its_machine_is_started_again_and_used_no_retry(plan: Plan) -> None:
    driver = Driver(plan, retries=0)
    trial, key = driver.start()  # type: ignore[misc]
    driver.searcher.on_trial_result(trial, {"finished": 0, "left": 1})
    driver.searcher.on_trial_complete(trial, error=True)
    assert driver.start()[1] == key  # type: ignore[index]
    assert not driver.searcher.frontier.failed


def test_a_searcher_that_is_to_end_suggests_nothing_more(plan: Plan) -> None:
    driver = Driver(plan)
    trial, key = driver.start()  # type: ignore[misc]
    driver.searcher.end()
    assert driver.start() == Searcher.FINISHED
    driver.searcher.on_trial_complete(trial, {"finished": 1})
    assert key in driver.searcher.frontier.done
    assert driver.start() == Searcher.FINISHED
