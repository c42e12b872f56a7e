from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.data.examples import (
    BitextExample,
    ChoiceExample,
    PairExample,
    SpanExample,
    TaggingExample,
)
from xtransfer.doctor.texts import digest, exact, is_empty, loose, parts, whole


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The cat.", "the  CAT."),
        ("Straße", "STRASSE"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_case_width_and_space_make_no_difference(first: str, second: str) -> None:
    assert exact(first) == exact(second)
    assert loose(first) == loose(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The cat.", "The cat"),
        ("東京 は 首都 。", "東京は首都。"),
        ("do n't", "don't"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_overlaps_look_through_tokenisation_but_duplicates_do_not(first: str, second: str) -> None:
    assert loose(first) == loose(second)
    assert exact(first) != exact(second)


@pytest.mark.parametrize(("first", "second"), [("कि", "की"), ("C++", "C"), ("5", "6"), ("?", "!")])
def test_other_texts_stay_other(first: str, second: str) -> None:
    assert loose(first) != loose(second)


@given(st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1), min_size=1, max_size=5))
def test_marks_between_words_never_count(words: list[str]) -> None:
    assert loose(" ".join(words)) == loose(", ".join(words) + ".") == loose("".join(words))


def test_a_digest_is_the_same_for_ever() -> None:
    assert digest("the cat") == digest("the cat") != digest("the cat ")
    assert digest("the cat") == 15621612629676276010


def test_the_order_of_texts_makes_no_difference_to_the_whole() -> None:
    assert whole(["a", "b"]) == whole(["b", "a"]) != whole(["ab"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    id: str
    mention: str
    names: tuple[str, ...]
    weight: float
    label: str


@pytest.mark.parametrize(
    ("example", "found"),
    [
        (
            PairExample(id="0", text_a="a", text_b="b", label="x"),
            [("sentence", "a"), ("sentence", "b")],
        ),
        (PairExample(id="0", text_a="a", text_b=None, label="x"), [("sentence", "a")]),
        (
            ChoiceExample(
                id="0", context="c", question="What was the cause?", choices=("d", "e"), label=0
            ),
            [("prompt", "c"), ("answer", "d"), ("answer", "e")],
        ),
        (
            ChoiceExample(id="0", context="", question="q", choices=("d", "e"), label=0),
            [("prompt", "q"), ("answer", "d"), ("answer", "e")],
        ),
        (
            SpanExample(id="0", question="q", context="c", answers=(("c", 0),)),
            [("passage", "c"), ("question", "q")],
        ),
        (TaggingExample(id="0", tokens=("a", "b"), tags=None), [("sentence", "a b")]),
        (BitextExample(id="0", side="english", text="a", match=("0",)), [("sentence", "a")]),
        (
            Newcomer(id="0", mention="m", names=("n", "o"), weight=1.0, label="x"),
            [("mention", "m"), ("names", "n"), ("names", "o")],
        ),
    ],
)
def test_the_texts_of_an_example(example, found: list[tuple[str, str]]) -> None:
    assert parts(example) == found


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("", True),
        (" \t\u3000", True),
        ("\u200b\u200d", True),  # zero-width space and joiner
        ("\u200f \ufeff", True),  # a mark of direction, and of byte order
        ("\u200b.", False),
        ("\U0001f468\u200d\U0001f469", False),  # emoji that a joiner joins
    ],
)
def test_what_cannot_be_seen_is_no_text(text: str, empty: bool) -> None:
    assert is_empty(text) is empty
