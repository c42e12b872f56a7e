from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny import rows_of, tiny_tokenizer
from xtransfer.data.examples import ChoiceExample
from xtransfer.forms import choice, sequences, split_logits
from xtransfer.forms.encoding import Encoded
from xtransfer.train.context import Context
from xtransfer.train.prediction import make_inputs

EXAMPLES = (
    ChoiceExample(
        id="1", context="the cat sat.", question="where?", choices=("mat", "river", "tree"), label=2
    ),
    ChoiceExample(id="2", context="", question="who ran", choices=("dog", "old bird"), label=0),
    ChoiceExample(id="3", context="a", question="", choices=("x", "y", "z", "w"), label=None),
)


def encode(max_length: int = 64) -> Encoded:
    return choice.encode(EXAMPLES, tiny_tokenizer(), labels=(), max_length=max_length, stride=0)


def test_each_answer_is_encoded_with_context_and_question() -> None:
    encoded = encode()
    rows = rows_of(encoded)
    texts = tiny_tokenizer().batch_decode(sequences("choice", rows, [1, 0], "input_ids"))
    expected = [
        tiny_tokenizer().decode(tiny_tokenizer()(first, second)["input_ids"])
        for first, second in [
            *(("who ran", answer) for answer in EXAMPLES[1].choices),
            *(("the cat sat. where?", answer) for answer in EXAMPLES[0].choices),
        ]
    ]
    assert texts == expected
    assert encoded.columns["label"] == [2, 0, -1]
    assert encoded.counts == {"inputs cut": 0}


def test_overlong_answers_are_cut_and_counted() -> None:
    encoded = encode(max_length=10)
    assert encoded.counts["inputs cut"] > 0
    assert max(max(lengths) for lengths in encoded.columns["choice_lengths"]) == 10


def test_a_batch_has_one_sequence_an_answer() -> None:
    rows = rows_of(encode())
    inputs = make_inputs("choice", rows, np.array([1, 0]), Context(pad_id=1))
    assert inputs["input_ids"].shape[0] == 5
    assert inputs["attention_mask"].sum(1).tolist() == [
        len(ids) for ids in sequences("choice", rows, [1, 0], "input_ids")
    ]
    assert bool((inputs["input_ids"][inputs["attention_mask"] == 0] == 1).all())


def test_the_logits_of_a_batch_are_split_by_row() -> None:
    logits = torch.arange(6.0)[:, None]
    parts = split_logits("choice", logits, rows_of(encode()), [1, 2])
    assert [part.squeeze(-1).tolist() for part in parts] == [[0, 1], [2, 3, 4, 5]]


def test_the_oracle_gives_the_gold_answers() -> None:
    rows = rows_of(encode())
    golds = (2, 0, 3)
    logits = [
        torch.nn.functional.one_hot(torch.tensor(gold), len(each.choices)).float()[:, None]
        for gold, each in zip(golds, EXAMPLES, strict=True)
    ]
    described = [choice.describe(each) for each in EXAMPLES]
    assert choice.decode(logits, rows, described, ()) == list(golds)
    assert [each["gold"] for each in described] == [2, 0, None]


def test_the_loss_compares_the_answers_of_one_example() -> None:
    gold = choice.gold_tensors(rows_of(encode()), [1, 0])
    assert gold["choices"].tolist() == [[0, 1, -1], [2, 3, 4]]
    logits = torch.tensor([[1.0], [2.0], [0.5], [0.0], [-1.0]])
    expected = -(
        torch.tensor([1.0, 2.0]).log_softmax(0)[0]
        + torch.tensor([0.5, 0.0, -1.0]).log_softmax(0)[2]
    )
    assert choice.loss(logits, gold).item() == pytest.approx(expected.item())
