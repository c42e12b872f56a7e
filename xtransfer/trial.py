"""One step on the cluster: the function that Ray Tune runs, in a process that Tune keeps warm."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from xtransfer.errors import (
    InputLost,
    StepBusy,
    StepLeft,
    StoreError,
    UserError,
    XtransferError,
)
from xtransfer.execute import Workbench, run_step
from xtransfer.failures import note_failure
from xtransfer.leaving import Notice
from xtransfer.logs import StoreLog
from xtransfer.placement import Placement
from xtransfer.plan import Plan
from xtransfer.store import Store, StoreOptions, open_store

TELL_EVERY_S = 1.0
LOG_EVERY_S = 15.0

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt (malloc.h)."""


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
    go is `left`; where the node is about to go, so does the process, lest it be given another step.
    """
    _keep_freed_memory()
    where = Placement.model_validate(placement)
    store = store_of(where)
    step = _plan(store, plan_name).steps[config["key"]]
    log = StoreLog(store, step.key)
    logging.getLogger().addHandler(log)
    log.write(f"{step.folder} begins")
    log.flush()  # a process that is killed flushes nothing
    notice = Notice(run)
    bench = Workbench(
        plan=_plan(store, plan_name),
        store=store,
        placement=where,
        scratch=Path(scratch),
        run=run,
        leaving=notice.reason,
        tell=_Throttle(log),
    )
    try:
        record = run_step(step, bench)
    except StepBusy as error:
        log.write(f"left alone: {error}")
        tune.report({"finished": 0, "error": str(error), "busy": 1})
    except StepLeft as error:
        log.write(f"left: {error}")
        tune.report({"finished": 0, "error": "", "left": 1})
        if notice.draining:
            log.flush()
            os._exit(1)
    except InputLost as error:
        log.write(f"stopped: {error}")
        tune.report({"finished": 0, "error": str(error), "lost": error.where})
    except StoreError as error:
        log.write(f"gave up: {error}")
        tune.report({"finished": 0, "error": str(error), "again": 1})
    except Exception as error:  # noqa: BLE001 - whatever it was, it is reported, noted and logged
        text = (
            str(error) if isinstance(error, XtransferError) else f"{type(error).__name__}: {error}"
        )
        log.write(f"failed\n{traceback.format_exc()}")
        with contextlib.suppress(StoreError):  # the driver hears of it by the report, too
            note_failure(store, step, text, traceback.format_exc())
        tune.report({"finished": 0, "error": text, "user": isinstance(error, UserError)})
    else:
        log.write(f"recorded after {record.timing['seconds']:.1f} s")
        tune.report({"finished": 1, "error": "", "seconds": record.timing["seconds"]})
    finally:
        notice.end()
        logging.getLogger().removeHandler(log)
        log.flush()
        _release_memory()


def store_of(placement: Placement) -> Store:
    """Open the placement's store."""
    return open_store(placement.store, options=StoreOptions(**placement.s3.model_dump()))


def _keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the step's own next use, in one arena for all threads.

    By default a tensor over 32 MiB is mapped and unmapped each time, which costs a page fault a page,
    and every thread has an arena of its own that no other reuses: Tune runs each step in a new thread,
    so a warm process would grow by a model at every step.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has no mallopt
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _release_memory() -> None:
    """Give freed memory back to the system before this process takes its next step."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


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
    return Plan.from_json(json.loads(store.read(name)))
