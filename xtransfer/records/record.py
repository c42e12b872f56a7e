"""What a finished step leaves: its files, and a record of them that is written last.

    {kind}/{name}-{key}/{attempt}/{file}    the files, in a folder that only one writer uses
    {kind}/{name}-{key}/record.json         exists if and only if the step is done

Writers that race cannot harm each other: none writes where another does, and only one record is
created. Readers check every byte against it, and the record against its key and its own seal. A
writer that dies leaves files that no record names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Container, Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xtransfer.errors import IntegrityError, NotFound, StoreError, XtransferError
from xtransfer.identity import canonical_json, key_of
from xtransfer.records.outputs import (
    OutputFile,
    check_listed,
    delete_all,
    delete_files,
    found_no_room,
    safe_name,
    upload_files,
)
from xtransfer.records.seal import read_sealed, sealed_text
from xtransfer.store import ObjectInfo, Store
from xtransfer.store.parallel import at_once

RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Done:
    """What the work of a step gives to its record, beside files."""

    result: dict[str, Any]
    timing: dict[str, float] = field(default_factory=dict[str, float])
    """Stage -> seconds."""
    placement: dict[str, Any] = field(default_factory=dict[str, Any])
    """What came out differently from the placement asked for, or within what it left open."""


class Record(BaseModel):
    """What a step computed, from what, and with which result; never changed once committed.

    A newer version may add fields, also to those of a file, and this one reads its records without them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[0-9a-f]{12}$")
    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: str = Field(pattern=r"^[^/]+$")
    version: int
    spec: dict[str, Any]
    """What was computed, as JSON."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Role -> key of the parent step in that role."""
    files: tuple[OutputFile, ...] = ()
    result: dict[str, Any] = Field(default_factory=dict)
    """Scores and whatever else is small enough to be read without fetching a file."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions of the software that computed it, and as `source` the digest of this package's files."""
    placement: dict[str, Any] = Field(default_factory=dict)
    """Where it was computed; no part of its identity."""
    timing: dict[str, float] = Field(default_factory=dict)
    """Stage -> seconds."""
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the record's text with this field empty; set by `commit`. Records of before there
    were seals have none: their key alone vouches for them."""

    @property
    def folder(self) -> str:
        """Where the record and its files are in the store."""
        return f"{self.kind}/{self.name}-{self.key}"

    @property
    def expected_key(self) -> str:
        """The key that belongs to what the record says it computed."""
        identity = {
            "kind": self.kind,
            "version": self.version,
            "spec": self.spec,
            "inputs": self.inputs,
        }
        return key_of(identity)

    @model_validator(mode="after")
    def _check_files(self) -> Record:
        safe_name(self.folder)
        names = [file.name for file in self.files]
        if len(set(names)) != len(names):
            raise ValueError("two files have one name")
        for file in self.files:
            if not file.object.startswith(f"{self.folder}/"):
                raise ValueError(f"file '{file.name}' is outside of the record's folder")
        return self


def commit(
    store: Store,
    draft: Record,
    folder: Path | None = None,
    *,
    fence: Callable[[], None] = lambda: None,
) -> Record:
    """Upload every file below `folder`, then create the record: the step is done.

    Returns the record that counts: where another writer was first, theirs, untouched.

    Args:
        store: where to.
        draft: the record without its files.
        folder: the step's output; None for a step whose result is in the record alone.
        fence: called when only the record is missing; raises where the step is no longer this
            writer's to commit.

    Raises:
        IdentityError: when the record holds what JSON cannot say, such as NaN.
        StoreError: when a file cannot be read or the store refuses.
    """
    first = read_record(store, draft.kind, draft.name, draft.key)
    if first is not None:
        return first
    attempt = f"{draft.folder}/{secrets.token_hex(4)}"
    try:
        files = upload_files(store, folder, attempt) if folder else ()
        text = sealed(draft.model_copy(update={"files": files}))
        try:
            fence()
        except XtransferError:
            delete_files(store, files)
            raise
        created = store.create(f"{draft.folder}/{RECORD}", text.encode())
    except StoreError as error:
        with suppress(StoreError):
            # After other errors the record may come yet; after this one it is there if its folder alone had no room.
            if found_no_room(error) and not store.exists(f"{draft.folder}/{RECORD}"):
                delete_all(store, f"{attempt}/")
        raise
    if created:
        return Record.model_validate_json(text)  # as every later reader will see it
    first = read_record(store, draft.kind, draft.name, draft.key)
    if first is not None and files and first.files == files:
        return first  # its own: the store did not know that it had created it
    delete_files(store, files)
    if first is None:
        where = f"{store.url}/{draft.folder}/{RECORD}"
        raise StoreError(where, "another writer's record came and went", "Start again.")
    return first


def read_record(store: Store, kind: str, name: str, key: str) -> Record | None:
    """Return a step's record, or None while the step is not done.

    Raises:
        IntegrityError: when the record is malformed or another step's.
    """
    return read_named(store, f"{kind}/{name}-{key}/{RECORD}")


def load_records(
    store: Store,
    kinds: Iterable[str],
    *,
    keys: Container[str] | None = None,
    damaged: Callable[[IntegrityError], None] | None = None,
    known: MutableMapping[ObjectInfo, Record] | None = None,
) -> dict[str, Record]:
    """Return all records of these kinds by key, in the order of the kinds and then of names.

    Args:
        store: where from.
        kinds: of steps.
        keys: of the steps whose records are wanted, the only ones that are read; None: all.
        damaged: takes what is wrong with a record that cannot be read, or that names objects which
            the listing lacks or shows with another size; such records are left out, and not told of where
            another of the step is sound. None: the first that cannot be read raises; no listing is looked at.
        known: records that were read before, which are not read again while they are listed as they
            were, and to which the others are added: for who looks again and again.
    """
    sizes = {info.name: info.size for kind in kinds for info in store.list(f"{kind}/")}
    known = {} if known is None else known
    errors: dict[str, IntegrityError] = {}

    def read(name: str) -> Record | None:
        try:
            at = ObjectInfo(name, sizes[name])
            record = known.get(at) or read_named(store, name)
            if record is not None and damaged is not None:
                for file in record.files:
                    check_listed(store, file, sizes)
        except IntegrityError as error:
            if damaged is None:
                raise
            errors[name] = error
            return None
        if record is not None:
            known[at] = record
        return record

    wanted = [name for name in sizes if (key := key_in(name)) and (keys is None or key in keys)]
    found = at_once(read, wanted)
    records = {record.key: record for record in found if record is not None}
    for name in filter(errors.__contains__, wanted):
        if damaged is not None and key_in(name) not in records:
            damaged(errors[name])
    return records


def record_name(folder: str) -> str:
    """Return the name of the record's object of the step in `folder`."""
    return f"{folder}/{RECORD}"


