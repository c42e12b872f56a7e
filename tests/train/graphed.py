"""Training by CUDA graphs on the simulated accelerator.

`python -m tests.train.graphed` prints as JSON, for each piece of work, by how much the answers differ from those
without graphs, how often a graph was replayed in it, and what was warned of.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.train.accelerator import EXAMPLES, NAME, largest, learn, register
from tests.train.simulated_graph import SimulatedGraph
from tests.train.test_parts import mixed
from tests.train.workers import RETRIEVAL, SPEC, train_retrieval, train_tiny
from xtransfer.errors import StepError
from xtransfer.forms import FORMS
from xtransfer.train import graphs
from xtransfer.train.context import Checkpoint, Context

GRAPHED = Context(device=NAME, pad_id=1, prediction_tokens=100, graphs=True)
LONG = replace(SPEC, epochs=3)
Weights = dict[str, Tensor]


def main() -> None:
    """Print what each piece of work comes to."""
    keep = register()
    logging.getLogger("xtransfer").addHandler(WARNINGS)
    works: dict[str, Callable[[Context], Weights]] = {
        **{form: lambda c, form=form: learn(form, c, epochs=5) for form in EXAMPLES},
        "retrieval": lambda c: train_retrieval(replace(RETRIEVAL, epochs=4), c).weights,
        "mixture with text": lambda c: mixed(c, epochs=3).weights,
        "dropout": lambda c: train_tiny(LONG, c, dropout=0.2).weights,
        "micro-batches": lambda c: (
            train_tiny(LONG, replace(c, micro_batch=2, shards=2), dropout=0.2).weights
        ),
        "resumption": resumed,
        "left out": infinite,
    }
    found = {name: beside(work) for name, work in works.items()}
    with stale():
        found["stale"] = beside(lambda c: train_tiny(replace(LONG, epochs=2), c).weights)
    for name, changed in {"waits": waiting, "mixes": mixing}.items():
        with changed():
            found[name] = {"error": refusal()}
    print(json.dumps(found))
    del keep


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


WARNINGS = _Warnings()


def beside(work: Callable[[Context], Weights]) -> dict[str, Any]:
    """Do a piece of work with graphs and, with as much padding, without."""
    WARNINGS.said.clear()
    before, most = SimulatedGraph.replays, graphs.MOST
    ours = work(GRAPHED)
    replays, warned = SimulatedGraph.replays - before, list(WARNINGS.said)
    graphs.MOST = 0
    try:
        theirs = work(GRAPHED)
    finally:
        graphs.MOST = most
    return {"difference": largest(ours, theirs), "replays": replays, "warned": warned}


def refusal() -> str:
    """Return with what a trial ends that cannot be captured."""
    try:
        train_tiny(replace(LONG, epochs=2), GRAPHED)
    except StepError as error:
        return str(error)
    return ""


def resumed(context: Context) -> Weights:
    """Train with dropout; with graphs, from the middle on alone."""
    if graphs.MOST == 0:
        return train_tiny(LONG, context, dropout=0.2).weights
    kept: list[Checkpoint] = []
    train_tiny(LONG, replace(context, save=kept.append, save_every_s=0.0), dropout=0.2)
    return train_tiny(
        LONG, replace(context, resume=[kept[len(kept) // 2]].pop), dropout=0.2
    ).weights


def infinite(context: Context) -> Weights:
    """Leave out two steps whose gradient is not finite, when there are graphs already."""
    steps = iter(range(1000))
    step = torch.nn.utils.clip_grad_norm_

    def poisoned(parameters: Any, most: float) -> Tensor:
        if next(steps) in (7, 9):
            parameters[0].grad.fill_(float("inf"))
        return step(parameters, most)

    torch.nn.utils.clip_grad_norm_ = poisoned
    try:
        return train_tiny(replace(LONG, on_nan="skip"), context).weights
    finally:
        torch.nn.utils.clip_grad_norm_ = step


@contextmanager
def _loss(changed: Callable[[Tensor], Tensor]) -> Iterator[None]:
    form: Any = FORMS["classification"]
    usual = form.loss
    form.loss = lambda logits, gold: changed(usual(logits, gold))
    try:
        yield
    finally:
        form.loss = usual


def waiting() -> Any:
    """Have the loss read by the processor."""
    return _loss(lambda loss: loss * 2 if float(loss) > -1 else loss)


def mixing() -> Any:
    """Have the loss multiplied by a tensor of the processor."""
    return _loss(lambda loss: loss * torch.tensor(2.0))


def stale() -> Any:
    """Have the loss depend on what the processor alone knows: while it is captured, it is another."""
    return _loss(lambda loss: loss * (3 if SimulatedGraph.captured else 2))


if __name__ == "__main__":
    main()
