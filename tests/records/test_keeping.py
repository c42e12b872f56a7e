"""What a node keeps of the store is bounded, and never goes from under who uses it."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.drafts import draft
from xtransfer.records import fetched as fetched_files
from xtransfer.records import keeping
from xtransfer.records.keeping import Holds, keep
from xtransfer.records.record import Record, commit
from xtransfer.store import Store, open_store

MB = 10**6
ROOM_GB = 2.5e-3
"""For two of the records."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


@pytest.fixture
def records(store: Store, tmp_path: Path) -> list[Record]:
    """Return four records with 1 MB of files each."""
    found: list[Record] = []
    for number in range(4):
        folder = tmp_path / f"output-{number}"
        folder.mkdir()
        for name in ("weights", "more"):
            (folder / name).write_bytes(bytes([number]) * (MB // 2))
        found.append(commit(store, draft(name=f"trial-{number}"), folder))
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def holds() -> Iterator[Holds]:
    with Holds() as found:
        yield found


def fetched(
    store: Store, record: Record, scratch: Path, holds: Holds | None = None, **more: float | None
) -> Path:
    """Fetch as one step would; without `holds`, as one that has ended since."""
    names = ["weights", "more"]
    most_gb = more.get("most_gb", ROOM_GB)
    if holds is not None:
        return keep(store, record, scratch, names, holds=holds, most_gb=most_gb)
    with Holds() as own:
        path = keep(store, record, scratch, names, holds=own, most_gb=most_gb)
    time.sleep(0.01)  # times of files are coarser than a clock
    return path


def there(scratch: Path, records: list[Record]) -> list[int]:
    """Return the numbers of the records that are there, whole."""
    return [
        number
        for number, record in enumerate(records)
        if len(list((scratch / record.folder).glob("*"))) == 2
    ]


def test_the_least_recently_used_goes(store: Store, records: list[Record], scratch: Path) -> None:
    for number in (0, 1, 0, 2):
        fetched(store, records[number], scratch)
    assert there(scratch, records) == [0, 2]
    fetched(store, records[1], scratch)
    assert there(scratch, records) == [1, 2]


def test_what_is_used_stays_even_beyond_the_bound(
    store: Store, records: list[Record], scratch: Path, holds: Holds
) -> None:
    for number in (0, 1, 2):
        fetched(store, records[number], scratch, holds)
    assert there(scratch, records) == [0, 1, 2]
    holds.release()
    fetched(store, records[3], scratch)
    assert there(scratch, records) == [2, 3]


def test_without_a_bound_all_stays(store: Store, records: list[Record], scratch: Path) -> None:
    for record in records:
        fetched(store, record, scratch, most_gb=None)
    assert there(scratch, records) == [0, 1, 2, 3]


def test_what_another_process_uses_stays_until_it_dies(
    store: Store, records: list[Record], scratch: Path
) -> None:
    program = """
import sys, time
from pathlib import Path
from xtransfer.records.keeping import Holds, keep
from xtransfer.records.record import read_record
from xtransfer.store import open_store
store = open_store(sys.argv[1])
record = read_record(store, "train", "trial-0", sys.argv[2])
keep(store, record, Path(sys.argv[3]), None, holds=Holds(), most_gb=1)
print("fetched", flush=True)
time.sleep(600)
"""
    arguments = [store.url, records[0].key, str(scratch)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"fetched\n"
        for number in (1, 2, 3):
            fetched(store, records[number], scratch)
        assert there(scratch, records) == [0, 3]
        other.kill()
    fetched(store, records[1], scratch)
    assert there(scratch, records) == [1, 3]


def test_many_at_once_keep_the_bound_and_get_their_files(
    store: Store, records: list[Record], scratch: Path
) -> None:
    def use(number: int) -> bool:
        record = records[number % 4]
        with Holds() as own:
            path = keep(store, record, scratch, None, holds=own, most_gb=ROOM_GB)
            return all((path / name).stat().st_size == MB // 2 for name in ("weights", "more"))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(use, range(40)))
    fetched(store, records[0], scratch)
    fetched(store, records[1], scratch)
    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    assert size < ROOM_GB * 1e9


def test_what_a_killed_process_left_half_fetched_counts_and_goes(
    store: Store, records: list[Record], scratch: Path
) -> None:
    half = scratch / "train" / "gone-0123456789ab"
    half.mkdir(parents=True)
    (half / ".tmp-1").write_bytes(bytes(2 * MB))
    os.utime(half, (1, 1))
    fetched(store, records[0], scratch)
    assert not half.exists()


def test_room_that_is_promised_to_a_fetch_under_way_is_not_given_away(
    store: Store, records: list[Record], scratch: Path, holds: Holds
) -> None:
    fetched(store, records[0], scratch)
    lock = scratch / ".locks" / f"{records[1].folder}.used"
    holds.take(lock)
    lock.write_text('{"weights": 2000000}', encoding="ascii")
    fetched(store, records[2], scratch)
    assert there(scratch, records) == [2]


def test_a_file_system_without_locks_has_no_bound(
    store: Store, records: list[Record], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(keeping.fcntl, "flock", refuse)
    for record in records:
        fetched(store, record, scratch)
    assert there(scratch, records) == [0, 1, 2, 3]


def test_locks_do_not_go_to_another_process(
    store: Store, records: list[Record], scratch: Path, holds: Holds
) -> None:
    fetched(store, records[0], scratch, holds)
    assert pickle.loads(pickle.dumps(holds))._held == {}
    assert holds._held


class Reader:
    """A step that maps the weights of a record."""

    def __init__(self, store: Store, record: Record, scratch: Path, holds: Holds) -> None:
        self.fetch = lambda: fetched(store, record, scratch, holds) / "weights"
        self.path, self.holds = self.fetch(), holds

    def damage(self) -> None:
        with self.path.open("r+b") as file:
            file.write(b"damage")

    def altered(self) -> list[str]:
        return [path.name for path in self.holds.fetched.altered()]


@pytest.fixture
def reader(store: Store, records: list[Record], scratch: Path, holds: Holds) -> Reader:
    return Reader(store, records[0], scratch, holds)


@pytest.mark.parametrize("by", ["another step", "the same step", "nobody"])
def test_what_was_damaged_is_noticed_whoever_has_fetched_it_anew(
    store: Store, records: list[Record], scratch: Path, reader: Reader, by: str
) -> None:
    """Who has mapped it still reads the damaged file."""
    reader.damage()
    if by == "another step":
        fetched(store, records[0], scratch)
    elif by == "the same step":
        reader.fetch()
    else:
        reader.path.unlink()
    assert reader.altered() == ["weights"]
    assert reader.path in reader.holds.fetched.spoiled()
    reader.holds.release()
    reader.fetch()
    assert reader.altered() == []


def test_files_that_were_cleared_and_fetched_anew_harm_nobody(
    store: Store, records: list[Record], scratch: Path, reader: Reader
) -> None:
    shutil.rmtree(scratch / records[0].folder)
    assert reader.altered() == []
    assert len(reader.holds.fetched.spoiled()) == 2
    fetched(store, records[0], scratch)
    assert reader.altered() == []
    assert reader.holds.fetched.spoiled() == []
    reader.damage()
    assert reader.altered() == ["weights"]


def test_beyond_the_files_that_are_kept_open_those_in_anothers_place_count_as_altered(
    store: Store,
    records: list[Record],
    scratch: Path,
    holds: Holds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetched_files, "MOST_OPEN", 0)
    reader = Reader(store, records[0], scratch, holds)
    os.utime(reader.path)
    assert reader.altered() == []
    reader.damage()
    fetched(store, records[0], scratch)
    assert reader.altered() == ["weights"]


def test_a_file_that_was_touched_is_read_once(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: read.append(a) or digest(*a))
    for _ in range(3):
        assert reader.altered() == []
    assert not read
    os.utime(reader.path, (1, 1))
    for _ in range(3):
        assert reader.altered() == []
    assert len(read) == 1


def test_files_are_kept_open_no_longer_than_they_are_held(reader: Reader) -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    reader.holds.release()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before - 3  # and the lock
