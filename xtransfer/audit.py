"""A store examined from end to end, and cleared of what nothing refers to.

Both look at the objects first, then at leases, then at records: an attempt that commits meanwhile is
seen as one that is at work or as one that is recorded, never as left over.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from xtransfer import journal
from xtransfer.checkpoints import read_manifest
from xtransfer.errors import IntegrityError, NotFound, StepBusy, shown
from xtransfer.folders import temporary_folder
from xtransfer.identity import file_digest
from xtransfer.leases import LEASES, Clock, holder, holding
from xtransfer.outputs import OutputFile
from xtransfer.plan import VERSIONS
from xtransfer.quarantine import QUARANTINE, set_aside_at
from xtransfer.records import Record, key_in, parse_record, record_name
from xtransfer.store import Store
from xtransfer.sweeps.rungs import RUNGS
from xtransfer.sweeps.suggestion import SUGGESTIONS

Fault = Literal["missing", "truncated", "grown", "altered", "swapped", "unnamed", "unreadable"]

OTHERS = ("failures", LEASES, "logs", "plans", QUARANTINE, "reports", RUNGS, SUGGESTIONS)
"""Folders of a store whose objects no record names."""
RESUME = "resume"
DAY_S = 86_400.0
UNFINISHED_S = DAY_S
"""Age from which an upload that never ended is left over."""
_HELD_S = 60.0
"""Seconds that a lease lasts by which left-over files are removed; it is renewed."""
_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    fault: Fault
    object: str
    step: str
    """Folder of the step that it concerns; "" for none."""
    what: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an examination found."""

    records: int
    objects: int
    """Objects that records and checkpoints name."""
    size: int
    """Bytes read of them."""
    findings: tuple[Finding, ...]

    @property
    def damaged_steps(self) -> dict[str, list[str]]:
        """Folder of each recorded step that is damaged -> what is wrong."""
        found: dict[str, list[str]] = {}
        for finding in self.findings:
            if finding.step and finding.fault != "unnamed":
                found.setdefault(finding.step, []).append(f"{finding.object}: {finding.what}")
        return found


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One object that nothing refers to."""

    object: str
    size: int
    why: str


def audit(store: Store) -> Audit:
    """Read every record and every object that records and checkpoints name, plans and attempts too.

    Files of a step that somebody is at work on right now are no findings.
    """
    contents = _read_contents(store)
    findings = list(contents.unreadable)
    files = [(record, file) for record in contents.records for file in record.files]
    digests = {file.sha256: file.object for _, file in files}

    def check(pair: tuple[Record, OutputFile]) -> Finding | None:
        return _check(store, *pair, digests=digests)

    with ThreadPoolExecutor(_THREADS) as pool:
        findings += [finding for finding in pool.map(check, files) if finding]
    findings += [
        Finding(fault="unnamed", object=name, step="", what=why)
        for name, why in contents.unnamed.items()
    ]
    findings += [
        Finding(fault="unreadable", object=name, step="", what=shown(what))
        for name, what in journal.faults(store, contents.sizes)
    ]
    checkpoints, named = _check_checkpoints(store, contents.sizes)
    findings += checkpoints
    return Audit(
        records=len(contents.records),
        objects=len(files) + named,
        size=sum(file.size for _, file in files),
        findings=tuple(sorted(findings, key=lambda each: each.object)),
    )


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
    contents = _read_contents(store, clock)
    found: list[Garbage] = []
    for name, size in contents.sizes.items():
        why = ""
        top, _, rest = name.partition("/")
        if top in VERSIONS and name in contents.unnamed:
            why = "left over by an attempt that ended without a record"
        elif top in (RESUME, LEASES):
            why = _outlived(top, rest.partition("/")[0], contents, wanted)
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
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda each: store.delete(each.object), alone))
        freed = pool.map(lambda folder: _remove_left(store, folder, steps[folder], clock), steps)
        return alone + [each for some in freed for each in some]


def _remove_left(
    store: Store, folder: str, found: list[Garbage], clock: Clock
) -> Sequence[Garbage]:
    if store.exists(record_name(folder)):
        return _remove_unnamed(store, folder, found)
    try:
        with holding(store, folder.rpartition("-")[2], seconds=_HELD_S, clock=clock) as lease:
            lease.outcome = "found"
            return _remove_unnamed(store, folder, found)
    except StepBusy:
        return ()


def _remove_unnamed(store: Store, folder: str, found: list[Garbage]) -> Sequence[Garbage]:
    record = _parse(store, record_name(folder))
    if isinstance(record, Finding):  # who knows what it named
        return ()
    named = {file.object for file in record.files} if record else set[str]()
    gone = [each for each in found if each.object not in named]
    for each in gone:
        store.delete(each.object)
    return gone


@dataclass(frozen=True, kw_only=True)
class _Contents:
    sizes: Mapping[str, int]
    records: list[Record]
    unreadable: list[Finding]
    unnamed: dict[str, str]
    """Object -> why it should not be there."""
    recorded: set[str]
    """Keys of the steps that `records` are of."""
    busy: set[str]
    """Keys of steps that somebody is at work on."""


def _read_contents(store: Store, clock: Clock = time.time) -> _Contents:
    sizes = {info.name: info.size for info in store.list("")}
    leased = {info.name.split("/")[1] for info in store.list(f"{LEASES}/")}
    with ThreadPoolExecutor(_THREADS) as pool:
        held = pool.map(lambda key: holder(store, key, clock=clock), sorted(leased))
        busy = {attempt.key for attempt in held if attempt}
        # Listed anew: a record may have come since the objects were listed.
        names = [i.name for kind in VERSIONS for i in store.list(f"{kind}/") if key_in(i.name)]
        read = list(pool.map(lambda name: _parse(store, name), names))
    records = [found for found in read if isinstance(found, Record)]
    unreadable = [found for found in read if isinstance(found, Finding)]
    named = {file.object for record in records for file in record.files} | set(names)
    broken = {finding.step for finding in unreadable}
    unnamed: dict[str, str] = {}
    for name in sizes:
        top = name.split("/")[0]
        if name in named or top in OTHERS or top == RESUME:
            continue
        if top not in VERSIONS:
            unnamed[name] = "no part of a store"
        elif not _in_step(name, busy, broken):
            unnamed[name] = "no record names it"
    return _Contents(
        sizes=sizes,
        records=records,
        unreadable=unreadable,
        unnamed=unnamed,
        recorded={record.key for record in records},
        busy=busy,
    )


def _outlived(top: str, key: str, contents: _Contents, wanted: Collection[str] | None) -> str:
    """Say why what attempts at a step have left in the folder `top` may go; "" where it may not."""
    if key in contents.busy:
        return ""
    if key in contents.recorded:
        what = "resume state of" if top == RESUME else "attempts at"
        return f"{what} a step that is recorded"
    if top == RESUME and wanted is not None and key not in wanted:
        return "resume state of a step that is in none of the plans"
    return ""


def _in_step(name: str, busy: set[str], broken: set[str]) -> bool:
    """Say whether an object may belong to an attempt at work, or to a record that is unreadable."""
    folder = "/".join(name.split("/")[:2])
    return folder.rpartition("-")[2] in busy or folder in broken


def _parse(store: Store, name: str) -> Record | Finding | None:
    try:
        return parse_record(store.read(name), name, name)
    except NotFound:
        return None
    except IntegrityError as error:
        step = name.rpartition("/")[0]
        return Finding(fault="unreadable", object=name, step=step, what=error.what)


def _check(
    store: Store,
    record: Record,
    file: OutputFile,
    *,
    digests: Mapping[str, str],
) -> Finding | None:
    def finding(fault: Fault, what: str) -> Finding:
        return Finding(fault=fault, object=file.object, step=record.folder, what=what)

    with temporary_folder() as folder:
        path = folder / "object"
        try:
            store.download(file.object, path)
        except NotFound:
            return finding("missing", f"its record says {file.size} bytes")
        size, digest = path.stat().st_size, file_digest(path)
    if digest == file.sha256:
        return None
    other = digests.get(digest)
    if other is not None:
        return finding("swapped", f"holds the bytes of {other}")
    if size != file.size:
        fault = "truncated" if size < file.size else "grown"
        return finding(fault, f"has {size} bytes, its record says {file.size}")
    return finding("altered", f"has SHA-256 {digest}, its record says {file.sha256}")


def _check_checkpoints(store: Store, sizes: Mapping[str, int]) -> tuple[list[Finding], int]:
    """Return what is wrong with resume state, and how many objects its manifests name.

    Damaged resume state is passed over by the trial that would load it.
    """
    findings: list[Finding] = []
    named = 0
    for name in sizes:
        if not (name.startswith(f"{RESUME}/") and name.endswith("/manifest.json")):
            continue
        at = name
        try:
            manifest = read_manifest(store, name)
            at, named = manifest["object"], named + 1
            if hashlib.sha256(store.read(at)).hexdigest() != manifest["sha256"]:
                raise ValueError("the tensors differ from their digest")
        except NotFound:
            if store.exists(name):  # else a newer checkpoint has replaced it
                findings.append(
                    Finding(fault="missing", object=at, step="", what="its manifest names it")
                )
        except (ValueError, KeyError, TypeError) as error:
            findings.append(Finding(fault="altered", object=at, step="", what=str(error)))
    return findings, named
