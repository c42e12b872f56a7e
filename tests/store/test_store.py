"""Both kinds of store behave the same; S3 is a real service (see s3_server.py)."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import random
import secrets
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.s3_server import S3Server
from xtransfer.errors import ConfigError, NotFound, StoreError
from xtransfer.store import ObjectInfo, Store, StoreOptions, name_fault, open_store
from xtransfer.store.folder import FolderStore
from xtransfer.store.s3 import S3Store
from xtransfer.store.s3_client import Connection
from xtransfer.store.s3_errors import explained

IMPATIENT = StoreOptions(attempts=2, connect_timeout_s=0.5, read_timeout_s=2)


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


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/x", "store gs://: unknown kind of store. Use file:///"),
        ("https://me:hunter2@host/x", "store https://: unknown kind of store"),
        ("", "names no folder"),
        ("file://", "names no folder"),
        ("s3:/bucket", "names no folder"),
        ("a\0b", "names no folder"),
        ("s3://", "is no bucket name"),
        ("s3://Bad_Bucket/x", "'Bad_Bucket' is no bucket name"),
        ("s3://bucket//x", "the prefix begins with '/'"),
        ("s3://bucket/a/../b", "the prefix has an empty, '.' or '..' segment"),
        ("s3://AKIA:hunter2@bucket/x", "the URL carries credentials. Give them by AWS_PROFILE"),
        ("s3://AKIA:hun/ter2@bucket/x", "the URL carries credentials"),
        ("s3://bucket/x?X-Amz-Signature=hunter2", "has a query or a fragment"),
    ],
)
def test_a_url_of_no_known_form(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert message in str(caught.value)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["host:8333", "http://", "ftp://host", "http://k:hunter2@h"])
def test_a_bad_endpoint_is_the_users_mistake(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^s3\.endpoint_url: ") as caught:
        open_store("s3://bucket", options=StoreOptions(endpoint_url=endpoint))
    assert "hunter2" not in str(caught.value)


def test_s3_urls_lose_only_the_trailing_slash() -> None:
    for url in ("s3://bucket", "s3://bucket/", "s3://bucket/a/b", "s3://bucket/a/b/"):
        assert open_store(url).url == url.rstrip("/")


# --- what goes wrong in S3 -----------------------------------------------------------------------


def outcomes(store: Store, tmp_path: Path) -> list[StoreError]:
    """Return what each operation raises on a store where none can work."""
    (tmp_path / "file").write_text("x")
    raised: list[StoreError] = []
    for attempt in (
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.create("a", b""),
        lambda: store.list(""),
        lambda: store.upload("a", tmp_path / "file"),
        lambda: store.download("a", tmp_path / "target"),
    ):
        with pytest.raises(StoreError) as caught:
            attempt()
        raised.append(caught.value)
        assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    return raised


def test_an_endpoint_that_nobody_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for error in outcomes(open_store("s3://bucket/run", options=IMPATIENT), tmp_path):
        assert "the S3 service at http://127.0.0.1:9 cannot be reached" in str(error)
        assert "Check s3.endpoint_url or AWS_ENDPOINT_URL" in str(error)
        assert str(error).startswith("s3://bucket/run")
        assert "hunter2" not in str(error)


def test_an_endpoint_of_the_environment_carries_no_credentials_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hunter2@127.0.0.1:9")
    with pytest.raises(
        ConfigError, match="AWS_ENDPOINT_URL: the URL carries credentials"
    ) as caught:
        open_store("s3://bucket/run", options=IMPATIENT).read("a")
    assert "hunter2" not in str(caught.value)


def test_no_credentials_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    options = StoreOptions(endpoint_url="http://127.0.0.1:9", attempts=1)
    for error in outcomes(open_store("s3://bucket/run", options=options), tmp_path):
        assert "no usable AWS credentials" in str(error)
        assert "Check AWS_PROFILE" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hunter2")],
)
def test_credentials_that_are_not_accepted(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    for error in outcomes(open_store(s3_url, options=IMPATIENT), tmp_path):
        assert isinstance(error, StoreError)
        assert not isinstance(error, NotFound)
        assert "not accept the AWS credentials" in str(error) or "access denied" in str(error)
        assert value not in str(error)


@pytest.mark.slow
@pytest.mark.usefixtures("s3_url")
def test_a_bucket_that_is_not_there(s3: S3Server) -> None:
    store = open_store("s3://no-such-bucket/run", options=IMPATIENT)
    with pytest.raises(StoreError, match=f"{s3.endpoint} has no such bucket. Create it"):
        store.read("a")
    with pytest.raises(StoreError, match="has no such bucket"):
        store.list("")


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("ExpiredToken", 400, "the AWS credentials have expired (ExpiredToken). Renew them"),
        ("RequestTimeTooSkewed", 403, "this machine's clock differs from the service's"),
        ("AccessDenied", 403, "access denied (AccessDenied). Let these credentials"),
        ("403", 403, "access denied (403)"),
        ("PermanentRedirect", 301, "the bucket is in another region"),
        ("SlowDown", 503, "at http://s3 is overloaded or failing (SlowDown). Try again later."),
        ("NotImplemented", 501, "lacks a function that xtransfer needs"),
        ("507", 507, "the bucket's quota or the service's storage is used up (507). Free some"),
        ("Odd", 507, "the bucket's quota or the service's storage is used up (Odd). Free some"),
        ("QuotaExceeded", 403, "is used up (QuotaExceeded). Free some (xtransfer store gc)"),
        ("EntityTooLarge", 400, "S3 refused: An error occurred (EntityTooLarge)"),
    ],
)
def test_refusals_in_words(code: str, status: int, message: str) -> None:
    from botocore.exceptions import ClientError

    reply: Any = {
        "Error": {"Code": code, "Message": "see http://me:hunter2@host"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = explained(
        ClientError(reply, "PutObject"),
        store="s3://bucket",
        name="a",
        endpoint="http://me:hunter2@s3",
        attempts=3,
    )
    assert str(error).startswith("s3://bucket/a: ")
    assert message in str(error)
    assert "hunter2" not in str(error)


class Meddling:
    """A client whose calls can be replaced one by one."""

    def __init__(self, client: Any, **replaced: Any) -> None:
        self._client = client
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def meddle(store: Store, **replaced: Any) -> Any:
    """Replace calls of a store's client; return the true one."""
    assert isinstance(store, S3Store)
    client = store._client()
    store._connections[os.getpid()] = Connection(Meddling(client, **replaced), None)
    return client


