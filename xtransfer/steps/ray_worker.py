"""What Ray Train runs in each worker of a trial: that worker's training, and whether it must go.

Workers whose node is about to go save and return, all of them, without an outcome. Where another process has
taken the trial over, workers return, too: they look for themselves, since the trial's own process may be the
one that was stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import ray.train

from xtransfer.errors import StepBusy, StepLeft, StoreError
from xtransfer.folders import temporary_folder
from xtransfer.plan import Step
from xtransfer.process.leaving import Notice
from xtransfer.process.libraries import load_libraries
from xtransfer.process.workbench import Workbench
from xtransfer.steps.handover import hand_over, say_begun
from xtransfer.steps.worker import run_worker

REPORT_EVERY = 20
"""Optimizer steps between two reports: each is a barrier for all workers."""

log = logging.getLogger(__name__)


def work_in_group(config: Mapping[str, Any]) -> None:
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
            say_begun(bench.store, step.key)
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
            hand_over(bench.store, step.key, folder)


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
