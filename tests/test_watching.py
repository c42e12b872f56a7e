"""How a run stands, read from a store that some process left in some state."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.costs.timed import PLACED, counted, plan_of, trained
from tests.recorded import record_of
from xtransfer.plan import Plan
from xtransfer.records.failures import note_failure
from xtransfer.records.leases import claim
from xtransfer.records.record import Record
from xtransfer.store import Store, open_store
from xtransfer.watching import Sight, look, time_left


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def of(plan: Plan, kind: str, phase: str = "") -> list[str]:
    return [k for k, s in plan.steps.items() if s.kind == kind and phase in ("", s.phase)]


def prepared(plan: Plan) -> dict[str, Record]:
    return {key: counted(plan.steps[key]) for key in of(plan, "prepare")}


def seen(plan: Plan, folder: Store, records: dict[str, Record]) -> Sight:
    return look(plan, folder, records, PLACED)


def test_nothing_has_begun(plan: Plan, folder: Store) -> None:
    sight = seen(plan, folder, {})
    assert (sight.all.steps, sight.all.recorded) == (len(plan.steps), 0)
    assert (sight.at_work, sight.failures, sight.left_s, sight.over) == ((), (), None, False)
    assert sight.unknown > 0
    assert time_left(sight) == "nothing is at work"


def test_every_step_is_in_one_sweep(plan: Plan, folder: Store) -> None:
    sight = seen(plan, folder, prepared(plan))
    assert sum(each.steps for each in sight.sweeps) == len(plan.steps)
    sweeps = {(each.phase, each.name): each for each in sight.sweeps}
    assert sweeps["intermediate", "mnli"].steps == 2  # two seeds
    assert sweeps["target", "xnli after mnli"].steps == 1
    assert sweeps["data", "prepare"].recorded == sweeps["data", "prepare"].steps
    assert sight.all.recorded == len(of(plan, "prepare"))


def test_who_is_at_work(plan: Plan, folder: Store) -> None:
    trial = of(plan, "train", "intermediate")[0]
    lease = claim(folder, trial, seconds=60)
    sight = seen(plan, folder, prepared(plan))
    (found,) = sight.at_work
    assert (found.step.key, found.host) == (trial, lease.attempt.host)
    assert 0 <= found.seconds < 60
    lease.end()
    assert not seen(plan, folder, prepared(plan)).at_work


def test_a_recorded_step_is_at_work_no_more(plan: Plan, folder: Store) -> None:
    trial = of(plan, "train", "intermediate")[0]
    claim(folder, trial, seconds=60)  # its holder was killed right after the record
    records = prepared(plan) | {trial: trained(plan.steps[trial])}
    assert not seen(plan, folder, records).at_work


def test_failures_and_what_they_block(plan: Plan, folder: Store) -> None:
    trial = of(plan, "train", "intermediate")[0]
    note_failure(folder, plan.steps[trial], "out of luck\nand more", "")
    sight = seen(plan, folder, prepared(plan))
    (failure,) = sight.failures
    assert failure.error == "out of luck"
    assert sight.all.failed == 1
    assert sight.all.blocked == len(failure.blocked) > 0
    assert not sight.over  # the baseline can still be trained
    lease = claim(folder, trial, seconds=60)  # it is tried again
    assert not seen(plan, folder, prepared(plan)).failures
    lease.end()


def test_it_is_over_when_the_rest_is_blocked_or_all_is_recorded(plan: Plan, folder: Store) -> None:
    everything = {key: record_of(step) for key, step in plan.steps.items()}
    sight = seen(plan, folder, everything)
    assert sight.over
    assert time_left(sight) == ""
    (last,) = [key for key in of(plan, "evaluate") if plan.steps[key].name.startswith("pawsx")][:1]
    del everything[last]
    note_failure(folder, plan.steps[last], "out of luck", "")
    assert seen(plan, folder, everything).over


def test_time_left_is_the_work_by_who_is_at_it_but_no_less_than_the_longest_chain(
    plan: Plan, folder: Store
) -> None:
    records = prepared(plan)
    trials = of(plan, "train", "intermediate")
    records[trials[0]] = trained(plan.steps[trials[0]])  # 100 rows a second: 27.5 s
    now = time.time()
    claim(folder, trials[1], seconds=60, clock=lambda: now)
    alone = look(plan, folder, records, PLACED, clock=lambda: now)
    assert alone.left_s is not None
    later = look(plan, folder, records, PLACED, clock=lambda: now + 10)
    assert later.left_s == pytest.approx(alone.left_s - 10)
    target = of(plan, "train", "target")[0]
    claim(folder, target, seconds=60, clock=lambda: now)
    both = look(plan, folder, records, PLACED, clock=lambda: now)
    assert both.left_s is not None
    assert alone.left_s / 2 <= both.left_s < alone.left_s
    assert both.unknown == 0
    some = look(plan, folder, {k: r for k, r in records.items() if r.kind != "train"}, PLACED)
    assert some.unknown > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30, "about 30 s left"), (600, "about 10 min left"), (10_000, "about 2.8 h left")],
)
def test_time_left_in_words(plan: Plan, folder: Store, seconds: float, text: str) -> None:
    claim(folder, of(plan, "prepare")[0], seconds=60)
    sight = seen(plan, folder, {})
    assert time_left(replace(sight, left_s=seconds, unknown=0)) == text
