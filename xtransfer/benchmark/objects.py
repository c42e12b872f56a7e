"""JSON files keyed by the ids of examples: answers to questions, and rankings.

The readers return gold entries and predictions as `xtransfer.metrics.score` takes them, in the order
of the label file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from xtransfer.data.files import read_text
from xtransfer.errors import DataError, did_you_mean, shown
from xtransfer.tasks.task import Task

Object = dict[str, Any]


def read_answers(labels: Path, predictions: Path) -> tuple[list[list[str]], list[str]]:
    """Read a label file in the JSON of SQuAD and a prediction file `{question id: text}`.

    Of the label file only ids and answer texts are read, as by the official evaluate.py, and its
    articles may stand under `data` or by themselves.

    Raises:
        DataError: naming the file and the line or id, for malformed JSON, an id that one file has and
            the other has not, or a value of the wrong kind.
    """
    questions = list(_questions(_parse(labels), labels))
    if not any(text for _, texts in questions for text in texts):
        raise DataError(
            str(labels),
            "no question has an answer",
            "XTREME's preparation strips its test files: take the file as its authors publish it.",
        )
    found = _object(_parse(predictions), predictions)
    _same_ids(dict(questions), labels, found, predictions)
    for name, text in found.items():
        if not isinstance(text, str):
            raise DataError(_at(predictions, name), f"the answer to '{shown(name)}' is not text")
    return [texts for _, texts in questions], [found[name] for name, _ in questions]


def read_rankings(
    task: Task, labels: Path, predictions: Path
) -> tuple[list[list[str]], list[list[str]]]:
    """Read a label file `{id: [right ids]}` and a prediction file `{id: [ids, best first]}`.

    Mewsli-X has one right entity, of which its evaluator strips white space; raises as above.
    """
    gold = {
        name: [each.strip() for each in ids]
        for name, ids in _lists(_object(_parse(labels), labels), labels).items()
    }
    empty = next((name for name, ids in gold.items() if not ids), None)
    if empty is not None or not gold:
        where, what = (_at(labels, empty), f"'{empty}' has") if empty else (str(labels), "holds")
        raise DataError(where, f"{what} no right answer", "It must hold the gold labels.")
    found = _lists(_object(_parse(predictions), predictions), predictions)
    _same_ids(gold, labels, found, predictions)
    if task.metric == "mrr20":
        gold = {name: ids[:1] for name, ids in gold.items()}
    return list(gold.values()), [found[name] for name in gold]


def write_object(entries: Mapping[str, Any]) -> str:
    """Return a JSON object, one entry a line."""
    rows = (
        f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in entries.items()
    )
    return "{\n" + ",\n".join(rows) + "\n}\n"


def write_questions(questions: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a label file in the JSON of SQuAD with ids and answers, and nothing else of it.

    A question without answers (TyDiQA's Russian test set has one) gets the empty answer, as it is
    published: on an empty list the official evaluate.py fails.
    """
    qas = [
        {"id": name, "answers": [{"text": text} for text in texts or [""]]}
        for name, texts in questions
    ]
    return (
        json.dumps({"data": [{"paragraphs": [{"qas": qas}]}]}, ensure_ascii=False, indent=0) + "\n"
    )


def _parse(path: Path) -> Any:
    try:
        return json.loads(read_text(path), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}", f"not valid JSON (column {error.colno}: {error.msg})"
        ) from None
    except _RepeatedKeyError as error:
        raise DataError(_at(path, error.name), f"'{error.name}' occurs twice") from None
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), f"not valid JSON ({error})") from None


class _RepeatedKeyError(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _unique(pairs: list[tuple[str, Any]]) -> Object:
    found: Object = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedKeyError(name)
        found[name] = value
    return found


def _object(value: Any, path: Path) -> Object:
    if not isinstance(value, dict):
        raise DataError(f"{path}:1", "is not a JSON object of ids", "Write {id: prediction, ...}.")
    return cast("Object", value)


def _lists(entries: Object, path: Path) -> dict[str, list[str]]:
    for name, ids in entries.items():
        if not isinstance(ids, list) or not all(
            isinstance(each, str) for each in cast("list[Any]", ids)
        ):
            raise DataError(
                _at(path, name), f"'{shown(name)}' has no list of ids", "Best first: [id, id]."
            )
    return entries


def _questions(document: Any, path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield id and acceptable answers of each question."""
    articles = cast("Object", document).get("data") if isinstance(document, dict) else document
    for article in _items(articles, "data", path):
        for paragraph in _items(_field(article, "paragraphs", path), "paragraphs", path):
            for question in _items(_field(paragraph, "qas", path), "qas", path):
                name = _field(question, "id", path)
                if not isinstance(name, str):
                    raise DataError(str(path), f"a question has the id {name!r}, which is not text")
                answers = _items(_field(question, "answers", path), "answers", path)
                texts = [_field(answer, "text", path) for answer in answers]
                if not all(isinstance(text, str) for text in texts):
                    raise DataError(_at(path, name), f"an answer to '{shown(name)}' is not text")
                yield name, texts or [""]


def _items(value: Any, name: str, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(
            str(path), f"'{shown(name)}' is no list", "Is it in the JSON format of SQuAD?"
        )
    return cast("list[Any]", value)


def _field(value: Any, name: str, path: Path) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise DataError(str(path), f"has no '{shown(name)}'", "Is it in the JSON format of SQuAD?")
    return cast("Object", value)[name]


def _same_ids(
    gold: Mapping[str, Any], labels: Path, found: Mapping[str, Any], predictions: Path
) -> None:
    strange = [name for name in found if name not in gold]
    if strange:
        near = did_you_mean(strange[0], gold)
        raise DataError(
            _at(predictions, strange[0]),
            f"{labels} has no '{shown(strange[0])}'{_more(len(strange))}",
            f"{near} Predict for the test set that the labels are of.".strip(),
        )
    absent = [name for name in gold if name not in found]
    if absent:
        raise DataError(
            str(predictions),
            f"lacks '{shown(absent[0])}'{_more(len(absent))} ({_at(labels, absent[0])})",
            "Predict every example; the official evaluate.py would count it as wrong.",
        )


def _more(count: int) -> str:
    return f" and {count - 1:,} more" if count > 1 else ""


def _at(path: Path, name: str) -> str:
    """Return `file:line` of the first place that has the id as a JSON text; the file if none has."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if json.dumps(name) in line or json.dumps(name, ensure_ascii=False) in line:
            return f"{path}:{number}"
    return str(path)
