"""Ends a process whose step has told nothing for too long, so that the step is started again.

A thread cannot interrupt a call that never returns, so the whole process goes. Before that the stacks of
all its threads go into the step's log in the store, and the reason where failures are noted. Should even
that hang (a call may hold Python's lock, or the store not answer), a timer without Python ends the process,
and the next attempt on the same node finds the stacks in the scratch folder.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xtransfer.errors import XtransferError
from xtransfer.plan import Step
from xtransfer.records.failures import note_failure
from xtransfer.records.logs import log_name
from xtransfer.store import Store

log = logging.getLogger(__name__)

LOOKS = 20
"""Times that it is looked whether the step still moves, within the time that it may be silent."""
GRACE_S = 60.0
"""Seconds for writing the stacks, after which the process ends without."""

Beat = Callable[[], None]
"""Called whenever the step has moved."""


def end_process() -> None:
    """End this process at once, as a kill from outside would."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watched(
    step: Step,
    store: Store,
    *,
    silent_s: float | None,
    scratch: Path,
    end: Callable[[], None] = end_process,
) -> Iterator[Beat]:
    """Watch over a step while the block lasts; the block calls what is yielded whenever it has moved.

    Args:
        step: that is worked on.
        store: gets the stacks and the reason.
        silent_s: seconds without a call after which the process ends; None: never.
        scratch: folder of this node.
        end: ends the process.
    """
    _tell_what_is_left(scratch, step, store)
    if silent_s is None:
        yield _nothing
        return
    left = scratch / f"hung-{step.key}-{os.getpid()}.txt"
    with left.open("w", encoding="utf-8") as file:
        watch = _Watch(step, store, silent_s, file.fileno(), end)
        thread = threading.Thread(target=watch.look, name=f"watchdog-{step.key}", daemon=True)
        thread.start()
        try:
            yield watch.beat
        finally:
            watch.stop.set()
            thread.join(GRACE_S)
            faulthandler.cancel_dump_traceback_later()
    left.unlink(missing_ok=True)


class _Watch:
    def __init__(
        self, step: Step, store: Store, silent_s: float, file: int, end: Callable[[], None]
    ) -> None:
        self.step, self.store = step, store
        self.silent_s, self.file, self.end = silent_s, file, end
        self.stop = threading.Event()
        self.moved = self.armed = time.monotonic()
        self._arm()

    def beat(self) -> None:
        self.moved = time.monotonic()
        if self.moved - self.armed > self.silent_s / LOOKS:
            self._arm()

    def look(self) -> None:
        while not self.stop.wait(self.silent_s / LOOKS):
            silent = time.monotonic() - self.moved
            if silent > self.silent_s:
                _tell_hung(self.step, self.store, silent)
                self.end()
                return

    def _arm(self) -> None:
        self.armed = time.monotonic()
        faulthandler.dump_traceback_later(self.silent_s + GRACE_S, exit=True, file=self.file)


def _tell_hung(step: Step, store: Store, silent: float) -> None:
    where = log_name(step.key, "-hung")
    what = f"hung: it told nothing for {silent:.0f} s (hung_after_s), so its process was ended"
    try:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            stacks = file.read().decode(errors="replace")
        store.write(where, f"{what}\n\n{stacks}".encode())
        note_failure(store, step, f"{what}. Stacks: {where}", stacks)
    except Exception as error:  # noqa: BLE001 - whatever it is, the process must end
        log.warning("%s %s; not noted: %s", step.folder, what, error)


def _tell_what_is_left(scratch: Path, step: Step, store: Store) -> None:
    """Put the stacks that earlier attempts could only leave on this node into the log."""
    for path in scratch.glob(f"hung-{step.key}-*.txt"):
        try:
            stacks = path.read_text(encoding="utf-8", errors="replace")
            if stacks:  # an empty one may be that of another worker at work
                store.write(log_name(step.key, "-hung"), stacks.encode())
                path.unlink(missing_ok=True)
        except (OSError, XtransferError) as error:
            log.warning("%s: stacks of a hung attempt stay there: %s", path, error)


def _nothing() -> None:
    """Take no note."""
