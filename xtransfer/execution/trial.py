"""One step on the cluster: the function that Ray Tune runs, in a process that Tune keeps warm."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from xtransfer.config.placement import Placement
from xtransfer.errors import (
    InputLost,
    StepBusy,
    StepLeft,
    StoreError,
    XtransferError,
)
from xtransfer.execution.execute import run_step
from xtransfer.plan import Plan, Step
from xtransfer.process.allocation import keep_freed_memory, release_memory
from xtransfer.process.leaving import Notice
from xtransfer.process.workbench import Workbench
from xtransfer.records.failures import note_failure
from xtransfer.records.journal import read_plan
from xtransfer.records.logs import StoreLog
from xtransfer.store import Store, StoreOptions, open_store

TELL_EVERY_S = 1.0
LOG_EVERY_S = 15.0


def run_trial(
    config: dict[str, Any],
    *,
    plan_name: str,
    placement: dict[str, Any],
    scratch: str,
    run: str,
) -> None:
    """Run the step `config["key"]` of the plan stored as `plan_name`.

    Reports progress as it goes and `finished` or `error` at the end (a result named `done` would end the
    trial: Tune reads it). What could not reach the store is worth a second try, and says so (`again`).
    A parent whose record or files are damaged is reported as `lost`: the driver has it done again.
    A step that another process is at work on is `busy`: the driver waits for its record. One that had to
    go is `left`; where the node is about to go, so does the process, lest it be given another step. Where the
    plan cannot be read (`planless`), the driver writes it anew before the next try.
    """
    keep_freed_memory()
    where = Placement.model_validate(placement)
    store = store_of(where)
    log = StoreLog(store, config["key"])
    try:
        plan = _plan(store, plan_name)
    except StoreError as error:
        log.write(f"did not begin: {error}")
        log.flush()
        tune.report({"finished": 0, "error": str(error), "again": 1, "planless": 1})
        return
    step = plan.steps[config["key"]]
    logging.getLogger().addHandler(log)
    log.write(f"{step.folder} begins")
    log.flush()  # a process that is killed flushes nothing
    notice = Notice(run)
    bench = Workbench(
        plan=plan,
        store=store,
        placement=where,
        scratch=Path(scratch),
        run=run,
        leaving=notice.reason,
        tell=_Throttle(log),
    )
    try:
        ended = _attempt(step, bench, notice, log)
        tune.report(ended)
        if ended.get("left") and notice.draining:
            log.flush()
            os._exit(1)
    finally:
        notice.end()
        logging.getLogger().removeHandler(log)
        log.flush()
        release_memory()


def store_of(placement: Placement) -> Store:
    """Open the placement's store, which has answered the driver: if it is away, it is waited for."""
    options = StoreOptions(**placement.s3.model_dump(), answers=True)
    return open_store(placement.store, options=options)


def _attempt(step: Step, bench: Workbench, notice: Notice, log: StoreLog) -> dict[str, Any]:
    """Do a step, log how that ended, and return what is to be reported of it."""
    try:
        if reason := notice.look():  # the thread may not have looked yet
            raise StepLeft(step.folder, reason, "It has not begun.")
        record = run_step(step, bench)
    except StepBusy as error:
        log.write(f"left alone: {error}")
        return {"finished": 0, "error": str(error), "busy": 1}
    except StepLeft as error:
        log.write(f"left: {error}")
        return {"finished": 0, "error": "", "left": 1}
    except InputLost as error:
        log.write(f"stopped: {error}")
        return {"finished": 0, "error": str(error), "lost": error.where}
    except StoreError as error:
        log.write(f"gave up: {error}")
        return {"finished": 0, "error": str(error), "again": 1}
    except Exception as error:  # noqa: BLE001 - whatever it was, it is reported, noted and logged
        known = isinstance(error, XtransferError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        log.write(f"failed\n{traceback.format_exc()}")
        with contextlib.suppress(StoreError):  # the driver hears of it by the report, too
            note_failure(bench.store, step, text, traceback.format_exc())
        return {"finished": 0, "error": text}
    log.write(f"recorded after {record.timing['seconds']:.1f} s")
    return {"finished": 1, "error": "", "seconds": record.timing["seconds"]}


class _Throttle:
    """Passes on at most one report a second and logs one in fifteen.

    The first comes through, and so does every one of a rung, which its trial waits to hear of.
    """

    def __init__(self, log: StoreLog) -> None:
        self.log = log
        self.last = 0.0
        self.logged = 0.0

    def __call__(self, facts: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self.last >= TELL_EVERY_S or facts.get("rung") is not None:
            self.last = now
            if now - self.logged >= LOG_EVERY_S or facts.get("dev") is not None:
                self.logged = now
                self.log.facts(facts)
            tune.report({"finished": 0, "error": "", "pid": os.getpid(), **facts})


@lru_cache(maxsize=4)
def _plan(store: Store, name: str) -> Plan:
    return read_plan(store, name)
