"""Masked-LM heads of public encoders, whose files name their weights each in its own way."""

from __future__ import annotations

import torch
from torch import nn

_PLACES = (
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    (
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ),
    ("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
    ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    ("head.dense", "head.norm", "decoder.bias"),
)
"""Names of dense layer, norm and bias of the words: of XLM-R, BERT, ALBERT, ELECTRA's generators, DistilBERT and
ModernBERT."""


def load_text_head(head: nn.Module, name: str, *, revision: str | None = None) -> bool:
    """Put a pretrained masked-LM head into `head`, where the encoder's files hold one; say whether.

    Of families that are not known, and where it has an embedding of its own (RemBERT), it stays fresh. A bias that
    a family does not have (ModernBERT) stays what it is in a fresh head, 0.
    """
    from transformers import AutoModelForMaskedLM

    model, found = AutoModelForMaskedLM.from_pretrained(
        name,
        revision=revision,
        dtype=torch.float32,
        output_loading_info=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    read = {
        name: value.detach()
        for name, value in model.named_parameters()
        if name not in found["missing_keys"]
    }
    for dense, norm, bias in _PLACES:
        needed = {"dense.weight": f"{dense}.weight", "norm.weight": f"{norm}.weight", "bias": bias}
        if set(needed.values()) <= read.keys():
            names = {**needed, "dense.bias": f"{dense}.bias", "norm.bias": f"{norm}.bias"}
            values = {own: read[theirs] for own, theirs in names.items() if theirs in read}
            head.load_state_dict({**head.state_dict(), **values})
            return True
    return False
