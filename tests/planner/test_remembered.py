"""What records remember of data whose files are gone, and what they no longer vouch for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xtransfer.planner.remembered import RememberedData
from xtransfer.store import open_store
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

XNLI, LAREQA = TASKS["xnli"], TASKS["lareqa"]
WHOLE = {"rows": "whole codes"}
ON = {"paragraphs": "counted on"}


def with_source(task: Task, **changes: Any) -> Task:
    return task.model_copy(update={"source": task.source.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("task", "marks", "known"),
    [
        (XNLI, ({},), True),
        (with_source(XNLI, rows={"language": "{lang}"}), ({},), False),
        (with_source(XNLI, rows={"language": "{lang}"}), (WHOLE,), True),
        (with_source(XNLI, rows={"id": "{language}-"}), ({},), True),
        (LAREQA, ({},), True),
        (LAREQA, ({}, {}), False),
        (LAREQA, ({}, ON), True),
    ],
)
def test_files_that_were_read_otherwise_are_not_remembered(
    tmp_path: Path, task: Task, marks: tuple[dict[str, str], ...], known: bool
) -> None:
    files = tuple(f"{number}.json" for number in range(len(marks)))
    task = with_source(task, files={"test": files})
    identity = [
        {"file": file, "sha256": "0" * 64, **mark} for file, mark in zip(files, marks, strict=True)
    ]
    data = RememberedData(open_store(f"file://{tmp_path}"))
    spec = {
        "task": task.name, "split": "test", "source": task.source.identity(), "data": {"de": identity},
    }  # fmt: skip
    data.__dict__["_records"] = [SimpleNamespace(spec=spec)]
    assert data.find(task, "test", "de") == (identity if known else None)
