"""What is ruled at the rungs: Tune's own ASHA over the whole sweep is the judge."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler

from tests.reading import note_reads
from tests.sweeps.test_settings import plan_of, trials
from xtransfer.errors import StoreError
from xtransfer.plan import Plan
from xtransfer.store import Store, open_store
from xtransfer.sweeps.rungs import RUNGS, read_ruling, read_rulings, rungs_of, sweep_key
from xtransfer.sweeps.scheduler import SweepScheduler, goes_on, rule

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


def test_the_scheduler_rules_when_a_trial_tells_of_a_rung(plan: Plan, store: Store) -> None:
    scheduler = SweepScheduler(lambda key, text: None, plan=plan, store=store)
    step = trials(plan)[0]
    trial = SimpleNamespace(config={"key": step.key})
    for result in ({"step": 3}, {"step": 4, "rung": None, "best": None}):
        assert scheduler.on_trial_result(None, trial, result) == "CONTINUE"
        assert read_rulings(store, step) == []
    assert scheduler.on_trial_result(None, trial, {"rung": 25, "best": 12.5}) == "CONTINUE"
    (ruling,) = read_rulings(store, step)
    assert (ruling.key, ruling.rung, ruling.score, ruling.goes_on) == (step.key, 25, 12.5, True)


def test_a_ruling_reads_each_other_one_of_its_rung_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [round(1e-5 + number * 1e-7, 9) for number in range(12)]
    plan = plan_of(f"intermediate.learning_rates={rates}", "intermediate.asha={grace: 25}")
    read = note_reads(store, monkeypatch)
    scheduler = SweepScheduler(lambda key, text: None, plan=plan, store=store)
    for rung in (25, 50):
        for number, step in enumerate(trials(plan)):
            trial = SimpleNamespace(config={"key": step.key})
            scheduler.on_trial_result(None, trial, {"rung": rung, "best": float(number)})
    assert len(read_rulings(store, trials(plan)[0], rung=50)) == 12
    # For each ruling: whether there is one, and what was ruled since the one before; then the line above.
    assert len(read) == 2 * (12 + 11) + 12


def test_a_store_that_is_away_does_not_end_the_run(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bytes:
        raise StoreError("store", "is away")

    monkeypatch.setattr(type(store), "read", away)
    scheduler = SweepScheduler(lambda key, text: None, plan=plan, store=store)
    trial = SimpleNamespace(config={"key": trials(plan)[0].key})
    assert scheduler.on_trial_result(None, trial, {"rung": 25, "best": 1.0}) == "CONTINUE"


def test_a_copy_holds_nothing_of_the_driver(plan: Plan, store: Store) -> None:
    scheduler = SweepScheduler(lambda key, text: None, plan=plan, store=store)
    copy = pickle.loads(pickle.dumps(scheduler))
    assert (copy.plan, copy.store, copy.ended) == (None, None, None)
