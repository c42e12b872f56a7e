from __future__ import annotations

import json
from typing import Any

import pytest

from xtransfer.data.build import build_examples
from xtransfer.data.columns import Absent, select
from xtransfer.data.examples import ChoiceExample, PairExample, SpanExample, TaggingExample
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import FormName, Source, Split, Task

CSQA: dict[str, Any] = {
    "answerKey": "B",
    "id": "q1",
    "question": {
        "question_concept": "river",
        "stem": "Where is the river?",
        "choices": [{"label": label, "text": f"in {label}"} for label in "ABCDE"],
    },
}


def build(task: Task, *rows: dict[str, Any], split: Split = "train"):
    return build_examples(
        task, ((f"f:{number}", row) for number, row in enumerate(rows, 1)), split=split
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a", 1),
        ("b.c", 2),
        ("d[].e", [3, 4]),
        ("d[].f[]", [[5], []]),
        ("a,b.c", [1, 2]),
        ("x|b.c", 2),
        ("a|b.c", 1),
        ("g,h", 6),
        ("i.j", 7),
        ("Who is {k}, and {l.m}?", "Who is a|b, and c?"),
    ],
)
def test_the_column_language(expression: str, value: object) -> None:
    row = {"a": 1, "b": {"c": 2}, "d": [{"e": 3, "f": [5]}, {"e": 4, "f": []}], "g,h": 6, "i.j": 7}
    row |= {"k": "a|b", "l": {"m": "c"}}
    assert select(row, expression) == value


@pytest.mark.parametrize(
    "expression", ["x", "a.b", "b.x", "a[]", "d[].x", "a,x", "x|y", "{x}", "{a}"]
)
def test_an_absent_column_is_not_guessed(expression: str) -> None:
    with pytest.raises(Absent):
        select({"a": 1, "b": {"c": 2}, "d": [{"e": 3}]}, expression)


def test_pairs_keep_order_and_duplicates_and_count_rows_without_gold() -> None:
    row = {"sentence1": "p", "sentence2": "h", "gold_label": "neutral", "genre": "x"}
    rows = build(TASKS["mnli"], row, {**row, "gold_label": "-"}, row)
    assert rows.examples == (
        PairExample(id="0", text_a="p", text_b="h", label="neutral"),
        PairExample(id="2", text_a="p", text_b="h", label="neutral"),
    )
    assert rows.skipped == {"label '-'": 1}


def test_labels_are_mapped() -> None:
    rows = build(TASKS["xnli"], {"0": "p", "1": "h", "2": "contradictory"})
    assert rows.examples[0].label == "contradiction"  # type: ignore[union-attr]


def test_an_unknown_label_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError) as caught:
        build(TASKS["xnli"], {"0": "p", "1": "h", "2": "entailmnt"})
    assert str(caught.value) == (
        "f:1: unknown label 'entailmnt'. Did you mean 'entailment'? "
        "Labels: entailment, neutral, contradiction. What files write for one belongs into source.labels."
    )


def test_test_rows_may_lack_labels_all_or_none() -> None:
    bare = {"0": "p", "1": "h"}
    rows = build(TASKS["xnli"], bare, bare, split="test")
    assert [example.label for example in rows.examples] == [None, None]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"^f:2: has no label, like 1 of 2 rows"):
        build(TASKS["xnli"], {**bare, "2": "neutral"}, bare, split="test")


@pytest.mark.parametrize("split", ["train", "dev"])
def test_training_and_dev_rows_must_have_labels(split: Split) -> None:
    with pytest.raises(DataError, match=r"^f:1: has no column '2' \(for 'label' of task 'xnli'\)"):
        build(TASKS["xnli"], {"0": "p", "1": "h"}, split=split)
    with pytest.raises(DataError, match=r"^f:1: has no label"):
        build(TASKS["xnli"], {"0": "p", "1": "h", "2": None}, split=split)


def test_a_value_that_is_not_text_is_named() -> None:
    row = {"sentence1": None, "sentence2": "h", "gold_label": "neutral"}
    with pytest.raises(DataError, match=r"^f:1: 'text_a' is null, not text"):
        build(TASKS["mnli"], row)
    with pytest.raises(DataError, match=r"^f:1: 'text_a' is a list, not text"):
        build(TASKS["mnli"], {**row, "sentence1": []})


def test_commonsenseqa_rows() -> None:
    assert build(TASKS["commonsenseqa"], CSQA).examples == (
        ChoiceExample(
            id="q1",
            context="",
            question="Where is the river?",
            choices=("in A", "in B", "in C", "in D", "in E"),
            label=1,
        ),
    )


