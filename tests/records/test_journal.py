"""Plans in a store: each driver's processes read the very text that their driver wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small import write_small
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import IntegrityError
from xtransfer.plan import Plan
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.audit import audit
from xtransfer.records.journal import leave_plan, read_plan
from xtransfer.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def plan_in(folder: Path) -> Plan:
    folder.mkdir()
    experiment = load_experiment(write_small(folder))
    return build_plan(experiment, Fingerprints(experiment))


def places(plan: Plan) -> set[str]:
    return {
        step.where["encoder"]["name"] for step in plan.steps.values() if "encoder" in step.where
    }


def test_drivers_with_one_plan_and_data_in_different_places_keep_their_own(
    store: Store, tmp_path: Path
) -> None:
    one, other = plan_in(tmp_path / "one"), plan_in(tmp_path / "other")
    assert one.key == other.key
    names = [leave_plan(store, plan) for plan in (one, other)]
    assert places(read_plan(store, names[0])) == {str(tmp_path / "one" / "encoder")}
    assert places(read_plan(store, names[1])) == {str(tmp_path / "other" / "encoder")}
    assert leave_plan(store, one) == names[0]
    assert len(list(store.list("plans/"))) == 2
    assert audit(store).findings == ()


def test_a_plan_that_was_changed_is_refused_and_found(store: Store, tmp_path: Path) -> None:
    plan = plan_in(tmp_path / "one")
    name = leave_plan(store, plan)
    body = json.loads(store.read(name))
    store.write(name, json.dumps(body, indent=1).encode())
    with pytest.raises(IntegrityError, match=r"is damaged\. Start the run again"):
        read_plan(store, name)
    (found,) = audit(store).findings
    assert (found.object, found.fault) == (name, "unreadable")
