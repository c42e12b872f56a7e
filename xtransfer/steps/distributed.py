"""A trial on several workers: Ray Train runs the same loop on each, and rank 0 hands the outcome back.

Ray Train places the workers, joins them in a process group and starts them again when one dies, with
fewer of them or more where the placement lets it. What they resume from is this project's own checkpoint
in the store: whole tensors, which any number of workers can take up, so nothing depends on the moment at
which Ray Train notes a checkpoint of its own.

Workers whose node is about to go save and return, all of them, without an outcome. The trial's process
then starts a new group, on what nodes there are. Where another process has taken the trial over, workers
return, too: they look for themselves, since the trial's own process may be the one that was stopped.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
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

from xtransfer.errors import (
    InputLost,
    NotFound,
    OutOfMemory,
    StepBusy,
    StepError,
    StepLeft,
    StoreError,
    shown,
)
from xtransfer.folders import temporary_folder
from xtransfer.identity import file_digest
from xtransfer.plan import Step
from xtransfer.process.leaving import Notice
from xtransfer.process.libraries import load_libraries
from xtransfer.process.workbench import Workbench
from xtransfer.records.checkpoints import newest_checkpoint
from xtransfer.records.layout import RESUME
from xtransfer.steps.assembly import WEIGHTS
from xtransfer.steps.outcome import OUTCOME
from xtransfer.steps.training import run_worker
from xtransfer.store import Store

REPORT_EVERY = 20
"""Optimizer steps between two reports: each is a barrier for all workers."""
START_WITHIN_S = 30
"""Seconds for a group of workers to start; then Ray Train looks again at how many there is room for."""
DIGESTS = "digests.json"
BEGAN = "began"
"""When the first workers of a trial's process began, Unix s."""
_NAMED = (StepError, StoreError)
"""Errors of workers that say what happened."""

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
    bench.store.delete(_object(step.key, BEGAN))
    while not _fetch_outcome(bench.store, step.key, folder):
        if reason := bench.leaving():
            raise StepLeft(step.folder, reason, "Its workers have saved their state.")
        _run_group(step, bench)
        bench.fence()  # what was handed over may be another's by now
    return _waited(bench.store, step.key, asked)


def _run_group(step: Step, bench: Workbench) -> None:
    """Run workers until they have an outcome, had to go, or failed and got further before that."""
    before = newest_checkpoint(bench.store, step.key)
    try:
        with temporary_folder(bench.scratch) as folder:
            _trainer(step, bench, folder).fit()
    except ray.train.TrainingFailedError as error:
        with suppress(StoreError):  # two groups in one memory fail of each other
            bench.fence()
        cause = _innermost(error)
        if isinstance(cause, InputLost | OutOfMemory):
            raise cause from error
        stuck = newest_checkpoint(bench.store, step.key) == before
        if isinstance(cause, StoreError) and stuck:
            raise cause from error
        if isinstance(cause, StepError) or stuck:
            log_of = f"xtransfer logs CONFIG --store {bench.store.url} --step {step.key}"
            raise StepError(step.folder, _last_line(cause), f"Its log: {log_of}") from error
        log.warning(
            "%s goes on from where it is: %s", step.folder, shown(_last_line(cause), most=300)
        )


