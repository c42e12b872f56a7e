"""Malformed stores: records, the files they name, resume state, leases and plans, damaged or forged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from tests.benchmark.runs import record_run
from tests.benchmark.test_commands import SMALL
from tests.faults.malformed.oracle import Case
from xtransfer.config.experiment import load_experiment
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.checkpoints import save_checkpoint
from xtransfer.records.leases import claim
from xtransfer.records.record import Record, sealed
from xtransfer.store import open_store

ODD: tuple[Any, ...] = (
    *(None, 7, -1, 1.5, True, "", "x", "../../x", "a" * 3000, [], {}, [None], [[]], {"a": {}}),
    *(10**30, {"junk": [{}]}, "\ud800"),
)


def recorded(folder: Path) -> Path:
    """Copy a recorded study into `folder`: its experiment and its store, which is returned."""
    shutil.copytree(_study(), folder, dirs_exist_ok=True)
    return folder / "store"


def bad_record(draw: Random, folder: Path, _: int) -> Case:
    """A record whose bytes are not what was committed."""
    store = recorded(folder)
    path = draw.choice(sorted(store.rglob("record.json")))
    name = draw.choice(list(_BYTES))
    _BYTES[name](path, draw)
    key = path.parent.name.rpartition("-")[2]
    # A record that is a folder is none, and leaves its files without one.
    place = (path.parent if name == "a folder" else path).relative_to(store).as_posix()
    verify = (("store", "verify"), place)
    explain = (("explain", key), place)
    export = (("export", key, "--out", "out", "--encoder", "absent"), place)
    command, place = draw.choice((verify, explain, export))
    if name in ("a folder", "a link to itself") and command is not verify[0]:
        command, place = verify
    return Case(
        what=f"record {name}",
        arguments=(*command, "--store", "store"),
        places=(place,),
        certain=name not in ("with another value", "a folder"),
    )


def forged_record(draw: Random, folder: Path, _: int) -> Case:
    """A record with a right seal, whose result is of a form that no step writes."""
    store = recorded(folder)
    path = draw.choice(sorted(store.rglob("record.json")))
    record = Record.model_validate_json(path.read_bytes())
    raw = record.model_dump()
    at: Any = raw["result"]
    names: list[str] = []
    while True:
        step = draw.choice(list(at) if isinstance(at, dict) else range(len(at)))
        names.append(str(step))
        if not isinstance(at[step], dict | list) or not at[step] or draw.random() < 0.4:
            at[step] = draw.choice(ODD[:-1])
            break
        at = at[step]
    path.write_text(sealed(Record.model_validate(raw)), encoding="utf-8")
    key = record.key
    command = draw.choice(
        (
            ("explain", key),
            ("report", "small.yaml", "--json"),
            ("submission", "small.yaml", "--out", "out", "--after", "best"),
            ("export", key, "--out", "out", "--encoder", "absent"),
            ("status", "small.yaml"),
        )
    )
    return Case(
        what=f"a sealed {record.kind} record with another value at {'.'.join(names)}",
        arguments=(*command, "--store", "store"),
        places=(),
        certain=False,
    )


def bad_object(draw: Random, folder: Path, _: int) -> Case:
    """A file of a step, resume state, a lease or a plan that is damaged."""
    store = recorded(folder)
    kind = draw.choice(
        ("predictions/*.jsonl", "*.examples.jsonl", "manifest.json", "*.safetensors")
    )
    if draw.random() < 0.4:
        kind = draw.choice(("leases/*/*.json", "plans/*.json"))
    path = draw.choice(
        sorted(store.glob(kind) if kind[0] in "lp" and "jsonl" not in kind else store.rglob(kind))
    )
    name = draw.choice([each for each in _BYTES if each != "of another step"])
    _BYTES[name](path, draw)
    return Case(
        what=f"{kind} {name}",
        arguments=("store", "verify", "--store", "store"),
        places=(path.relative_to(store).as_posix(),),
        certain=name not in ("with another value", "a folder", "flipped"),
    )  # fmt: skip


def bad_place(draw: Random, folder: Path, _: int) -> Case:
    """A store that is not where a store can be, or with what no store holds."""
    store = recorded(folder)
    what = draw.choice(list(_PLACES))
    url = _PLACES[what](store)
    command = draw.choice((("store", "verify"), ("explain", "0123"), ("plan", "small.yaml")))
    if what.startswith("a name"):
        command = ("store", "verify")
    return Case(what=what, arguments=(*command, "--store", url), places=("store",))


@cache
def _study() -> Path:
    root = Path(mkdtemp(prefix="xt-malformed-"))
    _FOLDERS.append(root)
    (root / "small.yaml").write_text(SMALL, encoding="utf-8")
    experiment = load_experiment(root / "small.yaml")
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    store = open_store(str(root / "store"))
    records = record_run(store, plan, root / "scratch")
    shutil.rmtree(root / "scratch")
    store.write(f"plans/small-{plan.key}.json", json.dumps(plan.to_json()).encode())
    claim(store, next(iter(records)), seconds=60).end()
    _save(store)
    return root


def _save(store: Any) -> None:
    import torch

    for step in (1, 2):
        save_checkpoint(store, "0" * 12, state={"step": step}, tensors={"a": torch.ones(step)})


_FOLDERS: list[Path] = []


def remove_studies() -> None:
    """Remove what `recorded` copies from."""
    _study.cache_clear()
    while _FOLDERS:
        shutil.rmtree(_FOLDERS.pop())


def _flip(path: Path, draw: Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))


def _cut(path: Path, draw: Random) -> None:
    data = path.read_bytes().rstrip()
    path.write_bytes(data[: draw.randrange(len(data) - 1)])


def _folder(path: Path, _: Random) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path, _: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _another(path: Path, draw: Random) -> None:
    """Put the record of another step in the place."""
    store = next(each for each in path.parents if each.name == "store")
    others = [each for each in sorted(store.rglob("record.json")) if each != path]
    path.write_bytes(draw.choice(others).read_bytes())


def _value(path: Path, draw: Random) -> None:
    try:
        value = json.loads(path.read_bytes())
        name = draw.choice(list(value))
    except (ValueError, TypeError, IndexError):
        path.write_bytes(b"")
        return
    value[name] = draw.choice(ODD)
    path.write_text(json.dumps(value), encoding="utf-8")


def _becoming(data: bytes) -> Callable[[Path, Random], None]:
    return lambda path, draw: path.write_bytes(data) and None


_BYTES: dict[str, Callable[[Path, Random], None]] = {
    "flipped": _flip,
    "cut": _cut,
    "a folder": _folder,
    "a link to itself": _loop,
    "of another step": _another,
    "with another value": _value,
    "empty": lambda path, draw: path.write_bytes(b"") and None,
    "a list": _becoming(b"[]"),
    "an object": _becoming(b"{}"),
    "null": _becoming(b"null"),
    "a number": _becoming(b"7"),
    "Latin-1": _becoming(b'{"key": "\xe9"}'),
    "NUL bytes": _becoming(b"\0" * 50),
    "UTF-16": _becoming('{"key": "a"}'.encode("utf-16")),
    "deep": _becoming(b"[" * 100_000),
    "a huge number": _becoming(b"9" * 10_000),
    "infinity": _becoming(b'{"version": Infinity}'),
    "HTML": _becoming(b"<html>503</html>"),
}


def _is_file(store: Path) -> str:
    shutil.rmtree(store)
    store.write_bytes(b"")
    return "file://store/inner"


def _is_loop(store: Path) -> str:
    shutil.rmtree(store)
    store.symlink_to("store")
    return "store"


_PLACES: dict[str, Callable[[Path], str]] = {
    "a store that is a link to itself": _is_loop,
    "another kind of store": lambda store: "gs://store",
    "no kind of store": lambda store: "store://",
    "a store that is only a scheme": lambda store: "file://",
    "a store in a bucket of a bad name": lambda store: "s3://Store_/x",
    "a store with credentials": lambda store: "s3://key:secret@store/x",
    "a store with a way out": lambda store: "s3://store/../other",
    "a store with a query": lambda store: "s3://store/x?y=1",
    "a store with a line end": lambda store: "file://store\nx",
    "a store within a store": lambda store: "file://file://store",
    "a store with too long a name": lambda store: "file://store" + "x" * 5000,
}


def keys_of(store: Path, kind: str) -> list[str]:
    """Return the keys of the recorded steps of a kind."""
    return sorted(
        path.parent.name.rpartition("-")[2] for path in store.glob(f"{kind}/*/record.json")
    )
