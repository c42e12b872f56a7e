"""Attention on CPUs, where PyTorch has no fused kernel with dropout, and a slow one without.

A few rows of the batch are worked on at a time, as many as a processor's cache holds the attention of. Where
that is not the whole batch, only which probabilities were dropped is kept for the backward pass, a byte each, and
the probabilities are computed again.

All else (other devices, training without dropout, causal attention, groups of heads) goes the way of the
`sdpa` attention of transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.train.kernels.dropout import drops, kept, mask_in_place, masked, scale

NAME = "sdpa_cpu"
"""Of the attention among those of transformers."""
AT_ONCE = 2_000_000
"""Most attention probabilities (rows x heads x length x length) that are worked on at once: 8 MB in fp32."""

VECTOR = 32
"""16-bit values in a vector register. PyTorch's softmax takes twice as long where a row has a rest."""


def use_cpu_attention(encoder: Any) -> None:
    """Have an encoder of transformers use this attention, if it uses `sdpa` and lets that be changed."""
    from transformers import AttentionInterface, AttentionMaskInterface

    config = getattr(encoder, "config", None)
    able = getattr(encoder, "_can_set_attn_implementation", lambda: False)
    if getattr(config, "_attn_implementation", "") != "sdpa" or not able():
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _mask)
    encoder.set_attn_implementation(NAME)


def _mask(
    *sizes: Any,
    attention_mask: Tensor | None = None,
    allow_is_bidirectional_skip: bool = False,
    **more: Any,
) -> Tensor | None:
    """Return the `sdpa` mask of transformers.

    That is none where nothing is padded. To see that, the processor would wait for a GPU before each pass, so there a
    mask that was given stays one: who knows that it hides nothing gives none.
    """
    from transformers.masking_utils import sdpa_mask

    looks = attention_mask is None or attention_mask.device.type == "cpu"
    return sdpa_mask(
        *sizes,
        attention_mask=attention_mask,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip and looks,
        **more,
    )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Return softmax(scaling query key^T) value with dropout, as [batch, length, heads, size].

    Args:
        module: the layer.
        query: [batch, heads, length, size].
        key: likewise, of any length.
        value: likewise, as long as `key`.
        attention_mask: [batch, 1 or heads, 1 or length, length]: true where a token is seen, or a bias.
        dropout: probability of dropping an attention probability.
        scaling: of the products; None: 1 / sqrt(size).
        more: what other attentions take; any of it that is set leads to `sdpa`.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    own = (
        query.device.type == "cpu"
        and torch.is_grad_enabled() == drops(dropout)
        and not getattr(module, "is_causal", True)
        and query.shape[:2] == key.shape[:2] == value.shape[:2]
        and query.dtype == key.dtype == value.dtype
        and not any(each is not None and each is not False for each in more.values())
    )
    if not own:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    with torch.autocast("cpu", enabled=False):
        bias = _bias(attention_mask, query.dtype)
        if not torch.is_grad_enabled():
            return _seen(query, key, value, bias, factor), None
        return _Attention.apply(query, key, value, bias, factor, dropout), None


