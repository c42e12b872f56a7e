"""Malformed data files: every format that a task may be published in, sound, and then one file damaged."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.data.formats import CASES, Written
from tests.data.formats import Case as Format
from tests.data.test_mentions import context, entity, lines, mention
from tests.data.test_passages import document
from tests.faults.malformed.drawn import drawn
from tests.faults.malformed.oracle import Case
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

STAGE = {"epochs": 1, "batch_size": 2, "max_length": 32}
SIDES = {"deu": "Ein Hund.\nEine Katze.\n", "eng": "A dog.\nA cat.\n"}


def damaged(draw: Random, folder: Path, _: int) -> Case:
    """A sound experiment on files of one format, of which one is damaged."""
    name = draw.choice(list(FORMATS))
    paths = write_format(name, draw, folder)
    path = draw.choice(paths)
    if draw.random() < 0.6:
        what = draw.choice(list(_CERTAIN))
        _CERTAIN[what](path, draw)
        place = path.name
    else:
        what = draw.choice(list(_LIKELY))
        _LIKELY[what](path, draw)
        place = "data/mine"  # the other file of a pair may be the one that is named
    return Case(
        what=f"{name}: {path.name} {what}",
        arguments=("data", "check", "data.yaml"),
        places=(place,),
        certain=what in _CERTAIN,
    )


def write_format(name: str, draw: Random, folder: Path) -> list[Path]:
    """Write `data.yaml` and its data files of one format into `folder`; return those to damage."""
    task, written = FORMATS[name](draw)
    for path, text in written.items():
        _write(folder / "data" / "mine" / path, text)
    for code, text in SIDES.items():
        _write(folder / f"data/tatoeba/tatoeba.deu-eng.{code}", text)
    record = _own(task)
    targets = ["tatoeba"] if "as_intermediate" in record else ["mine", "tatoeba"]
    experiment = {
        "name": "data",
        "encoder": {"name": "org/model", "revision": "a" * 40},
        "data": {"root": "data"},
        "tasks": [record],
        "intermediate": {"tasks": ["mine"] if "as_intermediate" in record else []},
        "target": {"tasks": targets, "languages": {"tatoeba": ["de"]}},
    }
    _write(folder / "data.yaml", yaml.safe_dump(experiment, allow_unicode=True))
    return [folder / "data" / "mine" / path for path in written]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def _own(task: Task) -> dict[str, Any]:
    """Return a built-in task as a record of one's own, in English or German, all of it in `data/mine`."""
    record = task.model_dump(mode="json", exclude_defaults=True)
    for key in ("benchmark", "group", "more_languages", "note", "single_labelled_split", "stages"):
        record.pop(key, None)
    record |= {"name": "mine", "languages": ["de"] if task.form == "bitext" else ["en"]}
    files = task.source.files
    record["source"]["files"] = {
        split: [f"mine/{name}" for name in names] for split, names in files.items()
    }
    if task.as_intermediate is not None:
        record["as_intermediate"] = STAGE
    else:
        record["stages"] = [] if task.form == "bitext" else [STAGE]
    return record


def _of_a_table(case: Format) -> Callable[[Random], tuple[Task, Written]]:
    """Return a maker of a format's files with what hypothesis draws, the same for every split."""

    def make(draw: Random) -> tuple[Task, Written]:
        examples = drawn(case.examples, count=4, number=draw.randrange(2**32))[-1]
        names = case.task.source.files[case.split]
        files = {"train": names, "dev": names, "test": names}
        source = case.task.source.model_copy(update={"files": files})
        return case.task.model_copy(update={"source": source}), case.write(examples)

    return make


def _like(name: str, files: dict[Any, tuple[str, ...]], written: Written) -> tuple[Task, Written]:
    task = TASKS[name]
    source = task.source.model_copy(update={"files": files})
    return task.model_copy(update={"source": source}), written


def _mining(_: Random) -> tuple[Task, Written]:
    files = ("a.de", "a.en", "a.gold")
    texts = ("de-1\tEin Hund.\nde-2\tNichts.\n", "en-1\tA dog.\nen-2\tMore.\n", "de-1\ten-1\n")
    return _like("bucc2018", {"dev": files, "test": files}, dict(zip(files, texts, strict=True)))


def _mentions(_: Random) -> tuple[Task, Written]:
    both = {"contextual_mention": {"context": context(), "mention": mention()}, "entity": entity()}
    asked = {"context": context(), "mentions": [mention(), mention("m2", "Q2")]}
    files = {"train": ("pairs.jsonl",), "dev": ("pairs.jsonl",), "test": ("asked.jsonl",)}
    written = {"pairs.jsonl": lines(both), "asked.jsonl": lines(asked)}
    written["pool.jsonl"] = lines(entity(), entity("Q2"))
    return _like("mewslix", {**files, "pool": ("pool.jsonl",)}, written)


