"""A store examined from end to end.

Objects are looked at first, then leases, then records: an attempt that commits meanwhile is seen as one that
is at work or as one that is recorded, never as left over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from xtransfer.errors import IntegrityError, NotFound, shown
from xtransfer.folders import temporary_folder
from xtransfer.identity import file_digest
from xtransfer.plan import VERSIONS
from xtransfer.records import journal
from xtransfer.records.checkpoints import read_manifest
from xtransfer.records.layout import LEASES, NAMES, RESUME
from xtransfer.records.leases import Clock, holder
from xtransfer.records.outputs import OutputFile
from xtransfer.records.record import RECORD, Record, key_in, parse_record, record_name
from xtransfer.store import Store
from xtransfer.store.parallel import at_once

Fault = Literal[
    "missing", "truncated", "grown", "altered", "swapped", "unnamed", "unreadable", "orphaned"
]


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

    @property
    def damaged_notes(self) -> list[str]:
        """Objects beside records that are damaged and with which nothing is lost: plans, rulings, suggestions."""
        return [
            finding.object
            for finding in self.findings
            if finding.fault == "unreadable" and journal.is_spare(finding.object)
        ]


def audit(store: Store) -> Audit:
    """Read every record and every object that records and checkpoints name, plans and attempts too.

    Files of a step that somebody is at work on right now are no findings.
    """
    contents = read_contents(store)
    findings = [*contents.unreadable, *_obstructed(store)]
    files = [(record, file) for record in contents.records for file in record.files]
    digests = {file.sha256: file.object for _, file in files}

    def check(pair: tuple[Record, OutputFile]) -> Finding | None:
        return _check(store, *pair, digests=digests)

    findings += [finding for finding in at_once(check, files) if finding]
    notes = [name for name in contents.sizes if journal.is_checked(name)]
    wrong = at_once(lambda name: _note_fault(store, name), notes)
    findings += [
        Finding(fault="unnamed", object=name, step="", what=why)
        for name, why in contents.unnamed.items()
    ]
    findings += [
        Finding(fault="unreadable", object=name, step="", what=shown(what))
        for name, what in zip(notes, wrong, strict=True)
        if what
    ]
    findings += _orphans(store, contents)
    checkpoints, named = _check_checkpoints(store, contents.sizes)
    findings += checkpoints
    return Audit(
        records=len(contents.records),
        objects=len(files) + named,
        size=sum(file.size for _, file in files),
        findings=tuple(sorted(findings, key=lambda each: each.object)),
    )


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in a store, by name."""

    sizes: Mapping[str, int]
    records: list[Record]
    unreadable: list[Finding]
    unnamed: dict[str, str]
    """Object -> why it should not be there."""
    recorded: set[str]
    """Keys of the steps that `records` are of."""
    busy: set[str]
    """Keys of steps that somebody is at work on."""


def read_contents(store: Store, clock: Clock = time.time) -> Contents:
    """List a store and read its leases and records."""
    sizes = {info.name: info.size for info in store.list("")}
    leased = {info.name.split("/")[1] for info in store.list(f"{LEASES}/")}
    held = at_once(lambda key: holder(store, key, clock=clock), sorted(leased))
    busy = {attempt.key for attempt in held if attempt}
    # Listed anew: a record may have come since the objects were listed.
    names = [i.name for kind in VERSIONS for i in store.list(f"{kind}/") if key_in(i.name)]
    read = at_once(lambda name: parse(store, name), names)
    records = [found for found in read if isinstance(found, Record)]
    unreadable = [found for found in read if isinstance(found, Finding)]
    named = {file.object for record in records for file in record.files} | set(names)
    broken = {finding.step for finding in unreadable}
    unnamed: dict[str, str] = {}
    for name in sizes:
        top = name.split("/")[0]
        if name in named or _is_other(name):
            continue
        if top not in VERSIONS:
            unnamed[name] = "no part of a store; gc leaves it, for it may be somebody's"
        elif not _in_step(name, busy, broken):
            unnamed[name] = "no record names it; gc removes it"
    return Contents(
        sizes=sizes,
        records=records,
        unreadable=unreadable,
        unnamed=unnamed,
        recorded={record.key for record in records},
        busy=busy,
    )


def _obstructed(store: Store) -> list[Finding]:
    """Return the records in whose place something else stands: a run does the step, and cannot record it."""
    what = "a folder or a link to nothing stands where a record is to be; move it away"
    places = [name for name in store.obstructed(RECORD) if key_in(name)]
    return [Finding(fault="unreadable", object=name, step="", what=what) for name in places]


def _note_fault(store: Store, name: str) -> str:
    try:
        return journal.fault(store.read(name), name)
    except NotFound:  # gone meanwhile
        return ""


def _orphans(store: Store, contents: Contents) -> list[Finding]:
    """Return the records whose parents have none: sound, and nobody can look up what they were made of."""
    inputs = {key for record in contents.records for key in record.inputs.values()}
    if not inputs - contents.recorded:
        return []
    # Listed anew: parents may have come since their kind was listed, or be there and unreadable.
    known = {key_in(info.name) for info in store.list("")} | contents.busy
    return [
        Finding(
            fault="orphaned",
            object=record_name(record.folder),
            step="",
            what=f"its {role}, {key}, has no record; a run of its plan makes it again",
        )
        for record in contents.records
        for role, key in record.inputs.items()
        if key not in known
    ]


def _is_other(name: str) -> bool:
    """Say whether an object has a name that something beside records writes."""
    top, _, rest = name.partition("/")
    return top in NAMES and re.fullmatch(NAMES[top], rest) is not None


def _in_step(name: str, busy: set[str], broken: set[str]) -> bool:
    """Say whether an object may belong to an attempt at work, or to a record that is unreadable."""
    folder = "/".join(name.split("/")[:2])
    return folder.rpartition("-")[2] in busy or folder in broken


def parse(store: Store, name: str) -> Record | Finding | None:
    """Return a record, what is wrong with it, or None where there is none."""
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

    try:
        size, digest = _fetched(store, file.object)
    except NotFound:
        return finding("missing", f"its record says {file.size} bytes")
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
            if _fetched(store, at)[1] != manifest["sha256"]:
                raise ValueError("the tensors differ from their digest")
        except NotFound:
            if store.exists(name):  # else a newer checkpoint has replaced it
                findings.append(
                    Finding(fault="missing", object=at, step="", what="its manifest names it")
                )
        except (ValueError, KeyError, TypeError) as error:
            findings.append(Finding(fault="altered", object=at, step="", what=str(error)))
    return findings, named


def _fetched(store: Store, name: str) -> tuple[int, str]:
    """Return the size of an object in bytes, and its SHA-256: by a file, as it may be larger than memory."""
    with temporary_folder() as folder:
        path = folder / "object"
        store.download(name, path)
        return path.stat().st_size, file_digest(path)
