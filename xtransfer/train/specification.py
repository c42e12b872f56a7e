"""What a trial computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What a trial computes; every field is part of its identity."""

    seed: int
    learning_rate: float
    epochs: int
    batch_size: int
    warmup: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    adam_betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    dropout: float | None = None
    precision: str = "fp32"
    eval_every: int | None = 1000
    patience: int = 30
    keep: Literal["best", "last"] = "best"
    """Which weights are the outcome: the best on the dev sets, or those after the last step, for which no
    dev set is scored."""
    on_nan: Literal["fail", "skip"] = "fail"
    """Whether an optimizer step whose loss or gradient is not finite fails the trial or is left out."""
    snapshots: Mapping[str, Any] | None = None
    """`count` and `which` ("last" or "best") of the dev evaluations whose weights are kept, too."""
    lora: Mapping[str, Any] | None = None
    """Fields of `xtransfer.config.adapters.Lora`; None: the whole encoder is trained."""
    head_seed: int | None = None
    """What heads are drawn from; None: the trial's own seed."""
