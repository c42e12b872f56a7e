"""Malformed folders of predictions and labels, and encoders that are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from tests.benchmark.folders import write_folders
from tests.faults.malformed.oracle import Case
from xtransfer.benchmark.benchmarks import XTREME, XTREME_R
from xtransfer.benchmark.formats import file_name
from xtransfer.tasks import TASKS

BENCHMARKS = {"xtreme": XTREME, "xtreme-r": XTREME_R}


def scored(draw: Random, folder: Path, _: int) -> Case:
    """Two languages of one task, predicted and labelled, and one file damaged."""
    benchmark = draw.choice(list(BENCHMARKS))
    task = TASKS[draw.choice(list(BENCHMARKS[benchmark].tasks))]
    for language in BENCHMARKS[benchmark].languages[task.name][:2]:
        for side in ("predictions", "labels"):
            path = folder / side / file_name(task, language)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_written(benchmark) / side / file_name(task, language), path)
    path = draw.choice(sorted(folder.glob("*/*/test-*")))
    certain = draw.random() < 0.5
    what = draw.choice(list(_CERTAIN if certain else _LIKELY))
    data = (_CERTAIN if certain else _LIKELY)[what](path.read_bytes(), draw)
    if data is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(data)
    command = ("score", "--predictions", "predictions", "--labels", "labels", "--partial")
    return Case(
        what=f"{task.name}: {path.relative_to(folder)} {what}",
        arguments=(*command, "--benchmark", benchmark),
        places=(path.name,),
        certain=certain,
    )


@cache
def _written(benchmark: str) -> Path:
    root = Path(mkdtemp(prefix="xt-malformed-"))
    _FOLDERS.append(root)
    write_folders(root, BENCHMARKS[benchmark])
    return root


_FOLDERS: list[Path] = []


def remove_folders() -> None:
    """Remove what `scored` copies from."""
    _written.cache_clear()
    while _FOLDERS:
        shutil.rmtree(_FOLDERS.pop())


def _another_value(data: bytes, draw: Random) -> bytes:
    """Put something else in the place of a value of a JSON file, or of one line of others."""
    odd = (None, 7, -1, [], {}, "", True, [[]], 10**30, {"a": 1}, "x")
    try:
        whole: Any = json.loads(data)
    except ValueError:
        rows = data.decode().splitlines()
        rows[draw.randrange(len(rows))] = json.dumps(draw.choice(odd))
        return "\n".join(rows).encode()
    at = whole
    while True:
        step = draw.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[step], dict | list) or not at[step] or draw.random() < 0.2:
            at[step] = draw.choice(odd)
            return json.dumps(whole).encode()
        at = at[step]


def _swap_lines(data: bytes, draw: Random) -> bytes:
    rows = data.decode().split("\n")
    draw.shuffle(rows)
    return "\n".join(rows).encode()


Damage = Callable[[bytes, Random], bytes | None]
_CERTAIN: dict[str, Damage] = {
    "a folder": lambda data, draw: None,
    "Latin-1": lambda data, draw: data + b"\xe9\n",
    "a NUL byte": lambda data, draw: data + b"\0\n",
    "UTF-16": lambda data, draw: data.decode().encode("utf-16"),
    "noise": lambda data, draw: b"\xff" + draw.randbytes(100),
    "HTML": lambda data, draw: b"<html>\n<body>404</body></html>\n",
    "deep": lambda data, draw: b"[" * 100_000,
    "half of a JSON object": lambda data, draw: b'{"label": 1, "a": [',
}
_LIKELY: dict[str, Damage] = {
    "empty": lambda data, draw: b"",
    "cut": lambda data, draw: data[: draw.randrange(len(data))],
    "with another value": _another_value,
    "with a line more": lambda data, draw: data + b"x\n",
    "with a long line": lambda data, draw: data + b"x" * 300_000,
    "twice": lambda data, draw: data * 2,
    "in another order": _swap_lines,
    "without its first line": lambda data, draw: data.partition(b"\n")[2],
    "a list": lambda data, draw: b"[]",
    "an object": lambda data, draw: b"{}",
    "null": lambda data, draw: b"null",
    "a huge number": lambda data, draw: b"9" * 10_000 + b"\n",
    "upper case": lambda data, draw: data.upper(),
}
