"""From text to token ids: what the forms share when they encode examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

IGNORED = -100
"""Label of a position that takes no part in the loss."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Token ids and labels of a data set, one entry a row; a row is what a batch counts."""

    columns: dict[str, list[Any]]
    """Always `input_ids` (list, or the smaller array, of int), `example` (index of the row's example) and `weight` (what the
    row counts in the mean of the loss); each form adds its own."""
    counts: dict[str, int] = field(default_factory=dict)
    """Inputs cut, split or windowed because they were too long; never a silent loss."""


@dataclass(frozen=True)
class Ragged:
    """A column of integer lists: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def __getitem__(self, row: int) -> npt.NDArray[np.int32]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the length of each row."""
        return np.diff(self.offsets)


Column = Ragged | npt.NDArray[np.int32]
Rows = dict[str, Column]
"""Column name -> column, as read back from the store."""


def encode_texts(
    tokenizer: Any, first: Sequence[str], second: Sequence[str] | None, *, max_length: int
) -> tuple[dict[str, list[Any]], int]:
    """Tokenise texts or pairs, cutting the longer text first where a pair is over `max_length`.

    Returns:
        `input_ids` and, where the tokenizer distinguishes the two texts, `token_type_ids`; and how
        many inputs were cut.
    """
    if not first:
        return {"input_ids": []}, 0
    encoded = tokenizer(list(first), *([list(second)] if second is not None else []))
    over = [index for index, ids in enumerate(encoded["input_ids"]) if len(ids) > max_length]
    names = ["input_ids"]
    if any(any(types) for types in encoded.get("token_type_ids", [])):
        names.append("token_type_ids")
    columns = {name: list(encoded[name]) for name in names}
    if over:
        cut = tokenizer(
            [first[index] for index in over],
            *([[second[index] for index in over]] if second is not None else []),
            truncation=True,
            max_length=max_length,
        )
        for name in names:
            for position, index in enumerate(over):
                columns[name][index] = cut[name][position]
    return columns, len(over)


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer puts before and after a single text."""
    ids, bare = (
        tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False)
    )
    places = range(len(ids) - len(bare) + 1)
    at = next((place for place in places if ids[place : place + len(bare)] == bare), 0)
    return ids[:at], ids[at + len(bare) :]


def pad(
    rows: Sequence[npt.NDArray[np.int32]], value: int, width: int | None = None
) -> npt.NDArray[np.int64]:
    """Stack rows of different lengths into one array, filled up on the right with `value`.

    It is [rows, width]; None: as wide as the longest row.
    """
    width = max(len(row) for row in rows) if width is None else width
    out = np.full((len(rows), width), value, dtype=np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out


def ints(column: Column, rows: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the entries of a column of single integers at `rows`."""
    assert not isinstance(column, Ragged)
    return column[np.asarray(rows)].astype(np.int64)


def lists(
    column: Column, rows: Sequence[int] | npt.NDArray[np.int64]
) -> list[npt.NDArray[np.int32]]:
    """Return the lists of a ragged column at `rows`."""
    assert isinstance(column, Ragged)
    return [column[int(row)] for row in rows]
