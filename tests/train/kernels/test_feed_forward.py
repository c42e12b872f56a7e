"""The feed-forward part that keeps less computes the same, to the last bit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from xtransfer.train.kernels import feed_forward
from xtransfer.train.kernels.feed_forward import use_lean_feed_forward, use_usual_feed_forward

KNOWN = ["bert", "camembert", "electra", "roberta", "xlm-roberta"]
HIDDEN, INNER, ROWS, LENGTH = 16, 24, 3, 9


def encoder_of(kind: str, **options: Any) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        kind, vocab_size=50, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=INNER, max_position_embeddings=40, **options,
    )  # fmt: skip
    return AutoModel.from_config(config).train()


def both(kind: str = "xlm-roberta", **options: Any) -> tuple[Any, Any]:
    """Return the same encoder twice, the second lean."""
    plain = encoder_of(kind, **options)
    lean = copy.deepcopy(plain)
    use_lean_feed_forward(lean)
    return plain, lean


def found(encoder: Any) -> dict[str, Tensor]:
    """Return the states, and the gradient of each parameter that has one."""
    torch.manual_seed(5)
    states = encoder(input_ids=torch.randint(4, 50, (ROWS, LENGTH))).last_hidden_state
    encoder.zero_grad()
    (states * torch.linspace(-1, 1, states.numel()).view(states.shape)).sum().backward()
    grads = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    return {"": states.detach(), **grads}


def runs(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Return a list that grows by the shape of an input whenever the output is computed again."""
    shapes: list[torch.Size] = []
    real = feed_forward._GeluLinear.apply

    def noted(rows: Tensor, *more: Any) -> Tensor:
        shapes.append(rows.shape)
        return real(rows, *more)

    monkeypatch.setattr(feed_forward._GeluLinear, "apply", noted)
    return shapes


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("frozen", ["", "weight", "bias", "below"])
def test_states_and_gradients_are_the_same(
    kind: str, frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_forward, "KEPT", ROWS * LENGTH * INNER)
    shapes = runs(monkeypatch)
    plain, lean = both(kind)
    for encoder in (plain, lean):
        layer = encoder.encoder.layer[0]
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(
                frozen != "below" or "layer.0.output" in name or "layer.1" in name
            )
        if frozen in ("weight", "bias"):
            getattr(layer.output.dense, frozen).requires_grad_(False)
    mine, theirs = found(lean), found(plain)
    assert shapes == [(ROWS, LENGTH, INNER)] * 2
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


@pytest.mark.parametrize("case", ["small", "autocast", "no gradient", "undone", "ReLU"])
def test_what_it_is_not_for_goes_the_usual_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_forward, "KEPT", ROWS * LENGTH * INNER + (case == "small"))
    shapes = runs(monkeypatch)
    _, lean = both(hidden_act="relu" if case == "ReLU" else "gelu")
    if case == "undone":
        use_usual_feed_forward(lean)
        assert not any(isinstance(layer, feed_forward._Lean) for layer in lean.encoder.layer)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        if case == "no gradient":
            with torch.no_grad():
                lean(input_ids=torch.full((ROWS, LENGTH), 5))
        else:
            found(lean)
    assert shapes == []


def test_it_keeps_one_wide_tensor_of_a_layer_instead_of_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_forward, "KEPT", 1)

    def wide(encoder: Any) -> int:
        kept: set[int] = set()

        def pack(tensor: Tensor) -> Tensor:
            if tensor.numel() == ROWS * LENGTH * INNER:
                kept.add(tensor.data_ptr())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            states = encoder(input_ids=torch.full((ROWS, LENGTH), 5)).last_hidden_state
        assert states.requires_grad
        return len(kept)

    plain, lean = both()
    assert (wide(plain), wide(lean)) == (4, 2)


def test_a_model_keeps_its_names_weights_and_states_of_layers() -> None:
    plain, lean = both()
    assert [name for name, _ in lean.named_parameters()] == [n for n, _ in plain.named_parameters()]
    ids = torch.full((ROWS, LENGTH), 5)
    states = [
        encoder.eval()(input_ids=ids, output_hidden_states=True).hidden_states
        for encoder in (plain, lean)
    ]
    assert len(states[0]) == len(states[1]) == 3
    assert all(torch.equal(*pair) for pair in zip(*states, strict=True))
    before = [type(layer) for layer in lean.encoder.layer]
    use_lean_feed_forward(lean)
    assert [type(layer) for layer in lean.encoder.layer] == before
