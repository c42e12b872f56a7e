"""What the reader tests share: small files in official formats, and tasks that name them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Split, Task

Write = Callable[[str, str | bytes], Path]
Renamed = Callable[..., Task]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text or bytes below the test's folder; a name that ends with .gz is compressed."""

    def write_file(name: str, content: str | bytes) -> Path:
        raw = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return write_file


@pytest.fixture
def with_files() -> Renamed:
    """Return a task of the study with other files, as an experiment would name them."""

    def rename(name: str, split: Split, *files: str, **source: object) -> Task:
        task = TASKS[name]
        changes = {"files": {**task.source.files, split: files}, **source}
        return task.model_copy(update={"source": task.source.model_copy(update=changes)})

    return rename