def _passages(_: Random) -> tuple[Task, Written]:
    files = dict.fromkeys(("train", "dev", "test"), ("a.json",))
    return _like("lareqa", files, {"a.json": document(("q1", 0), ("q2", 17), ("q3", 4))})


FORMATS: dict[str, Callable[[Random], tuple[Task, Written]]] = {
    **{
        case.name: _of_a_table(case)
        for case in CASES
        # Files without tags are sound as test sets only, and a drawn bitext repeats itself.
        if not case.name.startswith(("tokens without tags", "bitext"))
    },
    "comparable corpora (BUCC)": _mining,
    "mentions (Mewsli-X)": _mentions,
    "passages (LAReQA)": _passages,
}


def _absent(path: Path, _: Random) -> None:
    path.unlink()


def _folder(path: Path, _: Random) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, _: Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path, _: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _bytes(change: Callable[[bytes, Random], bytes]) -> Callable[[Path, Random], None]:
    def damage(path: Path, draw: Random) -> None:
        path.write_bytes(change(path.read_bytes(), draw))

    return damage


def _within_a_line(data: bytes, what: bytes, draw: Random) -> bytes:
    # Never inside of a character, where it would be another one.
    at = draw.choice([at for at in range(len(data)) if data[at] < 0x80])
    return data[:at] + what + data[at:]


def _cut_gzip(path: Path, draw: Random) -> None:
    data = gzip.compress(path.read_bytes(), mtime=0)
    path.with_name(f"{path.name}.gz").write_bytes(data[: draw.randrange(len(data) - 1)])
    path.unlink()


_CERTAIN: dict[str, Callable[[Path, Random], None]] = {
    "absent": _absent,
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to itself": _loop,
    "empty": _bytes(lambda data, draw: b""),
    "a byte that is no UTF-8": _bytes(lambda data, draw: _within_a_line(data, b"\xff", draw)),
    "a NUL byte": _bytes(lambda data, draw: _within_a_line(data, b"\0", draw)),
    "UTF-16": _bytes(lambda data, draw: data.decode().encode("utf-16")),
    "noise": _bytes(lambda data, draw: b"\xff\xfe" + draw.randbytes(300)),
    "gzip without its ending": _bytes(lambda data, draw: gzip.compress(data, mtime=0)),
    "cut gzip": _cut_gzip,
}


def _other_values(path: Path, draw: Random) -> None:
    """Put something else in the place of one value of a file in JSON."""
    text = path.read_text(encoding="utf-8")
    try:
        rows = [json.loads(text)]
    except ValueError:
        try:
            rows = [json.loads(line) for line in text.split("\n") if line]
        except ValueError:
            _without_fields(path, draw)
            return
    at: Any = rows
    while True:
        step = draw.choice(list(at) if isinstance(at, dict) else range(len(at)))
        inner = at[step]
        if (
            not isinstance(inner, dict | list)
            or not inner
            or (at is not rows and draw.random() < 0.2)
        ):
            at[step] = draw.choice(
                (None, 7, -1, "", "x", [], {}, True, [[]], 1e999, 10**30, {"a": 1})
            )
            break
        at = inner
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")  # fmt: skip


def _without_fields(path: Path, draw: Random) -> None:
    """Take what separates fields out of one line."""
    rows = path.read_text(encoding="utf-8").split("\n")
    at = draw.randrange(len(rows))
    rows[at] = rows[at].replace("\t", "").replace(",", "").replace("|", "")
    path.write_text("\n".join(rows), encoding="utf-8")


_LIKELY: dict[str, Callable[[Path, Random], None]] = {
    "cut": _bytes(lambda data, draw: data[: draw.randrange(len(data))]),
    "with another value": _other_values,
    "without fields": _without_fields,
    "with a long line": _bytes(lambda data, draw: data + b"x" * 300_000 + b"\n"),
    "with a line of another format": _bytes(lambda data, draw: b'{"a": [1]}\t\t\t|\n' + data),
    "with a quote": _bytes(lambda data, draw: _within_a_line(data, b'"', draw)),
    "of another format": _bytes(lambda data, draw: b"<html><body>404</body></html>\n"),
    "deep": _bytes(lambda data, draw: b"[" * 100_000),
    "twice": _bytes(lambda data, draw: data * 2),
    "a number": _bytes(lambda data, draw: b"7\n"),
    "null": _bytes(lambda data, draw: b"null\n"),
    "of rows without names": _bytes(lambda data, draw: b"[]\n{}\n"),
    "a huge number": _bytes(lambda data, draw: b"9" * 10_000 + b"\n"),
}
