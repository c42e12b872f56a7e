"""Rows of a batch are padded to one of a few lengths, which changes nothing that is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_tokenizer
from tests.train.accelerator import EXAMPLES
from xtransfer.forms import FORMS
from xtransfer.train.batching import padded_length
from xtransfer.train.context import Context
from xtransfer.train.graphs import shape_of
from xtransfer.train.model import TransferModel
from xtransfer.train.passes import MicroBatch, make_micro_batch
from xtransfer.train.randomness import build_head


def _micro_batch(form: str, longest: int | None = None) -> MicroBatch:
    labels = ("a", "b") if form in ("classification", "tagging") else ()
    encoded = FORMS[form].encode(
        EXAMPLES[form],
        tiny_tokenizer(),
        labels=labels,
        max_length=21,
        stride=8,
    )
    rows = rows_of(encoded)
    # All, but for tagging, whose longest row is of a length that needs no padding.
    chosen = np.arange(2 if form == "tagging" else len(encoded.columns["input_ids"]))
    return make_micro_batch(form, 0, rows, chosen, Context(pad_id=1, longest=longest))


@pytest.mark.parametrize("form", EXAMPLES)
def test_more_padding_changes_neither_loss_nor_gradient(form: str) -> None:
    batch, wider = _micro_batch(form, longest=1), _micro_batch(form)
    length = wider.inputs["input_ids"].shape[1]
    more = length - batch.inputs["input_ids"].shape[1]
    assert more > 0
    assert shape_of(batch) != shape_of(wider)
    assert not wider.inputs["attention_mask"][:, length - more :].any()
    head = build_head(form, 16, 1 if form == "choice" else 2, dropout=0.0, seed=1)
    encoder = tiny_encoder(vocabulary=len(tiny_tokenizer()))
    model = TransferModel(encoder, [head], bf16=False).double()
    gradients = []
    for each in (batch, wider):
        model.zero_grad()
        FORMS[form].loss(model(**each.inputs), each.gold).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_padding_stays_within_what_the_encoder_has_positions_for() -> None:
    def width(longest: int | None) -> int:
        return _micro_batch("classification", longest).inputs["input_ids"].shape[1]

    length = width(1)  # what is longer than it may be is the encoder's business
    assert [width(length + more) for more in (-1, 0, 1)] == [length, length, length + 1]
    assert width(None) == padded_length(length, None) > length
