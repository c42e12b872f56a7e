"""A trial on several workers: Ray Train runs the same loop on each, and rank 0 hands the outcome back.

Ray Train places the workers, joins them in a process group and starts them again when one dies. What
they resume from is this project's own checkpoint in the store, so nothing depends on the moment at which
Ray Train notes a checkpoint of its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from xtransfer.errors import InputLost, IntegrityError, StepError
from xtransfer.execute import Workbench
from xtransfer.identity import file_digest
from xtransfer.plan import Step
from xtransfer.train.assembly import WEIGHTS
from xtransfer.train.trial import OUTCOME, run_worker

REPORT_EVERY = 20
"""Optimizer steps between two reports: each is a barrier for all workers."""


def train_on_workers(step: Step, bench: Workbench, folder: Path) -> None:
    """Run a trial on `placement.train.workers` workers; leave weights and outcome in `folder`.

    Raises:
        StepError: when the workers failed and were not to be started again.
        InputLost: when they found what a parent left damaged.
    """
    wants = bench.placement.train
    resources: dict[str, float] = {"CPU": wants.cpus}
    if wants.gpus:
        resources["GPU"] = wants.gpus
    trainer = TorchTrainer(
        _work,
        train_loop_config={"step": step, "bench": replace(bench, tell=_silent)},
        torch_config=TorchConfig(backend="nccl" if wants.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=wants.workers, resources_per_worker=resources, use_gpu=wants.gpus > 0
        ),
        run_config=RunConfig(
            name=f"train-{step.key}",
            storage_path=str(bench.scratch / "ray-train"),
            callbacks=[TuneReportCallback()],
            failure_config=FailureConfig(max_failures=bench.placement.retries),
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        cause = _innermost(error)
        if isinstance(cause, InputLost):
            raise cause from error
        raise StepError(step.folder, _first_line(cause)) from error
    _fetch_outcome(bench, step.key, folder)


def _work(config: Mapping[str, Any]) -> None:
    """Train as one worker; Ray Train calls this in each of them."""
    context = ray.train.get_context()
    step: Step = config["step"]
    bench: Workbench = replace(config["bench"], tell=_Barrier())
    with tempfile.TemporaryDirectory(prefix="xtransfer-") as temporary:
        folder = Path(temporary)
        run_worker(
            step, bench, folder, rank=context.get_world_rank(), world_size=context.get_world_size()
        )
        if context.get_world_rank() == 0:
            _hand_over(bench, step.key, folder)


class _Barrier:
    """Reports on every worker at the same steps, as Ray Train asks."""

    def __call__(self, facts: Mapping[str, Any]) -> None:
        if facts["step"] % REPORT_EVERY == 0 or facts.get("dev") is not None:
            ray.train.report({"finished": 0, "error": "", **facts})


def _silent(facts: Mapping[str, Any]) -> None:
    """Say nothing."""


def _hand_over(bench: Workbench, key: str, folder: Path) -> None:
    """Put rank 0's files into the store; the trial's own process may be on another node."""
    digests = {name: file_digest(folder / name) for name in (WEIGHTS, OUTCOME)}
    for name in digests:
        bench.store.upload(f"resume/{key}/outcome/{name}", folder / name)
    bench.store.write(f"resume/{key}/outcome/digests.json", json.dumps(digests).encode())


def _fetch_outcome(bench: Workbench, key: str, folder: Path) -> None:
    digests = json.loads(bench.store.read(f"resume/{key}/outcome/digests.json"))
    for name, digest in digests.items():
        source = f"resume/{key}/outcome/{name}"
        bench.store.download(source, folder / name)
        if file_digest(folder / name) != digest:
            raise IntegrityError(source, "differs from what rank 0 wrote", "Run the step again.")


def _innermost(error: Exception) -> BaseException:
    """Return the innermost cause of a failed training run."""
    failures = getattr(error, "worker_failures", None) or {}
    cause: BaseException = next(iter(failures.values()), error)
    while cause.__cause__ is not None and not isinstance(cause, InputLost):
        cause = cause.__cause__
    return cause


def _first_line(cause: BaseException) -> str:
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(cause).__name__
