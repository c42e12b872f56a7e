"""Data sets through the `datasets` library: a repository at a pinned revision, or local files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from xtransfer.data.files import content_digest, resolve_files
from xtransfer.data.saved import folder_files, saved_files
from xtransfer.data.table import Row
from xtransfer.errors import DataError, shown
from xtransfer.tasks.languages import is_row_of, names_language, put_language
from xtransfer.tasks.task import Hub, Split, Task

BUILDERS = ("arrow", "csv", "json", "parquet", "text")
"""Builders of `datasets` that read the task's own `files`."""


class HubAway(DataError):
    """The hub gave no answer: what asks next would wait as long, in vain."""


def asks_hub(task: Task, root: Path) -> bool:
    """Tell whether rows of a task may come over the network: a place of its own has no copy below the root."""
    return any(hub.path not in BUILDERS and not _has_copy(hub, root) for hub in task.source.hub)


def read_hub(task: Task, *, split: Split, language: str, root: Path) -> Iterator[Row]:
    """Yield the rows of one split, of one place after the other; a ClassLabel is given by its name.

    Raises:
        HubAway: when the hub gives no answer.
        DataError: for a repository without a pinned revision, or what `datasets` cannot load.
    """
    for hub in task.source.hub:
        yield from _read_place(task, hub, split=split, language=language, root=root)


def hub_identity(task: Task, *, split: Split, language: str, root: Path) -> list[dict[str, Any]]:
    """Return what identifies the rows: pinned places of repositories, or digests of files."""
    found: list[dict[str, Any]] = []
    for hub in task.source.hub:
        place = _place(task, hub, split=split, language=language, root=root)
        if hub.path in BUILDERS:
            files = resolve_files(task, split=split, language=language, root=root)
        elif _has_copy(hub, root):
            files = folder_files(root / hub.path)
        else:
            found.append(place)
            continue
        found.append({key: value for key, value in place.items() if key not in _PLACE})
        found += [{"file": path.name, "sha256": content_digest(path)} for path in files]
    return found


_PLACE = ("path", "revision")
"""What says nothing about rows that are identified by their content."""


def _read_place(task: Task, hub: Hub, *, split: Split, language: str, root: Path) -> Iterator[Row]:
    from datasets import load_dataset as load  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    load_dataset = cast("Any", load)
    place = _place(task, hub, split=split, language=language, root=root)
    arguments: dict[str, Any] = {"name": place["name"], "split": place["split"]}
    local, read = hub.path not in BUILDERS and _has_copy(hub, root), ""
    if hub.path in BUILDERS:
        files = resolve_files(task, split=split, language=language, root=root)
        arguments["data_files"] = {place["split"]: [str(path) for path in files]}
        read = f" ({', '.join(map(str, files))})"
    elif not local:
        arguments["revision"] = place["revision"]
    where = f"{task.name} {split} {language}: {hub.path}"
    path = str(root / hub.path) if local else hub.path
    saved = saved_files(root / hub.path, name=place["name"], where=where) if local else None
    if saved is not None:  # load_dataset would read the files that `map` left there, too
        path, arguments = "arrow", {"data_files": saved, "split": place["split"]}
    try:
        loaded = load_dataset(path, **arguments)
    except Exception as error:  # whatever a builder raises, the user must know where
        reason = f"datasets cannot load it{read}: {_reason(error)}"
        # Told not to ask (HF_HUB_OFFLINE), `datasets` raises the same error at once.
        asked = not local and "OfflineModeIsEnabled" not in str(error)
        kind = HubAway if asked and isinstance(error, ConnectionError) else DataError
        raise kind(where, reason, _remedy(error, hub)) from error
    for column in hub.rows:
        if column not in loaded.features:
            has = ", ".join(loaded.features)
            what = f"has no column '{column}' to choose rows by"
            raise DataError(f"{where}{read}", what, f"It has: {has}.")
    for index, row in enumerate(loaded):
        if is_row_of(row, hub.rows, language):
            at = f"{where}[{index}]{read}"
            yield at, _name_labels(row, loaded.features, at)


def _has_copy(hub: Hub, root: Path) -> bool:
    """Tell whether a copy of a repository lies below the data root."""
    return (root / hub.path).is_dir()


def _reason(error: Exception) -> str:
    """Return what a builder says in a line; of what only says that it failed, the cause, which has several."""
    cause = error
    while type(error).__name__ == "DatasetGenerationError" and isinstance(
        cause.__cause__, Exception
    ):
        cause = cause.__cause__
    if cause is not error:
        return shown(" ".join(str(cause).split()) or type(cause).__name__, most=300)
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _remedy(error: Exception, hub: Hub) -> str:
    """Say what to do: where a split has another name, or the hub could not be reached (an OSError, always)."""
    if "Unknown split" in str(error):
        return "Name it as `splits` of the source's `hub`, such as {dev: dev}."
    if not isinstance(error, OSError) or hub.path in BUILDERS:
        return ""
    return (
        "Is the hub reachable from here? Else put a copy of the repository into a folder of its name "
        "below the data root, or read the task's files: data.hub."
    )


def _place(task: Task, hub: Hub, *, split: Split, language: str, root: Path) -> dict[str, Any]:
    """Return path, name, revision, split and, if there is one, the choice of rows."""
    where = f"{task.name} {split} {language}"
    templates = (hub.name or "", *hub.rows.values())
    if (
        hub.path not in BUILDERS
        and language != task.train_language
        and not any(map(names_language, templates))
    ):
        raise DataError(
            where,
            f"hub data set '{hub.path}' is in '{task.train_language}' alone",
            "Name files in the language instead.",
        )
    local = hub.path in BUILDERS or _has_copy(hub, root)
    if not local and not re.fullmatch(r"[0-9a-f]{40}", hub.revision or ""):
        raise DataError(
            where,
            f"hub data set '{hub.path}' is not pinned (revision: {hub.revision})",
            f"Give the full commit hash, 40 hex digits, as data.revisions: {{{hub.path}: ...}}.",
        )
    place: dict[str, Any] = {
        "path": hub.path,
        "name": None if hub.name is None else put_language(hub.name, language),
        "revision": hub.revision,
        "split": hub.splits.get(split, {"dev": "validation"}.get(split, split)),
    }
    if hub.rows:
        place["rows"] = {column: put_language(text, language) for column, text in hub.rows.items()}
    return place


def _name_labels(row: Mapping[str, Any], features: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the row with the numbers of ClassLabels replaced by their names; -1 is none."""
    return {column: _named_value(row[column], features[column], where) for column in row}


def _named_value(value: Any, feature: Any, where: str) -> Any:
    """Return a value with the names of the ClassLabels in it, however deep in lists and objects."""
    if hasattr(feature, "int2str"):
        return _label_name(feature, value, where)
    if isinstance(value, Mapping) and isinstance(feature, Mapping):
        return _name_labels(cast("Mapping[str, Any]", value), cast("Any", feature), where)
    inner = getattr(feature, "feature", None)
    if isinstance(value, list) and inner is not None:
        return [_named_value(item, inner, where) for item in cast("list[Any]", value)]
    return cast("Any", value)


def _label_name(feature: Any, value: int | None, where: str) -> str | None:
    if value is None or value < 0:
        return None
    try:
        return feature.int2str(value)
    except ValueError:
        raise DataError(where, f"{value} is none of its {feature.num_classes} labels") from None
