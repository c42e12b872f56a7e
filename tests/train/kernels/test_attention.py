from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from xtransfer.train.kernels import attention
from xtransfer.train.kernels.attention import NAME, attend, use_cpu_attention
from xtransfer.train.kernels.dropout import kept, scale

BATCH, HEADS, LENGTH, SIZE = 5, 3, 7, 4
LAYER: Any = SimpleNamespace(is_causal=False)


def inputs(dtype: torch.dtype = torch.float64, *, others: int = LENGTH) -> list[Tensor]:
    torch.manual_seed(1)
    shapes = [LENGTH, others, others]
    return [
        torch.randn(BATCH, n, HEADS, SIZE, dtype=dtype).transpose(1, 2).requires_grad_()
        for n in shapes
    ]


def padding() -> Tensor:
    """The last tokens of some rows are padding."""
    lengths = torch.tensor([7, 5, 7, 3, 6])
    seen = torch.arange(LENGTH) < lengths[:, None]
    return seen[:, None, None, :].expand(BATCH, 1, LENGTH, LENGTH)


def plainly(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, keep: Tensor, p: float
) -> Tensor:
    products = query @ key.transpose(2, 3) / SIZE**0.5
    if mask is not None:
        products = products.masked_fill(~mask, -torch.inf)
    probabilities = products.softmax(-1) * keep.view(*products.shape) * scale(p)
    return (probabilities @ value).transpose(1, 2)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("at_once", [1, 2 * HEADS * LENGTH * LENGTH, 10**6])
def test_outputs_and_gradients_are_those_of_the_formula(
    masked: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "AT_ONCE", at_once)
    drawn: list[Tensor] = []

    def noted(shape: Any, probability: float) -> Tensor:
        drawn.append(kept(shape, probability))
        return drawn[-1]

    monkeypatch.setattr(attention, "kept", noted)
    values, mask = inputs(), padding() if masked else None
    out, _ = attend(LAYER, *values, mask, dropout=0.3)
    above = torch.randn_like(out)
    found = torch.autograd.grad(out, values, above)
    expected = plainly(*values, mask, torch.cat(drawn), 0.3)  # type: ignore[misc]
    torch.testing.assert_close(out, expected)
    for got, wanted in zip(found, torch.autograd.grad(expected, values, above), strict=True):
        torch.testing.assert_close(got, wanted)
    assert len(drawn) == {1: BATCH, 10**6: 1}.get(at_once, 3)


def test_bf16_agrees_within_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = torch.ones(BATCH * HEADS, LENGTH, LENGTH, dtype=torch.bool)
    monkeypatch.setattr(attention, "kept", lambda shape, p: keep)
    values = inputs(torch.bfloat16)
    out, _ = attend(LAYER, *values, padding(), dropout=0.1)
    expected = plainly(*(each.double() for each in values), padding(), keep, 0.1)  # type: ignore[misc]
    torch.testing.assert_close(out.double(), expected, atol=0.02, rtol=0.02)
    out.sum().backward()
    assert all(each.grad is not None and each.grad.dtype == torch.bfloat16 for each in values)


def test_queries_and_keys_may_differ_in_number() -> None:
    values = inputs(others=4)
    out, _ = attend(LAYER, *values, None, dropout=0.2)
    assert out.shape == (BATCH, LENGTH, HEADS, SIZE)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_mask_that_hides_nothing_is_no_mask(dropout: float) -> None:
    values, outputs = inputs(), []
    for mask in (None, torch.ones(BATCH, 1, LENGTH, LENGTH, dtype=torch.bool)):
        torch.manual_seed(5)
        with torch.set_grad_enabled(dropout > 0):
            outputs.append(attend(LAYER, *values, mask, dropout=dropout)[0])
    assert torch.equal(*outputs)


def test_a_bias_is_added() -> None:
    values = inputs()
    bias = torch.zeros(BATCH, 1, 1, LENGTH, dtype=torch.float64)
    bias[..., 3:] = -1e9
    torch.manual_seed(5)
    found, _ = attend(LAYER, *values, bias, dropout=0.2)
    torch.manual_seed(5)
    same, _ = attend(LAYER, *values, bias > -1, dropout=0.2)
    torch.testing.assert_close(found, same)


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (SimpleNamespace(is_causal=True), {"dropout": 0.1}),
        (SimpleNamespace(), {"dropout": 0.1}),
        (LAYER, {"dropout": 0.0}),
        (LAYER, {"dropout": 0.1, "is_causal": True}),
    ],
)
def test_what_it_is_not_for_goes_the_usual_way(
    layer: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "kept", lambda shape, p: pytest.fail("drew numbers"))
    out, _ = attend(layer, *inputs(), None, **options)
    assert out.shape == (BATCH, LENGTH, HEADS, SIZE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at_once", [1, 10**6])
def test_without_gradients_it_is_the_usual_attention(
    dtype: torch.dtype, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "AT_ONCE", at_once)
    values = [each.detach() for each in inputs(dtype)]
    with torch.no_grad():
        found, _ = attend(LAYER, *values, padding(), dropout=0.0)
        expected = functional.scaled_dot_product_attention(*values, attn_mask=padding())
    tolerance = {"atol": 0.02, "rtol": 0.02} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found, expected.transpose(1, 2), **tolerance)


def test_a_real_encoder_takes_it_up_and_gives_it_no_dropout_in_evaluation() -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0,
    )  # fmt: skip
    encoder = BertModel(config, add_pooling_layer=False)
    ids = torch.randint(0, 20, (3, 6))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 6])
    before = encoder.eval()(ids, attention_mask=mask).last_hidden_state
    use_cpu_attention(encoder)
    assert encoder.config._attn_implementation == NAME
    torch.testing.assert_close(encoder(ids, attention_mask=mask).last_hidden_state, before)
    encoder.train()
    first = encoder(ids, attention_mask=mask).last_hidden_state
    assert not torch.allclose(first, before)
    padded = ids.clone()
    padded[1, 4:] = 3
    torch.manual_seed(1)
    one = encoder(ids, attention_mask=mask).last_hidden_state
    torch.manual_seed(1)
    other = encoder(padded, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(one[1, :4], other[1, :4])
    assert "attn" not in encoder.config.to_json_string()
