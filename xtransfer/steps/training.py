"""The train step: a trial in this process or on several workers, and what is done when memory does not suffice."""

from __future__ import annotations

import gc
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from xtransfer.errors import DataError, OutOfMemory
from xtransfer.plan import Step, few_shot_data
from xtransfer.records.record import Done
from xtransfer.steps.outcome import read_outcome
from xtransfer.steps.worker import run_worker
from xtransfer.sweeps.rungs import rulings_of, rungs_of

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

log = logging.getLogger(__name__)


def train_step(step: Step, bench: Workbench, folder: Path) -> Done:
    """Run the trial that a train step names; write its exported weights into `folder`.

    One that runs out of memory goes on once in smaller micro-batches, from its last checkpoint.

    Raises:
        DataError: when there are fewer examples than a few-shot trial is to learn from.
    """
    _check_shots(step, bench)
    try:
        return _run(step, bench, folder)
    except OutOfMemory as error:
        log.warning("%s", error)
    # Outside of the clause above the error is gone, and with it the frames that hold tensors.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return _run(step, bench, folder)


def _check_shots(step: Step, bench: Workbench) -> None:
    for key in few_shot_data(step):
        data = bench.record(key)
        wanted: int = data.spec["limit"]["examples"]
        for language, found in data.result["languages"].items():
            if found["used"] < wanted:
                raise DataError(
                    f"{data.spec['task']} {data.spec['role']} {language}",
                    f"has {found['used']} examples, and {wanted} are to be learned from",
                    f"Lower target.few_shot.{data.spec['task']}.examples.",
                )


def _run(step: Step, bench: Workbench, folder: Path) -> Done:
    if bench.placement.train.most_workers > 1:
        from xtransfer.steps.distributed import train_on_workers

        waited = train_on_workers(step, bench, folder)
    else:
        waited = 0.0
        run_worker(step, bench, folder, rank=0, world_size=1)
    done = read_outcome(folder)
    if waited:
        done.timing["waited_s"] = waited
    if rungs_of(step):
        rulings = rulings_of(bench.store, step)
        done.result["rulings"] = [each.model_dump(exclude={"key"}) for each in rulings]
    return done
