"""What is fetched is exactly what the record names: every byte is verified, damage has a name."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.drafts import FILES, contents, draft, object_of, write_files
from xtransfer.errors import IntegrityError, NotFound
from xtransfer.records.outputs import OutputFile, damage, fetch, read_file
from xtransfer.records.record import Record, commit, load_records
from xtransfer.store import Store, open_store


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_files(tmp_path / "output")


def test_some_files_can_be_fetched_alone(store: Store, output: Path, tmp_path: Path) -> None:
    record = commit(store, draft(), output)
    fetch(store, record, tmp_path / "got", ["z.json"])
    assert contents(tmp_path / "got") == {"z.json": FILES["z.json"]}
    with pytest.raises(NotFound, match=r"no file 'y\.json'\. It has: logs/a\.txt, model"):
        fetch(store, record, tmp_path / "got", ["y.json"])
    with pytest.raises(NotFound, match=r"no file '\.\./x'"):
        read_file(store, record, "../x")


# --- damage --------------------------------------------------------------------------------------


def _flip(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "bit flip": (_flip, "its bytes have SHA-256 [0-9a-f]{64}, its record says [0-9a-f]{64}"),
    "truncation": (lambda data: data[:-1], "has 10239 bytes, its record says 10240"),
    "growth": (lambda data: data + b"x", "has 10241 bytes, its record says 10240"),
    "emptiness": (lambda _: b"", "has 0 bytes, its record says 10240"),
}


@pytest.mark.parametrize("how", [*DAMAGE, "deletion"])
def test_damage_is_detected_and_named(store: Store, output: Path, tmp_path: Path, how: str) -> None:
    record = commit(store, draft(), output)
    target = object_of(record, "model.safetensors")
    if how == "deletion":
        message = "absent, though its record says 10240 bytes"
        store.delete(target)
    else:
        change, message = DAMAGE[how]
        store.write(target, change(store.read(target)))
    message = f"^{store.url}/{target}: {message}.*Run its plan again"
    with pytest.raises(IntegrityError, match=message):
        fetch(store, record, tmp_path / "got")
    with pytest.raises(IntegrityError, match=message):
        read_file(store, record, "model.safetensors")
    assert "model.safetensors" not in contents(tmp_path / "got")
    assert all(name in FILES for name in contents(tmp_path / "got"))  # nothing half-fetched


def test_damage_that_a_run_does_not_look_for_is_to_be_set_aside_first(
    store: Store, output: Path
) -> None:
    record = commit(store, draft(), output)
    target = object_of(record, "model.safetensors")
    store.write(target, _flip(store.read(target)))
    # As a run looks at its steps when it begins: at names and sizes.
    assert record.key in load_records(store, (record.kind,), damaged=lambda error: None)
    with pytest.raises(IntegrityError, match="again after: xtransfer store verify --set-aside"):
        read_file(store, record, "model.safetensors")


def test_every_damaged_object_is_found_by_reading_all(store: Store, output: Path) -> None:
    record = commit(store, draft(), output)
    assert damage(store, record) == []
    store.write(object_of(record, "model.safetensors"), _flip(FILES["model.safetensors"]))
    store.delete(object_of(record, "z.json"))
    first, second = (str(fault) for fault in damage(store, record))
    assert "model.safetensors: its bytes have SHA-256" in first
    assert "z.json: absent" in second


@pytest.mark.parametrize("name", ["..", "../../x", "/x", "", "a/../../x", "a\0"])
def test_no_file_name_leaves_the_folder(name: str) -> None:
    with pytest.raises(ValidationError):
        OutputFile(name=name, object="a", size=0, sha256="0" * 64)


# --- fetching again, and together ----------------------------------------------------------------


def test_a_file_that_verifies_is_not_fetched_again(
    store: Store, output: Path, tmp_path: Path
) -> None:
    record = commit(store, draft(), output)
    folder = fetch(store, record, tmp_path / "got")
    model, other = folder / "model.safetensors", folder / "z.json"
    kept = model.stat().st_ino
    other.write_bytes(b"[]\n")  # damaged here: the same size
    store.delete(object_of(record, "model.safetensors"))
    fetch(store, record, folder)
    assert model.stat().st_ino == kept
    assert contents(folder) == FILES


def _fetch_from_a_process(url: str, record: Record, folder: Path, barrier: Any) -> None:
    barrier.wait()
    for _ in range(5):
        fetch(open_store(url), record, folder)


def test_processes_may_fetch_into_one_folder(store: Store, output: Path, tmp_path: Path) -> None:
    record = commit(store, draft(), output)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    workers = [
        spawn.Process(
            target=_fetch_from_a_process, args=(store.url, record, tmp_path / "got", barrier)
        )
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert contents(tmp_path / "got") == FILES
