"""Products by oneDNN are as exact as PyTorch's, or not taken."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from xtransfer.train.kernels import onednn
from xtransfer.train.kernels.onednn import keep_precision, onednn_products

SIZES = st.integers(1, 70)
LARGE = nn.Linear(400, 400)
MATMUL = torch.backends.mkldnn.matmul


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Have it tried anew, in this test and after it."""
    keep_precision.cache_clear()
    yield
    keep_precision.cache_clear()


def close(found: Tensor, one: Tensor, other: Tensor) -> bool:
    """Say whether a product is that of fp32 to rounding: 2^-24 of its terms' sizes, a few times."""
    exact, sizes = one.double() @ other.double(), one.double().abs() @ other.double().abs()
    return bool(((found.double() - exact).abs() <= 2e-6 * sizes + 1e-30).all())


@given(SIZES, SIZES, SIZES, st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_products_are_exact_to_rounding(
    rows: int, columns: int, terms: int, batch: int, left: bool, right: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    one = torch.randn(batch, terms, rows).mT if left else torch.randn(batch, rows, terms)
    other = torch.randn(batch, columns, terms).mT if right else torch.randn(batch, terms, columns)
    with onednn_products(LARGE):
        assert close(torch.bmm(one, other), one, other)
        assert close(one[0] @ other[0], one[0], other[0])


def test_a_layer_and_its_gradients_are_exact_to_rounding() -> None:
    torch.manual_seed(1)
    layer, rows = nn.Linear(384, 1536), torch.randn(3, 100, 384, requires_grad=True)
    with onednn_products(LARGE):
        out = layer(rows)
        above = torch.randn_like(out)
        out.backward(above)
    flat, above = rows.detach().flatten(0, 1), above.flatten(0, 1)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    assert close(out.detach().flatten(0, 1) - bias, flat, weight.t())
    assert rows.grad is not None
    assert layer.weight.grad is not None
    assert close(rows.grad.flatten(0, 1), above, weight)
    assert close(layer.weight.grad, above.t(), flat)


def test_the_setting_is_put_back() -> None:
    before = MATMUL.fp32_precision
    expected = onednn.ROUNDING if keep_precision() else before

    @onednn_products(LARGE)
    def within() -> str:
        with onednn_products(LARGE):
            pass
        return MATMUL.fp32_precision

    assert (within(), MATMUL.fp32_precision) == (expected, before)

    @onednn_products(LARGE)
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert MATMUL.fp32_precision == before


def test_a_processor_that_rounds_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.bmm

    def rounded(one: Tensor, other: Tensor) -> Tensor:
        if MATMUL.fp32_precision == onednn.ROUNDING:
            one, other = one.bfloat16().float(), other.bfloat16().float()
        return real(one, other)

    monkeypatch.setattr(torch, "bmm", rounded)
    before = MATMUL.fp32_precision
    assert not keep_precision()
    with onednn_products(LARGE):
        assert MATMUL.fp32_precision == before


@pytest.mark.parametrize(
    "case", ["no oneDNN", "an older PyTorch", "asked for by the user", "small"]
)
def test_nothing_is_set_where_that_is_not_called_for(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    matmul: Any = MATMUL
    if case == "no oneDNN":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    if case == "an older PyTorch":
        matmul = SimpleNamespace()
        monkeypatch.setattr(onednn, "_matmul", lambda: None)
    if case == "asked for by the user":
        matmul = SimpleNamespace(fp32_precision=onednn.ROUNDING)
        monkeypatch.setattr(onednn, "_matmul", lambda: matmul)
        monkeypatch.setattr(onednn, "keep_precision", lambda: pytest.fail("tried"))
    model = nn.Linear(64, 256) if case == "small" else LARGE
    before = dict(vars(matmul)) if matmul is not MATMUL else MATMUL.fp32_precision
    with onednn_products(model):
        assert before == (dict(vars(matmul)) if matmul is not MATMUL else MATMUL.fp32_precision)
    assert before == (dict(vars(matmul)) if matmul is not MATMUL else MATMUL.fp32_precision)