def test_a_rows_own_names_of_its_answers_decide() -> None:
    row = json.loads(json.dumps(CSQA))
    row["question"]["choices"].reverse()
    (example,) = build(TASKS["commonsenseqa"], row).examples
    assert isinstance(example, ChoiceExample)
    assert example.choices[example.label or 0] == "in B"


def test_choices_without_names_of_their_own_go_by_the_tasks_labels() -> None:
    row = {"ctx": "c", "endings": ["w", "x", "y", "z"], "label": 3}
    (example,) = build(TASKS["hellaswag"], row).examples
    assert example == ChoiceExample(
        id="0", context="c", question="", choices=("w", "x", "y", "z"), label=3
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answerKey": "F"}, "unknown label 'F'"),
        ({"question": {"stem": "s", "choices": [{"label": "A", "text": "a"}]}}, "has 1 answers"),
        (
            {"question": {"stem": "s", "choices": [{"label": "A", "text": "a"}] * 2}},
            "has 2 answers, but named A, A",
        ),
        (
            {"question": {"stem": "s", "choices": [{"label": x, "text": x} for x in "AC"]}},
            "label 'B' is none of its answers' names",
        ),
    ],
)
def test_choices_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^f:1: {message}"):
        build(TASKS["commonsenseqa"], {**CSQA, **change})


def test_ids_are_unique() -> None:
    with pytest.raises(DataError, match="two examples of split 'dev' have the id 'q1'"):
        build(TASKS["commonsenseqa"], CSQA, CSQA, split="dev")
    rows = build(TASKS["commonsenseqa"], CSQA, CSQA, {**CSQA, "id": "q1#2"}, CSQA, split="train")
    assert [example.id for example in rows.examples] == ["q1", "q1#3", "q1#2", "q1#4"]


def test_flat_rows_of_questions_and_of_tags() -> None:
    answers = {"text": ["b"], "answer_start": [2]}
    row = {"id": "7", "question": "q", "context": "a b", "answers": answers}
    assert build(TASKS["squad_v1"], row).examples == (
        SpanExample(id="7", question="q", context="a b", answers=(("b", 2),)),
    )
    assert build(TASKS["udpos"], {"tokens": ["a"], "tags": ["DET"]}).examples == (
        TaggingExample(id="0", tokens=("a",), tags=("DET",)),
    )


def test_tokens_that_a_tagging_task_leaves_out_are_counted() -> None:
    """As in CoNLL files; a row has no label of its own that "" could stand for."""
    source = Source(format="jsonl", skip_labels=("_", ""))
    task = TASKS["udpos"].model_copy(update={"source": source})
    first, second = (
        {"tokens": ["Im", "In"], "tags": ["_", "ADP"]},
        {"tokens": ["Zum"], "tags": ["_"]},
    )
    rows = build(task, first, second)
    assert rows.examples == (TaggingExample(id="0", tokens=("In",), tags=("ADP",)),)
    assert rows.skipped == {"token tagged '_'": 2, "sentence without tokens": 1}


def test_answers_may_be_a_list_of_objects() -> None:
    """As SQuAD's own files have them, and what is flattened from these."""
    answers = [{"text": "b", "answer_start": 2}, {"text": "a", "answer_start": 0}]
    row = {"id": "7", "question": "q", "context": "a b", "answers": answers}
    (example,) = build(TASKS["squad_v1"], row).examples
    assert example.answers == (("b", 2), ("a", 0))  # type: ignore[union-attr]


def test_truth_values_are_labels_as_json_writes_them() -> None:
    task = Task(
        name="t",
        form="classification",
        metric="accuracy",
        labels=("0", "true"),
        source=Source(format="jsonl", labels={"false": "0"}),
    )
    source = task.source.model_copy(update={"columns": {"text_a": "text", "label": "answer"}})
    task = task.model_copy(update={"source": source})
    rows = [{"text": "a", "answer": True}, {"text": "b", "answer": False}]
    found = [build(task, row).examples[0].label for row in rows]  # type: ignore[union-attr]
    assert found == ["true", "0"]
    with pytest.raises(DataError, match="'text_a' is the bool True, not text"):
        build(task, {"text": True, "answer": True})
    with pytest.raises(DataError, match=r"'label' is the float 1\.0, .* as the whole number 1, or"):
        build(task, {"text": "a", "answer": 1.0})


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("b", "'answers' is a str, neither an object nor a list"),
        (["b"], "lacks a list 'text' or 'answer_start'"),
        ([{"text": "b"}], "lacks a list 'text' or 'answer_start'"),
        ([{"text": "b", "answer_start": 1}], "answer 'b' is not at character 1 of its context"),
        ({"text": "b", "answer_start": 2}, "lacks a list 'text' or 'answer_start'"),
        ({"text": ["b"], "answer_start": 2}, "lacks a list 'text' or 'answer_start'"),
        ({"text": ["b"]}, "lacks a list 'text' or 'answer_start'"),
        ({"text": ["b"], "answer_start": []}, "of its 'answers' differ in length"),
        ({"text": ["b"], "answer_start": ["2"]}, "an 'answer_start' is a str, not a position"),
        ({"text": ["b"], "answer_start": [-1]}, "an 'answer_start' is the int -1, not a position"),
        ({"text": [2], "answer_start": [2]}, "'answers' is the int 2, not text"),
        ({"text": ["b"], "answer_start": [1]}, "answer 'b' is not at character 1 of its context"),
    ],
)
def test_answers_of_flat_rows_are_checked(answers: Any, message: str) -> None:
    row = {"id": "7", "question": "q", "context": "a b", "answers": answers}
    with pytest.raises(DataError, match=f"^f:1: .*{message}"):
        build(TASKS["squad_v1"], row)


