"""What a node keeps of the store: fetched files of records, no more of them than the placement says.

    {scratch}/{folder of a record}/...             its files
    {scratch}/.locks/{folder of a record}.used     held, shared, by every process that uses them
    {scratch}/.locks/{folder of a record}.fetch    held by the one that fetches
    {scratch}/.locks/room                          held by the one that makes room

Where a fetch would go beyond the bound, whole folders go first that nobody uses, the least recently used
before others. All of it is told by locks of the kernel (flock), which end with their process however that
ends; the locks' own files stay, since one that is removed while somebody waits for it would be two.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtransfer.plan import VERSIONS
from xtransfer.records.fetched import FetchedFiles
from xtransfer.records.outputs import OutputFile, fetch, files_of
from xtransfer.records.record import Record
from xtransfer.store import Store
from xtransfer.store.folder import disk_errors

GB = 1e9
_LOCKS = ".locks"
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What a file system without locks answers."""

log = logging.getLogger(__name__)


class Holds:
    """The folders of records that a step uses and that therefore stay, until the end of a `with` block."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}
        self.fetched = FetchedFiles()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the locks out: they are this process's."""
        return {"_held": {}, "fetched": FetchedFiles()}

    def __enter__(self) -> Holds:
        """Begin the block at whose end everything is let go."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let everything go."""
        self.release()

    def take(self, path: Path) -> None:
        """Hold a lock, shared, until `release`; note that it was used just now."""
        if path not in self._held:
            descriptor = _lock(path, fcntl.LOCK_SH)
            if descriptor is None:
                return
            self._held[path] = descriptor
        os.utime(path)

    def release(self) -> None:
        """Let everything go."""
        self.fetched.release()
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def keep(
    store: Store,
    record: Record,
    scratch: Path,
    names: Iterable[str] | None,
    *,
    holds: Holds,
    most_gb: float | None,
) -> Path:
    """Fetch a record's files into the node's scratch folder, held there, and return their folder.

    Args:
        store: where they come from.
        record: of a finished step.
        scratch: shared by the processes of a node.
        names: of the wanted files; None: all.
        holds: keeps them there until it is released.
        most_gb: bound on what the node keeps, in units of 10^9 bytes. What is in use stays, so several
            steps that need more than that together go beyond it. None: no bound.

    Raises:
        IntegrityError, NotFound: as `outputs.fetch` does.
        StoreError: when the disk refuses.
    """
    folder = scratch / record.folder
    wanted = files_of(store, record, names)
    with disk_errors(scratch):
        holds.take(_used(scratch, record.folder))
        if not _missing(folder, wanted):
            _make_room(scratch, record.folder, {}, most_gb)  # steps at once may have gone beyond it
            fetch(store, record, folder, names)
        else:
            # One process fetches while others wait for it: each would need room for a copy of its own.
            with _locked(_lock_file(scratch, f"{record.folder}.fetch")):
                _make_room(scratch, record.folder, _missing(folder, wanted), most_gb)
                fetch(store, record, folder, names)
    holds.fetched.note(folder, wanted)
    return folder


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What is kept of one record."""

    name: str
    """Folder of the record."""
    size: int
    """Bytes on the disk, or those that are promised to a fetch under way where these are more."""
    used: float
    """Unix time."""


def _make_room(scratch: Path, name: str, missing: Mapping[str, int], most_gb: float | None) -> None:
    """Promise room to the files of a record that are fetched next, and remove others for it."""
    if most_gb is None:
        return
    most = most_gb * GB
    with _locked(_lock_file(scratch, "room")):
        if missing:
            own = _used(scratch, name)
            own.write_text(json.dumps({**_promised(own), **missing}), encoding="ascii")
        kept = _all_kept(scratch)
        size = sum(each.size for each in kept)
        for each in sorted(kept, key=lambda each: each.used):
            if size <= most:
                return
            if _removed(scratch, each.name):
                log.info("%s is fetched no more: %d MB given back", each.name, each.size // 10**6)
                size -= each.size
        if size > most:
            log.warning(
                "%s: what is in use takes %.1f GB, more than scratch_gb allows", scratch, size / GB
            )


def _removed(scratch: Path, name: str) -> bool:
    """Remove what is kept of a record unless somebody uses it; say whether it went."""
    path = _used(scratch, name)
    descriptor = _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is None:
        return False
    try:
        shutil.rmtree(scratch / name, ignore_errors=True)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    return not (scratch / name).exists()


def _all_kept(scratch: Path) -> list[_Kept]:
    names = {
        path.relative_to(scratch).as_posix()
        for kind in VERSIONS
        for path in scratch.glob(f"{kind}/*")
        if path.is_dir()
    }
    locks = scratch / _LOCKS
    names |= {
        path.relative_to(locks).as_posix().removesuffix(".used")
        for path in locks.glob("*/*.used")
        if path.stat().st_size  # something is promised
    }
    return [_kept(scratch, name) for name in names]


def _kept(scratch: Path, name: str) -> _Kept:
    folder, lock = scratch / name, _used(scratch, name)
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a fetch renames its files
            size += path.stat().st_size if path.is_file() else 0
    at = lock if lock.exists() else folder
    return _Kept(name=name, size=max(size, sum(_promised(lock).values())), used=at.stat().st_mtime)


def _promised(lock: Path) -> dict[str, int]:
    """Return name -> bytes of the files of a record for which room was made."""
    try:
        return dict(json.loads(lock.read_text(encoding="ascii") or "{}"))
    except (OSError, ValueError, TypeError):  # cut short by a full disk: what is there counts
        return {}


def _missing(folder: Path, wanted: Iterable[OutputFile]) -> dict[str, int]:
    """Return name -> bytes of the files that are not there in their size."""
    return {
        file.name: file.size
        for file in wanted
        if not (folder / file.name).is_file() or (folder / file.name).stat().st_size != file.size
    }


def _used(scratch: Path, name: str) -> Path:
    return _lock_file(scratch, f"{name}.used")


def _lock_file(scratch: Path, name: str) -> Path:
    return scratch / _LOCKS / name


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock alone, waiting for it."""
    descriptor = _lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: Path, kind: int) -> int | None:
    """Return the descriptor whose closing ends the lock; None where it is not to be had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(descriptor, kind)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _NO_LOCKS:  # then nothing is removed either, which needs a lock
            log.warning("%s: its file system has no locks, so scratch_gb is not kept", path.parent)
            return None
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor
