"""Logs in the store: what each step and each driver said, readable after the machines are gone.

logs/{step key}/{time}-{host}-{pid}.log      one attempt at a step; `-hung` before `.log`: its stacks
logs/{experiment}-{plan key}/{time}.log      one driver
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from xtransfer.errors import StoreError
from xtransfer.store import Store

FLUSH_EVERY_S = 30.0
"""Most seconds that a line waits before it is in the store."""


def log_name(folder: str, tail: str = "") -> str:
    """Return the name of a new log of this process in the store."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"logs/{folder}/{stamp}-{socket.gethostname()}-{os.getpid()}{tail}.log"


class StoreLog(logging.Handler):
    """A log whose text is one object in the store, rewritten as it grows.

    Writing a log must never fail what it logs: a store that cannot be reached loses lines, no more.
    """

    def __init__(self, store: Store, folder: str) -> None:
        super().__init__(logging.WARNING)
        self.store = store
        self.object = log_name(folder)
        self.lines: list[str] = []
        self.flushed = time.monotonic()
        self.unsaved = False

    def write(self, text: str) -> None:
        """Add one line, with the time before it."""
        self.lines.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}")
        self.unsaved = True
        if time.monotonic() - self.flushed > FLUSH_EVERY_S:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Add a log record as a line."""
        self.write(f"{record.levelname} {record.name}: {record.getMessage()}")

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
        if not self.unsaved:
            return
        self.flushed = time.monotonic()
        try:
            self.store.write(self.object, ("\n".join(self.lines) + "\n").encode())
        except StoreError:
            return
        self.unsaved = False
