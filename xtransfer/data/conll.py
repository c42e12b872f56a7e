"""Tagged sentences: `token<TAB>tag` as XTREME prepares them, and CoNLL-U as treebanks publish them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xtransfer.data.checks import check_labelled, resolve_label
from xtransfer.data.examples import Rows, TaggingExample
from xtransfer.data.files import not_empty, read_lines
from xtransfer.errors import DataError, shown
from xtransfer.tasks.task import Split, Task

_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")
"""Number of a range of words or of an empty node in CoNLL-U."""
_DOCUMENT = "-DOCSTART-"
"""How a line begins that parts two documents, in files made of CoNLL-2003's."""

LANGUAGE_PREFIX = "language prefix of a token"
"""What is counted where it is taken off."""

Line = tuple[str, str, str | None]
"""Where the token stands, the token, and its tag as the file writes it."""


def read_conll(
    task: Task, paths: list[Path], *, split: Split, language: str = "", first: int | None = None
) -> Rows:
    """Return the sentences of the files, an empty line between two; of each the `first`, None: all.

    A file named `.conllu` is CoNLL-U: column 2 is the token, column 4 the tag; comments, ranges
    (`1-2`) and empty nodes (`1.1`) are passed over, as no token of the sentence; its words count from
    1 without a gap. Of all other files every line is a token and, but for unlabelled test files, its
    tag; one that begins with `-DOCSTART-` is no token and ends a sentence, as XTREME's utils_tag.py
    has it. Tokens whose tag is one of the task's `skip_labels` are left out and counted. The prefix that
    WikiANN's own files have before every token (`language_prefix`) is taken off, as XTREME does, and
    counted. Ids are 0-based sentence numbers.

    Raises:
        DataError: naming file and line, for a line of another shape or an unknown tag; naming the
            file, where one holds no sentence.
    """
    examples: list[TaggingExample] = []
    unlabelled: list[str] = []
    skipped: Counter[str] = Counter()
    for path in paths:
        prefix = language_prefix(path, language)
        for sentence in islice(not_empty(_sentences(path), path), first):
            if prefix:
                sentence = [_without(prefix, line) for line in sentence]  # noqa: PLW2901
                skipped[LANGUAGE_PREFIX] += len(sentence)
            example = _build(task, sentence, len(examples), skipped, split=split)
            if example is None:
                continue
            if example.tags is None:
                unlabelled.append(sentence[0][0])
            examples.append(example)
    check_labelled(unlabelled, len(examples))
    return Rows(examples=tuple(examples), skipped=dict(skipped))


def language_prefix(path: Path, language: str) -> str:
    """Return the language's code with a colon where every token of a file begins so, else nothing.

    A file is read no further than to the first sentence with another token, and what is wrong with one is told
    by `read_conll`.
    """
    prefix, found = f"{language}:", ""
    try:
        for sentence in _sentences(path) if language else ():
            if not all(token.startswith(prefix) for _, token, _ in sentence):
                return ""
            found = prefix
    except DataError:
        return ""
    return found


def _without(prefix: str, line: Line) -> Line:
    """Return a line without its token's prefix; a token that is nothing else stays."""
    where, token, tag = line
    return where, token.removeprefix(prefix) or token, tag


def _build(
    task: Task, sentence: list[Line], number: int, skipped: Counter[str], *, split: Split
) -> TaggingExample | None:
    tokens: list[str] = []
    tags: list[str] = []
    bare = 0
    for where, token, tag in sentence:
        if tag is not None and tag in task.source.skip_labels:
            skipped[f"token tagged '{tag}'"] += 1
            continue
        tokens.append(token)
        if tag is not None:
            tags.append(resolve_label(tag, task, where))
            continue
        bare += 1
        if split != "test" or tags:
            raise DataError(
                where,
                f"token '{shown(token)}' has no tag",
                "A line is `token<TAB>tag`; one with spaces or more columns must be converted.",
            )
    if not tokens:
        skipped["sentence without tokens"] += 1
        return None
    if bare and tags:
        raise DataError(sentence[0][0], "only some tokens of the sentence have a tag")
    return TaggingExample(id=str(number), tokens=tuple(tokens), tags=None if bare else tuple(tags))


def _sentences(path: Path) -> Iterator[list[Line]]:
    universal = path.name.removesuffix(".gz").endswith(".conllu")
    sentence: list[Line] = []
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        border = not universal and line.startswith(_DOCUMENT)
        if border or not line.strip(" "):  # a space of another kind is a token: treebanks hold some
            if sentence:
                yield sentence
                sentence = []
            continue
        if not universal:
            sentence.append(_plain_token(line, where))
            continue
        token = _universal_token(line, where, after=len(sentence))
        if token is not None:
            sentence.append(token)
    if sentence:
        yield sentence


def _plain_token(line: str, where: str) -> Line:
    token, *tags = line.split("\t")
    if len(tags) > 1 or not token:
        raise DataError(
            where,
            f"is not `token<TAB>tag`: '{shown(line)}'",
            "Cut out these two columns, or name a file of CoNLL-U `.conllu`.",
        )
    if tags and not tags[0]:
        raise DataError(where, f"token '{shown(token)}' has an empty tag")
    return where, token, tags[0] if tags else None


def _universal_token(line: str, where: str, *, after: int) -> Line | None:
    """Return the word of a line, None for a line that holds none; `after` words came before it."""
    if line.startswith("#"):
        return None
    columns = line.split("\t")
    if len(columns) != 10:
        raise DataError(where, f"has {len(columns)} columns, where CoNLL-U has 10")
    number, token, tag = columns[0], columns[1], columns[3]
    if _NO_WORD.fullmatch(number):
        return None
    if number != str(after + 1):
        raise DataError(
            where,
            f"its word has the number '{shown(number)}', not {after + 1}",
            "Is a line missing, or the empty line between two sentences?",
        )
    if not token or not tag:
        raise DataError(where, "its word or its tag is empty")
    return where, token, tag
