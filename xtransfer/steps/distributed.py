"""A trial on several workers: starts a group of them, waits, and answers with what rank 0 handed over.

Ray Train places the workers, joins them in a process group and starts them again when one dies, with
fewer of them or more where the placement lets it. What they resume from is this project's own checkpoint
in the store: whole tensors, which any number of workers can take up, so nothing depends on the moment at
which Ray Train notes a checkpoint of its own.

Workers whose node is about to go return without an outcome. The trial's process then starts a new group, on
what nodes there are.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from xtransfer.errors import InputLost, OutOfMemory, StepError, StepLeft, StoreError, shown
from xtransfer.folders import temporary_folder
from xtransfer.plan import Step
from xtransfer.process.workbench import Workbench
from xtransfer.records.checkpoints import newest_checkpoint
from xtransfer.steps.handover import fetch_outcome, forget_begun, measure_wait
from xtransfer.steps.ray_worker import work_in_group
from xtransfer.steps.worker_errors import cause_of, last_line

START_WITHIN_S = 30
"""Seconds for a group of workers to start; then Ray Train looks again at how many there is room for."""

log = logging.getLogger(__name__)


def train_on_workers(step: Step, bench: Workbench, folder: Path) -> float:
    """Run a trial on as many workers as the placement says; leave weights and outcome in `folder`.

    Returns the seconds for which its first workers were waited for, which take nothing until they have room.

    Ray Train starts them again `retries` times. Where they have got further by then, so does this.

    Raises:
        StepError: when the workers failed and were not to be started again.
        InputLost: when they found what a parent left damaged.
        StoreError: when the store refused, or fetched files were altered, so that another call may go on.
        StepBusy: when another process has taken the trial over.
        StepLeft: when this process must go.
        OutOfMemory: when another call would go on in smaller micro-batches.
    """
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(START_WITHIN_S))
    asked = time.time()
    forget_begun(bench.store, step.key)
    while not fetch_outcome(bench.store, step.key, folder):
        if reason := bench.leaving():
            raise StepLeft(step.folder, reason, "Its workers have saved their state.")
        _run_group(step, bench)
        bench.fence()  # what was handed over may be another's by now
    return measure_wait(bench.store, step.key, asked)


def _run_group(step: Step, bench: Workbench) -> None:
    """Run workers until they have an outcome, had to go, or failed and got further before that."""
    before = newest_checkpoint(bench.store, step.key)
    try:
        with temporary_folder(bench.scratch) as folder:
            _trainer(step, bench, folder).fit()
    except ray.train.TrainingFailedError as error:
        with suppress(StoreError):  # two groups in one memory fail of each other
            bench.fence()
        cause = cause_of(error)
        if isinstance(cause, InputLost | OutOfMemory):
            raise cause from error
        stuck = newest_checkpoint(bench.store, step.key) == before
        if isinstance(cause, StoreError) and stuck:
            raise cause from error
        if isinstance(cause, StepError) or stuck:
            log_of = f"xtransfer logs CONFIG --store {bench.store.url} --step {step.key}"
            raise StepError(step.folder, last_line(cause), f"Its log: {log_of}") from error
        log.warning(
            "%s goes on from where it is: %s", step.folder, shown(last_line(cause), most=300)
        )


def _trainer(step: Step, bench: Workbench, folder: Path) -> TorchTrainer:
    """Return what runs the workers until they have an outcome, or had to go; `folder`: for what Ray Train writes."""
    wants = bench.placement.train
    resources: dict[str, float] = {"CPU": wants.cpus}
    if wants.gpus:
        resources["GPU"] = wants.gpus
    return TorchTrainer(
        work_in_group,
        train_loop_config={"step": step, "bench": replace(bench, tell=_silent, leaving=_stay)},
        torch_config=TorchConfig(backend="nccl" if wants.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=wants.workers,
            resources_per_worker=resources,
            use_gpu=wants.gpus > 0,
            elastic_resize_monitor_interval_s=wants.resize_every_s,
        ),
        run_config=RunConfig(
            # A name of its own: Ray Train would take up the state of a former group of that name.
            name=f"train-{step.key}-{secrets.token_hex(4)}",
            storage_path=str(folder),
            callbacks=[TuneReportCallback()],
            failure_config=FailureConfig(max_failures=bench.placement.retries),
        ),
    )


def _silent(facts: Mapping[str, Any]) -> None:
    """Say nothing."""


def _stay() -> str:
    return ""
