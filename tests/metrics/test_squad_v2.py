"""Numbers marked golden are those of the official evaluate-v2.0.py on the same input."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.data import read_examples
from xtransfer.data.examples import SpanExample
from xtransfer.metrics import score
from xtransfer.metrics.squad_v2 import squad_v2
from xtransfer.tasks import TASKS

GOLD = [["Paris", "the city of Paris"], ["a"], ["1066"], [], [], [], ["Denver Broncos", "Broncos"]]
TEXTS = ["city of Paris", "the", "1065", "London", "", "the", "the Broncos team"]
ODDS = [-3.0, -1.0, 0.5, 0.5, 2.0, -2.0, 0.25]


def predictions(texts: list[str], odds: list[float]) -> list[dict[str, Any]]:
    pairs = zip(texts, odds, strict=True)
    return [{"text": text, "null_odds": odd} for text, odd in pairs]


def test_scores_are_those_of_the_official_script() -> None:
    found = squad_v2(GOLD, predictions(TEXTS, ODDS), null_threshold=0.3)
    # Golden. A gold answer of nothing but an article is none, yet the question counts among those with
    # an answer.
    assert found == pytest.approx(
        {
            "squad_v2": (71.42857142857143 + 80.95238095238096) / 2,
            "em": 71.42857142857143,
            "f1": 80.95238095238096,
            "HasAns_em": 50.0,
            "HasAns_f1": 66.66666666666666,
            "NoAns_em": 100.0,
            "NoAns_f1": 100.0,
            "best_exact": 57.142857142857146,
            "best_exact_thresh": -3.0,
            "best_f1": 66.66666666666667,
            "best_f1_thresh": 0.25,
            "null_threshold": 0.3,
        }
    )


def test_odds_that_equal_the_threshold_do_not_exceed_it() -> None:
    gold, said = [["yes"], []], predictions(["yes", "no"], [1.0, 1.0])
    assert squad_v2(gold, said, null_threshold=1.0)["em"] == 50.0
    assert squad_v2(gold, said, null_threshold=1.0)["HasAns_em"] == 100.0
    assert squad_v2(gold, said, null_threshold=0.9)["NoAns_em"] == 100.0


def test_without_a_threshold_the_best_for_f1_is_chosen() -> None:
    gold = [["a b"], ["c"], [], []]
    said = predictions(["a b", "x", "y", "z"], [-4.0, -3.0, 1.0, 2.0])
    found = squad_v2(gold, said)
    assert found["null_threshold"] == -4.0
    assert (found["em"], found["f1"], found["squad_v2"]) == (75.0, 75.0, 75.0)


def test_a_chosen_threshold_can_be_applied_where_the_official_one_cannot() -> None:
    # The official search starts with nothing answered and calls that threshold 0; it also stops
    # between equal odds.
    nothing = predictions(["x", "y"], [-2.0, -1.0])
    found = squad_v2([[], []], nothing)
    assert (found["best_f1"], found["best_f1_thresh"]) == (100.0, 0.0)
    assert found["null_threshold"] < -2.0
    assert found["f1"] == 100.0
    assert squad_v2([[], []], nothing, null_threshold=0.0)["f1"] == 0.0
    equal = predictions(["yes", "no"], [1.0, 1.0])
    found = squad_v2([["yes"], []], equal)
    assert (found["best_f1"], found["f1"]) == (100.0, 50.0)


def test_only_groups_that_have_questions_are_scored() -> None:
    assert "NoAns_em" not in squad_v2([["a b"]], predictions(["a b"], [0.0]))
    assert "HasAns_em" not in squad_v2([[]], predictions(["a b"], [0.0]))


answer_sets = st.lists(st.sampled_from(["", "the", "cat", "cat dog", "dog bird"]), max_size=2)
items = st.lists(
    st.tuples(
        answer_sets,
        st.sampled_from(["", "the", "cat", "the cat dog", "bird!"]),
        st.sampled_from([-2.0, -0.5, 0.0, 0.5, 3.0]),
    ),
    min_size=1,
    max_size=8,
)


@given(items)
def test_no_threshold_is_better_than_the_chosen_one(rows: list[Any]) -> None:
    gold, texts, odds = (list(side) for side in zip(*rows, strict=True))
    said = predictions(texts, odds)
    found = squad_v2(gold, said)
    every = [-10.0, *odds, 10.0]
    assert found["f1"] == pytest.approx(
        max(squad_v2(gold, said, null_threshold=at)["f1"] for at in every)
    )
    again = squad_v2(gold, said, null_threshold=found["null_threshold"])
    assert again == found


def _roll(name: str, what: str) -> int:
    return int(hashlib.sha256(f"{name}/{what}".encode()).hexdigest(), 16) % 1_000


def _said(example: SpanExample) -> dict[str, Any]:
    """Return a made-up prediction: right, a few words of the context, nothing, or an article."""
    kind = _roll(example.id, "kind")
    words = example.context.split()
    if example.answers and kind < 500:
        text = example.answers[0][0]
    elif kind < 900:
        at = _roll(example.id, "at") % len(words)
        text = " ".join(words[at : at + 1 + _roll(example.id, "len") % 4])
    else:
        text = "" if kind < 950 else "the"
    shift = -2 if example.answers else 2
    return {"text": text, "null_odds": (_roll(example.id, "odds") - 500) / 100 + shift}


def test_scores_on_the_published_dev_set_are_those_of_the_official_script(
    shared_data: Path,
) -> None:
    task = TASKS["squad_v2"]
    rows = read_examples(task, split="dev", language="en", root=shared_data)
    examples: Any = rows.examples
    gold = [[text for text, _ in example.answers] for example in examples]
    found = score(task, gold, [_said(each) for each in examples], language="en", null_threshold=0.5)
    golden = {
        "em": 53.314242398719784,
        "f1": 53.98565044925296,
        "HasAns_em": 37.51686909581647,
        "HasAns_f1": 38.861610624828074,
        "NoAns_em": 69.06644238856181,
        "NoAns_f1": 69.06644238856181,
        "best_exact": 59.75743283079255,
        "best_exact_thresh": -3.01,
        "best_f1": 60.08892531526682,
        "best_f1_thresh": -3.01,
    }
    assert {name: found[name] for name in golden} == pytest.approx(golden, abs=1e-9)
