"""One step as Tune runs it, without Tune: whether it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.small import small_bench
from xtransfer.execution import trial
from xtransfer.execution.execute import run_step
from xtransfer.plan import Step
from xtransfer.process.leaving import Notice
from xtransfer.process.workbench import Workbench
from xtransfer.records.journal import leave_plan
from xtransfer.records.leases import attempts
from xtransfer.steps import evaluation


class Ended(Exception):
    """Raised in place of the end of this process."""


class Run:
    """What a trial reports, on a node of which `draining` and `told` say what is known."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: list[dict[str, Any]] = []
        self.draining, self.told = False, False
        run = self

        class Known(Notice):
            def __init__(self, _: str) -> None:
                self.draining, self._reason = False, ""

            def end(self) -> None:
                pass

            def _look(self) -> None:
                self.draining = run.draining
                self._reason = "it must go" if run.draining or run.told else ""

        def end(_: int) -> None:
            raise Ended

        monkeypatch.setattr(trial, "Notice", Known)
        monkeypatch.setattr(trial.tune, "report", self.results.append)
        monkeypatch.setattr(trial.os, "_exit", end)

    def run(self, bench: Workbench, step: Step, *, plan_name: str = "") -> None:
        trial.run_trial(
            {"key": step.key},
            plan_name=plan_name or leave_plan(bench.store, bench.plan),
            placement={**bench.placement.model_dump(), "store": bench.store.url},
            scratch=str(bench.scratch),
            run="run",
        )


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


def test_a_step_begins_and_reports(tuned: Run, tmp_path: Path) -> None:
    bench, step = small_bench(tmp_path, {})
    tuned.run(bench, step)
    assert tuned.results[-1]["finished"] == 1
    assert [each.state for each in attempts(bench.store, step.key)] == ["done"]


@pytest.mark.parametrize("draining", [True, False])
def test_a_step_does_not_begin_where_it_would_have_to_leave(
    tuned: Run, tmp_path: Path, draining: bool
) -> None:
    bench, step = small_bench(tmp_path, {})
    tuned.draining, tuned.told = draining, True
    if draining:
        with pytest.raises(Ended):
            tuned.run(bench, step)
    else:
        tuned.run(bench, step)
    assert tuned.results == [{"finished": 0, "error": "", "left": 1}]
    assert attempts(bench.store, step.key) == []


@pytest.mark.parametrize("lost", [True, False])
def test_a_plan_that_is_damaged_or_gone_is_asked_for_and_fails_nothing(
    tuned: Run, tmp_path: Path, lost: bool
) -> None:
    bench, step = small_bench(tmp_path, {})
    name = leave_plan(bench.store, bench.plan)
    whole = bench.store.read(name)
    if lost:
        bench.store.delete(name)
    else:
        bench.store.write(name, whole[:-9])
    tuned.run(bench, step, plan_name=name)
    (told,) = tuned.results
    assert (told["finished"], told["again"], told["planless"]) == (0, 1, 1)
    assert name in told["error"]
    assert attempts(bench.store, step.key) == []
    bench.store.write(name, whole)
    tuned.run(bench, step, plan_name=name)
    assert tuned.results[-1]["finished"] == 1


def test_fetched_files_that_somebody_cleared_are_fetched_again_by_the_next_try(
    tuned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial_step = small_bench(tmp_path, {}, target={"seeds": [1]})
    step = next(step for step in bench.plan.steps.values() if step.kind == "evaluate")
    run_step(trial_step, bench)
    for key in step.inputs.values():
        run_step(bench.plan.steps[key], bench)
    before = evaluation.read_weights

    def cleared(path: Path) -> Any:
        with path.open("r+b") as file:
            file.truncate(100)
        return before(path)

    monkeypatch.setattr(evaluation, "read_weights", cleared)
    tuned.run(bench, step)
    told = tuned.results[-1]
    assert (told["finished"], told.get("again")) == (0, 1)
    assert "weights.safetensors: was deleted or altered while the step used it" in told["error"]
    monkeypatch.setattr(evaluation, "read_weights", before)
    tuned.run(bench, step)
    assert tuned.results[-1]["finished"] == 1
