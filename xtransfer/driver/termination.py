"""What Ctrl-C, SIGTERM and SIGHUP do to a driver: running trials save their state and leave, and it ends.

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

log = logging.getLogger(__name__)


def on_terminate() -> None:
    """Make SIGTERM and SIGHUP end the driver as Ctrl-C does, so that Ray and scratch are cleaned up.

    Also where SIGINT is ignored, as a shell has it for what a script starts in the background.
    """
    for number in (signal.SIGTERM, *_hang_up()):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def starting_processes() -> Iterator[None]:
    """Keep signals to the driver past a block that starts processes for it, as `ray.init` does.

    SIGTERM does the same afterwards: `ray.init` sets a handler that exits. And those processes block SIGHUP and
    SIGTERM: a terminal that closes, `timeout`, systemd and Slurm send them to all at once, and trials must live
    on to save their state. The driver ends them with SIGKILL.

    Raises:
        KeyboardInterrupt: when one of both has come meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
    told = False
    try:
        yield
    except SystemExit as end:  # that handler: another thread has taken the signal
        raise KeyboardInterrupt from end
    finally:
        if signal.SIGTERM in signal.sigpending():
            told = signal.sigwait({signal.SIGTERM}) == signal.SIGTERM
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    if told:
        raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals to end while a block of some seconds clears up, which must not be left half done.

    Ray's shutdown that Ctrl-C has interrupted crashes the process at its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
