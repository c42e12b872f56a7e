"""Masked-LM heads of several families of encoders: those of their files, and fresh ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from xtransfer.steps.assembly import make_head
from xtransfer.train.encoder import load_encoder
from xtransfer.train.model import TransferModel
from xtransfer.train.text_head import load_text_head

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_act": "gelu",
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Albert": {"embedding_size": 8},
    "Bert": {},
    "DistilBert": {"dim": 16, "hidden_dim": 16, "n_heads": 2, "n_layers": 1},
    "Electra": {"embedding_size": 8},
    "ModernBert": {"pad_token_id": 0},
    "XLMRoberta": {},
}
"""Family whose head is taken -> its own settings."""


def write(family: str, folder: Path, **settings: Any) -> Any:
    """Write a masked language model of random weights, none of them small; return it."""
    config = getattr(transformers, f"{family}Config")(**{**SMALL, **settings})
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForMaskedLM")(config).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pretrained_head_predicts_as_the_model_that_it_is_from(
    tmp_path: Path, family: str
) -> None:
    whole = write(family, tmp_path, **FAMILIES[family])
    encoder = load_encoder(str(tmp_path))
    head = make_head(encoder, "mlm", SMALL["vocab_size"])
    assert load_text_head(head, str(tmp_path))
    model = TransferModel(encoder, [head], bf16=False).eval()
    ids = torch.tensor([[2, 9, 12, 30, 3]])
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids))
        expected = whole(input_ids=ids).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_head_of_another_width_than_the_states_learns_to_predict(tmp_path: Path) -> None:
    """RemBERT's predictions have an embedding of their own, so its head starts fresh."""
    write("RemBert", tmp_path, input_embedding_size=8, output_embedding_size=24)
    encoder = load_encoder(str(tmp_path))
    head = make_head(encoder, "mlm", SMALL["vocab_size"])
    assert not load_text_head(head, str(tmp_path))
    model = TransferModel(encoder, [head], bf16=False).eval()
    ids = torch.tensor([[2, 9, 12, 30, 3]])
    asked = torch.tensor([1, 3])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), positions=asked)
    assert logits.shape == (2, SMALL["vocab_size"])
    torch.nn.functional.cross_entropy(logits, torch.tensor([9, 30])).backward()
    assert encoder.get_input_embeddings().weight.grad.abs().sum() > 0
    assert head.dense.weight.grad.abs().sum() > 0
