"""Question answering in the JSON of SQuAD v1.1 and v2.0 (XQuAD, MLQA and TyDiQA GoldP too)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from xtransfer.data.checks import check_answered, check_answers
from xtransfer.data.examples import SpanExample
from xtransfer.data.files import read_text
from xtransfer.data.table import parse_json
from xtransfer.errors import DataError, shown
from xtransfer.tasks.task import Split


def read_squad(path: Path, *, split: Split) -> list[SpanExample]:
    """Return the questions of a file.

    A question with `is_impossible` has no answers, whatever stands under `plausible_answers`. In a
    test file a single question may lack answers; a test file in which all do was stripped by
    XTREME's preparation, and is refused: scored against it every model would get 0.

    Raises:
        DataError: naming the file and the question, where a field is missing or of the wrong kind, or
            where an answer of a training or dev set is not in its context at the place it names.
    """
    document = parse_json(read_text(path), str(path))
    examples: list[SpanExample] = []
    for at, article in enumerate(json_list(document, "data", str(path))):
        place = f"{path}: data[{at}]"
        for under, paragraph in enumerate(json_list(article, "paragraphs", place)):
            where = f"{place}.paragraphs[{under}]"
            context = json_text(paragraph, "context", where)
            for number, item in enumerate(json_list(paragraph, "qas", where)):
                _field(item, "id", f"{where}.qas[{number}]")
                example = read_question(item, context, str(path), split=split)
                examples.append(example)
    if split == "test":
        check_answered(examples, str(path))
    return examples


def read_question(item: Any, context: str, path: str, *, split: Split) -> SpanExample:
    """Return one entry of `qas`, checked against its context; see `read_squad`."""
    name = json_text(item, "id", path)
    where = f"{path}: question '{shown(name)}'"
    impossible = item.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise DataError(where, "'is_impossible' is neither true nor false")
    answers = tuple(
        (json_text(answer, "text", where), _start(answer, where))
        for answer in json_list(item, "answers", where, optional=impossible or split == "test")
    )
    # XTREME strips a test file by giving each question the empty answer.
    answers = () if impossible else tuple(pair for pair in answers if pair[0])
    if split != "test":
        if not answers and not impossible:
            raise DataError(where, "has no answer, and does not say that it is impossible")
        check_answers(answers, context, where)
    return SpanExample(
        id=name, question=json_text(item, "question", where), context=context, answers=answers
    )


def json_list(value: Any, name: str, where: str, *, optional: bool = False) -> list[Any]:
    """Return the list that a JSON object has as `name`."""
    items = _field(value, name, where, optional=optional)
    if items is None and optional:
        return []
    if not isinstance(items, list):
        raise DataError(where, f"'{name}' is not a list")
    return cast("list[Any]", items)


def json_text(value: Any, name: str, where: str) -> str:
    """Return the text that a JSON object has as `name`."""
    text = _field(value, name, where)
    if not isinstance(text, str):
        raise DataError(where, f"'{name}' is not text")
    return text


def _start(value: Any, where: str) -> int:
    start = _field(value, "answer_start", where)
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise DataError(where, f"'answer_start' is {shown(repr(start))}, not a character position")
    return start


def _field(value: Any, name: str, where: str, *, optional: bool = False) -> Any:
    if not isinstance(value, dict):
        raise DataError(where, f"'{name}' is sought in what is not a JSON object")
    fields = cast("dict[str, Any]", value)
    if name not in fields and not optional:
        raise DataError(where, f"has no '{name}'", "Is it in the JSON format of SQuAD?")
    return fields.get(name)
