from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from tokenizers import processors

from tests.tiny import tiny_tokenizer
from xtransfer.forms import FORMS, longest_sequence
from xtransfer.forms.encoding import Encoded, Ragged, encode_texts, ints, lists, pad, special_tokens
from xtransfer.tasks import TASKS
from xtransfer.train.context import Context
from xtransfer.train.prediction import make_inputs

ROWS = Ragged(np.array([5, 6, 7, 8, 9], dtype=np.int32), np.array([0, 2, 2, 5]))


def test_a_ragged_column_gives_its_rows() -> None:
    assert len(ROWS) == 3
    assert [row.tolist() for row in lists(ROWS, [2, 1, 0])] == [[7, 8, 9], [], [5, 6]]
    assert ROWS.lengths().tolist() == [2, 0, 3]


def test_rows_are_padded_on_the_right() -> None:
    assert pad(lists(ROWS, [0, 1, 2]), 1).tolist() == [[5, 6, 1], [1, 1, 1], [7, 8, 9]]


def test_single_integers_are_taken_as_64_bit() -> None:
    found = ints(np.array([3, 1, 2], dtype=np.int32), [2, 0])
    assert (found.tolist(), found.dtype) == ([2, 3], np.int64)


def test_special_tokens_are_found_by_asking_the_tokenizer() -> None:
    assert special_tokens(tiny_tokenizer()) == ([0], [2])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("<s> $A </s>", ([0], [2])),
        ("<s> $A", ([0], [])),
        ("<s> <s> $A </s>", ([0, 0], [2])),
        ("$A </s> <s>", ([], [2, 0])),
    ],
)
def test_special_tokens_need_not_be_as_many_before_a_text_as_behind_it(
    template: str, expected: tuple[list[int], list[int]]
) -> None:
    """As XLNet's are behind it, and T5's one; each of a Llama's tokenizer stands before."""
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair="$A $B", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    assert special_tokens(tokenizer) == expected


def test_no_texts_are_no_rows() -> None:
    assert encode_texts(tiny_tokenizer(), [], None, max_length=8) == ({"input_ids": []}, 0)


def test_a_batch_is_padded_and_masked() -> None:
    rows = {"input_ids": ROWS, "token_type_ids": ROWS}
    inputs = make_inputs("classification", rows, np.array([0, 2]), Context(pad_id=1, longest=3))
    assert inputs["input_ids"].tolist() == [[5, 6, 1], [7, 8, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert inputs["token_type_ids"].tolist() == [[5, 6, 0], [7, 8, 9]]


def test_an_input_is_padded_to_one_of_a_few_lengths() -> None:
    rows = {"input_ids": ROWS}
    inputs = make_inputs("classification", rows, np.array([0, 2]), Context(pad_id=1))
    assert inputs["input_ids"].tolist() == [[5, 6, 1, 1], [7, 8, 9, 1]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_has_its_functions(form: str) -> None:
    needed = {"encode", "describe"}
    if any(task.form == form and task.stages for task in TASKS.values()):
        needed |= {"Head", "gold_tensors", "loss", "decode"}
    assert needed <= set(dir(FORMS[form]))


@pytest.mark.parametrize(
    ("form", "columns", "longest"),
    [
        ("classification", {"input_ids": [[5, 6], [5, 6, 7]]}, 3),
        ("choice", {"input_ids": [[5, 6, 5, 6, 7]], "choice_lengths": [[2, 3]]}, 3),
        ("retrieval", {"input_ids": [[5, 6], [5, 6, 7, 8, 5]], "lengths": [[2], [1, 4]]}, 4),
        ("choice", {"input_ids": [], "choice_lengths": []}, 0),
    ],
)
def test_the_longest_sequence_is_what_the_encoder_sees_at_once(
    form: str, columns: dict[str, list[Any]], longest: int
) -> None:
    assert longest_sequence(form, Encoded(columns=columns)) == longest
