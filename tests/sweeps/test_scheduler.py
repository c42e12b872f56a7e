"""What is ruled at the rungs: Tune's own ASHA over the whole sweep is the judge."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler

from tests.sweeps.test_settings import plan_of, trials
from xtransfer.plan import Plan
from xtransfer.records.audit import audit
from xtransfer.records.layout import RUNGS
from xtransfer.records.notes import note_text
from xtransfer.store import Store, open_store
from xtransfer.sweeps.rungs import Ruling, read_ruling, read_rulings, rungs_of, sweep_key
from xtransfer.sweeps.scheduler import goes_on, rule

SCORES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=12)


@pytest.fixture
def plan() -> Plan:
    return plan_of(
        "intermediate.learning_rates=[1e-5, 2e-5, 3e-5, 4e-5]", "intermediate.asha={grace: 25}"
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


@given(SCORES, st.integers(2, 4))
def test_rulings_one_by_one_are_those_of_one_scheduler_that_saw_the_whole_sweep(
    scores: list[float], reduction: int
) -> None:
    asha = {"grace": 10, "reduction": reduction}
    whole = ASHAScheduler("percent", "score", "max", 100, 10, reduction)
    others: dict[str, float] = {}
    for number, score in enumerate(scores):
        trial: Any = SimpleNamespace(trial_id=str(number))
        whole.on_trial_add(None, trial)  # type: ignore[arg-type]
        said = whole.on_trial_result(None, trial, {"percent": 10, "score": score})  # type: ignore[arg-type]
        assert goes_on(asha, rung=10, score=score, others=others) == (said == "CONTINUE")
        others[str(number)] = score


@pytest.mark.parametrize(("grace", "reduction"), [(1, 2), (5, 3), (25, 2), (30, 4), (99, 2)])
def test_the_rungs_are_those_of_tune(grace: int, reduction: int) -> None:
    plan = plan_of(
        "intermediate.learning_rates=[1e-5, 2e-5]",
        f"intermediate.asha={{grace: {grace}, reduction: {reduction}}}",
    )
    theirs = ASHAScheduler("percent", "score", "max", 100, grace, reduction)._brackets[0]._rungs
    found = sorted(round(milestone) for milestone, _ in theirs if milestone < 100)
    assert list(rungs_of(trials(plan)[0])) == found


def test_the_half_that_is_behind_stops(plan: Plan, store: Store) -> None:
    ruled = [
        rule(store, step, rung=25, score=score)
        for step, score in zip(trials(plan), (50.0, 40.0, 60.0, 49.0), strict=True)
    ]
    assert [each.goes_on for each in ruled] == [True, False, True, False]
    assert [each.cutoff for each in ruled] == [None, 50.0, 45.0, 50.0]
    assert [len(each.others) for each in ruled] == [0, 1, 2, 3]
    # The next rung knows only those that came there.
    assert rule(store, trials(plan)[0], rung=50, score=51.0).others == {}


def test_a_ruling_is_made_once(plan: Plan, store: Store) -> None:
    one, other, *_ = trials(plan)
    rule(store, one, rung=25, score=50.0)
    first = rule(store, other, rung=25, score=40.0)
    assert not first.goes_on
    again = rule(store, other, rung=25, score=99.0)
    assert again == first
    assert read_ruling(store, other, 25) == first
    assert [each.key for each in read_rulings(store, one)] == sorted([one.key, other.key])


def test_a_ruling_that_nobody_can_read_is_made_anew(plan: Plan, store: Store) -> None:
    step = trials(plan)[0]
    name = f"{RUNGS}/{sweep_key(step)}/{step.key}-25.json"
    store.write(name, b'{"key": 1}')
    assert rule(store, step, rung=25, score=50.0).goes_on
    assert read_ruling(store, step, 25) is not None


def test_a_ruling_to_which_a_newer_version_has_added_something_holds(
    plan: Plan, store: Store
) -> None:
    step = trials(plan)[0]
    name = f"{RUNGS}/{sweep_key(step)}/{step.key}-25.json"
    made = rule(store, step, rung=25, score=50.0)
    newer = note_text(name, {**made.model_dump(), "why": "the first"})
    store.write(name, newer)
    assert rule(store, step, rung=25, score=10.0) == made
    assert store.read(name) == newer


def test_a_ruling_is_believed_only_as_it_was_written_and_where(plan: Plan, store: Store) -> None:
    one, other, *_ = trials(plan)
    names = [f"{RUNGS}/{sweep_key(step)}/{step.key}-25.json" for step in (one, other)]
    rule(store, one, rung=25, score=50.0)
    assert not rule(store, other, rung=25, score=40.0).goes_on
    before = [store.read(name) for name in names]
    store.write(names[0], before[0].replace(b"50.0", b"30.0"))  # a bit or two
    assert read_ruling(store, one, 25) is None
    store.write(names[0], before[1])  # another trial's, which says to stop
    assert read_ruling(store, one, 25) is None
    assert [(each.fault, each.object) for each in audit(store).findings] == [
        ("unreadable", names[0])
    ]
    assert rule(store, one, rung=25, score=50.0).goes_on
    assert audit(store).findings == ()
    # Those of before there were seals have none.
    bare = {k: v for k, v in json.loads(before[1]).items() if k not in ("name", "seal")}
    store.write(names[1], json.dumps(bare).encode())
    assert read_ruling(store, other, 25) == Ruling(**bare)
