"""Tables: tab-separated, comma-separated, JSON lines and JSON arrays, as rows with a place."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from xtransfer.data.files import read_lines, read_text
from xtransfer.errors import DataError, shown
from xtransfer.tasks.languages import is_language, is_row_of, put_language

TableFormat = Literal["tsv", "csv", "jsonl", "json"]

_LONGEST_FIELD = 2**31 - 1
"""Characters; the largest limit that every platform's csv module takes."""

Row = tuple[str, dict[str, Any]]
"""Where the row stands (`path:line`, or `path[index]` in a JSON array), and column -> value."""


def read_table(
    path: Path, *, format_: TableFormat, header: bool, short: Counter[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a table.

    Args:
        path: the file, plain or gzip.
        format_: how the file is written; see the readers below.
        header: of tsv and csv, whether the first row names the columns; else they are "0", "1", ...
        short: of tsv and csv, where rows with fewer columns than the first are counted, and left out; None: they
            are refused.

    Raises:
        DataError: naming file and line, for a row that cannot be read. No other row is ever left out.
    """
    if format_ == "jsonl":
        return _read_json_lines(path)
    if format_ == "json":
        return _read_json_array(path)
    cells = _split_tsv(path) if format_ == "tsv" else _split_csv(path)
    return _name_columns(path, cells, header=header, short=short)


def with_labels(rows: Iterable[Row], path: Path | None) -> Iterator[Row]:
    """Yield the rows, each with its line of the file `path` as column `label`; as they are without.

    Raises:
        DataError: where the file has fewer or more lines than there are rows.
    """
    if path is None:
        yield from rows
        return
    labels = [line.strip() for _, line in read_lines(path)]
    count = 0
    for count, (where, row) in enumerate(rows, 1):
        if count > len(labels):
            raise DataError(where, f"has no label: {path} has only {len(labels)} lines")
        yield where, {**row, "label": labels[count - 1]}
    if count != len(labels):
        raise DataError(str(path), f"has {len(labels)} labels for {count} rows")


def choose_rows(
    rows: Iterable[Row], choice: Mapping[str, str], language: str, path: Path
) -> Iterator[Row]:
    """Yield the rows of one language, as `is_row_of` has it; `choice` names no column where all are wanted.

    Raises:
        DataError: for a row without such a column, and where no row is chosen.
    """
    count = 0
    for where, row in rows:
        for column in choice:
            if column not in row:
                has = shown(", ".join(row), most=200)
                message = f"has no column '{column}' to choose rows by"
                raise DataError(where, message, f"Its columns: {has}.")
        if is_row_of(row, choice, language):
            count += 1
            yield where, row
    if not count:
        raise DataError(
            str(path),
            f"has no row with {', '.join(_wanted(*each, language) for each in choice.items())}",
            _BEGINS if any(map(is_language, choice.values())) else "",
        )


def _wanted(column: str, template: str, language: str) -> str:
    how = "that is" if is_language(template) else "beginning with"
    return f"'{column}' {how} '{put_language(template, language)}'"


def _split_tsv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each line: one line is one row, and every tab is a border.

    XTREME writes its files with csv.writer, most others are written raw. `_unquote` tells the two
    apart field by field. A csv reader would run the lines of a raw file together at a stray quote.
    """
    for number, line in read_lines(path):
        yield number, [_unquote(field) for field in line.split("\t")]


def _unquote(field: str) -> str:
    r'''Return what csv.writer was given, where it quoted the field; other fields as they are.

    csv.writer quotes a field only if it holds a quote, which it doubles, or a carriage return (a tab
    or a line feed cannot be in a field here). So `"Yes"` is not its work and stays, `"""Yes"""`
    becomes `"Yes"`. Only a raw field that is quoted and doubles all its inner quotes, or holds a
    carriage return, would be misread.
    '''
    inner = field[1:-1]
    if len(field) < 2 or field[0] != '"' or field[-1] != '"':
        return field
    if '""' not in inner and "\r" not in inner:
        return field
    bare = inner.replace('""', "")
    return field if '"' in bare else inner.replace('""', '"')


def _split_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each row; a quoted field may hold commas and line ends."""
    last = 0

    def lines() -> Iterator[str]:
        nonlocal last
        for last, line in read_lines(path):  # noqa: B007 - read below
            yield f"{line}\n"

    csv.field_size_limit(_LONGEST_FIELD)  # of the process, and 131,072 unless set
    reader = csv.reader(lines(), strict=True)
    while True:
        first = last + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{first}", f"not a CSV row: {error}") from None
        if fields is None:
            return
        if fields:
            yield first, fields


def _name_columns(
    path: Path,
    cells: Iterable[tuple[int, list[str]]],
    *,
    header: bool,
    short: Counter[str] | None,
) -> Iterator[Row]:
    names: list[str] | None = None
    for number, fields in cells:
        if names is None:
            names = fields if header else [str(column) for column in range(len(fields))]
            if len(set(names)) != len(names):
                raise DataError(f"{path}:{number}", f"two columns have the same name: {names}")
            if header:
                continue
        if fields == [""] and len(names) > 1:
            continue  # an empty line, as many files have at their end
        if len(fields) < len(names) and short is not None:
            short["row with too few columns"] += 1
            continue
        if len(fields) != len(names):
            raise DataError(
                f"{path}:{number}",
                f"has {len(fields)} columns where the first row has {len(names)}",
                _BROKEN + (_SKIPPED if len(fields) < len(names) else ""),
            )
        yield f"{path}:{number}", dict(zip(names, fields, strict=True))


def _read_json_lines(path: Path) -> Iterator[Row]:
    """Yield one JSON object a line; an empty line is none."""
    for number, line in read_lines(path):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _mapping(parse_json(line, where, next_=_NOT_LINES), where)


def _read_json_array(path: Path) -> Iterator[Row]:
    """Yield the objects of a file that is one JSON array, or an object with the array as `data`."""
    value = parse_json(read_text(path), str(path), next_=_NOT_ARRAY)
    if isinstance(value, dict):
        value = cast("dict[str, Any]", value).get("data")
    if not isinstance(value, list):
        raise DataError(str(path), "is not a JSON array of rows, nor an object with one as 'data'")
    for index, item in enumerate(cast("list[Any]", value)):
        where = f"{path}[{index}]"
        yield where, _mapping(item, where)


_BEGINS = "Of texts that begin so and go on, give what stands behind it, too, as in '{lang}-'."
_BROKEN = "A tab or a line end inside a field breaks the row."
_SKIPPED = " `skip_short_rows: true` in the source leaves such rows out and counts them."
_NOT_LINES = "Does a row go over several lines? An array of rows is the format json."
_NOT_ARRAY = "Is every line a row of its own? That is the format jsonl."


def parse_json(text: str, where: str, *, next_: str = "") -> Any:
    """Parse JSON, refusing what is not JSON or not Unicode text (half of a surrogate pair).

    `next_` is what the error says to do with what is not JSON.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(where, "an escape stands for half of a character (a surrogate)") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise DataError(where, f"not valid JSON ({place}: {error.msg})", next_) from None
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"not valid JSON ({error})") from None
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(where, "is not a JSON object", "Each row must be one: {...}")
    return cast("dict[str, Any]", value)