def test_an_empty_answer_of_a_flat_row_is_none() -> None:
    """As in SQuAD's JSON, where XTREME strips test files so."""
    answers = {"text": ["", "b"], "answer_start": [0, 2]}
    row = {"id": "7", "question": "q", "context": "a b", "answers": answers}
    (example,) = build(TASKS["squad_v1"], row).examples
    assert example.answers == (("b", 2),)  # type: ignore[union-attr]


def test_what_a_file_says_is_shown_in_one_short_line() -> None:
    with pytest.raises(DataError) as caught:
        build(TASKS["xnli"], {"0": "p", "1": "h", "2": "\n\x07" + "x" * 10_000})
    assert str(caught.value) == (
        f"f:1: unknown label '\\n\\x07{'x' * 78}...'. Labels: entailment, neutral, contradiction. "
        "What files write for one belongs into source.labels."
    )


def test_a_form_that_no_table_holds_is_refused() -> None:
    task = Task(name="t", form="bitext", metric="accuracy", source=Source(format="tsv"))
    with pytest.raises(DataError, match="form 'bitext' cannot be read from a table"):
        build(task, {})


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_field_without_a_column_of_its_own_is_the_column_of_its_name(split: Split) -> None:
    task = Task(
        name="own",
        form="classification",
        metric="accuracy",
        labels=("0", "1", "2"),
        source=Source(format="jsonl", columns={"text_b": "other"}),
    )
    row = {"text_a": "one", "other": "two", "label": 2}
    assert build(task, row, split=split).examples == (
        PairExample(id="0", text_a="one", text_b="two", label="2"),
    )
    with pytest.raises(DataError, match=r"f:1: has no column 'label' \(for 'label' of task 'own'"):
        build(task, {"text_a": "one", "other": "two"})


@pytest.mark.parametrize(
    ("form", "row", "column"),
    [
        ("classification", {"text_a": "p", "text_b": "h", "label": "a"}, "text_b"),
        ("choice", {"choices": ["x", "y"], "context": "c", "label": "a"}, "context"),
        ("choice", {"choices": ["x", "y"], "question": "q", "label": "a"}, "question"),
        (
            "choice",
            {"choices": ["x", "y"], "choice_labels": ["b", "a"], "label": "a"},
            "choice_labels",
        ),
    ],
)
def test_a_column_that_an_example_may_lack_is_not_passed_over(
    form: FormName, row: dict[str, Any], column: str
) -> None:
    """As `text_a` is found by its own name, who writes `text_b` believes that it is, too."""
    task = Task(
        name="own", form=form, metric="accuracy", labels=("a", "b"), source=Source(format="jsonl")
    )
    expected = (
        f"f:1: has a column '{column}', which task 'own' does not name. Name it as source.columns"
    )
    with pytest.raises(DataError, match=f"^{expected}"):
        build(task, row)
    named = task.source.model_copy(update={"columns": {column: column}})
    assert build(task.model_copy(update={"source": named}), row).examples


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_column_with_nothing_in_it_may_be_passed_over(nothing: str | None) -> None:
    source = Source(format="jsonl")
    task = Task(name="own", form="classification", metric="accuracy", labels=("a",), source=source)
    (example,) = build(task, {"text_a": "x", "text_b": nothing, "label": "a"}).examples
    assert example.text_b is None  # type: ignore[union-attr]


def test_a_column_that_stands_in_another_field_is_not_passed_over() -> None:
    source = Source(format="jsonl", columns={"context": "{question} Why?"})
    task = Task(name="own", form="choice", metric="accuracy", labels=("a", "b"), source=source)
    (example,) = build(task, {"choices": ["x", "y"], "question": "q", "label": "a"}).examples
    assert (example.context, example.question) == ("q Why?", "")  # type: ignore[union-attr]
