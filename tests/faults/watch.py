"""What becomes of a store while runs over it are disturbed, seen from outside of them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from xtransfer.errors import NotFound, StoreError
from xtransfer.records.leases import attempts
from xtransfer.records.record import Record, key_in, load_records
from xtransfer.store import Store

KINDS = ("pretrain", "prepare", "train", "select", "evaluate")
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a finished run leaves that must not depend on how it went."""

    report: dict[str, bytes]
    """File of the report -> its bytes, without report.html: it tells what each run took and lost."""
    files: dict[str, str]
    """Step's folder and file -> SHA-256: weights, predictions, prepared data."""
    results: dict[str, str]
    """Step's folder -> SHA-256 of the result in its record: scores, losses, what was chosen."""


@dataclass
class Watch:
    """Looks at a store again and again, in a thread of its own.

    Args:
        store: reached past whatever disturbs the runs. It may be down now and then.
    """

    store: Store
    begun: set[str] = field(default_factory=set)
    """Keys of the steps that somebody has begun."""
    records: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    """Name of a record -> its bytes when it was first seen, and when (Unix time)."""
    training: set[str] = field(default_factory=set)
    """Keys of the steps that have left a resumable checkpoint, and no record yet."""
    resumed: int = 0
    """Attempts after the first at a step that had left a resumable checkpoint."""
    changed: float = field(default_factory=time.monotonic)
    """When there was last a new object."""
    _names: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def wait(self, until: Callable[[], bool], *, ended: Callable[[], bool]) -> bool:
        """Wait for a state of the store; False when `ended` comes true first."""
        while not until():
            if ended():
                return until()
            time.sleep(LOOK_EVERY_S / 5)
        return True

    def repeated(self) -> list[str]:
        """Return the steps that were done again though they had a record, once for each time."""
        found: list[str] = []
        for name, (_, seen) in self.records.items():
            done = [a for a in attempts(self.store, key_in(name)) if a.state == "done"]
            after = sum(attempt.began > seen for attempt in done)
            found += [name] * max(after, len(done) - 1)
        return found

    def rewritten(self) -> list[str]:
        """Return the records that are gone or have other bytes than when they were first seen."""
        return [name for name, (data, _) in self.records.items() if _read(self.store, name) != data]

    def _work(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self._look()
            except StoreError:  # it is down: look again
                continue

    def _look(self) -> None:
        new = {info.name for info in self.store.list("")} - self._names
        if new:
            self.changed = time.monotonic()
        for name in sorted(new):
            kind, key = name.split("/")[0], key_in(name)
            if key and kind in KINDS:
                self.records[name] = (self.store.read(name), time.time())
                self.training.discard(key)
            elif kind == "leases":
                key = name.split("/")[1]
                self.resumed += key in self.training
                self.begun.add(key)
            elif kind == "resume" and name.endswith("/manifest.json"):
                key = name.split("/")[1]
                if key not in {key_in(record) for record in self.records}:
                    self.training.add(key)
        self._names |= new


def what_is_left(store: Store) -> Left:
    """Return what a finished run left in its store."""
    records = load_records(store, KINDS)
    return Left(
        report={
            info.name.rsplit("/", 1)[1]: store.read(info.name)
            for info in store.list("reports/")
            if not info.name.endswith("/report.html")
        },
        files={
            f"{record.folder}/{file.name}": file.sha256
            for record in records.values()
            for file in record.files
        },
        results={record.folder: _digest(record) for record in records.values()},
    )


def attempts_by_state(store: Store) -> Counter[str]:
    """Return how the attempts at all steps ended."""
    keys = {info.name.split("/")[1] for info in store.list("leases/")}
    return Counter(attempt.state for key in keys for attempt in attempts(store, key))


def _digest(record: Record) -> str:
    return hashlib.sha256(repr(sorted(record.result.items())).encode()).hexdigest()


def _read(store: Store, name: str) -> bytes | None:
    try:
        return store.read(name)
    except NotFound:
        return None
