"""When a running trial's resumable state is saved: when it is due, and before this or another worker leaves."""

from __future__ import annotations

import time
from collections.abc import Callable

from xtransfer.errors import StepLeft
from xtransfer.train.collectives import check_everywhere, gather
from xtransfer.train.context import Context
from xtransfer.train.course import Course
from xtransfer.train.engine import Engine

AGREE_EVERY = 10
"""Optimizer steps between two times that several workers agree on whether to save."""


class Saves:
    """Saves a trial's state, on all workers alike.

    Args:
        context: says when, and takes the checkpoints.
        engine: has the weights and moments.
        course: where the trial stands.
        total: optimizer steps of the whole trial.
    """

    def __init__(self, context: Context, engine: Engine, course: Course, *, total: int) -> None:
        self.context, self.engine, self.course = context, engine, course
        self.total = total
        self.last = time.monotonic()

    def save_or_leave(self, settle: Callable[[], None]) -> None:
        """Save when it is time, and leave when this or another worker must. Collective.

        Where the store is slower than checkpoints are due, training does not wait for it: the next one
        begins after the last one is written.

        Args:
            settle: brings the state up to the present step; called before it is saved.

        Raises:
            StepLeft: on all workers alike, after saving.
            StoreError: as `save` does.
        """
        context, step = self.context, self.course.state.step
        if context.world_size > 1 and step % AGREE_EVERY:
            return
        due = time.monotonic() - self.last >= context.save_every_s
        asked = context.leaving() if step < self.total else ""
        wishes = gather((asked, due, context.saving()), context)
        reason = next((asked for asked, _, _ in wishes if asked), "")
        due, saving = (any(each[place] for each in wishes) for place in (1, 2))
        if reason or (due and not saving):
            settle()
            self.save()
        if reason:
            raise StepLeft(
                f"optimizer step {step} of {self.total}",
                reason,
                "The state is saved; the step goes on from there.",
            )

    def save(self) -> None:
        """Gather the state and have rank 0 save it. Collective.

        Raises:
            StoreError: on all workers alike, where `context.check_files` raises it on one: a trial would go on
                from what it learnt of altered files.
        """
        check_everywhere(self.context.check_files, self.context)
        tensors = {f"weights/{name}": value for name, value in self.engine.weights().items()}
        tensors |= self.engine.moments()
        self.context.alive()
        if self.context.rank == 0:
            self.context.save(self.course.checkpoint(tensors))
        self.last = time.monotonic()
