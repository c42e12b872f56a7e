"""What a trial draws at random: it follows from the seed, the step and the role alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xtransfer.forms import FORMS


def build_head(
    form: str,
    hidden: int,
    labels: int,
    *,
    dropout: float,
    seed: int,
    number: int = 0,
    width: int | None = None,
) -> Any:
    """Return a fresh head; its weights (normal, sd 0.02; biases 0) follow from seed and number alone.

    `width` is that of the token embedding, for a head that reads it; None: `hidden`.
    """
    torch.manual_seed(stream(seed, 0, "head", number))
    kind = FORMS[form].Head
    tied = width is not None and getattr(kind, "tied", False)
    head = kind(hidden, labels, dropout, *([width] if tied else []))
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.02)
            torch.nn.init.zeros_(module.bias)
    return head


def stream(seed: int, step: int, role: str, number: int = 0) -> int:
    """Return the seed of torch's generator for one step, so that no draw depends on history.

    `number` tells apart what has the same role in a step: the shards of a batch, the heads of a trial.
    """
    words = [seed, step, number, *role.encode()]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
