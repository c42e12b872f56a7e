"""A report.html read as its readers read it: tables by their heads, and marks by their titles."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}


@dataclass(kw_only=True)
class Shown:
    """An element with what it says."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    gain: str = ""
    """Of a cell: its second line."""
    keys: tuple[str, ...] = ()
    """Of the element itself, or of the nearest one around it."""
    places: tuple[str, ...] = ()
    """Names of the elements around it, the outermost first."""


@dataclass(kw_only=True)
class Table:
    """A table: rows of (label, column -> cell)."""

    caption: str = ""
    head: list[Shown] = field(default_factory=list)
    rows: list[tuple[Shown, dict[str, Shown]]] = field(default_factory=list)

    def column(self, name: str) -> dict[str, Shown]:
        """Return row label -> cell; of several rows of one label, the last."""
        return {label.text: cells[name] for label, cells in self.rows}


class Page(HTMLParser):
    """Reads a page into its tables, and all elements that have something to say."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, Table] = {}
        self.elements: list[Shown] = []
        self.open: list[Shown] = []
        self.row: list[Shown] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {[each.name for each in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        around = self.open[-1].keys if self.open else ()
        own = tuple(attributes["data-keys"].split()) if "data-keys" in attributes else around
        shown = Shown(
            name=tag,
            attributes=attributes,
            keys=() if "data-source" in attributes else own,
            places=tuple(each.name for each in self.open),
        )
        self.elements.append(shown)
        if tag == "table":
            self.tables[attributes["id"]] = Table()
        if tag == "tr":
            self.row = []
        if tag in {"th", "td"}:
            self.row.append(shown)
        if tag not in VOID:
            self.open.append(shown)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.name == tag, f"</{tag}> closes <{closed.name}>"
        if tag == "tr":
            self._keep_row()
        if tag == "caption":
            list(self.tables.values())[-1].caption = closed.text

    def handle_data(self, data: str) -> None:
        for at, each in enumerate(self.open):
            inner = {other.name for other in self.open[at + 1 :]}
            if each.name == "td" and "b" in inner:
                if not inner & {"i", "span"}:
                    each.gain += data
            elif not (each.name == "td" and inner & {"i", "span"}):
                each.text += data

    def of(self, name: str) -> list[Shown]:
        """Return all elements of a name."""
        return [each for each in self.elements if each.name == name]

    def _keep_row(self) -> None:
        table = list(self.tables.values())[-1]
        for each in self.row:
            each.text, each.gain = each.text.strip(), each.gain.strip()
        if not table.head:
            table.head = self.row
            return
        names = [each.text for each in table.head]
        assert len(self.row) == len(names), f"{table.caption}: {[each.text for each in self.row]}"
        table.rows.append((self.row[0], dict(zip(names[1:], self.row[1:], strict=True))))
