"""A folder on NFS: what another machine replaces meanwhile, replies that are lost, and what clients leave."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drafts import draft
from xtransfer.errors import StoreError
from xtransfer.records.record import commit, read_record
from xtransfer.store import Store, open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def opened(folder: Path) -> Store:
    return open_store(f"file://{folder}")


class Stale(io.BytesIO):
    """A file that another machine has replaced since it was opened."""

    def read(self, *_: Any) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")


def stale_at_first(monkeypatch: pytest.MonkeyPatch, root: Path, times: int) -> list[str]:
    """Have files below `root` be stale the first few times that they are read, and its folders when listed."""
    met: list[str] = []
    opens, scans = Path.open, os.scandir

    def open_(path: Path, mode: str = "r", **more: Any) -> Any:
        if mode == "rb" and root in path.parents and len(met) < times:
            met.append(path.name)
            return Stale()
        return opens(path, mode, **more)

    def scan(path: Any) -> Any:
        if root in Path(path).parents and len(met) < times:
            met.append(str(path))
            raise OSError(errno.ESTALE, "Stale file handle")
        return scans(path)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "scandir", scan)
    return met


@pytest.mark.parametrize("what", ["read", "download", "list"])
@pytest.mark.parametrize("times", [2, 100])
def test_what_is_replaced_meanwhile_is_read_anew(
    opened: Store,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    times: int,
) -> None:
    opened.write("leases/a", b"1")
    copy = tmp_path / "copy"
    do: dict[str, Callable[[], object]] = {
        "read": lambda: opened.read("leases/a"),
        "download": lambda: opened.download("leases/a", copy) or copy.read_bytes(),
        "list": lambda: b"%d" % len(list(opened.list(""))),
    }
    met = stale_at_first(monkeypatch, folder, times)
    if times == 2:
        assert do[what]() == b"1"
        assert len(met) == 2
    else:
        with pytest.raises(StoreError, match=rf"{folder}.*Stale file handle"):
            do[what]()
        assert not copy.exists()


def test_a_create_whose_reply_was_lost_is_told_by_the_file_and_not_by_its_number_of_links(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def lost(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    stat = Path.stat

    def remembered(path: Path, **more: Any) -> os.stat_result:
        found = list(stat(path, **more))
        found[3] = 1  # as the client's cache has it
        return os.stat_result(found)

    monkeypatch.setattr(os, "link", lost)
    monkeypatch.setattr(Path, "stat", remembered)
    assert opened.create("a", b"mine")
    monkeypatch.setattr(os, "link", link)
    assert not opened.create("a", b"mine")


def test_a_record_that_the_store_did_not_know_to_be_new_keeps_its_files(
    opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "weights").write_bytes(b"w")
    create = type(opened).create
    monkeypatch.setattr(type(opened), "create", lambda *a: create(*a) and False)
    record = commit(opened, draft(), tmp_path / "output")
    assert read_record(opened, record.kind, record.name, record.key) == record
    assert opened.read(record.files[0].object) == b"w"


def test_what_a_client_keeps_of_a_file_that_was_open_is_no_object(
    opened: Store, folder: Path
) -> None:
    opened.write("train/a", b"1")
    (folder / "train" / ".nfs000000000054a1b200000001").write_bytes(b"old")
    assert [info.name for info in opened.list("")] == ["train/a"]
