from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.small import small_bench
from xtransfer.execution.execute import run_step
from xtransfer.plan import Step
from xtransfer.process.workbench import Workbench
from xtransfer.sweeps import waiting
from xtransfer.sweeps.rungs import Ruling, leave_ruling, read_ruling, rulings_of
from xtransfer.sweeps.waiting import ruled


@pytest.fixture
def ready(tmp_path: Path) -> tuple[Workbench, Step]:
    """A bench on which all that precedes two trials under ASHA is done, and the first of them."""
    return small_bench(tmp_path, {}, target={"learning_rates": [0.01, 0.02], "asha": {"grace": 50}})


def ruling(step: Step, **values: Any) -> Ruling:
    made = {"rung": 50, "score": 1.0, "others": {}, "cutoff": None, "goes_on": True}
    return Ruling(key=step.key, **{**made, **values})


def test_a_trial_without_a_driver_rules_itself(ready: tuple[Workbench, Step]) -> None:
    bench, step = ready
    found = ruled(step, bench, rung=50, score=10.0)
    assert found == read_ruling(bench.store, step, 50)
    assert found.goes_on


def test_a_trial_takes_the_ruling_that_its_driver_left(ready: tuple[Workbench, Step]) -> None:
    bench, step = ready
    left = leave_ruling(bench.store, step, ruling(step, goes_on=False))
    assert ruled(step, replace(bench, run="run"), rung=50, score=99.0) == left


def test_a_trial_waits_for_its_driver_and_then_rules_itself(
    ready: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, step = ready
    clock = iter(range(1000))
    pauses: list[float] = []
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(waiting.time, "sleep", pauses.append)
    assert ruled(step, replace(bench, run="run"), rung=50, score=99.0).goes_on
    assert len(pauses) == waiting.WAIT_S - 1


def test_a_stopped_trial_leaves_a_whole_record_that_says_so(
    ready: tuple[Workbench, Step],
) -> None:
    bench, step = ready
    (other,) = [s for s in bench.plan.steps.values() if s.kind == "train" and s.key != step.key]
    leave_ruling(bench.store, other, ruling(other, score=101.0))
    record = run_step(step, bench)
    result = record.result
    assert (result["steps"], result["total_steps"]) == (4, 8)
    assert (result["stopped_at"], result["stopped_early"]) == (50, True)
    (entry,) = result["rulings"]
    assert entry["others"] == {other.key: 101.0}
    assert (entry["cutoff"], entry["goes_on"], entry["rung"]) == (101.0, False, 50)
    assert entry["score"] == result["score"]
    assert "weights.safetensors" in [file.name for file in record.files]
    assert [each.goes_on for each in rulings_of(bench.store, step)] == [False]
    # The selection takes the other one, whatever it has come to.
    finished = run_step(other, bench)
    assert "stopped_at" not in finished.result
    (choice,) = [s for s in bench.plan.steps.values() if s.kind == "select"]
    chosen = run_step(choice, bench).result
    assert chosen["chosen"] == other.key
    assert {each["key"]: each.get("rung") for each in chosen["candidates"]} == {
        step.key: 50,
        other.key: None,
    }
