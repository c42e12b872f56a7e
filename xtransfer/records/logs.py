"""Logs in the store: what each step and each driver said, readable after the machines are gone.

logs/{step key}/{time}-{host}-{pid}.log      one attempt at a step; `-hung` before `.log`: its stacks
logs/{experiment}-{plan key}/{time}.log      one driver
                                             a long log goes on in `…~0001.log` and so on
logs/{job}/plan-{plan key}                   a driver of this Kubernetes job works on that plan
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from xtransfer.errors import StoreError, XtransferError
from xtransfer.records.layout import LOGS, PLAN_NOTE
from xtransfer.store import Store

JOB_VARIABLE = "XTRANSFER_JOB"
"""What a driver on Kubernetes knows its job's name by."""
FLUSH_EVERY_S = 10.0
"""Seconds that a line waits until it is put into the store, though nothing more is said: what a process that
is killed said last before that is kept."""
PART_BYTES = 1 << 15
"""Size from which a log goes on in another object: each is written anew with every line, so that one log of a
trial of days would cost the store gigabytes."""


def log_name(folder: str, tail: str = "") -> str:
    """Return the name of a new log of this process in the store."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"{LOGS}/{folder}/{stamp}-{socket.gethostname()}-{os.getpid()}{tail}.log"


def note_job(store: Store, job: str, plan_key: str) -> None:
    """Note which plan a job's driver works on, for who looks for its log by the job's name.

    A job that was submitted from where the inputs are not has another key in its name than the plan has.
    """
    if not job or job.rpartition("-")[2] == plan_key:
        return
    with contextlib.suppress(StoreError):  # as a log, it must not fail what it tells of
        store.write(f"{LOGS}/{job}/{PLAN_NOTE}{plan_key}", b"")


class StoreLog(logging.Handler):
    """A log whose text is in the store: an object that is rewritten as it grows, then the next.

    Writing a log must never fail what it logs: a store that cannot be reached loses lines, no more.
    """

    def __init__(self, store: Store, folder: str, *, flush_every_s: float = FLUSH_EVERY_S) -> None:
        super().__init__(logging.WARNING)
        self.store = store
        self.first = log_name(folder)
        self.object = self.first
        """Where the lines go."""
        self.part = 0
        self.lines: list[str] = []
        """Those of this object."""
        self.flush_every_s = flush_every_s
        self.saved = 0
        """Lines that are in the store."""
        self.timer: threading.Timer | None = None
        self.guard = threading.Lock()
        self.writing = threading.Lock()

    def write(self, text: str) -> None:
        """Add one line, with the time before it. It does not wait for the store."""
        with self.guard:
            self.lines.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}")
            if self.timer is None:
                self.timer = threading.Timer(self.flush_every_s, self.flush)
                self.timer.daemon = True
                self.timer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Add a log record, with its traceback if it has one; one that cannot be formatted is added as it is."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a library's faulty call is no failure of the step
            text = f"{record.msg!r} with {record.args!r} ({type(error).__name__}: {error})"
        self.write(f"{record.levelname} {record.name}: {text}")

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Add what a running step tells of itself."""
        shown = {name: value for name, value in facts.items() if value is not None}
        self.write(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in shown.items()
            )
        )

    def flush(self) -> None:
        """Write all lines to the store."""
        with self.writing:
            with self.guard:
                if self.timer is not None:
                    self.timer.cancel()
                    self.timer = None
                lines = list(self.lines)
            if len(lines) == self.saved:
                return
            data = ("\n".join(lines) + "\n").encode(errors="backslashreplace")
            try:
                self.store.write(self.object, data)
            except StoreError:
                return
            self.saved = len(lines)
            if len(data) >= PART_BYTES:
                self.part += 1
                self.object = f"{self.first.removesuffix('.log')}~{self.part:04d}.log"
                with self.guard:
                    self.lines, self.saved = self.lines[self.saved :], 0


@contextmanager
def logged_in(log: StoreLog) -> Iterator[None]:
    """Have a driver's log take what is logged in the block, and the error that ends it.

    Warnings go to stderr all the same: Python prints them there only while nothing takes them.
    """
    root = logging.getLogger()
    handlers: list[logging.Handler] = [log]
    if not root.handlers and logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    except XtransferError as error:
        log.write(f"gave up: {error}")
        raise
    except KeyboardInterrupt:
        log.write("interrupted")
        raise
    except Exception:
        log.write(f"failed\n{traceback.format_exc()}")
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        log.flush()


def kept_logs(store: Store, key: str) -> dict[str, str]:
    """Return name -> whole text of the logs that drivers of a plan, or attempts at a step, left; oldest first.

    Args:
        store: where they are.
        key: of the plan or the step, or the one in the name of a job.
    """
    names = sorted(item.name for item in store.list(f"{LOGS}/"))
    noted = {_last(n).removeprefix(PLAN_NOTE) for n in names if _key_in(n) == key and _is_note(n)}
    kept: dict[str, str] = {}
    for name in names:
        if _key_in(name) in {key, *noted} and not _is_note(name):
            first = re.sub(r"~\d+\.log$", ".log", name)
            kept[first] = kept.get(first, "") + store.read(name).decode(errors="replace")
    return kept


def _key_in(name: str) -> str:
    return name.split("/")[1].rpartition("-")[2]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _is_note(name: str) -> bool:
    return _last(name).startswith(PLAN_NOTE)
