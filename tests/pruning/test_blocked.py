"""What readers of a store say of steps that wait for a pruning which cannot come."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prints import FakePrints
from tests.pruning.test_gates import BASE, KEEP, recorded
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.driver.frontier import Frontier
from xtransfer.plan import Plan
from xtransfer.planner.planner import build_plan
from xtransfer.pruning.pairs import dropped_steps
from xtransfer.records.failures import blocked_by, note_failure
from xtransfer.settings import read_settings
from xtransfer.store import open_store
from xtransfer.watching import look


@pytest.fixture
def plan() -> Plan:
    return build_plan(read_settings(Experiment, None, (*BASE, KEEP), "test"), FakePrints())


def test_what_a_failed_estimate_blocks_is_what_the_driver_blocks(
    plan: Plan, tmp_path: Path
) -> None:
    estimate = next(step for step in plan.steps.values() if step.kind == "estimate")
    frontier = Frontier(plan, done=(), changed=lambda *_: None)
    frontier.fail(estimate.key, "no luck")
    (waiting,) = blocked_by(plan, {estimate.key}).values()
    assert set(waiting) == set(frontier.blocked)
    assert any(plan.steps[key].kind == "train" for key in waiting)
    # Nothing more will come of a run that has done all else.
    rest = plan.steps.keys() - {estimate.key, *waiting}
    kinds = {step.kind for step in plan.steps.values()}
    records = {key: each for key, each in recorded(plan, kinds).items() if key in rest}
    store = open_store(f"file://{tmp_path}/store")
    note_failure(store, estimate, "no luck", "")
    sight = look(plan, store, records, Placement())
    assert sight.over
    assert (sight.all.failed, sight.all.blocked) == (1, len(waiting))


def test_a_pruned_step_is_blocked_by_nothing(plan: Plan, tmp_path: Path) -> None:
    records = recorded(plan, ("train", "select", "estimate", "prune"))
    records = {key: each for key, each in records.items() if plan.steps[key].phase != "target"} | {
        key: each for key, each in records.items() if each.kind in ("estimate", "prune")
    }
    dropped = dropped_steps(plan, records)
    data = next(
        step
        for step in plan.steps.values()
        if step.kind == "prepare" and step.spec["task"] == "udpos"
    )
    store = open_store(f"file://{tmp_path}/store")
    note_failure(store, data, "no file", "")
    (failure,) = look(plan, store, records, Placement()).failures
    blocked = {step.key for step in failure.blocked}
    assert blocked
    assert dropped
    assert not blocked & dropped
