"""Both kinds of store behave the same; S3 is a real service (see s3_server.py)."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xtransfer.errors import NotFound, StoreError
from xtransfer.store import ObjectInfo, Store, StoreOptions, name_fault, open_store
from xtransfer.store.folder import FolderStore
from xtransfer.store.s3 import S3Store


def names(store: Store, prefix: str = "") -> list[str]:
    return [info.name for info in store.list(prefix)]


# --- reading and writing -------------------------------------------------------------------------


def test_what_is_written_is_read(store: Store) -> None:
    data = bytes(range(256)) * 3
    store.write("a/b.bin", data)
    assert store.read("a/b.bin") == data
    assert store.exists("a/b.bin")
    store.write("a/b.bin", b"")
    assert store.read("a/b.bin") == b""


def test_an_absent_object_is_named(store: Store, tmp_path: Path) -> None:
    assert not store.exists("a/b")
    with pytest.raises(NotFound, match="a/b: no such object"):
        store.read("a/b")
    with pytest.raises(NotFound, match="a/b: no such object"):
        store.download("a/b", tmp_path / "local" / "b")
    assert list((tmp_path / "local").glob("*")) == []


def test_the_folder_of_an_object_is_no_object(store: Store) -> None:
    store.write("a/b", b"1")
    assert not store.exists("a")
    with pytest.raises(NotFound):
        store.read("a")
    store.delete("a")
    assert store.read("a/b") == b"1"


def test_deleting_twice_is_no_error(store: Store) -> None:
    store.write("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/there")
    assert not store.exists("a/b")
    assert names(store) == []


def test_create_never_overwrites(store: Store) -> None:
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert not store.create("a/b", b"first")
    assert store.read("a/b") == b"first"
    store.delete("a/b")
    assert store.create("a/b", b"third")
    assert names(store) == ["a/b"]


@pytest.mark.parametrize("same", [False, True], ids=["different bytes", "same bytes"])
def test_one_of_twelve_concurrent_creators_wins(store: Store, same: bool) -> None:
    for round_ in range(2):
        payloads = [b"same" if same else f"writer {i}".encode() for i in range(12)]
        with ThreadPoolExecutor(12) as pool:
            won = list(pool.map(partial(store.create, f"race/{round_}"), payloads))
        assert won.count(True) == 1
        assert store.read(f"race/{round_}") == payloads[won.index(True)]


def test_a_file_of_many_parts_comes_back_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(random.Random(0).randbytes(21_000_001))
    store = open_store(store.url, options=StoreOptions(part_mib=5))
    store.upload("weights/large.bin", source)
    assert list(store.list("")) == [ObjectInfo("weights/large.bin", 21_000_001)]
    target = tmp_path / "down" / "large.bin"
    store.download("weights/large.bin", target)
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["large.bin"]


def test_upload_and_download_replace(store: Store, tmp_path: Path) -> None:
    for text in ("first, and longer", "second"):
        (tmp_path / "source").write_text(text)
        store.upload("x", tmp_path / "source")
        store.download("x", tmp_path / "target")
        assert (tmp_path / "target").read_text() == text


def test_a_missing_local_file_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"absent\.bin: no such file") as caught:
        store.upload("x", tmp_path / "absent.bin")
    assert not isinstance(caught.value, NotFound)
    assert not store.exists("x")


def test_a_file_where_a_folder_is_needed(store: Store, tmp_path: Path) -> None:
    store.write("x", b"1")
    (tmp_path / "plain").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        store.download("x", tmp_path / "plain" / "x")


# --- listing -------------------------------------------------------------------------------------


def test_listing_is_by_text_prefix_and_by_code_point(store: Store) -> None:
    # '-' and '.' sort before '/', so names of one folder are not next to each other.
    written = ["a/x", "a-b/x", "a.b", "a/y/z", "b", "ab", "A", "a/é", "a/𐀀", "a/ﬀ"]
    for name in written:
        store.write(name, name.encode())
    assert names(store) == sorted(written)
    assert names(store, "a") == sorted(name for name in written if name.startswith("a"))
    assert names(store, "a/") == ["a/x", "a/y/z", "a/é", "a/ﬀ", "a/𐀀"]
    assert names(store, "a/y") == ["a/y/z"]
    assert names(store, "none/") == []
    assert [info.size for info in store.list("a/é")] == [4]


def test_listing_goes_beyond_one_page(store: Store) -> None:
    written = [f"many/{i % 7}/{i:05}" for i in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, b"1"), written))
    assert names(store, "many/") == sorted(written)


@pytest.mark.parametrize("name", ["train/\x1b[2Ja", "train/a\nb"])
def test_what_others_named_as_no_object_may_be_is_not_listed(store: Store, name: str) -> None:
    """It could not be read by that name, which no terminal should be shown either."""
    store.write("train/a", b"")
    if isinstance(store, S3Store):
        store._client().put_object(Bucket=store.bucket, Key=store.prefix + name, Body=b"")
    else:
        assert isinstance(store, FolderStore)
        (store.root / name).write_bytes(b"")
    assert [info.name for info in store.list("train/")] == ["train/a"]


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert names(store) == []


def test_a_prefix_does_not_see_its_neighbour(store: Store) -> None:
    open_store(f"{store.url}-neighbour").write("x", b"1")
    assert names(store) == []


# --- names ---------------------------------------------------------------------------------------

BAD_NAMES = [
    *("", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/./b", "a//b"),
    *("a/", "a\\b", "..\\x", "a\0b", "a\nb", "\ud800", ".tmp-1", "a/.tmp-1/b", "x" * 256),
    "/".join(["y" * 200] * 5),
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_a_bad_name_is_refused_everywhere(store: Store, tmp_path: Path, name: str) -> None:
    local = tmp_path / "local"
    local.write_text("")
    for attempt in (
        lambda: store.read(name),
        lambda: store.write(name, b""),
        lambda: store.create(name, b""),
        lambda: store.upload(name, local),
        lambda: store.download(name, local),
        lambda: store.exists(name),
        lambda: store.delete(name),
    ):
        with pytest.raises(StoreError, match="the object name"):
            attempt()


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a//", "a\0", "./"])
def test_a_bad_prefix_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(StoreError, match="the object name"):
        store.list(prefix)


PIECES = st.sampled_from(["a", "b", ".", "..", "/", "\\", "\0", " ", "~", "-", ".tmp-", "é", "%2e"])


@given(st.lists(PIECES, max_size=6).map("".join) | st.text(max_size=8))
@example("a b+c%2F&d=é?#")
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_name_is_refused_or_means_one_object_inside(store: Store, name: str) -> None:
    inner = open_store(f"{store.url}/{secrets.token_hex(6)}")
    if name_fault(name):
        with pytest.raises(StoreError, match="the object name"):
            inner.write(name, b"1")
        return
    inner.write(name, b"1")
    assert inner.read(name) == b"1"
    assert list(inner.list("")) == [ObjectInfo(name, 1)]
    assert f"{inner.url.removeprefix(store.url)[1:]}/{name}" in names(store)


# --- processes -----------------------------------------------------------------------------------


def _create_from_a_process(store: Store, name: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put((os.getpid(), store.create(name, str(os.getpid()).encode())))


def test_a_used_store_is_good_in_other_processes(store: Store) -> None:
    store.write("x", b"1")  # a client exists now, and must not travel
    assert pickle.loads(pickle.dumps(store)).read("x") == b"1"
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    workers = [
        spawn.Process(target=_create_from_a_process, args=(store, "race", barrier, results))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    outcomes = dict(results.get(timeout=300) for _ in workers)
    for worker in workers:
        worker.join()
    winners = [pid for pid, won in outcomes.items() if won]
    assert [str(pid).encode() for pid in winners] == [store.read("race")]


# --- a folder ------------------------------------------------------------------------------------


def test_a_url_is_absolute_and_opens_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = f"file://{tmp_path}/runs/a b%20"
    for url in (
        "runs/a b%20",
        "./runs/a b%20/",
        "~/runs/a b%20",
        "file://runs/a b%20",
        "file://./runs/a b%20",
        "file://~/runs/a b%20",
        f"{tmp_path}/runs/a b%20",
        f"file://{tmp_path}/x/../runs/a b%20",
    ):
        store = open_store(url)
        assert store.url == expected
        assert open_store(store.url) == store
    assert list(tmp_path.iterdir()) == []  # opening makes nothing
