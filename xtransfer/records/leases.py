"""Who is working on a step: one holder at a time, whatever the number of drivers.

    leases/{step key}/{epoch, 6 digits}.json    one attempt at the step

Whoever wants to do a step creates the object of its next epoch, which a store lets exactly one of all
claimants do. The holder alone writes it afterwards: a later expiry now and then, and how it ended. A
holder that falls silent, until after its expiry, can be followed by the next epoch; its commit and its
checkpoints are then refused, for the highest epoch is no longer its own. A process that is known to be
dead, because it was of this machine, is followed at once. Clocks of machines may differ by less than the
time of a lease. Should a holder fall silent in the moment between that check and the creation of its
record, two may have done the work; still only one record is created, and it is whole.

These objects are also the log of attempts: `attempts` returns them.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from xtransfer.errors import NotFound, StepBusy, StoreError
from xtransfer.machine import has_ended, process_start, this_machine
from xtransfer.records.layout import LEASES
from xtransfer.store import Store
from xtransfer.store.parallel import at_once

LONGEST_S = 2 * 86_400.0
"""No lease lasts longer: what says so is damaged, or was written by a clock that is far off. Twice what a placement
may ask for (`lease_s`), as clocks may differ by less than a lease."""

Clock = Callable[[], float]
State = Literal["working", "done", "found", "failed"]
"""found: a record was there already, so that nothing had to be done."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a lease's object says."""

    key: str
    epoch: int
    token: str
    """Tells this attempt from any other of the same epoch, should the log be cleared between."""
    host: str
    machine: str
    """Boot and process namespace in which `pid` counts; "" where that cannot be told."""
    pid: int
    process_start: str
    began: float
    """Unix time, s, as are the other times."""
    expires: float
    state: State = "working"
    ended: float | None = None

    @property
    def name(self) -> str:
        """Name of its object."""
        return f"{LEASES}/{self.key}/{self.epoch:06d}.json"

    def live(self, now: float) -> bool:
        """Say whether its holder may still be at work."""
        if self.state != "working" or not now <= self.expires <= now + LONGEST_S:
            return False
        if not self.machine or self.machine != this_machine():
            return True
        return not has_ended(self.pid, self.process_start)


_ATTEMPT = TypeAdapter(Attempt)


@dataclass(kw_only=True)
class Lease:
    """A step that this process holds."""

    store: Store
    attempt: Attempt
    seconds: float
    clock: Clock
    lost: bool = False
    """Somebody else holds the step now."""
    outcome: State = "failed"
    """How it ends, unless the holder says better."""
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __reduce__(self) -> tuple[Callable[[], Lease], tuple[()]]:
        """A trial's workers `check` it in processes of their own."""
        copy = partial(
            Lease, store=self.store, attempt=self.attempt, seconds=self.seconds, clock=self.clock
        )
        return copy, ()

    def renew(self) -> None:
        """Put the expiry off, unless somebody else holds the step."""
        with self._writing:
            if self.attempt.state != "working" or self._overtaken():
                return
            self.attempt = replace(self.attempt, expires=self.clock() + self.seconds)
            self.store.write(self.attempt.name, _text(self.attempt))

    def check(self) -> None:
        """Raise StepBusy unless this attempt still holds the step: asked before anything is kept."""
        if self._overtaken():
            raise StepBusy(
                f"step {self.attempt.key}",
                f"attempt {self.attempt.epoch} was silent too long and another has taken over",
                "Its result counts.",
            )

    def end(self) -> None:
        """Say how it ended; the step is free."""
        with self._writing:
            if not self._overtaken():
                ended = replace(self.attempt, state=self.outcome, ended=self.clock())
                self.attempt = ended
                self.store.write(ended.name, _text(ended))

    def _overtaken(self) -> bool:
        if not self.lost:
            found = _newest(self.store, self.attempt.key)
            self.lost = found is None or not self._is_own(found)
        return self.lost

    def _is_own(self, newest: Attempt) -> bool:
        """Say whether the newest attempt is this one; damage to its object is no reason to give it up."""
        return newest.epoch == self.attempt.epoch and newest.token in ("", self.attempt.token)


