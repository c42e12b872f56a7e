"""Folders of data sets: which of their files hold rows, and which of them `save_to_disk` of `datasets` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from xtransfer.data.files import read_text
from xtransfer.data.table import parse_json
from xtransfer.errors import DataError

_STATE = "state.json"
_SPLITS = "dataset_dict.json"


def folder_files(folder: Path) -> list[Path]:
    """Return the files that identify a folder's data, sorted.

    Not those in hidden folders, where git and the hub's client keep when what was fetched; nor what `map`
    and `filter` left beside a data set that was saved to disk.
    """
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1])
        and not (path.name.startswith("cache-") and (path.parent / _STATE).is_file())
    ]


def saved_files(folder: Path, *, name: str | None, where: str) -> dict[str, list[str]] | None:
    """Return split -> Arrow files of a data set that was saved to disk; None for any other folder.

    A data set without splits is its `train`, as `load_dataset` has it.

    Args:
        folder: of the data set.
        name: of a configuration: a folder in it; None: there is only one.
        where: what asks for it, for the error.

    Raises:
        DataError: where a configuration is asked for that the folder does not have.
    """
    found = None if name is None else _files(folder / name)
    if found is None:
        found = _files(folder)
        if found is not None and name is not None:
            raise DataError(
                where,
                f"{folder} was saved to disk without configurations, and has no folder '{name}'",
                "Save each configuration into a folder of its name in it.",
            )
    return found


def _files(folder: Path) -> dict[str, list[str]] | None:
    if (folder / _SPLITS).is_file():
        splits = _listed(_read(folder / _SPLITS), "splits", folder / _SPLITS)
        return {str(split): _shards(folder / str(split)) for split in splits}
    if (folder / _STATE).is_file():
        return {_read(folder / _STATE).get("_split") or "train": _shards(folder)}
    return None


def _shards(folder: Path) -> list[str]:
    """Return the files that a saved split says it consists of, whatever else lies beside them."""
    path = folder / _STATE
    shards = _listed(_read(path), "_data_files", path)
    return [str(folder / shard["filename"]) for shard in shards]


def _read(path: Path) -> Mapping[str, Any]:
    value = parse_json(read_text(path), str(path))
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _listed(value: Mapping[str, Any], name: str, path: Path) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list) or not found:
        raise DataError(str(path), f"names no '{name}'", "Save the data set to disk again.")
    return cast("list[Any]", found)
