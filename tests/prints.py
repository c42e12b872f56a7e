"""What a plan asks of the outside world, without an outside world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtransfer.tasks.task import Split, Task


class FakePrints:
    """The outside world as a function: what a data set is follows from its name."""

    def __init__(self, *, folder: str = "encoder", changed: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.changed = changed
        self.asked: list[tuple[str, str, str]] = []

    def data(self, task: Task, split: Split, language: str) -> Any:
        self.asked.append((task.name, split, language))
        return [{"file": f"{task.name}-{split}-{language}", "sha256": self._version(task.name)}]

    def encoder(self) -> tuple[Any, Any, Mapping[str, Any]]:
        return (
            {"model": self._version("encoder")},
            {"tokenizer": self._version("tokenizer")},
            {"name": self.folder, "revision": None, "digests": {}},
        )

    def _version(self, name: str) -> str:
        return "changed" if name in self.changed else "first"
