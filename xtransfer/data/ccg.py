r"""Supertagged sentences: words with their categories of combinatory categorial grammar.

Each file tells by its first line how it is written:

AUTO    `ID=wsj_0001.1 ...`, then one derivation a line, with leaves `(<L N/N NNP NNP Pierre N/N>)`,
        as CCGbank is published
PMB     `# newdoc id = ...`, then seven columns a token, the fifth its category, as the Parallel
        Meaning Bank's layers are published
pairs   `token<TAB>category`, an empty line between sentences
pipes   `Pierre|NNP|N/N Vinken|NNP|N ,|,|, ...`, one sentence a line, as the C&C tools write them
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from xtransfer.data.examples import Rows, TaggingExample
from xtransfer.data.files import not_empty, read_lines
from xtransfer.errors import DataError, shown

Layout = Literal["auto", "pmb", "pairs", "pipes"]
Line = tuple[str, str]
"""Where the line stands, and the line."""
Words = list[tuple[str, str]]
"""Word and category, in order."""

PMB_COLUMNS = 7
_CATEGORY = 4

# A leaf: category, two parts of speech, word, category with the indices of its dependencies.
_LEAF = re.compile("\\(<L ([^ ]+) [^ ]+ [^ ]+ ([^ ]+) [^ ]+>\\)")
# What opens a node: category, which child is the head, number of children. A bracket closes it.
_NODE = re.compile(r"\(<T [^ ]+ [01] [12]>")
# The token `#` has a tab behind it.
_COMMENT = re.compile("#+ ")


def read_ccg(paths: Iterable[Path], *, first: int | None = None) -> Rows:
    """Return the sentences of the files, of each the `first` (None: all).

    Ids are 0-based sentence numbers over all files.

    Raises:
        DataError: naming file and line, for a line that is not in the layout of its file's first;
            naming the file, where one holds no sentence.
    """
    sentences = chain.from_iterable(
        islice(not_empty(_sentences(path), path), first) for path in paths
    )
    return Rows(
        examples=tuple(
            TaggingExample(
                id=str(number),
                tokens=tuple(word for word, _ in sentence),
                tags=tuple(category for _, category in sentence),
            )
            for number, sentence in enumerate(sentences)
        )
    )


def _sentences(path: Path) -> Iterator[Words]:
    lines = ((f"{path}:{number}", line) for number, line in read_lines(path))
    for where, line in lines:
        if line.strip():
            return _READERS[_layout(line)](chain([(where, line)], lines))
    return iter(())


def _layout(line: str) -> Layout:
    """Return how a file is written that begins with this line."""
    if line.startswith(("ID=", "(<")) and "\t" not in line:
        return "auto"
    if _COMMENT.match(line) or line.count("\t") == PMB_COLUMNS - 1:
        return "pmb"
    return "pairs" if "\t" in line else "pipes"


def _derivations(lines: Iterable[Line]) -> Iterator[Words]:
    for where, line in lines:
        if not line.strip() or line.startswith("ID="):
            continue
        leaves, bare = _LEAF.findall(line), _LEAF.sub("", line)
        closed = "".join(_NODE.sub("", bare).split())
        if not leaves or closed != ")" * len(_NODE.findall(bare)):
            raise DataError(where, f"is not a derivation of CCGbank: '{shown(line)}'")
        yield [(word, category) for category, word in leaves]


def _meaning_bank(lines: Iterable[Line]) -> Iterator[Words]:
    def pair(where: str, line: str) -> tuple[str, str]:
        columns = line.split("\t")
        if len(columns) != PMB_COLUMNS:
            raise DataError(
                where,
                f"has {len(columns)} columns, where the Parallel Meaning Bank has {PMB_COLUMNS}",
            )
        # A token of several words has ~ for the space between.
        return columns[0].replace("~", " "), columns[_CATEGORY]

    return _blocks((line for line in lines if not _COMMENT.match(line[1])), pair)


def _pairs(lines: Iterable[Line]) -> Iterator[Words]:
    def pair(where: str, line: str) -> tuple[str, str]:
        word, *rest = line.split("\t")
        if len(rest) != 1:
            raise DataError(where, f"is not `token<TAB>category`: '{shown(line)}'")
        return word, rest[0]

    return _blocks(lines, pair)


def _pipes(lines: Iterable[Line]) -> Iterator[Words]:
    for where, line in lines:
        items = [item for item in line.split(" ") if item]
        words: Words = []
        for item in items:
            # From the right: a category has no bar, a word may.
            parts = item.rsplit("|", 2)
            if len(parts) != 3 or not all(parts):
                raise DataError(where, f"'{shown(item)}' is not `word|part of speech|category`")
            words.append((parts[0], parts[2]))
        if words:
            yield words


def _blocks(lines: Iterable[Line], pair: Callable[[str, str], tuple[str, str]]) -> Iterator[Words]:
    """Yield the sentences of a file with one token a line and an empty line between two."""
    sentence: Words = []
    for where, line in lines:
        if not line.strip() and "\t" not in line:
            if sentence:
                yield sentence
                sentence = []
            continue
        word, category = pair(where, line)
        if not word or not category:
            raise DataError(where, f"lacks its word or its category: '{shown(line)}'")
        sentence.append((word, category))
    if sentence:
        yield sentence


_READERS: Mapping[Layout, Callable[[Iterable[Line]], Iterator[Words]]] = {
    "auto": _derivations,
    "pmb": _meaning_bank,
    "pairs": _pairs,
    "pipes": _pipes,
}
