"""A folder as a store: what a file system does to objects, and what others do to it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.store.test_store import names
from xtransfer.errors import StoreError
from xtransfer.store import open_store


def test_empty_folders_go_with_what_was_last_in_them(tmp_path: Path) -> None:
    store, root = open_store(str(tmp_path / "store")), tmp_path / "store"
    for name in ("a/b/c/1", "a/b/2", "d/3"):
        store.write(name, b"1")
    (tmp_path / "elsewhere").mkdir()
    (root / "moved").symlink_to(tmp_path / "elsewhere")
    store.write("moved/e/4", b"1")
    for name in ("a/b/c/1", "d/3", "moved/e/4"):
        store.delete(name)
    left = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert left == {"a", "a/b", "a/b/2", "moved"}
    assert list((tmp_path / "elsewhere").iterdir()) == []
    store.delete("a/b/2")
    assert [path.name for path in root.iterdir()] == ["moved"]
    (root / "f").mkdir()
    (root / "f" / ".tmp-1").write_bytes(b"half")
    store.sweep(older_s=-1, dry_run=False)
    assert [path.name for path in root.iterdir()] == ["moved"]


def _put_and_delete(root: str, number: int, rounds: int) -> None:
    store = open_store(root)
    source = Path(root).parent / f"source{number}"
    source.write_bytes(b"u")
    for at in range(rounds):
        name = f"a/b/{at % 3}/{number}"
        match at % 3:
            case 0:
                store.write(name, b"w")
            case 1:
                assert store.create(name, b"c")
            case _:
                store.upload(name, source)
        assert store.read(name)
        store.delete(name)


def test_who_writes_is_not_hindered_by_who_removes_the_last_object_of_a_folder(
    tmp_path: Path,
) -> None:
    root, spawn = str(tmp_path / "store"), multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_put_and_delete, args=(root, at, 120)) for at in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("what", ["write", "create", "upload"])
@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_a_folder_that_goes_before_its_first_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int
) -> None:
    store, source = open_store(str(tmp_path / "store")), tmp_path / "source"
    source.write_bytes(b"1")
    touch, gone = Path.touch, list[Path]()

    def pruned(path: Path, **more: Any) -> None:
        if len(gone) < 3:
            path.parent.rmdir()
            path.parent.parent.rmdir()
            gone.append(path)
            raise OSError(number, "gone")
        touch(path, **more)

    monkeypatch.setattr(Path, "touch", pruned)
    put: dict[str, Callable[[], object]] = {
        "write": lambda: store.write("a/b/1", b"1"),
        "create": lambda: store.create("a/b/1", b"1"),
        "upload": lambda: store.upload("a/b/1", source),
    }
    put[what]()
    assert len(gone) == 3
    assert names(store) == ["a/b/1"]


def test_leftovers_of_killed_writers_are_not_objects(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("a/b", b"1")
    (tmp_path / "a" / ".tmp-0123").write_bytes(b"half")
    assert names(store) == ["a/b"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    store.write("a/b", b"old")

    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(Path, "write_bytes", full)
    for attempt in (store.write, store.create):
        with pytest.raises(StoreError, match=r"no space is left on the disk.*\. Free some"):
            attempt("a/b", b"new")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert store.read("a/b") == b"old"


def test_a_create_without_hard_links_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = Mock(side_effect=PermissionError(errno.EPERM, "Operation not permitted"))
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match="hard links"):
        open_store(str(tmp_path)).create("a", b"1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "put", [Path.mkdir, lambda path: path.symlink_to("nothing")], ids=["folder", "link"]
)
def test_what_is_no_object_in_the_place_of_one_is_told(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    store = open_store(f"file://{tmp_path}")
    put(tmp_path / "record.json")
    with pytest.raises(StoreError, match=r"record\.json: a folder or a link to nothing .* Move it"):
        store.create("record.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_files_have_the_usual_mode(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    (tmp_path / "usual").write_bytes(b"")
    store.write("written", b"")
    store.create("created", b"")
    store.upload("uploaded", tmp_path / "usual")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()}
    assert modes == {stat.S_IMODE((tmp_path / "usual").stat().st_mode)}


# --- opening -------------------------------------------------------------------------------------


def test_a_part_of_a_folder_that_was_moved_and_linked_is_listed(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    names = ["select/a-1/record.json", "train/a-2/3/weights", "train/a-2/record.json"]
    for name in names:
        store.write(name, b"data")
    for part in ("select", "train/a-2"):
        moved = tmp_path / part.replace("/", "-")
        (tmp_path / "store" / part).rename(moved)
        (tmp_path / "store" / part).symlink_to(moved)
    # Links that lead back, to a folder above them and to each other, end there.
    (tmp_path / "train-a-2" / "up").symlink_to(tmp_path / "store")
    (tmp_path / "train-a-2" / "again").symlink_to(tmp_path / "train-a-2")
    assert [info.name for info in store.list("")] == names
    assert [info.name for info in store.list("train/")] == names[1:]
    store.delete(names[0])
    assert [info.name for info in store.list("")] == names[1:]


def test_folders_that_link_to_each_other_are_listed_once(tmp_path: Path) -> None:
    """The walk was through every order of them: of 6, 1,956 names."""
    store = open_store(f"file://{tmp_path}/store")
    parts = "abcdef"
    for part in parts:
        store.write(f"{part}/object", b"data")
        (tmp_path / "store" / part).rename(tmp_path / part)
        (tmp_path / "store" / part).symlink_to(tmp_path / part)
        for other in parts.replace(part, ""):
            (tmp_path / part / other).symlink_to(tmp_path / other)
    assert [info.name for info in store.list("")] == [f"{part}/object" for part in parts]
    assert store.list("c/").__next__().name == "c/a/object"  # as `read` finds it
    assert len(list(store.list("c/"))) == len(parts)


def test_a_store_that_is_reached_by_a_link_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = open_store(f"file://{tmp_path}/link")
    store.write("train/a/record.json", b"data")
    (tmp_path / "real" / "train" / "up").symlink_to(tmp_path / "real")
    assert [info.name for info in store.list("")] == ["train/a/record.json"]
    assert [info.name for info in store.list("train/")] == ["train/a/record.json"]


def test_unfinished_files_of_a_part_that_was_moved_and_linked_are_swept(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    store.write("train/a/weights", b"data")
    (tmp_path / "store" / "train").rename(tmp_path / "moved")
    (tmp_path / "store" / "train").symlink_to(tmp_path / "moved")
    left = tmp_path / "moved" / "a" / ".tmp-left"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    assert [tuple(info) for info in store.sweep(older_s=60, dry_run=True)] == [
        ("train/a/.tmp-left", 4)
    ]
    store.sweep(older_s=60, dry_run=False)
    assert [path.name for path in left.parent.iterdir()] == ["weights"]


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file://{tmp_path}/store")
    store.write("train/a-1/record.json", b"data")
    scandir = os.scandir

    def refuse(path: Path) -> Any:
        if Path(path).name == "a-1":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StoreError, match="/store/train/a-1: permission denied"):
        list(store.list(""))
