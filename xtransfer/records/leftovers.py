"""A store cleared of what nothing refers to: what may go, and its removal while its step is held."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from xtransfer.errors import StepBusy
from xtransfer.plan import VERSIONS
from xtransfer.records.audit import Contents, Finding, parse, read_contents
from xtransfer.records.layout import LEASES, PROBES, QUARANTINE, RESUME
from xtransfer.records.leases import Clock, holding
from xtransfer.records.quarantine import set_aside_at
from xtransfer.records.record import key_in, record_name
from xtransfer.store import Store
from xtransfer.store.parallel import at_once

DAY_S = 86_400.0
UNFINISHED_S = DAY_S
"""Age from which an upload that never ended is left over."""
_HELD_S = 60.0
"""Seconds that a lease lasts by which left-over files are removed; it is renewed."""


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One object that nothing refers to."""

    object: str
    size: int
    why: str


def garbage(
    store: Store,
    *,
    wanted: Collection[str] | None = None,
    quarantine_days: float = 30.0,
    clock: Clock = time.time,
) -> list[Garbage]:
    """Return the objects that may go; never one that a record names.

    Args:
        store: to look at.
        wanted: keys of the steps that somebody still means to do; the resume state of all others may
            go. None: resume state goes only where its step is recorded.
        quarantine_days: how long what was set aside is kept.
        clock: the time, Unix seconds.
    """
    contents = read_contents(store, clock)
    found: list[Garbage] = []
    for name, size in contents.sizes.items():
        why = ""
        top, _, rest = name.partition("/")
        if top in VERSIONS and name in contents.unnamed:
            why = "left over by an attempt that ended without a record"
        elif top in (RESUME, LEASES):
            why = _outlived(top, rest.partition("/")[0], contents, wanted)
        elif top == PROBES:
            why = "left over by the start of a run"
        elif top == QUARANTINE:
            since = set_aside_at(name)
            if since is not None and clock() - since > quarantine_days * DAY_S:
                why = f"set aside more than {quarantine_days:g} days ago"
        if why:
            found.append(Garbage(object=name, size=size, why=why))
    return found


def remove(store: Store, found: Iterable[Garbage], *, clock: Clock = time.time) -> list[Garbage]:
    """Delete what `garbage` found; return what was deleted.

    What a step left is deleted while that step is held, so that who stood still for longer than its lease finds
    itself overtaken when it goes on. Of a step that is at work again nothing is, nor what a new record names.
    """
    alone: list[Garbage] = []
    steps: dict[str, list[Garbage]] = {}
    for each in found:
        folder = "/".join(each.object.split("/")[:2])
        own = steps.setdefault(folder, []) if folder.split("/")[0] in VERSIONS else alone
        own.append(each)
    at_once(lambda each: store.delete(each.object), alone)
    freed = at_once(lambda folder: _remove_left(store, folder, steps[folder], clock), steps)
    return alone + [each for some in freed for each in some]


def _remove_left(
    store: Store, folder: str, found: list[Garbage], clock: Clock
) -> Sequence[Garbage]:
    key = key_in(record_name(folder))
    if not key or store.exists(record_name(folder)):  # without a key it is no step's folder
        return _remove_unnamed(store, folder, found)
    try:
        with holding(store, key, seconds=_HELD_S, clock=clock) as lease:
            lease.outcome = "found"
            return _remove_unnamed(store, folder, found)
    except StepBusy:
        return ()


def _remove_unnamed(store: Store, folder: str, found: list[Garbage]) -> Sequence[Garbage]:
    record = parse(store, record_name(folder))
    if isinstance(record, Finding):  # who knows what it named
        return ()
    named = {file.object for file in record.files} if record else set[str]()
    gone = [each for each in found if each.object not in named]
    for each in gone:
        store.delete(each.object)
    return gone


def _outlived(top: str, key: str, contents: Contents, wanted: Collection[str] | None) -> str:
    """Say why what attempts at a step have left in the folder `top` may go; "" where it may not."""
    if key in contents.busy:
        return ""
    if key in contents.recorded:
        what = "resume state of" if top == RESUME else "attempts at"
        return f"{what} a step that is recorded"
    if top == RESUME and wanted is not None and key not in wanted:
        return "resume state of a step that is in none of the plans"
    return ""
