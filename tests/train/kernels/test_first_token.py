"""The last layer, asked for the first token's state alone, gives that state and those gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from xtransfer.forms import FORMS
from xtransfer.train.kernels.first_token import first_token_alone
from xtransfer.train.model import TransferModel

KNOWN = ["bert", "camembert", "electra", "roberta", "xlm-roberta"]
HIDDEN, LABELS, LENGTHS = 16, 3, (9, 4, 7)


def encoder_of(kind: str, **options: Any) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        kind,
        vocab_size=50,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=40,
        **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **options},
    )
    return AutoModel.from_config(config)


def model_of(encoder: Any, form: str = "classification") -> TransferModel:
    torch.manual_seed(4)
    return TransferModel(encoder, [FORMS[form].Head(HIDDEN, LABELS, 0.0)], bf16=False)


def batch() -> dict[str, Tensor]:
    torch.manual_seed(5)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return {"input_ids": torch.randint(4, 50, mask.shape), "attention_mask": mask.long()}


def found(model: TransferModel) -> tuple[Tensor, dict[str, Tensor]]:
    """Return logits, and the gradient of each parameter that has one."""
    logits = model(**batch())
    (logits * torch.linspace(-1, 1, logits.numel()).view(logits.shape)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return logits.detach(), gradients


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("form", ["classification", "retrieval"])
@pytest.mark.parametrize("training", [True, False])
def test_logits_and_gradients_are_those_of_the_whole_layer(
    kind: str, form: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(encoder_of(kind), form).train(training)
    shapes: list[torch.Size] = []
    model.heads[0].register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    logits, gradients = found(model)
    monkeypatch.setattr(type(model.heads[0]), "first_token", False)
    model.zero_grad()
    whole_logits, whole = found(model)
    assert [shape[1] for shape in shapes] == [1, max(LENGTHS)]
    torch.testing.assert_close(logits, whole_logits, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(gradients[name], value, rtol=1e-4, atol=1e-6)


def test_afterwards_the_layer_gives_every_state_again() -> None:
    encoder = encoder_of("xlm-roberta").eval()
    with first_token_alone(encoder):
        assert encoder(**batch()).last_hidden_state.shape[1] == 1
    with pytest.raises(ZeroDivisionError), first_token_alone(encoder):
        raise ZeroDivisionError
    assert encoder(**batch()).last_hidden_state.shape[1] == max(LENGTHS)


def test_dropout_is_drawn_in_the_layer() -> None:
    quiet = model_of(encoder_of("bert")).train()
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        # In the last layer alone, where the first token's state is made.
        model = model_of(encoder_of("bert", **{name: 0.5})).train()
        model.encoder.embeddings.eval()
        model.encoder.encoder.layer[0].eval()
        assert not torch.allclose(model(**batch()), quiet(**batch()))
        assert torch.allclose(model.eval()(**batch()), quiet(**batch()))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("rembert", {}), ("bert", {"is_decoder": True}), ("bert", {"attn_implementation": "eager"})],
)
def test_other_layers_stay_whole(kind: str, options: dict[str, Any]) -> None:
    encoder = encoder_of(kind, **options).eval()
    with first_token_alone(encoder):
        assert encoder(**batch()).last_hidden_state.shape[1] == max(LENGTHS)


def test_layers_that_are_computed_again_stay_whole() -> None:
    encoder = encoder_of("bert").train()
    encoder.activation_checkpointing_enable()
    with first_token_alone(encoder):
        assert encoder(**batch()).last_hidden_state.shape[1] == max(LENGTHS)
