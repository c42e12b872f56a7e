"""Mentions of entities and the entities themselves, as Mewsli-X and XTREME-R's preparation have them.

The text that stands for a mention or an entity is that of XTREME-R's baseline
(google-research/xtreme, third_party/utils_mewslix.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from xtransfer.data.examples import RankingExample, Rows
from xtransfer.data.files import not_empty, read_text
from xtransfer.data.table import parse_json, read_table
from xtransfer.errors import DataError

_BRACED = re.compile(r"\{(.*?)\}")


def read_mentions(paths: Sequence[Path], *, language: str) -> Rows:
    """Return what JSON lines hold: pairs of mention and entity, mentions, or entities.

    `wikipedia_pairs-*.jsonl` has a pair a line. `wikinews_mentions` has a context with its mentions a
    line; of a file with several languages, those of `language` are taken. `candidate_set_entities`
    has an entity a line. A further file that ends with `.json` maps a mention's id to its entity's,
    in a list: XTREME-R's mentions of the test set have none.

    Raises:
        DataError: naming file and line, where a field is missing or of the wrong kind, a span is not
            in its text, or a mention is not within one sentence.
    """
    labels = _read_labels([path for path in paths if _is_labels(path)])
    examples: list[RankingExample] = []
    others = 0
    for path in (path for path in paths if not _is_labels(path)):
        for where, row in not_empty(read_table(path, format_="jsonl", header=False), path):
            if "entity" in row:
                examples.append(_pair(row, where))
            elif "description" in row:
                examples.append(_entity(row, where))
            elif _of(row, "context", where).get("language") != language:
                others += 1
            else:
                examples += _mentions(row, where)
    if labels:
        examples = [_labelled(example, labels) for example in examples]
    skipped = {f"context not in '{language}'": others} if others else {}
    return Rows(examples=tuple(examples), skipped=skipped)


def _pair(row: Mapping[str, Any], where: str) -> RankingExample:
    mention = _of(row, "contextual_mention", where)
    query = _mention(_of(mention, "context", where), _of(mention, "mention", where), where)
    entity = _entity(_of(row, "entity", where), where)
    return replace(
        entity,
        id=query.id,
        query=query.query,
        match=tuple(dict.fromkeys((*query.match, *entity.match))),
    )


def _mentions(row: Mapping[str, Any], where: str) -> Iterator[RankingExample]:
    context = _of(row, "context", where)
    found = row.get("mentions", [row["mention"]] if "mention" in row else None)
    if not isinstance(found, list):
        raise DataError(where, "has no 'mentions'", "Is it a file of Mewsli-X?")
    for mention in cast("list[Any]", found):
        if not isinstance(mention, dict):
            raise DataError(where, "an entry of 'mentions' is not a JSON object")
        yield _mention(context, cast("dict[str, Any]", mention), where)


def _mention(context: Mapping[str, Any], mention: Mapping[str, Any], where: str) -> RankingExample:
    name = _text(mention, "example_id", where)
    text = _text(context, "text", where)
    start, end = _span(_of(mention, "mention_span", where), text, where)
    spans = [_span(span, text, where) for span in _list(context, "sentence_spans", where)]
    sentence = next(((a, b) for a, b in spans if a <= start and end <= b), None)
    if sentence is None:
        raise DataError(where, f"mention '{name}' is not within one sentence of its context")
    # The mention is marked by braces, so that braces of the text become parentheses; and it stands
    # in front too, where no cut can reach it.
    left = _BRACED.sub(r"(\1)", text[sentence[0] : start])
    right = _BRACED.sub(r"(\1)", text[end : sentence[1]])
    marked = f"{text[start:end]}: {left} {{ {text[start:end]} }} {right}"
    entity = _text(mention, "entity_id", where).strip()
    return RankingExample(id=name, query=_tidy(marked), match=(entity,) if entity else ())


def _entity(row: Mapping[str, Any], where: str) -> RankingExample:
    name = _text(row, "entity_id", where)
    text = _text(row, "description", where)
    spans = [_span(span, text, where) for span in _list(row, "sentence_spans", where)]
    described = _tidy(" ".join(text[start:end] for start, end in spans))
    return RankingExample(id=name, candidate=described, candidate_id=name, match=(name,))


def _tidy(text: str) -> str:
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _is_labels(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".json")


def _read_labels(paths: Sequence[Path]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for path in paths:
        document = parse_json(read_text(path), str(path))
        if not isinstance(document, dict):
            raise DataError(str(path), "is not a JSON object of mention id -> [entity id]")
        for name, found in cast("dict[str, Any]", document).items():
            entries = cast("list[Any]", found) if isinstance(found, list) else []
            if len(entries) != 1 or not isinstance(entries[0], str):
                raise DataError(str(path), f"mention '{name}' has not one entity: {found!r}")
            labels[name] = entries[0].strip()
    return labels


def _labelled(example: RankingExample, labels: Mapping[str, str]) -> RankingExample:
    entity = labels.get(example.id, "")
    return replace(example, match=(entity,)) if entity and example.query is not None else example


def _of(value: Any, name: str, where: str) -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise DataError(where, f"has no object '{name}'", "Is it a file of Mewsli-X?")
    return cast("dict[str, Any]", found)


def _list(value: Mapping[str, Any], name: str, where: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list):
        raise DataError(where, f"'{name}' is not a list")
    return cast("list[Any]", found)


def _text(value: Mapping[str, Any], name: str, where: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise DataError(where, f"'{name}' is not text")
    return found


def _span(value: Any, text: str, where: str) -> tuple[int, int]:
    span = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    start, end = span.get("start"), span.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise DataError(where, f"span {value!r} is not within a text of {len(text)} characters")
    if "text" in span and span["text"] != text[start:end]:
        raise DataError(where, f"span {value!r} is '{text[start:end]}' in its text")
    return start, end
