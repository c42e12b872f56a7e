"""What is damaged is done again before what needs it."""

from __future__ import annotations

from tests.driver.untuned import Driver, keys
from xtransfer.driver.repairs import REPAIRS_AT_MOST
from xtransfer.plan import Plan


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


def test_a_damaged_record_does_not_mean_that_another_driver_did_it(plan: Plan) -> None:
    (last,) = keys(plan, "evaluate", "tatoeba-after-baseline")
    done = tuple(key for key in plan.steps if key != last)
    driver = Driver(plan, done=done, look=lambda _: "recorded", suspect=(last,))
    found = driver.start()
    assert isinstance(found, tuple)
    assert found[1] == last
