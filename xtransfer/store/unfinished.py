"""Files that appear whole or not at all: each is written under another name first, in the same folder."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xtransfer.store.interface import TEMPORARY

_BEGIN_TRIES = 100
"""Times in a row that a folder may go right after it was made: it is empty, and others remove such ones."""
_GONE = (errno.ENOENT, errno.ESTALE, errno.EEXIST)
"""What says so; the last: it was there when it was to be made, and not when it was looked at."""


def temporary_beside(path: Path) -> Path:
    """Return a new name for an unfinished file in the folder of `path`."""
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")


def begin_beside(path: Path) -> Path:
    """Make an unfinished file, empty as yet, in the folder of `path`, which is made where it is not there."""
    for tries_left in reversed(range(_BEGIN_TRIES)):
        temporary = temporary_beside(path)
        try:
            _make_folder(path.parent)
            temporary.touch(exist_ok=False)
        except OSError as error:
            if error.errno not in _GONE or not tries_left:
                raise
        else:
            return temporary
    raise AssertionError("it is tried at least once")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file that takes the place of `path` at the end, or vanishes."""
    temporary = temporary_beside(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def placing(path: Path) -> Iterator[Path]:
    """Do as `replacing`, in a folder that need not be there yet; bytes and name are on disk afterwards."""
    temporary = begin_beside(path)
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        with suppress(FileNotFoundError):  # somebody has removed it, and its folder, by now
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents so that they outlast a power failure."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)
