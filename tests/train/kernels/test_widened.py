"""Products of bf16 by fp32 are those of bf16 instructions, on processors that lack these and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import XLMRobertaConfig, XLMRobertaModel

from xtransfer.train.kernels import packed_weights, widened
from xtransfer.train.kernels.products import prediction_products, training_products
from xtransfer.train.kernels.widened import has_bf16_products, widened_products
from xtransfer.train.model import TransferModel

SIZES = st.integers(1, 40)
ANY = nn.Linear(2, 2)


class Multiplied(TorchDispatchMode):
    """Notes in which precision matrices were multiplied, below everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if "mm" in func.name() or "linear" in func.name():
            self.dtypes |= {each.dtype for each in args if isinstance(each, Tensor)}
        return func(*args, **(kwargs or {}))


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor that has no instructions for bf16."""
    for module in (widened, packed_weights):
        monkeypatch.setattr(module, "has_bf16_products", lambda: False)
    packed_weights.works.cache_clear()
    yield
    packed_weights.works.cache_clear()


def model_of(*, bf16: bool = True) -> TransferModel:
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=60, hidden_size=320, num_hidden_layers=2, num_attention_heads=4, intermediate_size=640,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    head = nn.Linear(320, 3)
    return TransferModel(XLMRobertaModel(config, add_pooling_layer=False), [head], bf16=bf16)


def inputs() -> dict[str, Tensor]:
    ids = torch.randint(5, 60, (4, 9), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def gradients(model: TransferModel) -> dict[str, Tensor]:
    logits = model(**inputs())
    logits.float().square().mean().backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


@given(SIZES, SIZES, SIZES, st.integers(1, 3), st.integers(0, 2**32))
def test_products_are_sums_in_fp32_rounded_once(
    rows: int, columns: int, terms: int, batch: int, seed: int
) -> None:
    torch.manual_seed(seed)
    one = torch.randn(batch, rows, terms).bfloat16()
    other = torch.randn(batch, terms, columns).bfloat16()
    bias = torch.randn(columns).bfloat16()
    with widened._Widening(), torch.inference_mode():
        found = {
            "bmm": torch.bmm(one, other),
            "mm": one[0] @ other[0],
            "matmul": one @ other[0],
            "linear": nn.functional.linear(one[0], other[0].t(), bias),
            "mv": one[0] @ other[0, :, 0],
        }
    wide, by = one.float(), other.float()
    exact = {
        "bmm": torch.bmm(wide, by),
        "mm": wide[0] @ by[0],
        "matmul": wide @ by[0],
        "linear": wide[0] @ by[0] + bias.float(),
        "mv": wide[0] @ by[0, :, 0],
    }
    for name, each in found.items():
        assert each.dtype == torch.bfloat16
        # Half of the last of bf16's 8 bits, and the order of the sums.
        error = (each.float() - exact[name]).abs()
        assert bool((error <= 2.0**-8 * exact[name].abs() + 1e-5 * terms).all()), name


@pytest.mark.usefixtures("without_bf16")
def test_training_multiplies_nothing_in_bf16() -> None:
    model = model_of().train()
    with Multiplied() as seen, training_products(model):
        gradients(model)
    assert seen.dtypes == {torch.float32}


@pytest.mark.usefixtures("without_bf16")
@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode])
def test_prediction_multiplies_nothing_in_bf16(grad: Any) -> None:
    model = model_of().eval()
    with Multiplied() as seen, grad(), prediction_products(model, bf16=True):
        found = model(**inputs())
    assert torch.float32 in seen.dtypes
    assert torch.bfloat16 not in seen.dtypes
    with torch.no_grad():
        usual = model(**inputs())
    assert found.dtype == usual.dtype == torch.bfloat16
    assert float((found.float() - usual.float()).abs().max()) <= 0.02 * float(usual.abs().max())


@pytest.mark.usefixtures("without_bf16")
def test_gradients_are_those_of_bf16_to_its_rounding() -> None:
    exact = gradients(model_of(bf16=False).train())
    usual = gradients(model_of().train())
    model = model_of().train()
    with training_products(model):
        found = gradients(model)
    assert found.keys() == usual.keys() == exact.keys()
    off = [
        sum(float((each[name] - exact[name]).square().sum()) for name in exact) ** 0.5
        for each in (usual, found)
    ]
    assert 0 < off[1] <= 1.2 * off[0]


def test_with_instructions_for_bf16_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widened, "has_bf16_products", lambda: True)
    one = torch.randn(3, 3).bfloat16()
    with Multiplied() as seen, widened_products(ANY, bf16=True):
        one @ one
    assert seen.dtypes == {torch.bfloat16}


@pytest.mark.usefixtures("without_bf16")
@pytest.mark.parametrize("where", ["fp32", "elsewhere"])
def test_other_precisions_and_other_devices_are_left_alone(where: str) -> None:
    model = ANY if where == "fp32" else nn.Linear(2, 2, device="meta")
    one = torch.randn(3, 3).bfloat16()
    with Multiplied() as seen, widened_products(model, bf16=where != "fp32"):
        one @ one
    assert seen.dtypes == {torch.bfloat16}


def test_what_is_said_of_the_processor_is_what_pytorch_does() -> None:
    has_bf16_products.cache_clear()
    flags = _flags()
    if flags is None:
        pytest.skip("no /proc/cpuinfo of x86")
    assert has_bf16_products() == ({"avx512bw", "avx512vl", "avx512dq"} <= flags)


def _flags() -> set[str] | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((set(line.split()[2:]) for line in lines if line.startswith("flags")), None)