def claim(store: Store, key: str, *, seconds: float, clock: Clock = time.time) -> Lease:
    """Take the step `key`.

    Args:
        store: where the leases are.
        key: of the step.
        seconds: for which the lease lasts if it is not renewed.
        clock: the time, Unix seconds.

    Raises:
        StepBusy: when somebody else holds it, or was first to take it.
    """
    found, now = _newest(store, key), clock()
    if found and found.live(now):
        raise _busy(found, now)
    attempt = Attempt(
        key=key,
        epoch=found.epoch + 1 if found else 1,
        token=secrets.token_hex(8),
        host=socket.gethostname(),
        machine=this_machine(),
        pid=os.getpid(),
        process_start=process_start(),
        began=now,
        expires=now + seconds,
    )
    if not store.create(attempt.name, _text(attempt)):
        raise StepBusy(f"step {key}", "another process took it at the same time")
    return Lease(store=store, attempt=attempt, seconds=seconds, clock=clock)


@contextmanager
def holding(store: Store, key: str, *, seconds: float, clock: Clock = time.time) -> Iterator[Lease]:
    """Hold the step `key` while the block lasts; a thread renews the lease. Raises as `claim` does."""
    lease = claim(store, key, seconds=seconds, clock=clock)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(seconds / 3) and not lease.lost:
            try:
                lease.renew()
            except StoreError as error:
                log.warning("the lease of step %s was not renewed: %s", key, error)

    thread = threading.Thread(target=beat, name=f"lease-{key}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
        try:
            lease.end()
        except StoreError as error:  # it expires by itself
            log.warning("the lease of step %s was not ended: %s", key, error)


def holder(store: Store, key: str, *, clock: Clock = time.time) -> Attempt | None:
    """Return the attempt that holds the step `key`, None where it is free."""
    found = _newest(store, key)
    return found if found and found.live(clock()) else None


def attempts(store: Store, key: str) -> list[Attempt]:
    """Return all attempts at the step `key`, in order."""
    found = [_read(store, info.name, key) for info in store.list(f"{LEASES}/{key}/")]
    return [attempt for attempt in found if attempt is not None]


def every_attempt(store: Store, keys: Container[str] | None = None) -> dict[str, list[Attempt]]:
    """Return step key -> all attempts at it, in order; `keys`: of the steps that are wanted, None: all."""
    names = [info.name for info in store.list(f"{LEASES}/")]
    names = [name for name in names if keys is None or name.split("/")[1] in keys]
    found = at_once(lambda name: _read(store, name, name.split("/")[1]), names)
    every: dict[str, list[Attempt]] = {}
    for attempt in found:
        if attempt is not None:
            every.setdefault(attempt.key, []).append(attempt)
    return {key: sorted(own, key=lambda each: each.epoch) for key, own in every.items()}


def parse_attempt(data: bytes, name: str) -> Attempt:
    """Return the attempt that the object `name` holds; raise ValueError where it holds none."""
    try:
        found = _ATTEMPT.validate_json(data)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False, include_input=False)[0]["msg"]) from None
    if found.name != name:
        raise ValueError(f"holds {found.name}")
    return found


def _newest(store: Store, key: str) -> Attempt | None:
    """Return the last attempt at the step `key`, however many there were before; None where there is none."""
    for info in reversed(list(store.list(f"{LEASES}/{key}/"))):
        if (found := _read(store, info.name, key)) is not None:
            return found
    return None


def _read(store: Store, name: str, key: str) -> Attempt | None:
    try:
        epoch = int(name.rsplit("/", 1)[1].removesuffix(".json"))
        data = store.read(name)
    except (NotFound, ValueError):
        return None
    try:
        return parse_attempt(data, name)
    except ValueError:
        # Damaged: it holds nothing, but its epoch is taken. A live holder writes it anew soon.
        return Attempt(
            key=key, epoch=epoch, token="", host="", machine="", pid=0, process_start="",
            began=0, expires=0, state="failed",
        )  # fmt: skip


def _busy(attempt: Attempt, now: float) -> StepBusy:
    return StepBusy(
        f"step {attempt.key}",
        f"process {attempt.pid} on {attempt.host} is at work on it, for {now - attempt.began:.0f} s now",
        "Its record is waited for.",
    )


def _text(attempt: Attempt) -> bytes:
    return json.dumps(asdict(attempt), indent=1).encode()
