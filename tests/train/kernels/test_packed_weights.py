"""Packed weights multiply as the layers' own do, while and as long as they may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from transformers import XLMRobertaConfig, XLMRobertaModel

from xtransfer.train.kernels import packed_weights
from xtransfer.train.kernels.packed_weights import works
from xtransfer.train.kernels.products import prediction_products

PRECISIONS = pytest.mark.parametrize("bf16", [False, True])


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Have it tried anew, in this test and after it."""
    works.cache_clear()
    yield
    works.cache_clear()


def layers(hidden: int = 320, *, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(hidden, 2 * hidden, bias=bias), nn.GELU(), nn.Linear(2 * hidden, hidden, bias=bias)
    )  # fmt: skip


def output(model: nn.Module, rows: Tensor, *, bf16: bool) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return model(rows)


def packed_output(model: nn.Module, rows: Tensor, *, bf16: bool) -> Tensor:
    with torch.no_grad(), prediction_products(model, bf16=bf16):
        return output(model, rows, bf16=bf16)


@PRECISIONS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (24,), (1024,), (5, 37)])
def test_outputs_are_those_of_the_layers_to_rounding(
    bf16: bool, bias: bool, shape: tuple[int, ...]
) -> None:
    model, rows = layers(bias=bias), torch.randn(*shape, 320)
    usual, found = (run(model, rows, bf16=bf16) for run in (output, packed_output))
    assert (found.dtype, found.shape) == (usual.dtype, usual.shape)
    exact = output(model.double(), rows.double(), bf16=False)
    errors = [float((each.double() - exact).abs().max()) for each in (usual, found)]
    # Sums of 640 terms of size 0.02 in fp32, in one order or another; in bf16 factors are rounded first.
    assert errors[1] <= (1.5 * errors[0] if bf16 else 640 * 0.02 * 2**-22), errors


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.integers(0, 2**32))
def test_products_of_any_size_are_exact_to_rounding(
    columns: int, terms: int, count: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer, rows = nn.Linear(terms, columns), torch.randn(count, terms)
    with torch.no_grad():
        found = packed_weights._packed_forward(layer, torch.float32)(rows).double()
        exact = functional.linear(rows.double(), layer.weight.double(), layer.bias.double())
        sizes = functional.linear(rows.abs(), layer.weight.abs(), layer.bias.abs()).double()
    assert bool(((found - exact).abs() <= 2e-6 * sizes + 1e-30).all())


@PRECISIONS
def test_gelu_behind_a_layer_is_taken_with_its_product(bf16: bool) -> None:
    config = XLMRobertaConfig(
        vocab_size=50, hidden_size=256, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512
    )  # fmt: skip
    torch.manual_seed(0)
    encoder = XLMRobertaModel(config, add_pooling_layer=False).eval()
    ids = torch.randint(5, 50, (6, 30))

    def states() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return encoder(input_ids=ids).last_hidden_state.double()

    with torch.no_grad():
        usual = states()
        with prediction_products(encoder, bf16=bf16):
            parts = [layer.intermediate for layer in encoder.encoder.layer]
            assert all("forward" in vars(part) for part in parts)
            assert not any("forward" in vars(part.dense) for part in parts)
            found = states()
        assert replaced(encoder) == 0
        exact = encoder.double()(input_ids=ids).last_hidden_state
    errors = [float((each - exact).abs().max()) for each in (usual, found)]
    assert errors[1] <= 1.5 * errors[0] + 2e-6, errors


def test_a_feed_forward_part_in_another_precision_has_its_gelu() -> None:
    layer, rows = nn.Linear(320, 640), torch.randn(7, 320)
    with torch.no_grad():
        forward = packed_weights._packed_forward(layer, torch.bfloat16, gelu=True)
        assert torch.equal(forward(rows), functional.gelu(layer(rows)))


def replaced(model: nn.Module) -> int:
    return sum("forward" in vars(each) for each in model.modules())


def test_layers_are_themselves_again_afterwards() -> None:
    model, rows = layers(), torch.randn(7, 320)

    def broken() -> None:
        with torch.no_grad(), prediction_products(model):
            assert replaced(model) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert replaced(model) == 0
    with torch.no_grad():
        model[0].weight.mul_(2)
    changed = packed_output(model, rows, bf16=False)
    assert torch.allclose(changed, output(model, rows, bf16=False), atol=1e-5)


def test_where_gradients_are_needed_nothing_is_packed() -> None:
    model = layers()
    with prediction_products(model):
        assert replaced(model) == 0
        model(torch.randn(3, 320)).sum().backward()
    assert model[0].weight.grad is not None


def test_tiny_models_and_layers_of_other_kinds_stay_as_they_are() -> None:
    class Own(nn.Linear):
        def forward(self, rows: Tensor) -> Tensor:
            return -super().forward(rows)

    own, tiny = nn.Sequential(Own(400, 400)), layers(8)
    with torch.no_grad(), prediction_products(own), prediction_products(tiny):
        assert replaced(own) == replaced(tiny) == 0


@pytest.mark.parametrize("broken", ["missing", "inexact"])
def test_without_operators_that_work_layers_stay_as_they_are(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = packed_weights._packed_forward

    def missing(*_: object, **__: object) -> object:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    def inexact(layer: nn.Linear, dtype: torch.dtype, *, gelu: bool) -> object:
        multiply = usual(layer, dtype, gelu=gelu)
        return lambda rows: multiply(rows) * 1.05

    monkeypatch.setattr(
        packed_weights, "_packed_forward", {"missing": missing, "inexact": inexact}[broken]
    )
    model = layers()
    with torch.no_grad(), prediction_products(model), prediction_products(model, bf16=True):
        assert replaced(model) == 0


def test_a_layer_that_runs_in_another_precision_than_was_packed_uses_its_own_weights() -> None:
    model, rows = layers(), torch.randn(7, 320)
    with torch.no_grad(), prediction_products(model, bf16=True):
        assert torch.equal(model(rows), packed_weights_off(model, rows))


def packed_weights_off(model: nn.Module, rows: Tensor) -> Tensor:
    """Return what the model's own layers make of rows in fp32, whatever replaces their `forward`."""
    wide, gelu, narrow = model.children()
    return nn.Linear.forward(narrow, gelu(nn.Linear.forward(wide, rows)))
