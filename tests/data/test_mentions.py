"""Mewsli-X by its schema: google-research/xtreme, third_party/utils_mewslix.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xtransfer.data.examples import RankingExample
from xtransfer.data.mentions import read_mentions
from xtransfer.errors import DataError

TEXT = "It was cold. The verdict came for Smith, who {then} left.\nNobody  else did."
SENTENCES = [(0, 12), (13, 57), (58, 75)]
QUERY = "Smith: The verdict came for { Smith } , who (then) left."


def spans(*pairs: tuple[int, int]) -> list[dict[str, int]]:
    return [{"start": start, "end": end} for start, end in pairs]


def context(language: str = "en") -> dict[str, Any]:
    return {
        "document_title": "T",
        "document_url": "http://t",
        "document_id": "D",
        "language": language,
        "text": TEXT,
        "sentence_spans": spans(*SENTENCES),
    }


def mention(name: str = "m1", entity: str = "Q1", start: int = 34, text: str = "Smith") -> Any:
    span = {"start": start, "end": start + len(text), "text": text}
    return {"example_id": name, "mention_span": span, "entity_id": entity, "metadata": {}}


def entity(name: str = "Q1", text: str = "A smith.\nHe  works. More.") -> dict[str, Any]:
    return {
        "entity_id": name,
        "title": "Smith",
        "description": text,
        "sentence_spans": spans((0, 8), (9, 19)),
        "description_language": "en",
        "description_url": "http://s",
    }


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_mention_is_marked_in_its_sentence(write: Any) -> None:
    rows = lines({"context": context(), "mentions": [mention(), mention("m2", "Q2")]})
    assert read_mentions([write("test-en.jsonl", rows)], language="en").examples == (
        RankingExample(id="m1", query=QUERY, match=("Q1",)),
        RankingExample(id="m2", query=QUERY, match=("Q2",)),
    )


def test_an_entity_is_its_description(write: Any) -> None:
    path = write("candidate_set_entities.jsonl", lines(entity(), entity("Q2")))
    first, second = read_mentions([path], language="all").examples
    assert first == RankingExample(
        id="Q1", candidate="A smith. He works.", candidate_id="Q1", match=("Q1",)
    )
    assert second.id == "Q2"


def test_a_pair_is_both(write: Any) -> None:
    row = {"contextual_mention": {"context": context(), "mention": mention()}, "entity": entity()}
    path = write("wikipedia_pairs-train.jsonl", lines(row))
    assert read_mentions([path], language="en").examples == (
        RankingExample(
            id="m1", query=QUERY, candidate="A smith. He works.", candidate_id="Q1", match=("Q1",)
        ),
    )


def test_a_pair_of_two_names_has_them_in_one_order(write: Any) -> None:
    """The order is written into a prepared data set, which must be the same in every process."""
    names = [f"Q{number}" for number in range(20)]
    rows = [
        {
            "contextual_mention": {"context": context(), "mention": mention(name, name)},
            "entity": entity("other"),
        }
        for name in names
    ]
    path = write("wikipedia_pairs-train.jsonl", lines(*rows))
    found = read_mentions([path], language="en").examples
    assert [example.match for example in found] == [(name, "other") for name in names]  # type: ignore[union-attr]


def test_of_a_file_with_several_languages_one_is_taken(write: Any) -> None:
    rows = lines(
        {"context": context("de"), "mentions": [mention("d")]},
        {"context": context("ta"), "mentions": [mention("t")]},
    )
    found = read_mentions([write("wikinews_mentions-test.jsonl", rows)], language="de")
    assert [example.id for example in found.examples] == ["d"]
    assert found.skipped == {"context not in 'de'": 1}


def test_labels_may_be_in_a_file_of_their_own(write: Any) -> None:
    rows = lines({"context": context(), "mentions": [mention("a", ""), mention("b", "")]})
    mentions = write("test-en.jsonl", rows)
    stripped = write("x/test-en.json", json.dumps({"a": [""], "b": [""]}))
    labels = write("y/test-en.json", json.dumps({"a": ["Q7"], "b": ["Q8 "]}))

    def matches(*paths: Any) -> list[tuple[str, ...]]:
        return [e.match for e in read_mentions(list(paths), language="en").examples]  # type: ignore[union-attr]

    assert matches(mentions) == matches(mentions, stripped) == [(), ()]
    assert matches(mentions, labels) == [("Q7",), ("Q8",)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"context": context(), "mentions": [mention(start=35)]}, r"is 'mith,' in its text"),
        ({"context": context(), "mentions": [mention(start=99)]}, "not within a text of 75"),
        (
            {"context": context(), "mentions": [mention(start=52, text="left.\nNob")]},
            "'m1' is not within one sentence",
        ),
        ({"context": context()}, "has no 'mentions'"),
        ({"context": context(), "mentions": [3]}, "is not a JSON object"),
        ({"title": "x"}, "has no object 'context'"),
        ({**entity(), "sentence_spans": 3}, "'sentence_spans' is not a list"),
        ({**entity(), "entity_id": 3}, "'entity_id' is not text"),
    ],
)
def test_what_is_malformed_is_said(write: Any, row: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"m\.jsonl:1: .*{message}"):
        read_mentions([write("m.jsonl", lines(row))], language="en")


@pytest.mark.parametrize("labels", [[], {"m1": "Q1"}, {"m1": ["Q1", "Q2"]}])
def test_malformed_labels_are_said(write: Any, labels: Any) -> None:
    rows = lines({"context": context(), "mentions": [mention()]})
    with pytest.raises(DataError, match=r"l\.json"):
        read_mentions([write("m.jsonl", rows), write("l.json", json.dumps(labels))], language="en")
