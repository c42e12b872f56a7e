"""How much memory a trial takes on its device, from the size of its encoder and its batch.

What training keeps: weights, gradients and both moments of AdamW in fp32, 4 bytes each; with bf16 a copy of the
layers' weights; and of each layer what its backward pass needs. These are the tensors that PyTorch's autograd
keeps of a BERT layer of transformers, counted: of each token the inputs of linear layers and norms and
queries, keys and values, all of the hidden size; input and output of the activation, of the inner size; and a
byte for each value that dropout may drop. The last layer keeps less where a head reads the first token alone, which
is not counted on.

Attention keeps nothing of the size of length x length where it is fused, as on GPUs. On CPUs it keeps a byte
for each pair of tokens and head (`xtransfer.train.kernels.attention`), and in fp32 the activation's output is
computed again instead of kept (`xtransfer.train.kernels.feed_forward`).
"""

from __future__ import annotations

from typing import Literal

from xtransfer.costs.principles import Shape

FP32, BF16 = 4, 2
"""Bytes."""
STATE = 3 * FP32
"""Bytes of a parameter between two steps: its weight and both moments."""
NORMS = 2
"""Values of the hidden size that a layer keeps of a token in fp32: inputs of norms."""
LINEARS = {"fp32": 6, "bf16": 8}
"""The same in the precision itself: inputs of linear layers, and queries, keys and values. In bf16 each of the
three layers that make these has a copy of their input."""
DROPPED = 2
"""Bytes that a layer keeps for each value of the hidden size, of its two dropouts."""
MOVING = 4
"""Tensors of a layer's inner size that come and go in the backward pass."""
POSITIONS = 514
"""Of XLM-R; other encoders have about as many."""


def peak_bytes(
    shape: Shape,
    *,
    sequences: int,
    length: int,
    precision: Literal["fp32", "bf16"],
    predicted: int,
    masked: float = 0.0,
    vocabulary: int | None = None,
    fused: bool = True,
) -> int:
    """Return the most bytes of tensors at any time of a trial.

    That is at the end of a forward pass, at the end of a backward pass, when all gradients are there, or while
    a dev set is predicted.

    Args:
        shape: of the encoder.
        sequences: in one micro-batch.
        length: of each, in tokens.
        precision: `bf16`: autocast with fp32 weights.
        predicted: tokens that are predicted at once.
        masked: share of all tokens that a masked-LM head predicts, each as logits of the vocabulary.
        vocabulary: embedding rows that are trained; None: all.
        fused: whether attention is, as on GPUs.
    """
    rows = shape.vocabulary if vocabulary is None else vocabulary
    parameters = shape.parameters + (rows + POSITIONS) * shape.hidden
    kept = kept_bytes(shape, sequences=sequences, length=length, precision=precision, fused=fused)
    tensors = MOVING + _computed_again(precision, fused)
    moving = tensors * sequences * length * shape.inner * FP32
    predicting = FP32 * predicted * (2 * shape.inner + LINEARS["fp32"] * shape.hidden)
    # Logits of the vocabulary: as the head makes them, in fp32, and as log-probabilities; in fp32 the
    # first two are one. In training the gradient is another.
    words = masked * rows * (2 * FP32 if precision == "fp32" else BF16 + 2 * FP32)
    logits = int(sequences * length * (words + masked * rows * FP32))
    predicting += int(predicted * words)
    return STATE * parameters + max(
        kept + max(moving, logits), FP32 * parameters + moving, predicting
    )


def kept_bytes(
    shape: Shape,
    *,
    sequences: int,
    length: int,
    precision: Literal["fp32", "bf16"],
    fused: bool = True,
) -> int:
    """Return the bytes that all layers keep for the backward pass; arguments as of `peak_bytes`."""
    wide = FP32 if precision == "fp32" else BF16
    around = 2 - _computed_again(precision, fused)  # tensors: the activation's input and output
    token = (
        NORMS * FP32 + LINEARS[precision] * wide + DROPPED
    ) * shape.hidden + around * wide * shape.inner
    kept = shape.layers * sequences * length * token
    if not fused:
        kept += shape.layers * sequences * shape.heads * length * length
    if precision == "bf16":
        kept += BF16 * shape.parameters
    return kept


def _computed_again(precision: str, fused: bool) -> int:
    """Return how many tensors of a layer's inner size the backward pass makes instead of finding them."""
    return int(precision == "fp32" and not fused)