def parse_record(data: bytes, name: str, where: str) -> Record:
    """Return the record that the object `name` holds; `where` says which object in an error.

    Raises:
        IntegrityError: when it is malformed, altered, or another step's.
    """
    next_ = "Run its plan again: the step is set aside and done anew."
    whole = read_sealed(data)
    try:
        if whole is None:
            record = Record.model_validate_json(data)
        else:
            known = {field: whole[field] for field in whole if field in Record.model_fields}
            record = Record.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        what = f"{field}: {first['msg']}" if field else first["msg"]
        raise IntegrityError(where, f"malformed record: {what}", next_) from None
    if name != record_name(record.folder):
        raise IntegrityError(where, f"holds the record of {record.folder}", next_)
    if record.expected_key != record.key:
        what = f"what it says it computed has the key {record.expected_key}"
        raise IntegrityError(where, what, next_)
    if record.seal and whole is None:
        raise IntegrityError(where, "the record was altered after it was written", next_)
    return record


def sealed(record: Record) -> str:
    """Return the record's text with the seal that belongs to it."""
    value = record.model_dump()
    canonical_json(value)  # raises for what JSON cannot say, and says where it is
    return sealed_text(value)


def key_in(name: str) -> str:
    """Return the key in the name of a record's object, or "" for any other object."""
    found = re.fullmatch(rf"[^/]+/[^/]+-([0-9a-f]{{12}})/{re.escape(RECORD)}", name)
    return found[1] if found else ""


def read_named(store: Store, name: str) -> Record | None:
    """Return the record that the object `name` holds, None where there is no such object; raises as `parse_record`."""
    try:
        data = store.read(name)
    except NotFound:
        return None
    return parse_record(data, name, f"{store.url}/{name}")
