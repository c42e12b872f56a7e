"""Losses that go astray at chosen optimizer steps, in this process or in a worker's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from tests.train.workers import SPEC, train_tiny
from xtransfer.train import loop
from xtransfer.train.context import Context
from xtransfer.train.course import Outcome

Loss = Callable[..., Tensor]

SKIPPING = replace(SPEC, on_nan="skip")
BAD_STEPS = {2: math.nan, 5: math.inf, 6: math.inf}
"""Step -> what is added to its loss. An infinite constant leaves the gradient finite."""


def astray(loss: Loss, bad: dict[int, float] = BAD_STEPS) -> Loss:
    """Return `_Run._loss` with these losses spoiled, on the last worker only."""

    def spoiled(run: Any, *arguments: Any) -> Tensor:
        found = loss(run, *arguments)
        if run.context.rank != run.context.world_size - 1:
            return found
        added = bad.get(run.state.step, 0.0)
        return found * added if math.isnan(added) else found + added

    return spoiled


def train_astray(context: Context) -> Outcome:
    """Train the tiny model with losses that go astray; steps are to be left out."""
    loop._Run._loss = astray(loop._Run._loss)  # type: ignore[method-assign]
    return train_tiny(SKIPPING, context)
