from __future__ import annotations

import random

import pytest

from xtransfer.driver.frontier import Frontier
from xtransfer.plan import Plan, Step
from xtransfer.records.failures import blocked_by


def step(name: str, *parents: Step, kind: str = "train") -> Step:
    inputs = {f"p{at}": parent.key for at, parent in enumerate(parents)}
    return Step(kind=kind, name=name, spec={"name": name}, inputs=inputs, phase="target")  # type: ignore[arg-type]


def plan_of(*steps: Step) -> Plan:
    return Plan(experiment="e", steps={s.key: s for s in steps}, cells=(), tasks={})


def frontier(plan: Plan, *done: Step) -> Frontier:
    return Frontier(plan, done=[s.key for s in done], changed=lambda key, state, text: None)


A = step("a")
B = step("b")
C = step("c", A, B)
CHOICE = step("choice", C, kind="select")
LAST = step("last", CHOICE)
SMALL = plan_of(A, B, C, CHOICE, LAST)


def test_steps_are_taken_in_the_order_of_the_plan_and_once() -> None:
    found = frontier(SMALL)
    assert [found.take(), found.take(), found.take()] == [A.key, B.key, None]
    found.finish(B.key)
    assert found.take() is None
    found.finish(A.key)
    assert [found.take(), found.take()] == [C.key, None]


def test_a_choice_is_taken_apart() -> None:
    found = frontier(SMALL, A, B, C)
    assert found.take() is None
    assert found.take_choice() == CHOICE.key
    assert found.take_choice() is None
    found.finish(CHOICE.key)
    assert found.take() == LAST.key


def test_a_step_that_is_ready_waits_again_when_its_parent_is_undone() -> None:
    found = frontier(SMALL, A, B)
    found.undo(A.key)
    assert [found.take(), found.take()] == [A.key, None]
    found.finish(A.key)
    assert found.take() == C.key


def test_a_step_that_waits_for_an_ancestor_which_fails_is_blocked() -> None:
    found = frontier(SMALL, A, B, C, CHOICE)
    assert found.take() == LAST.key
    found.undo(C.key)
    found.wait_for(LAST.key, C.key)
    assert [key for key in found.plan.steps if found.waits(key)] == [C.key, LAST.key]
    assert found.take() == C.key
    found.fail(C.key, "cannot")
    assert found.blocked == {LAST.key: C.key}
    assert found.take() is None


@pytest.mark.parametrize("seed", range(20))
def test_any_course_of_events_comes_to_the_state_that_a_scan_of_the_plan_finds(seed: int) -> None:
    draw = random.Random(seed)
    steps: list[Step] = []
    for at in range(40):
        parents = draw.sample(steps, min(len(steps), draw.randrange(4)))
        steps.append(step(f"s{at}", *parents, kind=draw.choice(["train", "select"])))
    plan = plan_of(*steps)
    found = frontier(plan, *draw.sample(steps, 5))
    taken: list[str] = []
    for _ in range(200):
        event = draw.choice(["take", "take_choice", "finish", "finish", "fail", "undo", "put_back"])
        if event in ("take", "take_choice"):
            key = getattr(found, event)()
            if key is not None:
                taken.append(key)
        elif event == "undo" and found.done:
            found.undo(draw.choice(sorted(found.done)))
        elif event in ("finish", "put_back") and taken:
            getattr(found, event)(taken.pop(draw.randrange(len(taken))))
        elif event == "fail" and taken and draw.random() < 0.2:
            found.fail(taken.pop(draw.randrange(len(taken))), "cannot")
    ready = [
        key
        for key in plan.steps
        if key not in {*found.done, *found.failed, *found.blocked, *taken}
        and set(plan.steps[key].inputs.values()) <= found.done
    ]
    queued = [key for take in (found.take, found.take_choice) for key in iter(take, None)]
    assert sorted(queued) == sorted(ready)
    for key in found.blocked:
        assert set(plan.steps[key].inputs.values()) & (found.failed.keys() | found.blocked.keys())
    for key, item in plan.steps.items():
        lost = set(item.inputs.values()) & (found.failed.keys() | found.blocked.keys())
        if lost - found.done:
            assert key in {*found.done, *found.failed, *found.blocked, *taken}


def selection(incomplete: str, *trials: Step, **devs: Step) -> Step:
    inputs = {f"trial-{at:03d}": trial.key for at, trial in enumerate(trials)}
    inputs |= {name.replace("_", "-"): dev.key for name, dev in devs.items()}
    spec = {"incomplete": incomplete} if incomplete == "allow" else {}
    return Step(kind="select", name="choice", spec=spec, inputs=inputs, phase="target")


@pytest.mark.parametrize("incomplete", ["allow", "refuse"])
def test_a_selection_that_takes_a_grid_as_it_is_does_without_what_failed(incomplete: str) -> None:
    choice = selection(incomplete, A, B)
    plan = plan_of(A, B, choice, step("last", choice))
    found = frontier(plan)
    found.take()
    found.take()
    found.fail(A.key, "diverged")
    assert found.take_choice() is None  # the other trial is at work
    found.finish(B.key)
    assert found.take_choice() == (choice.key if incomplete == "allow" else None)
    assert bool(found.blocked) == (incomplete == "refuse")
    waiting = blocked_by(plan, {A.key}, recorded={B.key})[A.key]
    assert set(waiting) == set(found.blocked)


def test_a_selection_without_any_trial_is_blocked() -> None:
    # The second trial is there, and what judges it is not.
    judge = step("judge", B, kind="evaluate")
    choice = selection("allow", A, B, dev_000=step("other", A, kind="evaluate"), dev_001=judge)
    plan = plan_of(A, B, plan_step := step("other", A, kind="evaluate"), judge, choice)
    found = frontier(plan)
    for _ in range(2):
        found.take()
    found.fail(A.key, "diverged")
    assert found.blocked == {plan_step.key: A.key}
    found.finish(B.key)
    assert found.take() == judge.key
    found.fail(judge.key, "no file")
    assert choice.key in found.blocked
    waiting = blocked_by(plan, {A.key, judge.key}, recorded={B.key})
    assert sorted(key for keys in waiting.values() for key in keys) == sorted(found.blocked)


def test_steps_kept_apart_are_left_when_asked_and_keep_their_place() -> None:
    one, wide, two = step("one"), step("wide"), step("two", kind="evaluate")
    plan = plan_of(one, wide, two)
    found = Frontier(
        plan, done=(), changed=lambda key, state, text: None, apart=lambda s: s.name == "wide"
    )
    assert found.take() == one.key
    assert found.take(apart=False) == two.key
    assert found.take(apart=False) is None
    found.put_back(two.key)
    assert [found.take(), found.take(), found.take()] == [wide.key, two.key, None]
