from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.records.test_record import FILES, draft
from xtransfer.records.quarantine import set_aside, set_aside_at
from xtransfer.records.record import Record, commit, read_record
from xtransfer.store import Store


@pytest.fixture
def record(store: Store, tmp_path: Path) -> Record:
    folder = tmp_path / "output"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return commit(store, draft(), folder)


def everything(store: Store) -> dict[str, bytes]:
    return {info.name: store.read(info.name) for info in store.list("")}


def test_a_step_set_aside_is_not_done_and_nothing_of_it_is_lost(
    store: Store, record: Record
) -> None:
    before = everything(store)
    place = set_aside(store, record.folder, ["altered", "absent"])
    assert read_record(store, record.kind, record.name, record.key) is None
    after = everything(store)
    note = json.loads(after.pop(f"{place}/note.json"))
    assert (note["step"], note["reasons"]) == (record.folder, ["altered", "absent"])
    assert after == {f"{place}/{name}": data for name, data in before.items()}
    assert commit(store, draft()).files == ()  # and it can be done again


def test_a_step_with_a_missing_file_is_set_aside_too(store: Store, record: Record) -> None:
    store.delete(record.files[0].object)
    place = set_aside(store, record.folder, ["absent"])
    assert len(list(store.list(f"{place}/"))) == 2 + len(FILES) - 1
    assert list(store.list(f"{record.folder}/")) == []


def test_files_of_an_unreadable_record_stay(store: Store, record: Record) -> None:
    store.write(f"{record.folder}/record.json", b"{")
    place = set_aside(store, record.folder, ["malformed"])
    assert store.read(f"{place}/{record.folder}/record.json") == b"{"
    assert [info.name for info in store.list(f"{record.folder}/")] == sorted(
        file.object for file in record.files
    )


def test_what_is_gone_already_is_not_set_aside(store: Store, record: Record) -> None:
    assert set_aside(store, record.folder, ["altered"])
    assert set_aside(store, record.folder, ["altered"]) == ""


def test_a_step_that_was_done_again_meanwhile_is_left_alone(
    store: Store, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = type(store).write

    def overtaken(self: Store, name: str, data: bytes) -> None:
        write(self, name, data)
        if name.endswith(f"{record.folder}/record.json") and name.startswith("quarantine/"):
            write(self, f"{record.folder}/record.json", b"another's")

    monkeypatch.setattr(type(store), "write", overtaken)
    assert set_aside(store, record.folder, ["altered"]) == ""
    assert store.read(f"{record.folder}/record.json") == b"another's"
    assert store.exists(record.files[0].object)


@pytest.mark.parametrize("last", range(1, 6))
def test_a_move_may_break_off_anywhere(
    store: Store, record: Record, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """After any number of writes and deletes: the step is whole and done, or it is not done."""
    before = everything(store)
    left = iter(range(last))

    def limited(method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return method(*arguments)

        return call

    with monkeypatch.context() as patched:
        for name in ("write", "upload", "delete"):
            patched.setattr(type(store), name, limited(getattr(type(store), name)))
        with pytest.raises(KeyboardInterrupt):
            set_aside(store, record.folder, ["altered"])
    after = everything(store)
    if read_record(store, record.kind, record.name, record.key) is not None:
        assert before.items() <= after.items()
    # No byte is lost at any moment.
    assert set(before.values()) <= set(after.values())
    set_aside(store, record.folder, ["altered"])
    assert commit(store, draft()).files == ()


def test_when_it_was_is_in_the_name() -> None:
    assert set_aside_at("quarantine/19700102T000000-00000000/train/x/record.json") == 86400
    assert set_aside_at("quarantine/odd/x") is None
    assert set_aside_at("train/19700102T000000-00000000/x") is None
