"""Work on batches that needs no gradients: one is begun before the result of another is read."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from xtransfer.train.batching import Indices
from xtransfer.train.context import Context
from xtransfer.train.transfers import Arriving

log = logging.getLogger(__name__)

Work = Callable[[Indices], Tensor]
"""Gives a tensor for rows that are worked on at once; each row's part of it depends on no other row."""


def results(
    batches: Iterable[Indices], work: Work, context: Context
) -> Iterator[tuple[Indices, Tensor]]:
    """Yield each batch with what the work on it gives, on the processor.

    On a GPU, the next batch is begun first, so that there is always something to do. A batch that its memory has no
    room for is cut in half, and so are the others of this call that follow: with other neighbours, results differ by
    rounding. Not under ZeRO 3, where workers must run all batches alike.
    """
    before: tuple[Indices, Arriving] | None = None
    for part, found in _cut_to_fit(batches, work, context):
        if context.device == "cpu":
            yield part, found
            continue
        now = part, Arriving(found)
        if before is not None:
            yield before[0], before[1].read()
        before = now
    if before is not None:
        yield before[0], before[1].read()


def own_results(
    batches: Sequence[Indices], work: Work, context: Context
) -> Iterator[tuple[Indices, Tensor]]:
    """Yield this worker's batches, as `results` does: they are dealt out in turn.

    Under ZeRO 3, where a forward pass is collective, every worker works as often as the others.
    """
    own = batches[context.rank :: context.world_size]
    yield from results(own, work, context)
    if context.zero_stage == 3 and len(own) < -(-len(batches) // context.world_size):
        work(batches[0])


def _cut_to_fit(
    batches: Iterable[Indices], work: Work, context: Context
) -> Iterator[tuple[Indices, Tensor]]:
    pieces = 1
    for batch in batches:
        left = deque(np.array_split(batch, min(pieces, len(batch))))
        while left:
            part = left.popleft()
            try:
                found = work(part)
            except torch.OutOfMemoryError:
                if len(part) == 1 or context.zero_stage == 3:
                    raise
                most = math.ceil(len(part) / 2)
                log.warning(
                    "no memory for %s rows at once: they are worked on by %s", len(part), most
                )
                rest = np.concatenate([part, *left])
                left = deque(np.array_split(rest, math.ceil(len(rest) / most)))
                pieces = max(pieces, math.ceil(len(batch) / most))
                continue
            yield part, found
