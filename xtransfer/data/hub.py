"""Data sets through the `datasets` library: a repository at a pinned revision, or local files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from xtransfer.data.files import content_digest, resolve_files
from xtransfer.data.table import Row
from xtransfer.errors import DataError
from xtransfer.tasks.languages import iso3
from xtransfer.tasks.task import Hub, Split, Task

BUILDERS = ("arrow", "csv", "json", "parquet", "text")
"""Builders of `datasets` that read the task's own `files`."""


def read_hub(task: Task, *, split: Split, language: str, root: Path) -> Iterator[Row]:
    """Yield the rows of one split; values of a ClassLabel are given by name.

    Raises:
        DataError: for a repository without a pinned revision, or what `datasets` cannot load.
    """
    from datasets import load_dataset as load  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    load_dataset = cast("Any", load)
    place = _place(task, split=split, language=language, root=root)
    hub = _hub(task)
    arguments: dict[str, Any] = {"name": place["name"], "split": place["split"]}
    if hub.path in BUILDERS:
        files = resolve_files(task, split=split, language=language, root=root)
        arguments["data_files"] = {place["split"]: [str(path) for path in files]}
    elif not (root / hub.path).is_dir():
        arguments["revision"] = place["revision"]
    path = str(root / hub.path) if (root / hub.path).is_dir() else hub.path
    where = f"{task.name} {split} {language}: {hub.path}"
    try:
        loaded = load_dataset(path, **arguments)
    except Exception as error:  # whatever a builder raises, the user must know where
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(where, f"datasets cannot load it: {reason[0]}") from error
    for index, row in enumerate(loaded):
        yield f"{where}[{index}]", _name_labels(row, loaded.features, f"{where}[{index}]")


def hub_identity(task: Task, *, split: Split, language: str, root: Path) -> list[dict[str, Any]]:
    """Return what identifies the rows: the pinned place of a repository, or digests of files."""
    hub = _hub(task)
    place = _place(task, split=split, language=language, root=root)
    if hub.path in BUILDERS:
        files = resolve_files(task, split=split, language=language, root=root)
    elif (root / hub.path).is_dir():
        files = sorted(path for path in (root / hub.path).rglob("*") if path.is_file())
    else:
        return [place]
    digests = [{"file": path.name, "sha256": content_digest(path)} for path in files]
    return [{key: place[key] for key in ("name", "split")}, *digests]


def _hub(task: Task) -> Hub:
    if task.source.hub is None:
        raise DataError(task.name, "has no hub source")
    return task.source.hub


def _place(task: Task, *, split: Split, language: str, root: Path) -> dict[str, Any]:
    """Return path, name, revision and split with the language put in."""
    hub = _hub(task)
    where = f"{task.name} {split} {language}"
    local = hub.path in BUILDERS or (root / hub.path).is_dir()
    if not local and not re.fullmatch(r"[0-9a-f]{40}", hub.revision or ""):
        raise DataError(
            where,
            f"hub data set '{hub.path}' is not pinned (revision: {hub.revision})",
            "Give the full commit hash: 40 hex digits.",
        )
    return {
        "path": hub.path,
        "name": _replace(hub.name, language),
        "revision": hub.revision,
        "split": hub.splits.get(split, {"dev": "validation"}.get(split, split)),
    }


def _replace(template: str | None, language: str) -> str | None:
    if template is None:
        return None
    return template.replace("{lang3}", iso3(language)).replace("{lang}", language)


def _name_labels(row: Mapping[str, Any], features: Any, where: str) -> dict[str, Any]:
    """Return the row with the numbers of ClassLabel columns replaced by their names; -1 is none."""
    named = dict(row)
    for column, feature in features.items():
        inner = getattr(feature, "feature", None)
        if hasattr(feature, "int2str"):
            named[column] = _label_name(feature, row[column], where)
        elif hasattr(inner, "int2str"):
            named[column] = [_label_name(inner, value, where) for value in row[column]]
    return named


def _label_name(feature: Any, value: int | None, where: str) -> str | None:
    if value is None or value < 0:
        return None
    try:
        return feature.int2str(value)
    except ValueError:
        raise DataError(where, f"{value} is none of its {feature.num_classes} labels") from None
