"""A speed from first principles: operations of an encoder, and what a device can do.

A training step takes 6 operations for each parameter outside of the embeddings and each token, 2 of them
forward (Kaplan et al. 2020, arXiv 2001.08361, section 2.1). Attention's share that grows with the square
of the length, heads, and words that are predicted are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xtransfer.costs.devices import DEVICES
from xtransfer.costs.speeds import Speed

TRAIN_FLOPS, PREDICT_FLOPS = 6, 2
"""Operations for each parameter and token."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of a transformer encoder."""

    layers: int
    hidden: int
    inner: int
    """Units of the feed-forward layers."""
    heads: int = 1
    vocabulary: int = 0
    """Token ids; 0: not known."""
    source: str

    @property
    def parameters(self) -> int:
        """Parameters of all layers: attention, feed-forward, their biases and two LayerNorms."""
        attention = 4 * self.hidden * self.hidden + 4 * self.hidden
        forward = 2 * self.hidden * self.inner + self.inner + self.hidden
        return self.layers * (attention + forward + 4 * self.hidden)


_PAPER = "Conneau et al. 2020, section 3"
PUBLISHED: Mapping[str, Shape] = {
    "xlm-roberta-base": Shape(
        layers=12, hidden=768, inner=3072, heads=12, vocabulary=250_002, source=_PAPER
    ),
    "xlm-roberta-large": Shape(
        layers=24, hidden=1024, inner=4096, heads=16, vocabulary=250_002, source=_PAPER
    ),
}


def shape_of(encoder: str) -> Shape | None:
    """Return the size of an encoder: of its folder's config.json, else as published; None without."""
    config = Path(encoder) / "config.json"
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
        return Shape(
            layers=found["num_hidden_layers"],
            hidden=found["hidden_size"],
            inner=found["intermediate_size"],
            heads=found.get("num_attention_heads", 1),
            vocabulary=found.get("vocab_size", 0),
            source="its config.json",
        )
    except (OSError, ValueError, KeyError, TypeError):
        return PUBLISHED.get(encoder.rsplit("/", 1)[-1].lower())


def estimated_speed(
    shape: Shape,
    *,
    kind: str,
    device: str,
    devices: float,
    precision: str,
    utilisation: float,
    tokens: float,
    dev_tokens: float,
    counted: bool,
) -> Speed | None:
    """Return an estimate; None for a device without a data sheet here.

    Args:
        shape: of the encoder.
        kind: `train` or `evaluate`.
        device: short name.
        devices: of the step.
        precision: `fp32` or `bf16`.
        utilisation: share of the device's peak that is reached.
        tokens: of a row, on average.
        dev_tokens: of a row of the dev sets.
        counted: whether the tokens are; else every input is as long as it may be.
    """
    sheet = DEVICES.get(device)
    if sheet is None or not devices or not tokens:
        return None
    rate = sheet.peak(precision) * utilisation * devices / shape.parameters
    flops = TRAIN_FLOPS if kind == "train" else PREDICT_FLOPS
    length = "" if counted else ", every input as long as it may be"
    return Speed(
        examples_per_s=rate / (flops * tokens),
        dev_examples_per_s=rate / (PREDICT_FLOPS * dev_tokens) if dev_tokens else None,
        trust="estimate",
        source=f"{flops} x {shape.parameters / 1e6:.0f}M parameters ({shape.source}) x tokens{length}; "
        f"{utilisation:.0%} (unverified) of {sheet.peak(precision) / 1e12:g} TFLOP/s in {precision} "
        f"({sheet.sheet})",
    )
