"""Passes that a GPU is given whole, as CUDA graphs: what is launched kernel by kernel otherwise.

A pass of XLM-R Large is some 2,000 kernels, and batches as small as this study's should be done with most of them sooner
than the processor has launched the next (not measured). So the second pass of a shape is captured, and later ones replay
the same kernels in one launch. Rows are padded to few lengths (`padded_length`), so that there are few shapes.

Each graph is used only once it gave, on other numbers than it was captured with, the loss and the size of the
gradient that its pass gives kernel by kernel. Where one differs, the trial goes on without; where a pass cannot be
captured, what a GPU is left in is not known, and the trial ends.

Unverified on a GPU: tests capture and replay on a simulated device alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.errors import StepError, shown
from xtransfer.train.context import Context
from xtransfer.train.engine import Engine
from xtransfer.train.parameters import trained_parameters
from xtransfer.train.passes import Loss, MicroBatch, Passes

log = logging.getLogger(__name__)

MOST = 64
"""Graphs of one trial. Each takes memory of its GPU beside the tensors, which all of them share; how much was not measured."""
CLOSE = 0.02
"""Most by which a graph's loss and norm of the gradient differ from those of its pass, as a share: sums in bf16 come
in another order."""

Shape = tuple[Any, ...]
"""What passes have in common that run the same kernels on tensors of the same sizes."""


def make_passes(engine: Engine, context: Context) -> Passes:
    """Return passes as graphs where the context asks for them, else as they are."""
    if not context.graphs:
        return Passes(engine, context.device)
    return GraphedPasses(engine, context)


@contextmanager
def own_stream(context: Context) -> Iterator[None]:
    """Have a GPU work in a stream that graphs may be captured from, if this context asks for graphs."""
    if not context.graphs:
        yield
        return
    gpu: Any = torch.get_device_module(context.device)
    outer, own = gpu.current_stream(), gpu.Stream()
    own.wait_stream(outer)
    try:
        with gpu.stream(own):
            yield
    finally:
        outer.wait_stream(own)


class GraphedPasses(Passes):
    """Runs passes as graphs, from the second of a shape on. To be used in `own_stream`.

    Gradients keep their addresses from step to step, so the engine must clear and not drop them.
    """

    def __init__(self, engine: Engine, context: Context) -> None:
        """Begin without graphs, with an engine that keeps gradients."""
        super().__init__(engine, context.device)
        self.gpu: Any = torch.get_device_module(context.device)
        self.pool = self.gpu.graph_pool_handle()
        self.parameters = [parameter for _, parameter in trained_parameters(engine.module)]
        self.whole = torch.ones((), device=context.device)
        self.weight = torch.ones((), device=context.device)
        self.seen: set[Shape] = set()
        self.graphs: dict[Shape, _Graph] = {}
        self.able = True
        self.fresh = True
        """Whether losses and gradients are those of no pass yet."""

    def begin(self) -> None:
        """As `Passes` does; the sum keeps its address."""
        self.losses.zero_()
        self.fresh = True

    def add(
        self, batch: MicroBatch, loss_of: Loss, *, whole: int, weight: float, last: bool
    ) -> None:
        """As `Passes` does."""
        fresh, self.fresh = self.fresh, False
        if "positions" in batch.inputs:  # so many that no two batches are of one shape
            super().add(batch, loss_of, whole=whole, weight=weight, last=last)
            return
        self.whole.fill_(whole)
        self.weight.fill_(weight)
        shape = shape_of(batch)
        if shape in self.graphs:
            self.graphs[shape].replay(batch)
            return
        # Gradients have their addresses after the first pass of a shape.
        able = self.able and len(self.graphs) < MOST
        if able and fresh and shape in self.seen:
            self._capture(shape, batch, loss_of)
            return
        self.seen.add(shape)
        self._kernel_by_kernel(batch, loss_of)

    def _kernel_by_kernel(self, batch: MicroBatch, loss_of: Loss) -> None:
        # Any pass may be the last, when it is replayed.
        self._run(batch, loss_of, self.whole, self.weight, last=True)

    def _capture(self, shape: Shape, batch: MicroBatch, loss_of: Loss) -> None:
        """Run the first pass of a step, and capture it to be replayed if both give the same."""
        draws = self.gpu.get_rng_state()
        self._kernel_by_kernel(batch, loss_of)
        expected = self._found()
        if not all(map(math.isfinite, expected)):
            return
        try:
            graph = self._captured(batch, loss_of)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            what = f"a pass cannot be captured: {shown(str(error))}"
            next_ = "Set it to false: the trial goes on from its last checkpoint."
            raise StepError("train.cuda_graphs", what, next_) from error
        self._clear()
        self.gpu.set_rng_state(draws)
        graph.replay(batch)
        found = self._found()
        if all(math.isclose(*each, rel_tol=CLOSE) for each in zip(found, expected, strict=True)):
            self.graphs[shape] = graph
            return
        self._go_without(f"gives (loss, norm of the gradient) = {found} instead of {expected}")
        self._clear()
        self.gpu.set_rng_state(draws)
        self._kernel_by_kernel(batch, loss_of)

    def _captured(self, batch: MicroBatch, loss_of: Loss) -> _Graph:
        graph = _Graph(self.gpu.CUDAGraph(), _zeros(batch))
        with self.gpu.graph(
            graph.kernels,
            pool=self.pool,
            stream=self.gpu.current_stream(),
            capture_error_mode="thread_local",  # a checkpoint may be on its way in another thread
        ):
            self._kernel_by_kernel(graph.batch, loss_of)
        return graph

    def _found(self) -> tuple[float, float]:
        """Return the sum of the losses and the norm of the gradient."""
        return float(self.losses), float(nn.utils.get_total_norm(self._gradients()))

    def _gradients(self) -> list[Tensor]:
        return [each.grad for each in self.parameters if each.grad is not None]

    def _clear(self) -> None:
        self.losses.zero_()
        for each in self._gradients():
            each.zero_()

    def _go_without(self, why: str) -> None:
        self.able = False
        self.graphs.clear()
        log.warning(
            "train.cuda_graphs: a pass %s. This trial goes on kernel by kernel, as without it", why
        )


@dataclass(frozen=True)
class _Graph:
    kernels: Any
    batch: MicroBatch
    """What they read."""

    def replay(self, batch: MicroBatch) -> None:
        for mine, given in ((self.batch.inputs, batch.inputs), (self.batch.gold, batch.gold)):
            for name, value in given.items():
                mine[name].copy_(value)
        self.kernels.replay()


def shape_of(batch: MicroBatch) -> Shape:
    """Return what decides which kernels a micro-batch's pass has, and the sizes of their tensors."""
    sizes = [
        (name, tuple(value.shape))
        for tensors in (batch.inputs, batch.gold)
        for name, value in tensors.items()
    ]
    return (batch.form, batch.head, *sizes)


def _zeros(batch: MicroBatch) -> MicroBatch:
    return replace(
        batch,
        inputs={name: torch.zeros_like(value) for name, value in batch.inputs.items()},
        gold={name: torch.zeros_like(value) for name, value in batch.gold.items()},
    )
