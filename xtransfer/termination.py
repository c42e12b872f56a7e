"""What SIGTERM does to a driver: it ends as by Ctrl-C, and running trials leave first."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


def on_terminate() -> None:
    """Make SIGTERM end the driver as Ctrl-C does, so that Ray and scratch are cleaned up."""
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))


@contextmanager
def ending_on_terminate(leave: Callable[[], None], *, seconds: float) -> Iterator[None]:
    """Have SIGTERM call `leave`, and interrupt the block if it has not ended `seconds` later.

    Raises:
        KeyboardInterrupt: after the block, when SIGTERM has come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, ended = threading.Event(), threading.Event()

    def wait() -> None:
        told.wait()
        if ended.is_set():
            return
        log.info("told to end: running trials save their state and leave")
        try:
            leave()
        except Exception as error:  # noqa: BLE001 - Ray may be down: the end must come all the same
            log.warning("running trials were not told: %s", error)
        if not ended.wait(seconds):
            os.kill(os.getpid(), signal.SIGINT)  # Tune ends its run on it

    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    waiter = threading.Thread(target=wait, name="ending", daemon=True)
    waiter.start()
    try:
        yield
        if told.is_set():
            raise KeyboardInterrupt
    finally:
        ended.set()
        told.set()
        waiter.join()
        signal.signal(signal.SIGTERM, before)
