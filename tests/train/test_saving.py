"""Checkpoints are saved one at a time behind the trainer's back, and nothing of it is lost from view."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
import torch

from tests.train.workers import SPEC, train_tiny
from xtransfer.errors import StepLeft, StoreError
from xtransfer.records.checkpoints import load_checkpoint, save_checkpoint
from xtransfer.store import open_store
from xtransfer.train.context import Checkpoint, Context, Progress
from xtransfer.train.saving import BackgroundSaver

KEY = "0123456789ab"


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(state={"step": step}, tensors={"weights/a": torch.ones(3)})


class Gate:
    """A writer that waits to be let through, and counts who is inside."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.inside = 0
        self.most = 0
        self.written: list[int] = []

    def __call__(self, each: Checkpoint) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.release()
        self.open.acquire()
        self.written.append(each.state["step"])
        self.inside -= 1


def test_saving_does_not_wait_and_flushing_does() -> None:
    gate = Gate()
    saver = BackgroundSaver(gate)
    saver.save(checkpoint(1))
    gate.entered.acquire()
    assert gate.written == []
    gate.open.release()
    saver.flush()
    assert gate.written == [1]
    saver.flush()


def test_one_checkpoint_at_a_time_is_in_flight_in_the_order_they_came() -> None:
    gate = Gate()
    saver = BackgroundSaver(gate)
    for _ in range(5):
        gate.open.release()
    for step in range(5):
        saver.save(checkpoint(step))
    saver.flush()
    assert gate.most == 1
    assert gate.written == list(range(5))


def test_a_saver_is_busy_while_it_writes() -> None:
    gate = Gate()
    saver = BackgroundSaver(gate)
    assert not saver.busy()
    saver.save(checkpoint(1))
    gate.entered.acquire()
    assert saver.busy()
    gate.open.release()
    saver.flush()
    assert not saver.busy()


def test_training_does_not_wait_for_a_store_slower_than_checkpoints_are_due() -> None:
    saved: list[int] = []
    slow_until = 5

    def busy() -> bool:
        return bool(saved) and saved[-1] < told[-1].step < saved[-1] + slow_until

    told: list[Progress] = []
    train_tiny(
        SPEC,
        Context(
            pad_id=1,
            report=told.append,
            save=lambda each: saved.append(each.state["step"]),
            saving=busy,
            save_every_s=0.0,
        ),
    )
    assert saved == list(range(1, told[-1].total + 1, slow_until))


def test_who_must_leave_saves_whatever_is_being_written() -> None:
    saved: list[int] = []
    told: list[Progress] = []
    context = Context(
        pad_id=1,
        report=told.append,
        save=lambda each: saved.append(each.state["step"]),
        saving=lambda: True,
        save_every_s=0.0,
        leaving=lambda: "told" if told[-1].step == 3 else "",
    )
    with pytest.raises(StepLeft):
        train_tiny(SPEC, context)
    assert saved == [3]


@pytest.mark.parametrize("error", [StoreError("s3://b", "refuses"), OSError(28, "disk full")])
def test_a_store_or_disk_that_refuses_costs_one_checkpoint(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[int] = []

    def write(each: Checkpoint) -> None:
        if each.state["step"] == 1:
            raise error
        written.append(each.state["step"])

    saver = BackgroundSaver(write)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):
            saver.save(checkpoint(step))
        saver.flush()
    assert written == [2]
    (record,) = caplog.records
    assert "no checkpoint after step 1" in record.getMessage()
    assert str(error) in record.getMessage()


def test_any_other_error_reaches_the_trainer_once() -> None:
    def write(_: Checkpoint) -> None:
        raise KeyError("a bug")

    saver = BackgroundSaver(write)
    saver.save(checkpoint(1))
    with pytest.raises(KeyError, match="a bug"):
        saver.save(checkpoint(2))
    saver.flush()


def test_what_is_saved_is_the_state_at_that_step_whatever_is_trained_meanwhile(
    tmp_path: Path,
) -> None:
    """Every write waits until training is over, and each checkpoint still resumes to the same weights."""
    kept: list[Checkpoint] = []
    context = Context(pad_id=1, save=kept.append, save_every_s=0.0)
    undisturbed = train_tiny(SPEC, context, dropout=0.2)
    store = open_store(str(tmp_path))
    saver = BackgroundSaver(
        lambda each: save_checkpoint(store, KEY, state=each.state, tensors=each.tensors)
    )
    for each in kept[:4]:
        saver.save(each)
    saver.flush()
    found = load_checkpoint(store, KEY)
    assert found is not None
    state, tensors = found
    assert state["step"] == 4
    resume = Checkpoint(state=state, tensors=tensors)
    resumed = train_tiny(SPEC, Context(pad_id=1, resume=lambda: resume), dropout=0.2)
    assert all(
        torch.equal(value, undisturbed.weights[name]) for name, value in resumed.weights.items()
    )
