"""Steps handed on to trackers while a plan is worked off, by threads that nothing waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from xtransfer.config.placement import Tracking
from xtransfer.driver.board import Board
from xtransfer.plan import Plan
from xtransfer.records.lookup import record_of
from xtransfer.store import Store
from xtransfer.tracking import Sink, first_line, sinks_of
from xtransfer.tracking.facts import facts_of

RETRY_S = 30.0
"""Seconds between two tries while a tracker fails."""
LAST_WAIT_S = 10.0
"""Most seconds that a run waits at its end for trackers that work; for one that fails, it does not."""

log = logging.getLogger(__name__)


class TrackingBoard:
    """Passes everything on to another board, and the keys of finished steps to feeds."""

    def __init__(self, board: Board, feeds: list[Feed]) -> None:
        self.board = board
        self.feeds = feeds

    def changed(self, key: str, state: str, text: str) -> None:
        """Pass on; a step that is done, or was, is to be shown."""
        self.board.changed(key, state, text)
        if state in ("done", "recorded"):
            for feed in self.feeds:
                feed.put(key)

    def told(self, key: str, facts: Mapping[str, Any]) -> None:
        """Pass on."""
        self.board.told(key, facts)


@contextmanager
def tracked(board: Board, plan: Plan, store: Store, tracking: Tracking) -> Iterator[Board]:
    """Yield a board that also has finished steps shown where `tracking` says.

    Raises:
        ConfigError: when what is asked for is not installed.
    """
    feeds = [Feed(sink, plan, store) for sink in sinks_of(tracking, plan.experiment)]
    if not feeds:
        yield board
        return
    for feed in feeds:
        feed.start()
    try:
        yield TrackingBoard(board, feeds)
    finally:
        for feed in feeds:
            feed.end()


class Feed(threading.Thread):
    """Shows steps in one tracker, one after the other. It raises nothing: what fails is tried again.

    Args:
        sink: the tracker.
        plan: whose steps they are.
        store: where their records are.
        retry_s: seconds between two tries.
    """

    def __init__(self, sink: Sink, plan: Plan, store: Store, *, retry_s: float = RETRY_S) -> None:
        super().__init__(name=f"track {sink.name}", daemon=True)
        self.sink = sink
        self.plan = plan
        self.store = store
        self.retry_s = retry_s
        self.keys: SimpleQueue[str | None] = SimpleQueue()
        self.known: set[str] | None = None
        self.begun: set[str] = set()
        """What somebody else has begun to show: it is looked at again in the end."""
        self.failing = threading.Event()
        self.ending = threading.Event()

    def put(self, key: str) -> None:
        """Have a step shown, sooner or later."""
        self.keys.put(key)

    def end(self, *, wait_s: float = LAST_WAIT_S) -> None:
        """Stop, after what is left, unless the tracker fails or it takes too long."""
        self.keys.put(None)
        self.ending.set()
        self.join(0.0 if self.failing.is_set() else wait_s)
        if self.is_alive() or self.failing.is_set() or self.begun:
            log.warning("%s: not all steps are shown; `xtransfer track` does it", self.sink.name)

    def run(self) -> None:
        """Show steps until the end."""
        while (key := self.keys.get()) is not None:
            while not self._shown(key):
                if self.ending.wait(self.retry_s):
                    return
        for key in tuple(self.begun):
            self._shown(key)

    def _shown(self, key: str) -> bool:
        try:
            if self.known is None:
                self.known = self.sink.known()
            step = self.plan.steps[key]
            if key not in self.known:
                record = record_of(self.store, step)
                if record is not None and self.sink.show(facts_of(record, step)):
                    self.known.add(key)
                    self.begun.discard(key)
                elif record is not None:
                    self.begun.add(key)
        except Exception as error:  # noqa: BLE001 - a tracker must not fail what it tracks
            if not self.failing.is_set():
                log.warning(
                    "%s: %s: %s; it is tried again, and the run goes on",
                    self.sink.name,
                    type(error).__name__,
                    first_line(error),
                )
            self.failing.set()
            self.known = None  # a step may be there by half
            return False
        self.failing.clear()
        return True
