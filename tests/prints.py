"""What a plan asks of the outside world, without an outside world."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtransfer.data import source_digests
from xtransfer.errors import DataError
from xtransfer.tasks.task import Split, Task


class FilePrints:
    """The encoder made up, the data sets as they are; one without files has a name for a digest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.encoder = FakePrints().encoder

    def data(self, task: Task, split: Split, language: str) -> Any:
        try:
            return source_digests(task, split=split, language=language, root=self.root)
        except DataError:
            return [{"absent": f"{task.name}-{split}-{language}"}]


class FakePrints:
    """The outside world as a function: what a data set is follows from its name."""

    def __init__(
        self, *, folder: str = "encoder", changed: tuple[str, ...] = (), distinct: bool = False
    ) -> None:
        self.folder = folder
        self.changed = changed
        self.distinct = distinct
        """Whether each file has a content of its own, as in the world; else all have the same."""
        self.asked: list[tuple[str, str, str]] = []

    def data(self, task: Task, split: Split, language: str) -> Any:
        self.asked.append((task.name, split, language))
        name, content = f"{task.name}-{split}-{language}", self._version(task.name)
        return [{"file": name, "sha256": f"{name} {content}" if self.distinct else content}]

    def encoder(self) -> tuple[Any, Any, Mapping[str, Any]]:
        return (
            {"model": self._version("encoder")},
            {"tokenizer": self._version("tokenizer")},
            {"name": self.folder, "revision": None, "digests": {}},
        )

    def _version(self, name: str) -> str:
        return "changed" if name in self.changed else "first"
