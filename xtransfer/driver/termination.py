"""What Ctrl-C, SIGTERM and SIGHUP do to a command: it ends, and a driver's running trials save their state first.

SIGHUP is what a terminal that closes sends. Where it is ignored, as under nohup, it stays so.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any

MOST_PUT_OFF = 3
"""Signals to end of which the last is put off no more."""

log = logging.getLogger(__name__)


def on_terminate() -> None:
    """Make SIGTERM and SIGHUP end a command as Ctrl-C does, so that Ray and scratch are cleaned up.

    Also where SIGINT is ignored, as a shell has it for what a script starts in the background.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, *_hang_up()):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def starting_processes(*, shielded: bool = True) -> Iterator[None]:
    """Keep signals to the driver past a block that starts processes for it, as `ray.init` does.

    SIGTERM does the same afterwards: `ray.init` sets a handler that exits.

    Args:
        shielded: whether those processes block SIGHUP and SIGTERM. A terminal that closes, `timeout`, systemd and
            Slurm send them to all at once, and trials must live on to save their state; the driver then ends
            the processes with SIGKILL. The driver hears of both when the block has ended.

    Raises:
        KeyboardInterrupt: when one of both has come meanwhile, whatever else went wrong in the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {signal.SIGHUP, signal.SIGTERM} if shielded else set[signal.Signals]()
    before = signal.getsignal(signal.SIGTERM)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    except SystemExit as end:  # that handler: the signal came where it is not blocked
        raise KeyboardInterrupt from end
    finally:
        told = signal.SIGTERM in signal.sigpending()
        if told:
            signal.sigwait({signal.SIGTERM})
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if told:
            raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put signals to end off until a block has cleared up, which takes seconds and must not be left half done.

    Ray's shutdown that Ctrl-C has interrupted crashes the process at its end. The third signal interrupts the
    block all the same: it may hang.

    Raises:
        KeyboardInterrupt: after the block, when one has come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) == MOST_PUT_OFF:
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def ending_on_signal(leave: Callable[[], None], *, seconds: float) -> Iterator[None]:
    """Have SIGTERM, SIGHUP or Ctrl-C call `leave`, and interrupt the block if it has not ended `seconds` later.

    Ctrl-C after one of them interrupts the block at once. Tune must not take SIGINT for itself
    (TUNE_DISABLE_SIGINT_HANDLER); Ray's own processes, which a terminal sends it to as well, block it.

    Raises:
        KeyboardInterrupt: after the block, when one of them has come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main, ended = threading.main_thread().ident, threading.Event()
    assert main is not None
    told: list[int] = []
    news: SimpleQueue[bool] = SimpleQueue()  # a handler may put, whatever it has interrupted

    def note(number: int, _: FrameType | None) -> None:
        if told and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.append(number)
        news.put(True)

    def wait() -> None:
        if not news.get():
            return
        again = ". Ctrl-C again ends the run at once" if told[0] == signal.SIGINT else ""
        log.warning(
            "told to end: running trials save their state and leave, for which they have %g s%s",
            seconds,
            again,
        )
        try:
            leave()
        except Exception as error:  # noqa: BLE001 - Ray may be down: the end must come all the same
            log.warning("running trials were not told: %s", error)
        if not ended.wait(seconds):
            signal.pthread_kill(main, signal.SIGINT)

    numbers = (signal.SIGTERM, signal.SIGINT, *_hang_up())
    before = {number: signal.signal(number, note) for number in numbers}
    waiter = threading.Thread(target=wait, name="ending", daemon=True)
    waiter.start()
    try:
        yield
        if told:
            raise KeyboardInterrupt
    finally:
        ended.set()
        news.put(False)
        for number, handler in before.items():
            signal.signal(number, handler)
        waiter.join()


def _hang_up() -> tuple[signal.Signals, ...]:
    """Return SIGHUP, unless whoever started this process has it ignored."""
    return () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
