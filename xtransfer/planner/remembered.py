"""What records remember of data whose files are gone: recorded steps need no data any more."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from xtransfer.data import file_names
from xtransfer.identity import canonical_json
from xtransfer.records.record import Record, load_records
from xtransfer.store import Store
from xtransfer.tasks.languages import is_language
from xtransfer.tasks.task import Split, Task


class RememberedData:
    """Looks identities of data sets up in the records of prepare steps, which are read once, if at all."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, task: Task, split: Split, language: str) -> Any | None:
        """Return the one identity that records have for the files that the task names.

        None where no record has one, or where they have several: files that changed between two
        runs have no identity but what is in them.
        """
        source = canonical_json(task.source.identity())
        names = [
            PurePosixPath(name).name.removesuffix(".gz")
            for name in file_names(task, split=split, language=language)
        ]
        found: dict[str, Any] = {}
        for record in self._records:
            spec = record.spec
            if (spec.get("task"), spec.get("split")) != (task.name, split):
                continue
            identity = spec["data"].get(language)
            if not isinstance(identity, list) or _read_otherwise(task, identity):
                continue
            if canonical_json(spec["source"]) == source and _names(identity) == names:
                found[canonical_json(identity)] = identity
        return next(iter(found.values())) if names and len(found) == 1 else None

    @cached_property
    def _records(self) -> list[Record]:
        # What is damaged has its files read again, or is missing: either way the run says so.
        return list(load_records(self.store, ["prepare"], damaged=lambda _: None).values())


def _read_otherwise(task: Task, identity: list[Any]) -> bool:
    """Say whether files were read as they once were and are no more: see `source_digests`."""
    if any(map(is_language, task.source.rows.values())):
        return not all("rows" in item for item in identity)
    passages = task.form == "retrieval" and task.source.format == "squad"
    return passages and not all("paragraphs" in item for item in identity[1:])


def _names(identity: list[Any]) -> list[Any]:
    return [item.get("file") for item in identity if isinstance(item, dict)]
