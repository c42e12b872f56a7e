from __future__ import annotations

import json
from typing import Any

import pytest

from xtransfer.data import read_examples, source_digests
from xtransfer.data.examples import RankingExample, Rows
from xtransfer.data.passages import UNPLACED, read_passages
from xtransfer.data.samples import cut, hold_out
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Source

TEXT = "The cat sat. Who saw it? The dog ran. Who saw it?"
BREAKS = [[0, 12], [13, 24], [25, 37], [38, 49]]


def document(*questions: tuple[str, int], breaks: Any = BREAKS, text: str = TEXT) -> str:
    qas = [
        {
            "id": name,
            "question": f"{name}?",
            "answers": [{"text": text[at : at + 3], "answer_start": at}],
        }
        for name, at in questions
    ]
    paragraph: dict[str, Any] = {"context": text, "qas": qas}
    if breaks is not None:
        paragraph["sentence_breaks"] = breaks
    other = {"context": "Unasked. Never.", "qas": [], "sentence_breaks": [[0, 8], [9, 15]]}
    return json.dumps({"data": [{"paragraphs": [other]}, {"paragraphs": [paragraph]}]})


def test_questions_then_all_sentences_of_their_paragraphs(write: Any) -> None:
    path = write("de.json", document(("q1", 0), ("q2", 17), ("q3", 4)))
    found = read_passages(path, split="test", language="de")
    queries, candidates = found.examples[:3], found.examples[3:]
    assert queries == tuple(
        RankingExample(id=name, query=f"{name}?", match=(name,)) for name in ("q1", "q2", "q3")
    )
    assert [(e.id, e.candidate, e.context, e.match) for e in candidates] == [  # type: ignore[union-attr]
        ("de_2_0", "The cat sat.", TEXT, ("q1", "q3")),
        # A repeated sentence answers in both of its places, as in LAReQA's own script.
        ("de_2_1", "Who saw it?", TEXT, ("q2",)),
        ("de_2_2", "The dog ran.", TEXT, ()),
        ("de_2_3", "Who saw it?", TEXT, ("q2",)),
    ]
    assert all(e.candidate_id == e.id for e in candidates)  # type: ignore[union-attr]
    assert found.skipped == {}


def test_training_pairs_a_question_with_its_sentence(write: Any) -> None:
    path = write("train.json", document(("q1", 4), ("q2", 29), breaks=None))
    assert read_passages(path, split="train", language="en").examples == (
        RankingExample(
            id="q1",
            query="q1?",
            candidate="The cat sat.",
            candidate_id="en_2_0",
            context=TEXT,
            match=("q1",),
        ),
        RankingExample(
            id="q2",
            query="q2?",
            candidate="The dog ran.",
            candidate_id="en_2_2",
            context=TEXT,
            match=("q2",),
        ),
    )


def test_an_answer_between_sentences_is_left_out_and_counted(write: Any) -> None:
    path = write("de.json", document(("q1", 0), ("q2", 12)))
    for split in ("train", "test"):
        found = read_passages(path, split=split, language="de")
        assert found.skipped == {UNPLACED: 1}
        assert [e.id for e in found.examples if e.query] == ["q1"]  # type: ignore[union-attr]


@pytest.mark.parametrize("breaks", [[[0]], [["0", 4]], [[4, 4]], [[0, 99]], [7], "x"])
def test_sentence_breaks_are_checked(write: Any, breaks: Any) -> None:
    path = write("de.json", document(("q1", 0), breaks=breaks))
    with pytest.raises(DataError, match=r"de\.json: paragraph 2"):
        read_passages(path, split="test", language="de")


def test_questions_without_answers_are_refused(write: Any) -> None:
    stripped = json.loads(document(("q1", 0)))
    stripped["data"][1]["paragraphs"][0]["qas"][0]["answers"] = [{"text": "", "answer_start": 0}]
    with pytest.raises(DataError, match="question 'q1': has no answer"):
        read_passages(write("de.json", json.dumps(stripped)), split="test", language="de")


