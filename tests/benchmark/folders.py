"""Small folders of labels and predictions in the official form, for every task and language.

What stands in them is hard on purpose: adjacent equal tags, tags that begin with S, malformed entities,
articles and punctuation of MLQA's languages, repeated pairs, empty answers, line ends of both kinds.
They are a function of the names of task and language, so golden numbers can be computed for them once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xtransfer.benchmark.benchmarks import Benchmark
from xtransfer.benchmark.formats import file_name
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

TAGS = {
    "udpos": (
        "DET NOUN NOUN ADP PROPN PROPN PUNCT",
        "SCONJ PRON SYM SYM SCONJ CCONJ VERB VERB",
        "INTJ INTJ X",
        "ADV ADV ADJ NUM PART AUX",
    ),
    "panx": (
        "B-PER I-PER O B-LOC B-LOC O",
        "I-ORG I-ORG O O B-ORG I-PER",
        "O O O",
        "B-LOC I-LOC I-LOC B-PER O O B-ORG",
    ),
}
ANSWERS = {
    "en": ("The Cat!", "an  apple", "U.S."),
    "de": ("Der Hund.", "des Königs", "die Straße"),
    "es": ("El perro", "¿los perros?", "una casa"),
    "ar": ("الكتاب الجديد", "كتاب", "في المدينة،"),
    "hi": ("नई दिल्ली।", "दिल्ली", "१९४७"),
    "vi": ("của Việt Nam", "những người", "Hà Nội"),
    "zh": ("北京2008年奥运会", "《红楼梦》", "2008年"),
}


def write_folders(root: Path, benchmark: Benchmark) -> tuple[Path, Path]:
    """Write `predictions` and `labels` for all of a benchmark below `root`, and return them."""
    for name, languages in benchmark.languages.items():
        task = TASKS[name]
        for language in languages:
            texts = zip(("predictions", "labels"), _files(task, language), strict=True)
            for side, text in texts:
                path = root / side / file_name(task, language)
                path.parent.mkdir(parents=True, exist_ok=True)
                crlf = side == "predictions" and _draw(2, name, language, "line end")
                path.write_bytes((text.replace("\n", "\r\n") if crlf else text).encode())
    return root / "predictions", root / "labels"


def _draw(below: int, *place: object) -> int:
    """Return a number below `below` that depends on the place alone."""
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % below


def _files(task: Task, language: str) -> tuple[str, str]:
    """Return the text of the predictions and of the labels."""
    place = (task.name, language)
    if task.form == "tagging":
        return _tags(task, language)
    if task.form == "span":
        return _questions(task, language)
    if task.form == "retrieval":
        return _rankings(task, language)
    if task.name == "bucc2018":
        gold = [(f"{language}-{at}", f"en-{_draw(50, *place, at)}") for at in range(9)]
        found = [pair if _draw(3, *place, *pair) else (pair[0], "en-x") for pair in gold]
        repeated = [*found[1:], *found[1:4]]
        return _rows(map("\t".join, repeated)), _rows(map("\t".join, gold))
    kinds = {
        "classification": task.labels,
        "choice": ['{"label": 0}', '{"label": 1}'],
        "bitext": [str(at) for at in range(7)],
    }
    values = kinds[task.form]
    gold_rows = [values[_draw(len(values), *place, at)] for at in range(11)]
    found_rows = [
        row if _draw(3, *place, at, "right") else values[_draw(len(values), *place, at, "wrong")]
        for at, row in enumerate(gold_rows)
    ]
    return _rows(found_rows), _rows(gold_rows)


def _tags(task: Task, language: str) -> tuple[str, str]:
    known = task.labels
    gold = [line.split() for line in TAGS[task.name]]
    found = [
        [
            tag
            if _draw(4, task.name, language, number, at)
            else known[_draw(len(known), task.name, language, number, at, "wrong")]
            for at, tag in enumerate(tags)
        ]
        for number, tags in enumerate(gold)
    ]
    return "\n".join(map(_rows, found)), "\n".join(map(_rows, gold)) + "\n"


def _questions(task: Task, language: str) -> tuple[str, str]:
    pool = ANSWERS.get(language, ANSWERS["en"])
    qas: list[dict[str, Any]] = []
    found: dict[str, str] = {}
    for at in range(10):
        name = f"{language}-{at}"
        right = [pool[_draw(3, task.name, name)], pool[_draw(3, task.name, name, "other")]]
        qas.append({"id": name, "answers": [{"text": text, "answer_start": 0} for text in right]})
        kinds = (
            right[0],
            f"{right[1].upper()}, ",
            f"the {right[0]} {pool[0]}",
            " ".join(right),
            "",
        )
        found[name] = kinds[_draw(5, task.name, name, "kind")]
    articles = [{"paragraphs": [{"qas": qas[:4]}, {"qas": qas[4:]}]}]
    labels = articles if _draw(2, task.name, language) else {"data": articles, "version": "1"}
    return json.dumps(found, indent=0), json.dumps(labels, ensure_ascii=False)


def _rankings(task: Task, language: str) -> tuple[str, str]:
    gold: dict[str, list[str]] = {}
    found: dict[str, list[str]] = {}
    for at in range(10):
        name = f"{language}-{at}"
        count = 1 if task.name == "mewslix" else 1 + _draw(30, name)
        gold[name] = [f"Q{(_draw(40, name, 'gold') + each) % 40}" for each in range(count)]
        first = _draw(40, name, "first")
        found[name] = [f"Q{(first + each) % 40}" for each in range(_draw(26, name, "length"))]
    return json.dumps(found, indent=0), json.dumps(gold)


def _rows(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
