"""A selection from a grid of which a trial has failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.errors import InputLost, StepError
from xtransfer.execution.execute import run_step
from xtransfer.export import _base
from xtransfer.plan import Step
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.record import commit
from xtransfer.settings import read_settings
from xtransfer.store import open_store

SETTINGS = (
    "name=small",
    "encoder=encoder",
    "target={tasks: [xnli], languages: {xnli: [de, th]}}",
    "target.learning_rates=[1e-5, 2e-5, 3e-5]",
)


def bench_of(folder: Path, *more: str) -> Workbench:
    return Workbench(
        plan=build_plan(read_settings(Experiment, None, (*SETTINGS, *more), "test"), FakePrints()),
        store=open_store(f"file://{folder}/store"),
        placement=Placement(),
        scratch=folder / "scratch",
    )


def steps(bench: Workbench, kind: str) -> list[Step]:
    return [step for step in bench.plan.steps.values() if step.kind == kind]


def record(bench: Workbench, step: Step, score: float) -> None:
    made = record_of(step)
    commit(bench.store, made.model_copy(update={"result": {**made.result, "score": score}}))


def test_the_trials_that_are_there_are_chosen_from_and_the_others_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(tmp_path, "target.incomplete=allow")
    diverged, low, high = steps(bench, "train")
    (choice,) = steps(bench, "select")
    with pytest.raises(StepError, match="no candidate"):
        run_step(choice, bench)
    record(bench, low, 60.0)
    record(bench, high, 70.0)
    found = run_step(choice, bench)
    assert found.result["chosen"] == high.key
    assert [each["key"] for each in found.result["candidates"]] == [low.key, high.key]
    assert found.result["lacking"] == [diverged.key]
    # Its model is exported by the lineage of the chosen trial.
    first: list[str] = []
    monkeypatch.setattr(
        "xtransfer.export._check_base", lambda store, trial, folder: first.append(trial.key)
    )
    assert _base(bench.store, found, str(tmp_path), tmp_path) == (str(tmp_path), None)
    assert first == [high.key]


def test_otherwise_all_trials_are_needed(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    _, low, high = steps(bench, "train")
    record(bench, low, 60.0)
    record(bench, high, 70.0)
    with pytest.raises(InputLost, match="has no record"):
        run_step(steps(bench, "select")[0], bench)


def test_an_oracle_does_without_a_trial_that_nothing_judged(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "target.incomplete=allow", "target.rule=target_dev")
    for trial in steps(bench, "train"):
        record(bench, trial, 60.0)
    (choice,) = steps(bench, "select")
    judges = {role: key for role, key in choice.inputs.items() if role.startswith("dev-")}
    for role in ("dev-000", "dev-002"):
        commit(bench.store, record_of(bench.plan.steps[judges[role]]))
    found = run_step(choice, bench)
    assert found.result["lacking"] == [choice.inputs["trial-001"]]
    assert len(found.result["candidates"]) == 2
