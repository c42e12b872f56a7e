from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.metrics.tagging import chunks, tag_scores
from xtransfer.tasks.targets.tagging import UPOS

# Numbers in this file were computed with seqeval 0.0.12 (f1_score, precision_score, recall_score,
# accuracy_score, get_entities), the version that XTREME's environment pins.
POS_GOLD = [
    ["DET", "ADJ", "NOUN", "NOUN", "VERB", "PUNCT"],
    ["SCONJ", "SCONJ", "INTJ", "INTJ", "SYM"],
    ["NOUN"],
]
POS_FOUND = [
    ["DET", "NOUN", "NOUN", "NOUN", "VERB", "PUNCT"],
    ["SCONJ", "SCONJ", "INTJ", "X", "SYM"],
    ["NOUN"],
]


def test_parts_of_speech_as_seqeval_0_0_12_scores_them() -> None:
    assert tag_scores(POS_GOLD, POS_FOUND) == pytest.approx(
        {"xtreme_f1": 70.0, "precision": 70.0, "recall": 70.0, "accuracy": 83.33333333333334},
        abs=1e-12,
    )


def test_adjacent_equal_tags_are_one_chunk_unless_they_begin_with_s() -> None:
    assert list(chunks(POS_GOLD)) == [
        ("DET", 0, 0),
        ("ADJ", 1, 1),
        ("NOUN", 2, 3),
        ("VERB", 4, 4),
        ("PUNCT", 5, 5),
        ("SCONJ", 7, 7),
        ("SCONJ", 8, 8),
        ("INTJ", 9, 10),
        ("SYM", 11, 11),
        ("NOUN", 13, 13),
    ]


def test_named_entities_as_seqeval_0_0_12_scores_them() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "B-LOC", "I-PER"]]
    found = [["B-PER", "I-PER", "O", "I-LOC"], ["B-LOC", "I-LOC", "I-PER"]]
    assert tag_scores(gold, found) == pytest.approx(
        {
            "xtreme_f1": 66.66666666666665,
            "precision": 75.0,
            "recall": 60.0,
            "accuracy": 71.42857142857143,
        },
        abs=1e-12,
    )


def test_nothing_right_is_zero_and_not_an_error() -> None:
    assert tag_scores([["NOUN"]], [["VERB"]])["xtreme_f1"] == 0.0
    assert tag_scores([["O", "O"]], [["O", "O"]])["xtreme_f1"] == 0.0


@given(st.lists(st.lists(st.sampled_from(UPOS), min_size=1), min_size=1))
def test_what_is_all_right_scores_100(sentences: list[list[str]]) -> None:
    scores = tag_scores(sentences, sentences)
    assert scores["xtreme_f1"] == scores["accuracy"] == 100.0


@given(st.lists(st.lists(st.sampled_from(UPOS), min_size=1), min_size=1))
def test_chunks_cover_every_word_once_and_no_border(sentences: list[list[str]]) -> None:
    covered = [place for _, first, last in chunks(sentences) for place in range(first, last + 1)]
    words: list[int] = []
    start = 0
    for sentence in sentences:
        words += range(start, start + len(sentence))
        start += len(sentence) + 1
    assert covered == words


def test_a_sentence_with_too_few_tags_is_an_error() -> None:
    with pytest.raises(ValueError, match="sentence 1 has 2 tags, but 1 predicted"):
        tag_scores([["X"], ["X", "X"]], [["X"], ["X"]])
