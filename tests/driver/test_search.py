from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from ray.tune.search import Searcher

from tests.driver.untuned import Driver, descendants, keys
from xtransfer.driver.search import (
    LOOK_EVERY_S,
)
from xtransfer.plan import Plan


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
