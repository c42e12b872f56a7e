"""The last encoder layer for heads that read the first token's state alone.

Of that layer, every token's key and value matter to the first token's state, but only the first token's
query, feed-forward part and norms do. Leaving out the others' changes neither logits nor gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor

LAYERS = ("BertLayer", "CamembertLayer", "ElectraLayer", "RobertaLayer", "XLMRobertaLayer")
"""Layers of transformers that compute what `_first_token` does."""


@contextmanager
def first_token_alone(encoder: Any) -> Iterator[None]:
    """Have an encoder return the states of first tokens, [batch, 1, hidden], if its layers are known."""
    layers = getattr(getattr(encoder, "encoder", None), "layer", None) or [None]
    layer: Any = layers[-1]
    if not _is_known(layer):
        yield
        return
    layer.forward = partial(_first_token, layer)
    try:
        yield
    finally:
        del layer.forward


def _is_known(layer: Any) -> bool:
    if type(layer).__name__ not in LAYERS:
        return False
    own = layer.attention.self
    return not (
        own.is_causal
        or layer.add_cross_attention
        or layer.gradient_checkpointing  # the backward pass would call the layer's own forward
        or own.config._attn_implementation not in ("sdpa", "sdpa_cpu")
    )


def _first_token(
    layer: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any
) -> Tensor:
    """Map states [batch, length, hidden] to [batch, 1, hidden].

    Args:
        layer: of the kinds in `LAYERS`.
        hidden_states: what the layer reads.
        attention_mask: [batch, 1, length, length] or None.
        _, __: what only decoders use.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    own = layer.attention.self

    def heads(values: Tensor) -> Tensor:
        return values.view(*values.shape[:2], -1, own.attention_head_size).transpose(1, 2)

    first = hidden_states[:, :1]
    seen, _ = ALL_ATTENTION_FUNCTIONS[own.config._attn_implementation](
        own,
        heads(own.query(first)),
        heads(own.key(hidden_states)),
        heads(own.value(hidden_states)),
        None if attention_mask is None else attention_mask[:, :, :1],
        dropout=own.dropout.p if layer.training else 0.0,
        scaling=own.scaling,
    )
    return layer.feed_forward_chunk(layer.attention.output(seen.reshape(first.shape), first))
