"""The two campaigns: corruptions in a finished store, and a bad network before an S3 service."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xtransfer.errors import IntegrityError
from xtransfer.identity import file_digest
from xtransfer.records.audit import audit
from xtransfer.records.outputs import fetch
from xtransfer.records.record import Record, load_records, read_record
from xtransfer.store import Store, StoreOptions, open_store

KINDS = ("pretrain", "prepare", "train", "select", "evaluate")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a campaign's table."""

    name: str
    tried: int
    good: int
    """Found by `store verify`; or operations that succeeded."""
    read: int
    """Found by a reader; or results that were right."""
    served: int
    """Wrong bytes that somebody was given."""


# --- corruptions ---------------------------------------------------------------------------------


def corrupt_and_look(folder: Path, *, count: int, seed: int) -> list[Row]:
    """Damage a store in a folder `count` times, once at a time; return what was noticed, by kind.

    The folder is as before when this returns.
    """
    store = open_store(str(folder))
    records = list(load_records(store, KINDS).values())
    assert audit(store).findings == ()
    draw = random.Random(seed)
    tried: Counter[str] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    for _ in range(count):
        name = draw.choice(list(DAMAGE))
        record, paths = _victims(folder, records, draw, name)
        kept = {path: path.read_bytes() for path in paths}
        DAMAGE[name](paths, draw)
        assert any(not path.is_file() or path.read_bytes() != kept[path] for path in paths)
        tried[name] += 1
        suspect = {path.relative_to(folder).as_posix() for path in paths}
        named = {finding.object for finding in audit(store).findings}
        found[name, "verify"] += suspect <= named
        noticed, served = _read(store, record, folder / ".scratch")
        found[name, "read"] += noticed
        found[name, "served"] += served
        for path, data in kept.items():
            path.write_bytes(data)
    return [
        Row(
            name=name,
            tried=tried[name],
            good=found[name, "verify"],
            read=found[name, "read"],
            served=found[name, "served"],
        )
        for name in DAMAGE
        if tried[name]
    ]


def _flip(paths: Sequence[Path], draw: random.Random) -> None:
    data = bytearray(paths[0].read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    paths[0].write_bytes(bytes(data))


def _cut(paths: Sequence[Path], draw: random.Random) -> None:
    data = paths[0].read_bytes()
    paths[0].write_bytes(data[: draw.randrange(len(data))])


def _swap(paths: Sequence[Path], _: random.Random) -> None:
    first, second = (path.read_bytes() for path in paths)
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)


def _delete(paths: Sequence[Path], _: random.Random) -> None:
    paths[0].unlink()


DAMAGE: dict[str, Callable[[Sequence[Path], random.Random], None]] = {
    "bit flip, file": _flip,
    "truncation, file": _cut,
    "swap, files": _swap,
    "deletion, file": _delete,
    "bit flip, record": _flip,
    "truncation, record": _cut,
    "swap, records": _swap,
}


def _victims(
    folder: Path, records: list[Record], draw: random.Random, name: str
) -> tuple[Record, list[Path]]:
    """Return a record and the paths to damage: of it or one of its files, and for a swap of another."""
    if "record" in name:
        chosen = draw.sample(records, 2)
        paths = [folder / record.folder / "record.json" for record in chosen]
        return chosen[0], paths if "swap" in name else paths[:1]
    files = [(record, file) for record in records for file in record.files if file.size]
    record, file = draw.choice(files)
    others = [other for _, other in files if other.sha256 != file.sha256]
    paths = [folder / file.object, folder / draw.choice(others).object]
    return record, paths if "swap" in name else paths[:1]


def _read(store: Store, record: Record, scratch: Path) -> tuple[bool, bool]:
    """Read a step as its children do; return whether damage was noticed, and whether it was served."""
    noticed = served = False
    try:
        found = read_record(store, record.kind, record.name, record.key)
        served = found != record
        fetch(store, record, scratch)
    except IntegrityError:
        noticed = True
    digests = {file.name: file.sha256 for file in record.files}
    for path in scratch.rglob("*"):
        if path.is_file():
            served |= file_digest(path) != digests[path.relative_to(scratch).as_posix()]
    shutil.rmtree(scratch, ignore_errors=True)
    return noticed, served


# --- a bad network -------------------------------------------------------------------------------

PATIENT = StoreOptions(
    attempts=12,
    base_pause_s=0.02,
    longest_pause_s=0.5,
    read_timeout_s=2,
    part_mib=5,
    parallel_parts=3,
)


def operate(url: str, folder: Path, *, endpoint: str, rounds: int, seed: int) -> list[Row]:
    """Do every operation of a store `rounds` times through `endpoint`; return how they went."""
    from dataclasses import replace

    store = open_store(url, options=replace(PATIENT, endpoint_url=endpoint))
    draw = random.Random(seed)
    large = folder / "large.bin"
    large.write_bytes(draw.randbytes(12_000_001))  # three parts
    tried: Counter[str] = Counter()
    good: Counter[str] = Counter()
    right: Counter[str] = Counter()

    def count(name: str, operation: Callable[[], bool]) -> None:
        tried[name] += 1
        fine = operation()
        good[name] += 1  # else it has raised, which ends the campaign
        right[name] += fine

    for number in range(rounds):
        data = draw.randbytes(draw.randrange(1, 60_000))
        name = f"round/{number}"
        small, back = folder / "small.bin", folder / "back.bin"
        small.write_bytes(data)
        count("create", lambda n=name, d=data: store.create(n, d))
        count("create again", lambda n=name: not store.create(n, b"other"))
        count("read", lambda n=name, d=data: store.read(n) == d)
        count("exists", lambda n=name: store.exists(n))
        count("write", lambda n=name: store.write(n, b"second") is None)
        count("list", lambda n=name: next(i.size for i in store.list(n)) == 6)
        count("upload", lambda n=name, p=small: store.upload(n, p) is None)
        count("download", lambda n=name, p=back, d=data: _same(store, n, p, d))
        if number % 20 == 0:
            count("upload, parts", lambda: store.upload("large", large) is None)
            count("download, parts", lambda p=back: _same(store, "large", p, large.read_bytes()))
        count("delete", lambda n=name: store.delete(n) is None)
        count("gone", lambda n=name: not store.exists(n))
    return [
        Row(
            name=name,
            tried=tried[name],
            good=good[name],
            read=right[name],
            served=good[name] - right[name],
        )
        for name in tried
    ]


def _same(store: Store, name: str, path: Path, data: bytes) -> bool:
    store.download(name, path)
    return path.read_bytes() == data


def table(title: str, head: tuple[str, str, str, str], rows: list[Row]) -> str:
    """Return rows and their sum as aligned text."""
    total = Row(
        name="all",
        tried=sum(row.tried for row in rows),
        good=sum(row.good for row in rows),
        read=sum(row.read for row in rows),
        served=sum(row.served for row in rows),
    )
    lines = [f"{title:<22}" + "".join(f"{name:>12}" for name in head)]
    for row in (*rows, total):
        values = (row.tried, row.good, row.read, row.served)
        lines.append(f"{row.name:<22}" + "".join(f"{value:>12}" for value in values))
    return "\n".join(lines)
