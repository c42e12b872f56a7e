from __future__ import annotations

import pytest
import torch

from tests.tiny import rows_of, tiny_tokenizer
from xtransfer.data.examples import BitextExample, PairExample
from xtransfer.forms import bitext, classification
from xtransfer.forms.encoding import Encoded

LABELS = ("yes", "no", "maybe")
PAIRS = tuple(
    PairExample(id=str(at), text_a="the cat sat", text_b="a dog" + " a dog" * at, label=label)
    for at, label in enumerate(("no", "maybe", None, "yes"))
)


def encode(examples: tuple[PairExample, ...] = PAIRS, max_length: int = 64) -> Encoded:
    return classification.encode(
        examples, tiny_tokenizer(), labels=LABELS, max_length=max_length, stride=0
    )


def test_a_pair_is_encoded_as_the_tokenizer_does() -> None:
    encoded = encode()
    assert encoded.columns["input_ids"][0] == tiny_tokenizer()("the cat sat", "a dog")["input_ids"]
    assert encoded.columns["label"] == [1, 2, -1, 0]
    assert encoded.columns["example"] == [0, 1, 2, 3]
    assert encoded.counts == {"inputs cut": 0}


def test_a_single_text_has_no_second_part() -> None:
    alone = (PairExample(id="1", text_a="the cat", text_b=None, label="no"),)
    assert encode(alone).columns["input_ids"] == [tiny_tokenizer()("the cat")["input_ids"]]


def test_the_longer_text_is_cut_first_and_cuts_are_counted() -> None:
    encoded = encode(max_length=11)
    assert [len(ids) for ids in encoded.columns["input_ids"]] == [9, 11, 11, 11]
    assert encoded.counts == {"inputs cut": 2}
    first = tiny_tokenizer()("the cat sat")["input_ids"]
    assert all(ids[: len(first)] == first for ids in encoded.columns["input_ids"])


def test_cutting_changes_no_other_row() -> None:
    whole, cut = encode().columns["input_ids"], encode(max_length=11).columns["input_ids"]
    assert whole[:2] == cut[:2]


def test_the_oracle_gives_the_gold_labels() -> None:
    encoded = encode()
    logits = list(torch.eye(3)[torch.tensor([1, 2, 0, 0])])
    described = [classification.describe(each) for each in PAIRS]
    found = classification.decode(logits, rows_of(encoded), described, LABELS)
    assert found == ["no", "maybe", "yes", "yes"]
    assert [each["gold"] for each in described] == ["no", "maybe", None, "yes"]


def test_the_loss_is_summed_over_the_batch() -> None:
    gold = classification.gold_tensors(rows_of(encode()), [3, 0])
    assert gold["label"].tolist() == [0, 1]
    logits = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    scores = logits.log_softmax(-1)
    expected = -(scores[0, 0] + scores[1, 1]).item()
    assert classification.loss(logits, gold).item() == pytest.approx(expected)


def test_the_head_reads_the_first_token_alone() -> None:
    head = classification.Head(8, 3, 0.0)
    states = torch.randn(2, 5, 8)
    other = states.clone()
    other[:, 1:] = 0.0
    assert head(states).shape == (2, 3)
    assert torch.equal(head(states), head(other))


def test_sentences_of_a_bitext_are_single_texts() -> None:
    sides = (
        BitextExample(id="0", side="foreign", text="cat " * 20, match=("1",)),
        BitextExample(id="1", side="english", text="the cat", match=("0",)),
    )
    encoded = bitext.encode(sides, tiny_tokenizer(), labels=(), max_length=8, stride=0)
    assert [len(ids) for ids in encoded.columns["input_ids"]] == [8, 4]
    assert encoded.counts == {"inputs cut": 1}
    assert bitext.describe(sides[0]) == {"id": "0", "side": "foreign", "gold": ["1"]}
