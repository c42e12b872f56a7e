"""Linear layers by oneDNN compute what PyTorch's do."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from xtransfer.train.linear import OneDnnLinear, use_onednn, use_pytorch

SIZES = st.integers(1, 40)


def both(inputs: int, outputs: int, *, bias: bool = True) -> tuple[nn.Linear, nn.Linear]:
    """Return the same layer twice, the second by oneDNN."""
    plain = nn.Linear(inputs, outputs, bias=bias)
    other = copy.deepcopy(plain)
    use_onednn(other)
    assert type(other) is OneDnnLinear
    return plain, other


def gradients(layer: nn.Linear, rows: Tensor, *, sizes: bool = False) -> tuple[Tensor, ...]:
    """Return the output, and the gradients of rows, weight and bias of a loss that sees every place.

    `sizes`: of the terms that each of these is a sum of, which bound what rounding may do.
    """
    if sizes:
        layer, rows = copy.deepcopy(layer), rows.abs()
        for parameter in layer.parameters():
            parameter.data.abs_()
    rows = rows.clone().requires_grad_()
    out = layer(rows)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    loss = (out * (weights.abs() if sizes else weights)).sum()
    return out.detach(), *torch.autograd.grad(loss, [rows, *layer.parameters()])


@given(st.lists(SIZES, min_size=0, max_size=2), SIZES, SIZES, st.booleans(), st.integers(0, 2**32))
def test_output_and_gradients_are_those_of_pytorch(
    shape: list[int], inputs: int, outputs: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    plain, other = both(inputs, outputs, bias=bias)
    rows = torch.randn(*shape, inputs)
    found = zip(
        gradients(other, rows), gradients(plain, rows), gradients(plain, rows, sizes=True),
        strict=True,
    )  # fmt: skip
    for mine, theirs, sizes in found:
        assert mine.shape == theirs.shape
        assert bool(((mine - theirs).abs() <= 5e-6 * sizes + 1e-7).all())


def test_without_gradients_it_is_the_same_product() -> None:
    _, layer = both(24, 40)
    rows = torch.randn(3, 7, 24)
    with torch.no_grad():
        quick = layer(rows)
    assert torch.equal(quick, layer(rows).detach())


def test_rows_that_are_no_plain_block_are_read_right() -> None:
    plain, other = both(24, 40)
    rows = torch.randn(7, 48, 5).transpose(1, 2)[:, :, ::2]
    assert torch.allclose(other(rows), plain(rows), atol=1e-5)


def test_a_gradient_that_is_no_plain_block_is_read_right() -> None:
    plain, other = both(8, 6)
    rows = torch.randn(4, 5, 8)
    found = []
    for layer in (plain, other):
        layer(rows).transpose(0, 1)[:, ::2].square().sum().backward()
        found.append(layer.weight.grad)
    assert torch.allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize("case", ["double", "autocast", "no rows", "undone"])
def test_what_it_is_not_for_goes_pytorchs_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("not this way")

    monkeypatch.setattr("xtransfer.train.linear.multiply", refuse)
    plain, other = both(8, 6)
    rows = torch.randn(0 if case == "no rows" else 5, 8)
    if case == "double":
        plain, other, rows = plain.double(), other.double(), rows.double()
    if case == "undone":
        use_pytorch(other)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        assert torch.equal(other(rows), plain(rows))


def test_a_model_keeps_its_names_and_weights() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    use_onednn(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [type(layer) for layer in model] == [OneDnnLinear, nn.GELU, OneDnnLinear]
