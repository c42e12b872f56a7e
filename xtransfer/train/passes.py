"""Forward and backward passes of micro-batches, whose losses and gradients add up to those of an optimizer step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xtransfer.forms import FORMS
from xtransfer.forms.encoding import Rows
from xtransfer.train.batching import Indices
from xtransfer.train.context import Context
from xtransfer.train.engine import Engine
from xtransfer.train.prediction import make_inputs
from xtransfer.train.transfers import sent


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """Rows of one part of a trial as tensors, on the device of the model."""

    form: str
    head: int
    inputs: dict[str, Tensor]
    """As `make_inputs` has them."""
    gold: dict[str, Tensor]
    """As the form's `gold_tensors` has them."""


def make_micro_batch(
    form: str, head: int, rows: Rows, chosen: Indices, context: Context
) -> MicroBatch:
    """Return the chosen rows of a part, with the number of its head; nobody waits for the device."""
    inputs = make_inputs(form, rows, chosen, context)
    gold = FORMS[form].gold_tensors(rows, chosen)
    for name, filler in getattr(FORMS[form], "TOKEN_GOLD", {}).items():
        missing = inputs["input_ids"].shape[1] - gold[name].shape[1]
        gold[name] = nn.functional.pad(gold[name], (0, missing), value=filler)
    return MicroBatch(
        form=form,
        head=head,
        inputs=inputs,
        gold={name: sent(value, context.device) for name, value in gold.items()},
    )


Loss = Callable[[MicroBatch], Tensor]


class Passes:
    """Runs one pass after the other."""

    def __init__(self, engine: Engine, device: str) -> None:
        self.engine = engine
        self.losses = torch.zeros((), dtype=torch.float64, device=device)
        """Sum of the losses since `begin`, a scalar. It stays on its device: reading it waits for that, and the
        optimizer step need not."""

    def begin(self) -> None:
        """Begin with the passes of another optimizer step."""
        self.losses = torch.zeros_like(self.losses)

    def add(
        self, batch: MicroBatch, loss_of: Loss, *, whole: int, weight: float, last: bool
    ) -> None:
        """Add the loss of a micro-batch, and its gradient.

        Args:
            batch: the rows.
            loss_of: gives the sum of their losses.
            whole: what the sum of their losses is divided by.
            weight: what it is multiplied by; 0 for rows that only stand in where a worker has none.
            last: whether it is the last of this worker's micro-batches in the step. Its gradient is not a number
                where the sum of all losses is not finite: a loss may be infinite and its gradient finite, and
                gradients are summed over the workers, so one that is not a number keeps all of them from the step.
        """
        self._run(batch, loss_of, whole, weight, last=last)

    def _run(
        self,
        batch: MicroBatch,
        loss_of: Loss,
        whole: int | Tensor,
        weight: float | Tensor,
        *,
        last: bool,
    ) -> None:
        loss = loss_of(batch) / whole * weight
        self.losses += loss.detach()
        if last:
            loss = loss * (1.0 + (self.losses - self.losses).float())  # the difference is 0 or NaN
        self.engine.backward(loss, last=last)
