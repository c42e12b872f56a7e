"""Comparable corpora with the pairs that are translations, as BUCC 2018 publishes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from xtransfer.data.examples import BitextExample, Rows
from xtransfer.data.files import not_empty, read_lines
from xtransfer.errors import DataError


def read_mining(foreign: Path, english: Path, gold: Path) -> Rows:
    """Return all foreign sentences, then all English ones; few of either have a translation.

    Sentences are `id<TAB>text`, gold pairs `foreign id<TAB>English id`, one a line.

    Raises:
        DataError: naming file and line, for a line without a tab, an id that occurs twice, or a gold
            pair of which a sentence is not there.
    """
    texts = {"foreign": _read_sentences(foreign), "english": _read_sentences(english)}
    pairs = [
        (number, *_split(line, f"{gold}:{number}")) for number, line in read_lines(gold) if line
    ]
    matches: dict[str, dict[str, list[str]]] = {"foreign": {}, "english": {}}
    for number, one, other in pairs:
        for side, name, match in (("foreign", one, other), ("english", other, one)):
            if name not in texts[side]:
                raise DataError(f"{gold}:{number}", f"no {side} sentence has the id '{name}'")
            matches[side].setdefault(name, []).append(match)
    if not pairs:
        raise DataError(str(gold), "holds no pair")
    return Rows(
        examples=tuple(
            BitextExample(
                id=name,
                side=side,
                text=text,
                match=tuple(matches[side].get(name, ())),
                same_as=same_as.get(text),
            )
            for side in ("foreign", "english")
            for same_as in [_repeated(texts[side])]
            for name, text in texts[side].items()
        )
    )


def _read_sentences(path: Path) -> dict[str, str]:
    sentences: dict[str, str] = {}
    for number, line in not_empty(read_lines(path), path):
        name, text = _split(line, f"{path}:{number}")
        if name in sentences:
            raise DataError(f"{path}:{number}", f"a second sentence has the id '{name}'")
        sentences[name] = text
    return sentences


def _split(line: str, where: str) -> tuple[str, str]:
    name, tab, text = line.partition("\t")
    if not tab or not name:
        raise DataError(where, "is not `id<TAB>text`", "Take the files as BUCC publishes them.")
    return name, text.strip()


def _repeated(sentences: Mapping[str, str]) -> dict[str, str]:
    """Return text -> id of its first sentence, for texts that several sentences have."""
    counts = Counter(sentences.values())
    first: dict[str, str] = {}
    for name, text in sentences.items():
        if counts[text] > 1:
            first.setdefault(text, name)
    return first
