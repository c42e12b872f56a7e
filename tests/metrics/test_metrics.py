from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.errors import DataError
from xtransfer.metrics import METRICS, METRICS_OF, score
from xtransfer.metrics.classification import accuracy, accuracy_and_f1
from xtransfer.metrics.retrieval import retrieval_accuracy
from xtransfer.tasks import TASKS

GOLD = {
    "classification": ["1", "1"],
    "choice": [0, 1],
    "tagging": [["B-PER"], ["B-LOC", "O"]],
    "span": [["Paris"], ["Rome", "Roma"]],
    "bitext": [["0"], ["1"]],
    "retrieval": [["0"], ["1"]],
}
RIGHT = {**GOLD, "span": ["Paris", "Roma"], "bitext": ["0", "1"]}
SURE = [{"text": text, "null_odds": -1.0} for text in RIGHT["span"]]


def test_accuracy() -> None:
    assert accuracy(["a", "b", "c"], ["a", "b", "a"]) == pytest.approx({"accuracy": 200 / 3})


def test_f1_of_the_positive_label() -> None:
    # Two of three found are right, two of four are found.
    gold, found = list("1111000"), list("1100001")
    assert accuracy_and_f1(gold, found) == pytest.approx(
        {
            "accuracy_and_f1": 400 / 7,
            "accuracy": 400 / 7,
            "f1": 400 / 7,
            "precision": 200 / 3,
            "recall": 50.0,
        }
    )


def test_the_score_of_qqp_is_the_mean_of_accuracy_and_f1() -> None:
    # Three of four labels are right; precision 1, recall 1/2.
    found = accuracy_and_f1(list("1100"), list("1000"))
    assert found["accuracy"] == 75.0
    assert found["f1"] == pytest.approx(200 / 3)
    assert found["accuracy_and_f1"] == pytest.approx((75 + 200 / 3) / 2)


@pytest.mark.parametrize(("gold", "found"), [("00", "00"), ("11", "00"), ("00", "11")])
def test_f1_is_zero_where_it_is_undefined(gold: str, found: str) -> None:
    assert accuracy_and_f1(list(gold), list(found))["f1"] == 0.0


def test_retrieval_counts_any_translation() -> None:
    assert retrieval_accuracy([["0"], ["1", "5"], []], ["0", "5", "2"]) == pytest.approx(
        {"accuracy": 200 / 3}
    )


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"text"}))
def test_every_task_is_scored_under_its_main_scores_name(name: str) -> None:
    task = TASKS[name]
    right = SURE if name == "squad_v2" else RIGHT[task.form]
    found = score(task, GOLD[task.form], right, language="en")
    assert found[task.metric] == 100.0


def test_mlqa_is_scored_by_the_rules_of_its_language() -> None:
    assert score(TASKS["mlqa"], [["der Turm"]], ["Turm"], language="de")["mlqa"] == 100.0
    assert score(TASKS["xquad"], [["der Turm"]], ["Turm"], language="de")["em"] == 0.0


def test_tag_accuracy_is_by_token() -> None:
    task = TASKS["ccg"]
    assert score(task, [["a", "b"], ["c"]], [["a", "b"], ["d"]], language="en")[
        "accuracy"
    ] == pytest.approx(200 / 3)


def test_what_cannot_be_scored_is_said() -> None:
    task = TASKS["xnli"]
    with pytest.raises(DataError, match="xnli de: 1 of 2 examples have no gold label"):
        score(task, ["neutral", None], ["neutral", "neutral"], language="de")
    with pytest.raises(DataError, match="xnli de: there is nothing to score"):
        score(task, [], [], language="de")
    with pytest.raises(ValueError, match="2 gold entries, but 1 predictions"):
        score(task, ["neutral", "neutral"], ["neutral"], language="de")
    with pytest.raises(ValueError, match="no function computes 'em'"):
        score(TASKS["xnli"].model_copy(update={"metric": "em"}), ["a"], ["a"], language="de")


@given(st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("01")), min_size=1))
def test_scores_of_labels_lie_between_0_and_100(pairs: list[tuple[str, str]]) -> None:
    gold, found = [list(side) for side in zip(*pairs, strict=True)]
    for name in ("accuracy", "accuracy_and_f1"):
        for value in METRICS[name](gold, found).values():
            assert 0.0 <= value <= 100.0


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_form_is_known_to_have_the_metrics_of_its_tasks(name: str) -> None:
    assert TASKS[name].metric in METRICS_OF[TASKS[name].form]
