"""When workers that have failed are started again; Ray Train itself is run by tests/integration and tests/faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.train import TrainingFailedError

from tests.small import small_bench
from xtransfer.errors import Diverged, StepBusy, StepError, StepLeft, StoreError
from xtransfer.plan import Step
from xtransfer.process.workbench import Workbench
from xtransfer.records.checkpoints import save_checkpoint
from xtransfer.records.leases import claim
from xtransfer.steps import distributed, handover, ray_worker
from xtransfer.steps.distributed import train_on_workers


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


def run(
    trial: tuple[Workbench, Step],
    group: Group,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trainer: Callable[..., Group] | None = None,
) -> float:
    bench, step = trial
    monkeypatch.setattr(distributed, "_trainer", trainer or (lambda *_: group))
    monkeypatch.setattr(
        distributed, "fetch_outcome", lambda *_: not group.attempts and group.fits > 0
    )
    return train_on_workers(step, bench, bench.scratch)


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
    bench, step = trial
    with pytest.raises(StepError, match="poison") as caught:
        run(trial, group, monkeypatch)
    assert group.fits == 2
    assert caught.value.next.endswith(f"--store {bench.store.url} --step {step.key}")


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


def test_a_store_that_refuses_workers_is_worth_another_try_of_the_trial(
    trial: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where there is one worker: the driver tries a StoreError again."""

    def lost(step: int | None) -> None:
        if step is not None:
            saves(trial, step)
        fails(StoreError("rows.arrow", "was altered while the step used it"))

    group = Group([lambda: lost(10), lambda: lost(None), lambda: None])
    with pytest.raises(StoreError, match=r"rows\.arrow: was altered"):
        run(trial, group, monkeypatch)
    assert group.fits == 2


@pytest.fixture
def held(trial: tuple[Workbench, Step]) -> tuple[Workbench, Callable[[], None]]:
    """Return the bench of an attempt that holds the trial, and what takes it over."""
    bench, step = trial
    now = [1000.0]
    lease = claim(bench.store, step.key, seconds=60, clock=lambda: now[0])

    def take_over() -> None:
        now[0] += 61
        claim(bench.store, step.key, seconds=60, clock=lambda: now[0])

    often = bench.placement.model_copy(update={"lease_s": 0.03})
    return replace(bench, fence=lease.check, placement=often), take_over


def stands_for_ray(monkeypatch: pytest.MonkeyPatch, work: Callable[[Workbench], None]) -> list[str]:
    """Have `work_in_group` run as the only worker, with this work; return what it hands over."""
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray_worker.ray.train, "get_context", lambda: context)
    monkeypatch.setattr(ray_worker.ray.train, "report", lambda facts: None)
    notice = SimpleNamespace(reason=str, end=lambda: None)
    monkeypatch.setattr(ray_worker, "Notice", lambda _: notice)
    monkeypatch.setattr(ray_worker, "run_worker", lambda step, bench, *_, **__: work(bench))
    handed: list[str] = []
    monkeypatch.setattr(ray_worker, "hand_over", lambda store, key, folder: handed.append(key))
    return handed


def test_workers_leave_a_trial_that_another_process_has_taken_over(
    trial: tuple[Workbench, Step],
    held: tuple[Workbench, Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench, take_over = held

    def trains(own: Workbench) -> None:
        time.sleep(0.1)
        assert own.leaving() == ""
        take_over()
        until = time.monotonic() + 60
        while not (reason := own.leaving()):
            assert time.monotonic() < until, "it trains on"
            time.sleep(0.01)
        raise StepLeft("optimizer step 10 of 20", reason)

    handed = stands_for_ray(monkeypatch, trains)
    ray_worker.work_in_group({"step": trial[1], "bench": bench})
    assert handed == []
    assert "attempt 1 was silent too long and another has taken over" in caplog.text


def test_workers_hand_nothing_over_where_the_trial_was_taken_over_at_its_end(
    trial: tuple[Workbench, Step],
    held: tuple[Workbench, Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, take_over = held
    handed = stands_for_ray(monkeypatch, lambda _: take_over())
    ray_worker.work_in_group({"step": trial[1], "bench": bench})
    assert handed == []


def test_what_ray_train_writes_is_gone_after_each_group(
    trial: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = trial
    folders: list[Path] = []

    def writes() -> None:
        (folders[-1] / "train-0").mkdir()
        saves(trial, len(folders))
        if len(folders) == 1:
            fails(RuntimeError("its node has died"))

    group = Group([writes, writes])
    before = list(bench.scratch.iterdir())
    trainer = lambda *arguments: folders.append(arguments[-1]) or group  # noqa: E731
    run(trial, group, monkeypatch, trainer=trainer)
    assert len({*folders}) == 2
    assert {each.parent for each in folders} == {bench.scratch}
    assert list(bench.scratch.iterdir()) == before


@pytest.mark.parametrize("failed", [False, True])
def test_the_process_of_a_trial_that_was_taken_over_starts_no_further_group(
    trial: tuple[Workbench, Step],
    held: tuple[Workbench, Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    failed: bool,
) -> None:
    bench, take_over = held

    def ends() -> None:
        saves(trial, 10)
        take_over()
        if failed:
            fails(RuntimeError("CUDA out of memory"))

    group = Group([ends, lambda: None])
    with pytest.raises(StepBusy, match="another has taken over"):
        run((bench, trial[1]), group, monkeypatch)
    assert group.fits == 1


def test_the_wait_for_the_first_workers_is_told(
    trial: tuple[Workbench, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, step = trial
    now = [1000.0]
    for module in (distributed, handover):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 2)
    monkeypatch.setattr(ray_worker.ray.train, "get_context", lambda: context)
    notice = SimpleNamespace(reason=str, end=lambda: None)
    monkeypatch.setattr(ray_worker, "Notice", lambda _: notice)
    monkeypatch.setattr(ray_worker, "run_worker", lambda *_, **__: None)
    monkeypatch.setattr(ray_worker, "hand_over", lambda *_: None)
    told: list[object] = []
    monkeypatch.setattr(ray_worker.ray.train, "report", told.append)

    def begins(waiting: float) -> None:
        now[0] += waiting
        ray_worker.work_in_group({"step": step, "bench": bench})
        now[0] += 500  # of training

    def lost() -> None:
        begins(60)
        saves(trial, 10)
        fails(RuntimeError("its node has died"))

    group = Group([lost, lambda: begins(7)])
    assert run(trial, group, monkeypatch) == 60
    assert told == [{"finished": 0, "error": ""}] * 2  # each group that it has begun
    # Another process of the trial waits anew; one that finds an outcome has waited for nothing.
    assert run(trial, Group([lambda: begins(20)]), monkeypatch) == 20
    assert run(trial, Group([lambda: None]), monkeypatch) == 0
