"""Folders for files that need not last. Their process removes them, or after its death the next one does.

    {prefix}-{machine, 6 hex digits}-{process}-{random}

Checkpoints on their way to the store are in such folders, so what processes leave when they are killed
would fill a disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xtransfer.machine import process_start, this_machine


def private_folder(prefix: str, base: Path | None = None) -> Path:
    """Make a folder for this process in `base` (None: the system's place for temporary files).

    Folders of that prefix whose process, of this machine, has died are removed.
    """
    base = base or Path(tempfile.gettempdir())
    machine = hashlib.sha256(this_machine().encode()).hexdigest()[:6]
    if this_machine():
        for old in base.glob(f"{prefix}-{machine}-*-*"):
            pid = old.name.removeprefix(f"{prefix}-{machine}-").split("-")[0]
            if pid.isdigit() and not process_start(int(pid)):
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}-{machine}-{os.getpid()}-", dir=base))


@contextmanager
def temporary_folder(base: Path | None = None) -> Iterator[Path]:
    """Yield a private folder that is removed at the end of the block."""
    path = private_folder("xtransfer-tmp", base)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
