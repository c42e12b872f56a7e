"""What Tune tells is handed on; at a rung, Tune's scheduler has the trial ruled."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.reading import note_reads
from tests.sweeps.test_settings import plan_of, trials
from xtransfer.driver.relays import FailureRelay, ProgressRelay, SweepScheduler
from xtransfer.errors import StoreError
from xtransfer.plan import Plan
from xtransfer.store import Store, open_store
from xtransfer.sweeps.rungs import read_rulings


@pytest.fixture
def plan() -> Plan:
    return plan_of(
        "intermediate.learning_rates=[1e-5, 2e-5, 3e-5, 4e-5]", "intermediate.asha={grace: 25}"
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


class Trial:
    """A trial of Tune's that failed, and the file in which Tune notes why."""

    def __init__(self, file: Path | None) -> None:
        self.config = {"key": "k"}
        self.error_file = file and str(file)


def test_the_error_of_the_last_attempt_is_passed_on(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    relay = FailureRelay(lambda *event: told.append(event))
    file = tmp_path / "error.txt"
    file.write_text("Failure # 1 (occurred at x)\nfirst\n")
    relay.on_trial_error(None, Trial(file))
    with file.open("a") as more:
        more.write("Failure # 2 (occurred at y)\nlow on memory\nlast\n")
    relay.on_trial_error(None, Trial(file))
    relay.on_trial_error(None, Trial(None))
    relay.on_trial_error(None, Trial(tmp_path / "absent"))
    assert told == [("k", "first"), ("k", "low on memory\nlast"), ("k", ""), ("k", "")]
    assert pickle.loads(pickle.dumps(relay)).ended is None


def test_progress_is_relayed_by_key() -> None:
    told: list[Any] = []
    trial = SimpleNamespace(config={"key": "abc"})
    relay = ProgressRelay(lambda *event: told.append(event), lambda *facts: told.append(facts))
    relay.on_trial_start(1, [], trial)
    relay.on_trial_result(1, [], trial, {"step": 3})
    assert told == [("abc", "running", ""), ("abc", {"step": 3})]
    assert pickle.loads(pickle.dumps(relay)).told is None


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
