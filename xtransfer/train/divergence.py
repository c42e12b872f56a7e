"""Steps whose loss, gradient or score is not finite: which are put up with, and what is said of the others."""

from __future__ import annotations

import logging
import math
from typing import Literal

from xtransfer.errors import Diverged
from xtransfer.train.context import Context
from xtransfer.train.course import State

_CALMER = "Try a lower learning rate, more warm-up or fp32"

log = logging.getLogger(__name__)


def leave_out(
    state: State, context: Context, *, step: int, loss: float, on_nan: Literal["fail", "skip"]
) -> None:
    """Note that an optimizer step changed nothing.

    Args:
        state: of the trial.
        context: how many steps may be left out.
        step: which one, counted from 0.
        loss: of the step, over all workers.
        on_nan: as in the trial's specification.

    Raises:
        Diverged: where the trial is not to go on.
    """
    what = (
        "the norm of the gradient is not finite"
        if math.isfinite(loss)
        else f"the training loss is {loss}"
    )
    skipped = [*state.skipped_steps, step]
    row = next(n for n in range(1, len(skipped) + 2) if step - n not in skipped)
    where = f"optimizer step {step}"
    if on_nan == "fail":
        raise Diverged(where, what, f"{_last_good(state)} {_CALMER}, or training.on_nan=skip.")
    if row > context.skips_in_a_row or len(skipped) > context.skips_in_all:
        raise Diverged(
            where,
            f"{what}, and {row - 1} steps before it in a row and {len(skipped) - 1} in all were "
            "left out already",
            f"{_last_good(state)} {_CALMER}, or raise train.skips_in_a_row and train.skips_in_all.",
        )
    state.skipped_steps = skipped
    log.warning("%s is left out: %s", where, what)


def check_score(value: float, state: State) -> None:
    """Check the dev score of the present evaluation.

    Raises:
        Diverged: where it is not a number.
    """
    if not math.isfinite(value):
        where, what = f"optimizer step {state.step}", f"the dev score is {value}"
        raise Diverged(where, what, f"{_last_good(state)} {_CALMER}.")


def _last_good(state: State) -> str:
    if state.best_step < 0:
        return "There was no dev evaluation before."
    score, step = state.best_score, state.best_step
    return f"The best dev evaluation before was at step {step} ({score:.1f})."