def test_a_cut_keeps_the_paragraphs_of_its_questions(write: Any) -> None:
    paragraphs = [
        {
            "context": f"Cat {at}. Dog {at}.",
            "qas": [
                {"id": f"q{at}", "question": "?", "answers": [{"text": "C", "answer_start": 0}]}
            ],
        }
        for at in range(10)
    ]
    path = write("en.json", json.dumps({"data": [{"paragraphs": paragraphs}]}))
    found = cut(read_passages(path, split="dev", language="en"), 3, seed=0).examples
    numbers = {e.id[1:] for e in found if e.query}  # type: ignore[union-attr]
    assert len(numbers) == 3
    assert {e.context for e in found if e.candidate} == {  # type: ignore[union-attr]
        f"Cat {at}. Dog {at}." for at in numbers
    }
    assert sum(e.candidate is not None for e in found) == 6  # type: ignore[union-attr]


def test_pairs_are_held_out_by_paragraphs(write: Any) -> None:
    path = write("en.json", document(("q1", 0), ("q2", 17)))
    other = write("b.json", document(("q3", 0), text=TEXT.replace("cat", "cow")))
    found = Rows(
        examples=tuple(
            example
            for each in (path, other)
            for example in read_passages(each, split="train", language="en").examples
        )
    )
    dev, train = (hold_out(found, role, examples=1, seed=0) for role in ("dev", "train"))
    assert {e.id for e in dev.examples} in ({"q1", "q2"}, {"q3"})
    assert {e.id for e in dev.examples} | {e.id for e in train.examples} == {"q1", "q2", "q3"}


def test_the_rules_for_sentences_are_part_of_what_identifies_a_file(write: Any, tmp_path) -> None:
    """Where a file says where its sentences are, and in English, they are as they were, and so are keys."""
    source = Source(format="squad", files={"test": ("{lang}.json",)})
    task = TASKS["lareqa"].model_copy(update={"source": source})
    for language, breaks in (("de", BREAKS), ("hi", None), ("en", None)):
        text = TEXT.replace(".", "।") if language == "hi" else TEXT
        write(f"{language}.json", document(("q1", 4), breaks=breaks, text=text))
    found = {
        language: source_digests(task, split="test", language=language, root=tmp_path)[0].keys()
        for language in ("de", "en", "hi")
    }
    usual = {"file", "sha256"}
    assert found == {"de": usual, "en": usual, "hi": usual | {"sentences"}}
    rows = read_examples(task, split="test", language="hi", root=tmp_path)
    assert [each.candidate for each in rows.examples[1:]] == [  # type: ignore[union-attr]
        "The cat sat।", "Who saw it?", "The dog ran।", "Who saw it?",
    ]  # fmt: skip


@pytest.mark.parametrize("split", ["train", "test"])
def test_sentences_of_two_files_have_ids_of_their_own(
    write: Any, tmp_path: Any, split: Any
) -> None:
    write("a.json", document(("q1", 0)))
    write("b.json", document(("q2", 0), text=TEXT.replace("cat", "cow")))
    task = TASKS["lareqa"]
    source = Source(format="squad", files={split: ("a.json", "b.json")})
    both = task.model_copy(update={"source": source})
    rows = read_examples(both, split=split, language="en", root=tmp_path)
    ids = {e.candidate: e.candidate_id for e in rows.examples if e.candidate}  # type: ignore[union-attr]
    assert ids["The cat sat."] == "en_2_0"  # as of a single file
    assert ids["The cow sat."] == "en_4_0"
    first, second = source_digests(both, split=split, language="en", root=tmp_path)
    assert set(first) == {"file", "sha256"}
    assert second["paragraphs"] == "counted on"


def test_an_error_counts_paragraphs_in_its_file(write: Any, tmp_path: Any) -> None:
    write("a.json", document(("q1", 0)))
    write("b.json", document(("q2", 0), breaks=[[0, 999]]))
    source = Source(format="squad", files={"test": ("a.json", "b.json")})
    both = TASKS["lareqa"].model_copy(update={"source": source})
    with pytest.raises(DataError, match=r"b\.json: paragraph 2"):
        read_examples(both, split="test", language="en", root=tmp_path)