@pytest.mark.slow
def test_a_create_whose_reply_was_lost_knows_its_own_object(s3_url: str) -> None:
    store = open_store(s3_url)

    def put_twice(**request: Any) -> Any:
        client.put_object(**request)  # arrives, but the reply does not; botocore sends it again
        return client.put_object(**request)

    client = meddle(store, put_object=put_twice)
    assert store.create("a", b"mine")
    assert not store.create("a", b"mine")


@pytest.mark.slow
def test_a_create_asks_again_after_a_conflict(s3_url: str) -> None:
    from botocore.exceptions import ClientError

    store = open_store(s3_url, options=StoreOptions(attempts=3))
    conflicts = iter([True, True, False, True, True, True])

    def put(**request: Any) -> Any:
        if next(conflicts):
            reply: Any = {
                "Error": {"Code": "ConditionalRequestConflict"},
                "ResponseMetadata": {"HTTPStatusCode": 409},
            }
            raise ClientError(reply, "PutObject")
        return client.put_object(**request)

    client = meddle(store, put_object=put)
    assert store.create("a", b"mine")
    assert store.read("a") == b"mine"
    with pytest.raises(StoreError, match="others kept changing the object during 3 attempts"):
        store.create("b", b"mine")


@pytest.mark.slow
def test_a_body_that_breaks_off_is_read_again(s3_url: str) -> None:
    from botocore.exceptions import IncompleteReadError

    store = open_store(s3_url)
    store.write("a", b"whole")
    calls: list[str] = []

    class Broken:
        def read(self) -> bytes:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=5)

    def get(**request: Any) -> Any:
        calls.append(request["Key"])
        return {"Body": Broken()} if len(calls) < 3 else client.get_object(**request)

    client = meddle(store, get_object=get)
    assert store.read("a") == b"whole"
    assert len(calls) == 3


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
