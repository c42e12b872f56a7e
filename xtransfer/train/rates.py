"""The learning rate of each optimizer step, and what weight decay alone makes of a weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def learning_rate(step: int, *, peak: float, total: int, warmup: float) -> float:
    """Return the learning rate of optimizer step `step` (0-based) of `total`.

    Linear from 0 to `peak` over the first `warmup` share of the steps, then linear to 0, as
    `transformers.get_linear_schedule_with_warmup` has it.
    """
    rising = int(warmup * total)
    if step < rising:
        return peak * step / max(1, rising)
    return peak * max(0.0, (total - step) / max(1, total - rising))


def decay_product(rates: Sequence[float], weight_decay: float) -> float:
    """Return what AdamW's decoupled decay alone makes of a weight without gradient: prod(1 - lr wd)."""
    return float(np.prod(1.0 - np.asarray(rates, dtype=np.float64) * weight_decay))
