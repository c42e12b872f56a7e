from __future__ import annotations

import pytest
import torch
from torch import nn

from xtransfer.train.kernels import dropout
from xtransfer.train.kernels.dropout import FastDropout, drops, kept, mask_in_place, masked, scale


def model() -> nn.Sequential:
    made = nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 3), nn.Dropout(0.0))
    dropout.use_fast_dropout(made)
    return made


def test_only_dropout_layers_are_exchanged() -> None:
    assert [type(each) for each in model()] == [FastDropout, nn.Linear, FastDropout]


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_so_many_are_kept_independently_of_their_neighbours(probability: float) -> None:
    torch.manual_seed(0)
    mask = kept((2_000_000,), probability).double()
    sd = (probability * (1 - probability) / len(mask)) ** 0.5
    assert abs(float(mask.mean()) - (1 - probability)) < 4 * sd + 2**-17
    for lag in (1, 2, 3, 4):
        both = float((mask[lag:] * mask[:-lag]).mean())
        assert both == pytest.approx((1 - probability) ** 2, abs=8 * sd)


def test_what_is_drawn_follows_from_torchs_seed_alone() -> None:
    torch.manual_seed(3)
    first, second = kept((5, 7), 0.5), kept((5, 7), 0.5)
    torch.manual_seed(3)
    assert torch.equal(kept((5, 7), 0.5), first)
    assert torch.equal(kept((5, 7), 0.5), second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_values_are_zero_or_scaled_and_gradients_likewise(dtype: torch.dtype) -> None:
    layer = FastDropout(0.25)
    values = torch.randn(40, 50, dtype=dtype).requires_grad_()
    out = layer(values)
    gone = out == 0
    assert 0.15 < float(gone.double().mean()) < 0.35
    expected = (values * scale(0.25)).masked_fill(gone, 0)
    torch.testing.assert_close(out, expected)
    out.backward(torch.ones_like(out))
    assert values.grad is not None
    torch.testing.assert_close(
        values.grad, torch.full_like(values, scale(0.25)).masked_fill(gone, 0)
    )


def test_the_expectation_stays_though_the_probability_is_rounded() -> None:
    torch.manual_seed(0)
    out = FastDropout(0.1)(torch.ones(4_000_000, dtype=torch.float64))
    assert float(out.mean()) == pytest.approx(1.0, abs=7e-4)


def test_evaluation_and_trivial_probabilities_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "kept", lambda *_: pytest.fail("drew numbers"))
    values = torch.randn(4, 4)
    assert torch.equal(FastDropout(0.5).eval()(values), values)
    assert torch.equal(FastDropout(0.0)(values), values)
    assert float(FastDropout(1.0)(values).abs().sum()) == 0
    assert [drops(each) for each in (0.0, 1e-7, 1e-4, 0.5, 1.0)] == [
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masking_is_a_product_with_nought_or_one(dtype: torch.dtype) -> None:
    values, mask = torch.randn(6, 5, dtype=dtype), torch.rand(6, 5) > 0.5
    expected = values.masked_fill(~mask, 0)
    assert torch.equal(masked(values, mask), expected)
    assert torch.equal(mask_in_place(values.clone(), mask), expected)
