"""A store in a folder, and what disks refuse, in words."""

# ruff: noqa: D102 - `Store` describes the methods

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from xtransfer.errors import NotFound, StoreError
from xtransfer.store.interface import TEMPORARY, ObjectInfo, check_name, check_prefix, name_fault
from xtransfer.store.unfinished import begin_beside, placing, replacing, sync

_COPY_BYTES = 1 << 20
_REMOVED = "/.nfs"
"""Begins the names of files that NFS keeps for who had them open when they were removed."""
_STALE_TRIES = 5

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FolderStore:
    """Objects as files below `root`. The methods are described at `Store`."""

    root: Path
    """Absolute; made by the first write."""

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    def read(self, name: str) -> bytes:
        def read() -> bytes:
            with self._open(name) as file:
                return file.read()

        with disk_errors(self._path(name)):
            return _afresh(read)

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        with disk_errors(path), placing(path) as temporary:
            temporary.write_bytes(data)

    def create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        with disk_errors(path):
            temporary = begin_beside(path)
            try:
                temporary.write_bytes(data)
                sync(temporary)
                os.link(temporary, path)  # all or nothing, and never over an existing file
                sync(path.parent)
            except FileExistsError:
                # Over NFS a link whose reply was lost is asked for again and then finds itself. How many links
                # it has may be remembered from before; which file it is stays.
                with suppress(FileNotFoundError):
                    if path.samefile(temporary):
                        return True
                if path.is_dir() or (path.is_symlink() and not path.exists()):
                    raise StoreError(str(path), *_NO_OBJECT) from None
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def upload(self, name: str, path: Path) -> None:
        target = self._path(name)
        with (
            disk_errors(path),
            path.open("rb") as source,
            disk_errors(target),
            placing(target) as temporary,
            temporary.open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy, _COPY_BYTES)

    def download(self, name: str, path: Path) -> None:
        def copy() -> None:
            with (
                self._open(name) as source,
                disk_errors(path, but=errno.ESTALE),
                replacing(path) as temporary,
                temporary.open("xb") as target,
            ):
                shutil.copyfileobj(source, target, _COPY_BYTES)

        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(self._path(name)):
            _afresh(copy)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix, self.url)
        folder = prefix.rpartition("/")[0]
        with disk_errors(self.root), suppress(FileNotFoundError):  # made by the first write
            os.stat(self.root)  # noqa: PTH116 - raises where a parent is a file, is_dir() does not
        with disk_errors(self.root / folder):
            walked = _afresh(lambda: list(self._walk(folder)))
        found = sorted(ObjectInfo(n, at.st_size) for n, at in walked if at and n.startswith(prefix))
        return (i for i in found if not name_fault(i.name) and _REMOVED not in f"/{i.name}")

    def exists(self, name: str) -> bool:
        path = self._path(name)
        with disk_errors(path):
            return path.is_file()

    def delete(self, name: str) -> None:
        path = self._path(name)
        with disk_errors(path):
            if path.is_file():
                path.unlink(missing_ok=True)
                self._prune(path.parent)

    def obstructed(self, last: str) -> list[str]:
        with disk_errors(self.root):
            walked = _afresh(lambda: list(self._walk("")))
        return sorted(name for name, at in walked if not at and name.rpartition("/")[2] == last)

    def sweep(self, *, older_s: float, dry_run: bool) -> list[ObjectInfo]:
        began = time.time() - older_s
        with disk_errors(self.root):
            found = sorted(
                ObjectInfo(name, state.st_size)
                for name, state in _afresh(lambda: list(self._walk("")))
                if name.rpartition("/")[2].startswith(TEMPORARY)
                and state
                and state.st_mtime < began
            )
            for info in () if dry_run else found:
                (self.root / info.name).unlink(missing_ok=True)
                self._prune((self.root / info.name).parent)
        return found

    def _path(self, name: str) -> Path:
        check_name(name, self.url)
        return self.root / name

    def _prune(self, folder: Path) -> None:
        """Remove a folder and those above it, below the root, as far as they are empty: listings read each of them."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:  # it holds something, is a link or another disk, or went just now
                return
            folder = folder.parent

    def _open(self, name: str) -> BinaryIO:
        try:
            return self._path(name).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"{self.url}/{name}", "no such object") from None

    def _walk(self, folder: str) -> Iterator[tuple[str, os.stat_result | None]]:
        """Yield name and state of the files below a folder, unfinished ones too, level by level.

        The state of folders, and of links to nothing, is None.
        Links to folders are followed, as `read` does: somebody may have moved a part of the store to another disk.
        One to a folder above it is not, nor one to where another has led: links may form a circle. Of several to
        one place that which is nearest to `folder` is.
        """
        top = self.root / folder
        followed = {os.path.realpath(each) for each in (top, *top.parents)}
        folders = deque([folder])
        while folders:
            each = folders.popleft()
            for entry in self._entries(each):
                name = f"{each}/{entry.name}" if each else entry.name
                with disk_errors(Path(entry.path), but=errno.ESTALE):
                    try:
                        state = None if entry.is_dir() else entry.stat()
                    except FileNotFoundError:
                        if not entry.is_symlink():  # deleted since the folder was read
                            continue
                        state = None
                yield name, state
                if state is None and (
                    not entry.is_symlink() or self._leads_on(each, entry, followed)
                ):
                    folders.append(name)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return what is in a folder, by name, and nothing where it is not there."""
        with disk_errors(self.root / folder, but=errno.ESTALE):
            try:
                with os.scandir(self.root / folder) as entries:
                    return sorted(entries, key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _leads_on(self, folder: str, link: os.DirEntry[str], followed: set[str]) -> bool:
        """Say whether a link in a folder leads to where none has led before; note that it does."""
        place = os.path.realpath(link.path)
        within = f"{Path(os.path.realpath(self.root)) / folder}/"
        if within.startswith(f"{place}/") or place in followed:
            return False
        followed.add(place)
        return True


@contextmanager
def disk_errors(path: Path, *, but: int | None = None) -> Iterator[None]:
    """Turn an OSError into a StoreError about `path`; one with the number `but` passes."""
    try:
        yield
    except OSError as error:
        if but is not None and error.errno == but:
            raise
        if error.errno in FULL:
            raise full_disk(path, error) from error
        what, next_ = _DISK_ERRORS.get(
            error.errno or 0, (f"the disk says: {error.strerror or error}", "")
        )
        raise StoreError(str(path), what, next_) from error


def full_disk(path: Path, error: BaseException) -> StoreError:
    """Return the error to raise where `path` could not be written for want of space."""
    folder = next((each for each in (path, *path.parents) if each.is_dir()), path)
    try:
        usage = shutil.disk_usage(folder)
        room = f": {usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB are free at {folder}"
    except OSError:
        room = ""
    quota = isinstance(error, OSError) and error.errno == errno.EDQUOT
    what = "the disk quota is used up" if quota else "no space is left on the disk"
    return StoreError(
        str(path), f"{what}{room}", "Free some and start again: what is recorded is safe."
    )


@contextmanager
def enough_space(folder: Path) -> Iterator[None]:
    """Turn what libraries raise when a disk is full into a StoreError about `folder`."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL
        # safetensors writes in Rust and has an exception of its own.
        if full or (type(error).__name__ == "SafetensorError" and "os error 28" in str(error)):
            raise full_disk(folder, error) from error
        raise


FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_FOLDER = ("a file stands where a folder is needed", "Move it away, or choose another folder.")
_NO_OBJECT = ("a folder or a link to nothing stands where an object is to be", "Move it away.")
_DISK_ERRORS = {
    errno.ENOENT: ("no such file", ""),
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EISDIR: ("is a folder, not a file", ""),
    errno.EACCES: ("permission denied", "Check the owner and the mode of the folder."),
    errno.EROFS: ("the file system is read-only", "Choose another folder."),
    errno.EPERM: (
        "the file system refuses, perhaps because it has no hard links",
        "Choose a folder on a file system that has them (ext4, xfs, NFS).",
    ),
    errno.EOPNOTSUPP: (
        "the file system has no hard links",
        "Choose a folder on one that has them (ext4, xfs, NFS).",
    ),
}


def _afresh(function: Callable[[], T]) -> T:
    """Call `function`, and anew where what it reads is replaced meanwhile by another machine, as NFS says."""
    for _ in range(_STALE_TRIES - 1):
        try:
            return function()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return function()
