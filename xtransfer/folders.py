"""Folders for files that need not last. Their process removes them, or after its death the next one does.

    {prefix}-{machine}-{process}-{random}

Checkpoints on their way to the store are in such folders, so what processes leave when they are killed
would fill a disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from xtransfer.machine import has_ended, this_machine


def private_folder(prefix: str, base: Path | None = None) -> Path:
    """Make a folder for this process in `base` (None: the system's place for temporary files).

    Folders of that prefix whose process, of this machine, has died are removed.
    """
    base = base or Path(tempfile.gettempdir())
    machine = _machine()
    remove_orphans(prefix, base)
    while True:  # not by `mkdtemp`, whose names are longer: sockets' paths may have 107 characters
        path = base / f"{prefix}-{machine}-{os.getpid()}-{secrets.token_hex(2)}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path


def remove_orphans(prefix: str, base: Path | None = None) -> None:
    """Remove the folders in `base` of that prefix whose process, of this machine, has died."""
    base = base or Path(tempfile.gettempdir())
    if not this_machine():
        return
    machine = _machine()
    for old in base.glob(f"{prefix}-{machine}-*-*"):
        pid = old.name.removeprefix(f"{prefix}-{machine}-").split("-")[0]
        if pid.isdigit() and has_ended(int(pid)):
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder(base: Path | None = None) -> Iterator[Path]:
    """Yield a private folder that is removed at the end of the block."""
    path = private_folder("xtransfer-tmp", base)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _machine() -> str:
    return hashlib.sha256(this_machine().encode()).hexdigest()[:4]
