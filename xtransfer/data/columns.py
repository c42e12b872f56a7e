"""The column language of `Source.columns`: which part of a row is meant.

0                            column of a table without a header
question.stem                inside nested JSON
question.choices[].text      collected over a list
answer0,answer1              joined into a list
sentence1|context            the first that the row has
What was the {question}?     a text with columns put in
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

_COLUMN = re.compile(r"{([^{}]+)}")


class Absent(Exception):
    """The row has no such column; the message names the missing part."""


def select(row: Mapping[str, Any], expression: str) -> Any:
    """Return the part of `row` that `expression` means.

    A column whose whole name is the expression comes first, so names with dots or commas work too.

    Raises:
        Absent: where the row has no such part.
    """
    if expression in row:
        return row[expression]
    if "{" in expression:
        return _COLUMN.sub(lambda found: _text(row, found[1]), expression)
    if "|" in expression:
        for alternative in expression.split("|"):
            try:
                return select(row, alternative)
            except Absent:
                continue
        raise Absent(expression)
    if "," in expression:
        return [select(row, part) for part in expression.split(",")]
    return _walk(row, expression.split("."))


def _text(row: Mapping[str, Any], expression: str) -> str:
    value = select(row, expression)
    if not isinstance(value, str):
        raise Absent(expression)
    return value


def _walk(value: Any, steps: Sequence[str]) -> Any:
    for index, step in enumerate(steps):
        name = step.removesuffix("[]")
        if not isinstance(value, Mapping) or name not in value:
            raise Absent(name)
        value = cast("Mapping[str, Any]", value)[name]
        if step.endswith("[]"):
            if not isinstance(value, list | tuple):
                raise Absent(step)
            return [_walk(item, steps[index + 1 :]) for item in cast("Sequence[Any]", value)]
    return value
