"""A record as a step drafts it, and the files that the step leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xtransfer.records.record import Record

FILES = {"model.safetensors": bytes(range(256)) * 40, "logs/a.txt": b"", "z.json": b"{}\n"}


def draft(**changes: Any) -> Record:
    values = {
        "key": "0" * 12,
        "kind": "train",
        "name": "xnli-lr1e-05-seed1",
        "version": 1,
        "spec": {"task": "xnli", "layers": (1, 2), "rate": 1e-5},
        "inputs": {"data": "ba9876543210"},
        "result": {"dev": {"en": 83.25}},
        "environment": {"torch": "2.13.0"},
        "placement": {"workers": 2},
        "timing": {"train": 12},
    }
    record = Record(**{**values, **changes})
    return record if "key" in changes else record.model_copy(update={"key": record.expected_key})


KEY = draft().key


def write_files(folder: Path) -> Path:
    """Write `FILES` below the folder, and return it."""
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def object_of(record: Record, name: str) -> str:
    return next(file.object for file in record.files if file.name == name)
