"""One row of a table as its task names the columns: values of the kinds that examples are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from xtransfer.data.columns import Absent, select
from xtransfer.errors import DataError, shown
from xtransfer.tasks.task import Split, Task

_WORD = re.compile(r"\w+")


class Fields:
    """One row, read by the names that `Source.columns` gives its columns.

    Every method raises `DataError`, naming the row, for a column that is missing or a value of another kind.

    Args:
        where: file and line.
        row: column -> value.
        task: whose columns they are.
        number: of the row, from 0, its id where no column has one.
        split: that the row is of.
    """

    def __init__(
        self, *, where: str, row: Mapping[str, Any], task: Task, number: int, split: Split
    ) -> None:
        self.where = where
        self.split = split
        self.row = row
        self.task = task
        self.number = number

    def label(self, *, required: bool) -> str | None:
        """Return the label as the file writes it; None where there is none, "" where none is due."""
        if self.task.form == "span":
            return ""
        value = self.value("label", optional=not required)
        if value in (None, ""):
            if required:
                column = self.task.source.columns.get("label", "label")
                raise DataError(self.where, "has no label", f"Its column is '{column}'.")
            return None
        return self.as_name(value, "label")

    def id(self) -> str:
        """Return the id of the row, its number where the task names no column of ids."""
        if "id" not in self.task.source.columns:
            return str(self.number)
        return self.as_name(self.value("id"), "id")

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a text; `default` is for a column that the task does not name."""
        if default is not None and not self.names_column(name):
            return default
        return self.as_text(self.value(name), name)

    def names_column(self, name: str) -> bool:
        """Say whether the task names a column for a field that examples may lack.

        Refused is a row with a column of that very name that the task puts nowhere: passed over in silence, a
        model would learn from premises alone.
        """
        columns = self.task.source.columns
        if name in columns:
            return True
        if self.row.get(name) not in (None, "") and not any(
            name in _WORD.findall(each) for each in columns.values()
        ):
            raise DataError(
                self.where,
                f"has a column '{name}', which task '{self.task.name}' does not name",
                f"Name it as source.columns: {{{name}: {name}}}, or give it another name in the file.",
            )
        return False

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        return tuple(self.as_text(item, name) for item in self._items(name))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the labels of a list, each as `as_name` reads it."""
        return tuple(self.as_name(item, name) for item in self._items(name))

    def value(self, name: str, *, optional: bool = False) -> Any:
        """Return what stands in a column, of whatever kind; None where an optional one is missing."""
        column = self.task.source.columns.get(name, name)
        try:
            return select(self.row, column)
        except Absent as absent:
            if optional:
                return None
            raise DataError(
                self.where,
                f"has no column '{absent}' (for '{name}' of task '{self.task.name}')",
                f"Its columns: {shown(', '.join(self.row), most=200)}.",
            ) from None

    def as_text(self, value: Any, name: str) -> str:
        """Return a value that must be text, as it is."""
        if isinstance(value, str):
            return value
        raise DataError(self.where, f"'{name}' is {kind_of(value)}, not text")

    def as_name(self, value: Any, name: str) -> str:
        """Return an id or a label, which some publishers write as a number or as true and false."""
        if isinstance(value, bool) and name in ("label", "tags"):
            return "true" if value else "false"
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float) and value.is_integer():
            raise DataError(
                self.where,
                f"'{name}' is {kind_of(value)}, not text",
                f"Write it as the whole number {value:.0f}, or as a text. pandas makes floats of whole numbers beside "
                "empty cells.",
            )
        return self.as_text(value, name)

    def _items(self, name: str) -> Sequence[Any]:
        value = self.value(name)
        if not isinstance(value, list | tuple):
            raise DataError(self.where, f"'{name}' is {kind_of(value)}, not a list of texts")
        return cast("Sequence[Any]", value)


def kind_of(value: Any) -> str:
    """Name the kind of a JSON value, a number with what it is."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return f"the {type(value).__name__} {shown(str(value))}"
    return f"a {type(value).__name__}"
