"""The resumable checkpoints of a train step in its store, as the training loop knows checkpoints."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xtransfer.errors import StepBusy
from xtransfer.plan import Step
from xtransfer.records.checkpoints import load_checkpoint, save_checkpoint
from xtransfer.train.context import Checkpoint

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

log = logging.getLogger(__name__)


class StepCheckpoints:
    """Saves and finds the checkpoints of one step.

    Args:
        step: whose they are.
        bench: has the store.
        tokens: token id of each row of the embedding: checkpoints of other rows do not fit.
    """

    def __init__(self, step: Step, bench: Workbench, *, tokens: npt.NDArray[np.int64]) -> None:
        self.step, self.bench = step, bench
        self.rows = _digest(tokens)
        self.passed_over: set[str] = set()

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint; older ones than the placement keeps go.

        Nothing is saved where another process has taken the step over: this one ends by other ways, on all
        workers alike.
        """
        try:
            save_checkpoint(
                self.bench.store,
                self.step.key,
                state=checkpoint.state,
                tensors=checkpoint.tensors,
                rows=self.rows,
                kept=self.bench.placement.train.resume_kept,
                scratch=self.bench.scratch,
                passed_over=self.passed_over,
                fence=self.bench.fence,
            )
        except StepBusy as error:
            log.warning("no checkpoint after step %s: %s", checkpoint.state["step"], error)

    def newest(self) -> Checkpoint | None:
        """Return the newest sound checkpoint that fits, None without one."""
        found = load_checkpoint(
            self.bench.store,
            self.step.key,
            rows=self.rows,
            scratch=self.bench.scratch,
            passed_over=self.passed_over.add,
        )
        return None if found is None else Checkpoint(state=found[0], tensors=found[1])


def _digest(tokens: npt.NDArray[np.int64]) -> str:
    """Return a digest of token ids, the same on every machine."""
    return hashlib.sha256(tokens.astype("<i8").tobytes()).hexdigest()[:16]
