from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.metrics.entities import entities, span_f1
from xtransfer.metrics.tagging import tag_scores
from xtransfer.tasks import TASKS

sentences_of_pairs = st.lists(
    st.lists(st.tuples(*[st.sampled_from(TASKS["panx"].labels)] * 2), min_size=1), min_size=1
)


def split(text: str) -> list[list[str]]:
    return [sentence.split() for sentence in text.split(" / ")]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-LOC B-LOC", [("LOC", 0, 0), ("LOC", 1, 1)]),
        ("O O", []),
        # What IOB2 does not allow: an I- that goes on with nothing begins an entity.
        ("I-PER I-PER", [("PER", 0, 1)]),
        ("O I-LOC O", [("LOC", 1, 1)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),
        ("I-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
    ],
)
def test_entities_of_a_sentence(tags: str, found: list[tuple[str, int, int]]) -> None:
    assert list(entities(tags.split())) == found


# Computed with seqeval 0.0.12 on random tags, most of them no proper IOB2; 1.2.2 gives the same.
FROZEN = [
    (
        (
            "O I-LOC B-LOC O B-ORG / B-LOC I-ORG B-LOC I-ORG B-ORG B-ORG I-ORG"
            " / B-ORG I-LOC I-PER O I-ORG I-LOC O"
        ),
        (
            "O B-PER B-LOC O B-ORG / B-LOC B-LOC B-LOC B-PER B-ORG I-ORG I-ORG"
            " / B-ORG I-LOC I-LOC O I-ORG I-LOC I-PER"
        ),
        (51.85185185185186, 53.84615384615385, 50.0, 68.42105263157895),
    ),
    (
        "I-ORG I-ORG I-LOC O / O I-ORG I-ORG I-LOC B-LOC I-LOC / I-ORG B-PER I-PER O I-PER I-ORG O",
        "I-LOC B-LOC I-ORG O / O B-PER I-ORG B-LOC B-LOC I-LOC / I-ORG I-LOC I-PER O I-PER B-ORG O",
        (47.61904761904762, 41.66666666666667, 55.55555555555556, 58.82352941176471),
    ),
    (
        "I-LOC I-LOC O B-ORG I-ORG / O I-LOC I-ORG I-PER B-LOC I-LOC O / B-PER O I-ORG O B-PER I-LOC",
        (
            "I-LOC I-ORG O B-ORG I-ORG / I-PER I-LOC I-ORG B-LOC B-LOC I-PER I-PER"
            " / B-PER O I-ORG O B-LOC I-LOC"
        ),
        (45.45454545454545, 41.66666666666667, 50.0, 66.66666666666666),
    ),
    (
        "I-LOC I-PER I-LOC / I-LOC I-ORG I-LOC / B-PER I-LOC I-LOC",
        "I-LOC I-PER I-LOC / I-LOC I-ORG I-LOC / B-PER I-LOC B-LOC",
        (82.3529411764706, 77.77777777777779, 87.5, 88.88888888888889),
    ),
]


@pytest.mark.parametrize(("gold", "found", "scores"), FROZEN)
def test_scores_as_seqeval_has_them(gold: str, found: str, scores: tuple[float, ...]) -> None:
    names = ("span_f1", "precision", "recall", "accuracy")
    expected = dict(zip(names, scores, strict=True))
    assert span_f1(split(gold), split(found)) == pytest.approx(expected, abs=1e-12)


@given(sentences_of_pairs)
def test_on_iob2_tags_the_rules_for_parts_of_speech_come_to_the_same(
    pairs: list[list[tuple[str, str]]],
) -> None:
    gold, found = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
    scores = span_f1(gold, found)
    assert tag_scores(gold, found) == {
        "xtreme_f1" if name == "span_f1" else name: value for name, value in scores.items()
    }


def test_nothing_found_is_zero_and_not_an_error() -> None:
    assert span_f1([["B-LOC"]], [["O"]])["span_f1"] == 0.0
    assert span_f1([["O"]], [["O"]])["span_f1"] == 0.0


def test_entities_do_not_cross_sentences() -> None:
    gold = [["B-LOC"], ["I-LOC"]]
    assert span_f1(gold, gold)["span_f1"] == 100.0
    assert span_f1(gold, [["B-LOC"], ["O"]])["recall"] == 50.0


@pytest.mark.parametrize("tag", ["NOUN", "B-", "S-LOC", "I", ""])
def test_a_tag_that_is_not_iob2_is_an_error(tag: str) -> None:
    with pytest.raises(ValueError, match=f"tag '{tag}' is not O, B-type or I-type"):
        list(entities([tag]))


def test_a_sentence_with_too_few_tags_is_an_error() -> None:
    with pytest.raises(ValueError, match="sentence 0 has 2 tags, but 1 predicted"):
        span_f1([["O", "O"]], [["O"]])
