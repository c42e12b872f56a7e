"""Questions and the sentences that answer them, from SQuAD's JSON and LAReQA's XQuAD-R."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

from xtransfer.data.examples import RankingExample, Rows
from xtransfer.data.files import read_text
from xtransfer.data.sentences import split_sentences
from xtransfer.data.squad import json_list, json_text, read_question
from xtransfer.data.table import parse_json
from xtransfer.errors import DataError
from xtransfer.tasks.task import Split

UNPLACED = "answer begins in no sentence"
"""Why a question is left out, as LAReQA's own script leaves it out."""

BREAKS = "sentence_breaks"
"""Of a paragraph: first character and end of each sentence, as LAReQA publishes them."""


@dataclass(frozen=True, kw_only=True)
class _Paragraph:
    name: str
    """LAReQA's: language and number in the file; of several files, the count goes on."""
    text: str
    spans: Sequence[tuple[int, int]]
    questions: Sequence[tuple[str, str, int]]
    """Id, text, and first character of the answer."""


def read_passages(
    path: Path, *, split: Split, language: str, numbers: Iterator[int] | None = None
) -> Rows:
    """Return the questions of a file and the sentences among which their answers are sought.

    To train on, a pair for each question: it and the sentence in which its first answer begins, with
    the paragraph as context. Otherwise all questions, then all sentences of their paragraphs; those
    that answer a question have its id in `match`, as has the question, so that sentences of other
    languages match it too. `sentence_breaks` of a paragraph are used where the file has them.

    Args:
        path: of the file.
        split: of the data.
        language: of the file; ids of sentences begin with it.
        numbers: of the paragraphs, by which sentences are told apart: one count for all files of a data set.
            None: from 1.

    Raises:
        DataError: naming file and question or paragraph, for what `read_squad` refuses, and for
            sentence breaks that are not pairs of characters in the paragraph.
    """
    skipped: Counter[str] = Counter()
    pairs: list[RankingExample] = []
    queries: list[RankingExample] = []
    candidates: list[RankingExample] = []
    found = _paragraphs(path, split=split, language=language, numbers=numbers or count(1))
    for paragraph in found:
        answered: dict[int, list[str]] = {}
        asked = len(queries)
        for name, question, start in paragraph.questions:
            at = next((i for i, (a, b) in enumerate(paragraph.spans) if a <= start < b), None)
            if at is None:
                skipped[UNPLACED] += 1
                continue
            # Where a paragraph repeats the sentence, each of its places answers, as in LAReQA.
            for place in _same(paragraph, at):
                answered.setdefault(place, []).append(name)
            queries.append(RankingExample(id=name, query=question, match=(name,)))
            pairs.append(_candidate(paragraph, at, id_=name, query=question, match=(name,)))
        if len(queries) > asked:
            candidates += [
                _candidate(paragraph, at, match=tuple(answered.get(at, ())))
                for at in range(len(paragraph.spans))
            ]
    examples = pairs if split == "train" else [*queries, *candidates]
    return Rows(examples=tuple(examples), skipped=dict(skipped))


def sentence_rules(path: Path, language: str) -> dict[str, str]:
    """Return what identifies the rules that sentences of a file are found by; nothing of those for English.

    Younger than the first keys: a file that says where all of its sentences are needs no rules.
    """
    if language == "en":
        return {}
    text = read_text(path)
    bare = text.count(f'"{BREAKS}"') < text.count('"context"')
    return {"sentences": "all scripts"} if bare else {}


def _paragraphs(
    path: Path, *, split: Split, language: str, numbers: Iterator[int]
) -> Iterator[_Paragraph]:
    document = parse_json(read_text(path), str(path))
    here = count(1)
    for article in json_list(document, "data", str(path)):
        for raw in json_list(article, "paragraphs", str(path)):
            where = f"{path}: paragraph {next(here)}"
            text = json_text(raw, "context", where)
            questions: list[tuple[str, str, int]] = []
            for item in json_list(raw, "qas", where):
                example = read_question(item, text, str(path), split=split)
                if not example.answers:
                    raise DataError(
                        f"{path}: question '{example.id}'",
                        "has no answer, so it is not known which sentence answers it",
                        "Take the file as its authors publish it.",
                    )
                questions.append((example.id, example.question, example.answers[0][1]))
            yield _Paragraph(
                name=f"{language}_{next(numbers)}",
                text=text,
                spans=_spans(raw, text, language, where),
                questions=questions,
            )


def _spans(raw: Any, text: str, language: str, where: str) -> list[tuple[int, int]]:
    if BREAKS not in raw:
        return split_sentences(text, language)
    spans: list[tuple[int, int]] = []
    for item in json_list(raw, BREAKS, where):
        pair = cast("list[Any]", item) if isinstance(item, list) else []
        if len(pair) != 2 or not all(type(edge) is int for edge in pair):
            raise DataError(where, f"sentence break {item!r} is not a pair of characters")
        start, end = pair
        if not 0 <= start < end <= len(text):
            raise DataError(
                where, f"sentence break {item!r} is not within its {len(text)} characters"
            )
        spans.append((start, end))
    return spans


def _same(paragraph: _Paragraph, at: int) -> list[int]:
    texts = [paragraph.text[start:end] for start, end in paragraph.spans]
    return [place for place, text in enumerate(texts) if text == texts[at]]


def _candidate(
    paragraph: _Paragraph,
    at: int,
    *,
    id_: str = "",
    query: str | None = None,
    match: tuple[str, ...],
) -> RankingExample:
    start, end = paragraph.spans[at]
    name = f"{paragraph.name}_{at}"
    return RankingExample(
        id=id_ or name,
        query=query,
        candidate=paragraph.text[start:end],
        candidate_id=name,
        context=paragraph.text,
        match=match,
    )
