"""The records behind a page, as JSON within it: what a cell opens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from xtransfer.records.outputs import OutputFile
from xtransfer.records.record import Record

LONGEST = 12
"""Items of a list that are shown; of a longer one, the first few and how many there are."""


def records_json(records: Mapping[str, Record]) -> str:
    """Return records as JSON that may stand inside a script element.

    What occurs many times over stands once, and records have its place:

        {"specs": [...], "software": [...], "languages": [[[language, examples], ...], ...],
         "records": {key: {kind, name, spec, inputs, files, result, seconds, with}}}

    """
    specs, software, languages = _Pool(), _Pool(), _Pool()
    found = {
        key: {
            "kind": record.kind,
            "name": record.name,
            "spec": specs.place(_short(record.spec)),
            "inputs": record.inputs,
            "files": _files(record.files),
            "result": _result(record, languages),
            "seconds": round(record.timing.get("seconds", 0.0), 1),
            "with": software.place(record.environment),
        }
        for key, record in sorted(records.items())
    }
    whole = {
        "specs": specs.values,
        "software": software.values,
        "languages": languages.values,
        "records": found,
    }
    # Neither an end tag nor a comment can begin inside.
    return _text(whole).replace("<", "\\u003c")


class _Pool:
    """Values that each stand once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Return where a value stands."""
        return self.places.setdefault(_text(value), len(self.places))

    @property
    def values(self) -> list[Any]:
        """The values in order."""
        return [json.loads(text) for text in self.places]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _result(record: Record, languages: _Pool) -> dict[str, Any]:
    result = record.result
    if record.kind == "evaluate":
        metric = record.spec["metric"]
        return {
            "metric": metric,
            "tested": languages.place([[n, f["examples"]] for n, f in result["languages"].items()]),
            "scores": [round(f["metrics"][metric], 2) for f in result["languages"].values()],
        }
    wanted = ("score", "best_step", "steps", "stopped_early", "chosen", "split", "loss")
    return {name: _rounded(result[name]) for name in wanted if result.get(name) is not None}


def _files(files: tuple[OutputFile, ...]) -> list[list[Any]]:
    """Return [name, bytes, SHA-256]; folders of many files as [folder, bytes, number of files]."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    single: list[list[Any]] = []
    for file in files:
        folder = file.name.rpartition("/")[0]
        if not folder:
            single.append([file.name, file.size, file.sha256])
            continue
        sizes[folder] += file.size
        counts[folder] += 1
    return [*single, *([f"{name}/", sizes[name], counts[name]] for name in sorted(sizes))]


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _short(item) for name, item in value.items()}  # type: ignore[misc]
    if isinstance(value, list | tuple):
        items: list[Any] = [_short(item) for item in value]  # type: ignore[misc]
        return items if len(items) <= LONGEST else [*items[:3], f"… {len(items):,} in all"]
    return value


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
