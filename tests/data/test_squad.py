from __future__ import annotations

import json
from typing import Any

import pytest

from xtransfer.data.examples import SpanExample
from xtransfer.data.squad import read_squad
from xtransfer.errors import DataError

CONTEXT = "Ein Haus. 東京は首都。"


def document(*questions: dict[str, Any]) -> str:
    paragraphs = [{"context": CONTEXT, "qas": list(questions)}]
    return json.dumps({"version": "1.1", "data": [{"title": "T", "paragraphs": paragraphs}]})


def question(**change: Any) -> dict[str, Any]:
    answers = [{"text": "東京", "answer_start": 10}]
    return {"id": "q", "question": "Hauptstadt?", "answers": answers, **change}


def test_a_question_with_its_answers(write) -> None:
    assert list(read_squad(write("a.json.gz", document(question())), split="dev")) == [
        SpanExample(id="q", question="Hauptstadt?", context=CONTEXT, answers=(("東京", 10),))
    ]


def test_an_impossible_question_has_no_answer(write) -> None:
    impossible = question(is_impossible=True, plausible_answers=[{"text": "x", "answer_start": 0}])
    with_answers, without = impossible, {**impossible, "answers": []}
    for item in (with_answers, without):
        (example,) = read_squad(write("a.json", document(item)), split="train")
        assert example.answers == ()


def test_one_test_question_may_lack_answers(write) -> None:
    path = write("a.json", document(question(), question(id="r", answers=[])))
    assert [example.answers for example in read_squad(path, split="test")] == [(("東京", 10),), ()]


def test_a_stripped_test_file_is_refused(write) -> None:
    stripped = question(answers=[{"text": "", "answer_start": 0}])
    with pytest.raises(DataError, match="no question has an answer"):
        list(read_squad(write("a.json", document(stripped)), split="test"))


def test_a_test_answer_elsewhere_in_its_context_is_scored_all_the_same(write) -> None:
    moved = question(answers=[{"text": "東京", "answer_start": 0}])
    (example,) = read_squad(write("a.json", document(moved)), split="test")
    assert example.answers == (("東京", 0),)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (question(answers=[]), "question 'q': has no answer, and does not say"),
        (
            question(answers=[{"text": "東京", "answer_start": 9}]),
            "answer '東京' is not at character 9 of its context",
        ),
        (question(answers=[{"text": "x", "answer_start": -1}]), "'answer_start' is -1, not a"),
        (question(answers=[{"text": "x", "answer_start": "3"}]), "'answer_start' is '3', not a"),
        (question(answers=[{"answer_start": 3}]), "question 'q': has no 'text'"),
        (question(answers="東京"), "question 'q': 'answers' is not a list"),
        ({"id": "q", "question": "x"}, "question 'q': has no 'answers'"),
        ({"question": "x", "answers": []}, "has no 'id'"),
        (question(id=3), r"'id' is not text"),
        (question(is_impossible="false"), "'is_impossible' is neither true nor false"),
        (question(question=3), "question 'q': 'question' is not text"),
        ("q", r"a\.json: data\[0\]\.paragraphs\[0\]\.qas\[0\]: 'id' is sought in what is not"),
    ],
)
def test_what_cannot_be_trained_on_is_named(write, item: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_squad(write("a.json", document(item)), split="train"))


@pytest.mark.parametrize("text", ["[]", "{}", '{"data": {}}', '{"data": ["x"]}', '{"data": [{}]}'])
def test_another_kind_of_json_is_refused(write, text: str) -> None:
    with pytest.raises(DataError, match=r"a\.json"):
        list(read_squad(write("a.json", text), split="dev"))