def _bias(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return what is added to products: nothing where a token is seen, next to -infinity where not."""
    if mask is None or mask.dtype != torch.bool:
        return None if mask is None else mask.to(dtype)
    first = mask[..., :1, :]
    if mask.stride(-2) == 0 or torch.equal(mask, first.expand_as(mask)):  # the same for every query
        mask = first
    if mask.all():  # inputs of one length
        return None
    bias = torch.zeros(mask.shape, dtype=dtype)
    return bias.masked_fill_(~mask, torch.finfo(dtype).min)


def _seen(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scaling: float) -> Tensor:
    """Return attention without dropout, [batch, length, heads, size]."""
    batch, heads, length, _ = query.shape
    out = query.new_empty(batch, length, heads, value.shape[-1])
    queries, keys, values = _scaled(query, scaling), _flat(key), _flat(value)
    for rows in _chunks(batch, heads * length * key.shape[2]):
        own = _of_heads(rows, heads)
        probabilities = _probabilities(queries[own], keys[own], _of(bias, rows), heads)
        out[rows] = _split(torch.bmm(probabilities, values[own]), heads)
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        scaling: float,
        probability: float,
    ) -> Tensor:
        batch, heads, length, _ = query.shape
        out = query.new_empty(batch, length, heads, value.shape[-1])
        queries, keys, values = _scaled(query, scaling), _flat(key), _flat(value)
        chunks = _chunks(batch, heads * length * key.shape[2])
        masks: list[Tensor] = []
        whole: list[Tensor] = []
        for rows in chunks:
            own = _of_heads(rows, heads)
            probabilities = _probabilities(queries[own], keys[own], _of(bias, rows), heads)
            masks.append(kept(probabilities.shape, probability))
            if len(chunks) == 1:
                whole.append(probabilities)
                dropped = masked(probabilities, masks[-1])
            else:
                dropped = mask_in_place(probabilities, masks[-1])
            seen = _split(torch.bmm(dropped, values[own]), heads)
            torch.mul(seen, scale(probability), out=out[rows])
        ctx.biased, ctx.shape, ctx.scaling = bias is not None, query.shape, scaling
        ctx.scale = scale(probability)
        biases = [] if bias is None else [bias]
        ctx.save_for_backward(queries, keys, values, *biases, *masks, *whole)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        queries, keys, values, *saved = ctx.saved_tensors
        bias = saved.pop(0) if ctx.biased else None
        batch, heads, length, _ = ctx.shape
        into = [
            each.new_empty(batch, each.shape[1], heads, each.shape[2])
            for each in (queries, keys, values)
        ]
        # The gradient of the output, multiplied as dropout multiplies what it keeps.
        above = _scaled(grads[0].transpose(1, 2), ctx.scale)
        chunks = _chunks(batch, heads * length * keys.shape[1])
        for rows, mask in zip(chunks, saved, strict=False):
            own = _of_heads(rows, heads)
            probabilities = (
                saved[1]
                if len(chunks) == 1
                else _probabilities(queries[own], keys[own], _of(bias, rows), heads)
            )
            to_value = torch.bmm(masked(probabilities, mask).transpose(1, 2), above[own])
            to_kept = torch.bmm(above[own], values[own].transpose(1, 2))
            to_products = torch.ops.aten._softmax_backward_data(
                mask_in_place(to_kept, mask), probabilities, -1, probabilities.dtype
            )
            to_query = torch.bmm(to_products, keys[own])
            to_key = torch.bmm(to_products.transpose(1, 2), queries[own])
            torch.mul(_split(to_query, heads), ctx.scaling, out=into[0][rows])
            into[1][rows] = _split(to_key, heads)
            into[2][rows] = _split(to_value, heads)
        return *(each.transpose(1, 2) for each in into), None, None, None


def _chunks(batch: int, size: int) -> list[slice]:
    """Return the rows to work on at a time, given the attention probabilities of one row."""
    step = max(1, AT_ONCE // size)
    return [slice(at, at + step) for at in range(0, batch, step)]


def _probabilities(scaled: Tensor, key: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """Return softmax over the last dimension, [rows x heads, length, length]."""
    products = torch.bmm(scaled, key.transpose(1, 2))
    if bias is not None:
        products.view(-1, heads, *products.shape[1:]).add_(bias)
    if products.element_size() == 2 and products.shape[-1] % VECTOR:
        return torch.softmax(products.float(), -1).to(products.dtype)
    return torch.softmax(products, -1)


def _of(bias: Tensor | None, rows: slice) -> Tensor | None:
    return bias if bias is None or len(bias) == 1 else bias[rows]


def _of_heads(rows: slice, heads: int) -> slice:
    """Return where the heads of some rows are among those of all."""
    return slice(rows.start * heads, rows.stop * heads)


def _flat(values: Tensor) -> Tensor:
    """Map [rows, heads, length, size] to [rows x heads, length, size]."""
    return values.reshape(-1, *values.shape[2:])


def _scaled(values: Tensor, factor: float) -> Tensor:
    """Do the same with a product, in one pass: an operator would keep the order of dimensions in memory."""
    return _flat(torch.mul(values, factor, out=values.new_empty(values.shape)))


def _split(values: Tensor, heads: int) -> Tensor:
    """Map [rows x heads, length, size] to [rows, length, heads, size]."""
    return values.view(-1, heads, *values.shape[1:]).transpose(1, 2)
