"""A disk small enough to be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Make `folder` a file system of 4 MiB; skip the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(folder: Path, *, but: int) -> Path:
    """Fill a disk but for so many bytes; return the file that does."""
    path = folder / "filler"
    free = os.statvfs(folder)
    path.write_bytes(bytes(free.f_bavail * free.f_frsize - but))
    return path
