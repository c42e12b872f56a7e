"""One step as Tune runs it, without Tune: whether it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.small import small_bench
from xtransfer import trial
from xtransfer.journal import leave_plan
from xtransfer.leases import attempts
from xtransfer.leaving import Notice
from xtransfer.plan import Step
from xtransfer.workbench import Workbench


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

    def run(self, bench: Workbench, step: Step) -> None:
        trial.run_trial(
            {"key": step.key},
            plan_name=leave_plan(bench.store, bench.plan),
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
