"""Predictions of several data sets at a time, and in bf16."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tiny import tiny_encoder, tiny_model, tiny_pairs
from xtransfer.train import prediction
from xtransfer.train.batching import prediction_batches
from xtransfer.train.context import Context
from xtransfer.train.model import TransferModel
from xtransfer.train.prediction import DataSet, predict, predict_each

TOKENS = tuple(range(10, 40))
CONTEXT = Context(pad_id=1)
SIZES = {"en": 7, "de": 1, "sw": 5, "qu": 4}


@pytest.fixture
def sets() -> dict[str, DataSet]:
    return {
        name: tiny_pairs(count, tokens=TOKENS, seed=at)
        for at, (name, count) in enumerate(SIZES.items())
    }


@pytest.fixture
def rows_at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of rows whenever some are predicted."""
    counts: list[int] = []

    def counted(module: Any, form: str, data: DataSet, *more: Any) -> list[Tensor] | None:
        counts.append(len(data.lengths))
        return predict(module, form, data, *more)

    monkeypatch.setattr(prediction, "predict", counted)
    return counts


def bf16_model() -> TransferModel:
    plain = tiny_model(tiny_encoder())
    return TransferModel(plain.encoder, list(plain.heads), bf16=True)


@pytest.mark.parametrize(
    ("least", "groups"), [(1, [7, 1, 5, 4]), (8, [8, 9]), (9, [13, 4]), (100, [17])]
)
def test_sets_predicted_together_have_the_logits_that_each_has_alone(
    least: int,
    groups: list[int],
    sets: dict[str, DataSet],
    rows_at_once: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prediction, "JOINED_ROWS", least)
    model = tiny_model(tiny_encoder())
    found = list(predict_each(model, "classification", sets.items(), CONTEXT))
    assert rows_at_once == groups
    assert [name for name, _, _ in found] == list(sets)
    for name, data, logits in found:
        assert data is sets[name]
        alone = predict(model, "classification", data, CONTEXT)
        assert logits is not None
        assert alone is not None
        assert len(logits) == SIZES[name]
        assert torch.allclose(torch.stack(logits), torch.stack(alone), atol=1e-6)


def test_sets_of_other_columns_are_predicted_apart(
    sets: dict[str, DataSet], rows_at_once: list[int]
) -> None:
    other = sets["sw"]
    typed = {**other.rows, "token_type_ids": other.rows["input_ids"]}
    sets["sw"] = DataSet(rows=typed, examples=other.examples)
    model = tiny_model(tiny_encoder())
    with pytest.raises(IndexError):  # this encoder has one type of token: it was told of more
        list(predict_each(model, "classification", sets.items(), CONTEXT))
    assert rows_at_once == [8, 5]


def test_sets_are_read_as_they_are_needed(
    sets: dict[str, DataSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "JOINED_ROWS", 8)
    read: list[str] = []

    def each() -> Any:
        for name, data in sets.items():
            read.append(name)
            yield name, data

    found = predict_each(tiny_model(tiny_encoder()), "classification", each(), CONTEXT)
    assert next(found)[0] == "en"
    assert read == ["en", "de"]


def test_copies_of_weights_kept_between_batches_change_no_logit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = bf16_model()
    data = tiny_pairs(9, tokens=TOKENS)
    context = Context(pad_id=1, prediction_tokens=12)  # a row or two in a batch
    once = predict(model, "classification", data, context)
    monkeypatch.setattr(
        prediction, "_casting_once", lambda *_: torch.autocast("cpu", enabled=False)
    )
    often = predict(model, "classification", data, context)
    assert once is not None
    assert often is not None
    assert torch.equal(torch.stack(once), torch.stack(often))


def test_copies_of_weights_do_not_outlive_a_prediction() -> None:
    model = bf16_model()
    data = tiny_pairs(3, tokens=TOKENS)
    before = predict(model, "classification", data, CONTEXT)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    after = predict(model, "classification", data, CONTEXT)
    assert before is not None
    assert after is not None
    assert not torch.allclose(torch.stack(before), torch.stack(after), atol=1e-3)


@pytest.mark.parametrize(("stage", "kept"), [(0, True), (2, True), (3, False)])
def test_no_copies_are_kept_where_zero_takes_weights_away(stage: int, kept: bool) -> None:
    context = Context(pad_id=1, zero_stage=stage)
    with prediction._casting_once(bf16_model(), context):
        assert torch.is_autocast_enabled("cpu") == kept


def test_workers_send_each_batch_of_logits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row's logits are a view of its batch's: pickled one by one, each would take all of the batch with it."""
    sent: list[int] = []

    def gather(value: Any, values: list[Any] | None) -> None:
        sent.append(len(pickle.dumps(value)))
        assert values is not None
        values[:] = [value, again]

    monkeypatch.setattr(torch.distributed, "gather_object", gather)
    model, data = tiny_model(tiny_encoder()), tiny_pairs(200, tokens=TOKENS)
    alone = predict(model, "classification", data, Context(pad_id=1, prediction_tokens=300))
    assert alone is not None
    batches = prediction_batches(data.lengths, tokens=300)
    again = [(batch, torch.stack([alone[row] for row in batch])) for batch in batches[1::2]]
    pair = Context(pad_id=1, prediction_tokens=300, world_size=2)
    found = predict(model, "classification", data, pair)
    assert found is not None
    assert all(torch.equal(*each) for each in zip(found, alone, strict=True))
    assert sent[0] < 10_000  # half of 200 rows of two logits and their numbers are 1,600 bytes


def test_who_is_not_the_first_worker_gets_no_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "gather_object", lambda value, values: None)
    data = tiny_pairs(20, tokens=TOKENS)
    other = Context(pad_id=1, rank=1, world_size=2)
    assert predict(tiny_model(tiny_encoder()), "classification", data, other) is None
