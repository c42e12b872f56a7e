"""When workers that have failed are started again; Ray Train itself is run by tests/integration and tests/faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ray.train import TrainingFailedError

from tests.small import small_bench
from xtransfer.checkpoints import save_checkpoint
from xtransfer.errors import Diverged, StepError
from xtransfer.plan import Step
from xtransfer.train import distributed
from xtransfer.train.distributed import train_on_workers
from xtransfer.workbench import Workbench


class Group:
    """Stands for Ray Train: each fit takes the next of `attempts`, which saves and fails or hands over."""

    def __init__(self, attempts: list[Callable[[], None]]) -> None:
        self.attempts = attempts
        self.fits = 0

    def fit(self) -> None:
        self.fits += 1
        self.attempts.pop(0)()


@pytest.fixture
def trial(tmp_path: Path) -> tuple[Workbench, Step]:
    return small_bench(tmp_path, {})


def fails(cause: Exception) -> None:
    raise TrainingFailedError("a worker failed") from cause


def run(trial: tuple[Workbench, Step], group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, step = trial
    monkeypatch.setattr(distributed, "_trainer", lambda *_: group)
    monkeypatch.setattr(
        distributed, "_fetch_outcome", lambda *_: not group.attempts and group.fits > 0
    )
    train_on_workers(step, bench, bench.scratch)


def saves(trial: tuple[Workbench, Step], step: int) -> None:
    bench, trained = trial
    save_checkpoint(
        bench.store, trained.key, state={"step": step}, tensors={}, rows="", kept=2,
        scratch=bench.scratch,
    )  # fmt: skip


def test_workers_that_got_further_before_they_failed_are_started_again(
    trial: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(step: int) -> None:
        saves(trial, step)
        fails(RuntimeError("the actor died because its node has died"))

    group = Group([lambda: lost(10), lambda: lost(20), lambda: lost(30), lambda: None])
    run(trial, group, monkeypatch)
    assert group.fits == 4


def test_workers_that_fail_where_they_were_before_are_not(
    trial: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(step: int | None) -> None:
        if step is not None:
            saves(trial, step)
        fails(RuntimeError("poison"))

    group = Group([lambda: lost(10), lambda: lost(None), lambda: None])
    with pytest.raises(StepError, match="poison"):
        run(trial, group, monkeypatch)
    assert group.fits == 2


def test_what_is_an_error_of_the_trial_is_final(
    trial: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged() -> None:
        saves(trial, 10)
        fails(Diverged("step 11", "its loss is not finite"))

    group = Group([diverged, lambda: None])
    with pytest.raises(StepError, match="not finite"):
        run(trial, group, monkeypatch)
    assert group.fits == 1
