"""Damaged steps, plans and notes set aside: out of every reader's way, and still there to be looked at.

    quarantine/{time}-{random}/note.json          why, when and by which machine     first
    quarantine/{time}-{random}/{step's folder}/…  the record, then the files that it names
    quarantine/{time}-{random}/{object}           or a plan, a ruling or a suggestion

A move is interrupted without harm at any point: the record is copied before it is deleted, and deleted
before any file of it is touched, so a step that is half set aside has no record and is simply not done.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from xtransfer.errors import IntegrityError, NotFound
from xtransfer.folders import temporary_folder
from xtransfer.records import journal
from xtransfer.records.layout import QUARANTINE
from xtransfer.records.outputs import damage
from xtransfer.records.record import parse_record, record_name
from xtransfer.store import Store, name_fault

_STAMP = "%Y%m%dT%H%M%S"

log = logging.getLogger(__name__)


def set_aside(store: Store, folder: str, reasons: Sequence[str]) -> str:
    """Move the record of the step in `folder`, and the files it names, to the quarantine.

    Returns the place in the quarantine; "" where the record has gone already, or is another one than
    at the start because somebody did the step again meanwhile.

    Files that an unreadable record named stay where they are, as files that no record names.
    """
    name = record_name(folder)
    try:
        data = store.read(name)
    except NotFound:
        return ""
    place = _move_first(store, name, data, {"step": folder, "reasons": list(reasons)})
    if not place:
        return ""
    for file in _objects(data, name):
        _move(store, file, f"{place}/{file}")
    log.warning("%s: set aside in %s: %s", folder, place, "; ".join(reasons))
    return place


def set_aside_if_damaged(store: Store, folder: str) -> str:
    """Read the step in `folder` with all its files, and set it aside where something is wrong with it now.

    Returns the place in the quarantine; "" where the step is sound, or has no record.
    """
    name = record_name(folder)
    try:
        faults = damage(store, parse_record(store.read(name), name, name))
    except NotFound:
        return ""
    except IntegrityError as error:
        faults = [error]
    return set_aside(store, folder, [str(fault) for fault in faults]) if faults else ""


def set_aside_note_if_damaged(store: Store, name: str) -> str:
    """Set a plan, ruling or suggestion aside where something is wrong with it now.

    Returns the place in the quarantine; "" where it is sound, or gone.
    """
    try:
        data = store.read(name)
    except NotFound:
        return ""
    what = journal.fault(data, name)
    if not what:
        return ""
    return _move_first(store, name, data, {"object": name, "reasons": [what]})


def set_aside_at(name: str) -> float | None:
    """Return when (Unix time) the object `name` of the quarantine was set aside; None: not of ours."""
    parts = name.split("/")
    if parts[0] != QUARANTINE or len(parts) < 3:
        return None
    try:
        return datetime.strptime(parts[1][:15], _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _move_first(store: Store, name: str, data: bytes, why: Mapping[str, Any]) -> str:
    """Move the object `name`, which holds `data`, to a new place; return that, "" where it holds others by now."""
    stamp = time.strftime(_STAMP, time.gmtime())
    place = f"{QUARANTINE}/{stamp}-{secrets.token_hex(4)}"
    note = {**why, "time": time.time(), "host": socket.gethostname()}
    store.write(f"{place}/note.json", json.dumps(note, indent=1).encode())
    store.write(f"{place}/{name}", data)
    try:
        if store.read(name) != data:
            return ""
    except NotFound:
        return ""
    store.delete(name)
    return place


def _objects(data: bytes, name: str) -> list[str]:
    try:
        return [file.object for file in parse_record(data, name, name).files]
    except IntegrityError:
        return []


def _move(store: Store, source: str, target: str) -> None:
    if name_fault(target):  # too long: what no record names is removed by `store gc`
        return
    with temporary_folder() as folder:
        path = folder / "object"
        try:
            store.download(source, path)
        except NotFound:
            return
        store.upload(target, path)
    store.delete(source)