def _trainer(step: Step, bench: Workbench, folder: Path) -> TorchTrainer:
    """Return what runs the workers until they have an outcome, or had to go; `folder`: for what Ray Train writes."""
    wants = bench.placement.train
    resources: dict[str, float] = {"CPU": wants.cpus}
    if wants.gpus:
        resources["GPU"] = wants.gpus
    return TorchTrainer(
        _work,
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


def _work(config: Mapping[str, Any]) -> None:
    """Train as one worker; Ray Train calls this in each of them."""
    load_libraries()
    context = ray.train.get_context()
    step: Step = config["step"]
    bench: Workbench = config["bench"]
    notice, overtaken = Notice(bench.run), _Overtaken(bench)
    bench = replace(bench, tell=_Barrier(), leaving=lambda: notice.reason() or overtaken.reason)
    rank, world_size = context.get_world_rank(), context.get_world_size()
    # It has begun: until now it was waited for.
    ray.train.report({"finished": 0, "error": ""})
    if rank == 0:
        with suppress(StoreError):  # of the trial's time alone
            bench.store.create(_object(step.key, BEGAN), str(time.time()).encode())
    with temporary_folder(bench.scratch) as folder:
        try:
            run_worker(step, bench, folder, rank=rank, world_size=world_size)
            if rank == 0:
                bench.refuse_altered_files()  # the outcome has rows of theirs that were not learnt
                bench.fence()
        except (StepBusy, StepLeft) as left:
            log.warning("%s: %s", step.folder, overtaken.reason or left)
            return
        finally:
            notice.end()
            overtaken.end()
            bench.holds.release()
        if rank == 0:
            _hand_over(bench.store, step.key, folder)


class _Barrier:
    """Reports on every worker at the same steps, as Ray Train asks."""

    def __call__(self, facts: Mapping[str, Any]) -> None:
        told = facts.get("dev") is not None or facts.get("rung") is not None
        if told or facts["step"] % REPORT_EVERY == 0:
            ray.train.report({"finished": 0, "error": "", **facts})


class _Overtaken:
    """Looks, in a thread of its own, whether another process has taken the step over."""

    def __init__(self, bench: Workbench) -> None:
        self.reason = ""
        """Why this worker must go; empty while it need not."""
        self._bench = bench
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="overtaken", daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self.reason:
            try:
                self._bench.fence()
            except StepBusy as error:
                self.reason = error.what
            except StoreError as error:
                log.debug("no look whether the step was taken over: %s", error)
            # As often as the lease is renewed: that is when its holder would notice.
            if self._ended.wait(self._bench.placement.lease_s / 3):
                return


def _silent(facts: Mapping[str, Any]) -> None:
    """Say nothing."""


def _stay() -> str:
    return ""


def _hand_over(store: Store, key: str, folder: Path) -> None:
    """Put rank 0's files into the store; the trial's own process may be on another node."""
    digests = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    for name in digests:
        store.upload(_object(key, name), folder / name)
    store.write(_object(key, DIGESTS), json.dumps(digests).encode())


def _fetch_outcome(store: Store, key: str, folder: Path) -> bool:
    """Fetch what rank 0 handed over, now or before the last driver was lost; False without it."""
    try:
        digests = json.loads(store.read(_object(key, DIGESTS)))
        for name in {WEIGHTS, OUTCOME, *digests}:
            if Path(name).name != name:
                raise ValueError(f"{name} is no name of a file")
            store.download(_object(key, name), folder / name)
            if file_digest(folder / name) != digests[name]:
                raise ValueError(f"{name} is damaged")
    except NotFound:
        return False
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("step %s: what its workers left is of no use: %s", key, error)
        store.delete(_object(key, DIGESTS))
        return False
    return True


def _waited(store: Store, key: str, asked: float) -> float:
    """Return the seconds from `asked` until the first workers began; 0 where none did, or nothing says when."""
    try:
        return max(0.0, float(store.read(_object(key, BEGAN))) - asked)
    except (NotFound, ValueError):
        return 0.0


def _object(key: str, name: str) -> str:
    return f"{RESUME}/{key}/outcome/{name}"


def _innermost(error: Exception) -> BaseException:
    """Return the innermost cause of a failed training run: of several workers', one with a name.

    When one worker fails, the others lose their connection to it, and fail of that.
    """
    failures = getattr(error, "worker_failures", None) or {}
    causes = [_cause(each) for each in failures.values()] or [_cause(error)]
    return next((each for each in causes if isinstance(each, _NAMED)), causes[0])


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None and not isinstance(error, _NAMED):
        error = error.__cause__
    return error


def _last_line(cause: BaseException) -> str:
    """Return what an error says; the last line where it holds a worker's whole traceback."""
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(cause).__name__
