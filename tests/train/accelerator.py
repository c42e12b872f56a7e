"""A device of PyTorch's that stands for a GPU: the processor under another name, to find tensors in the wrong place.

Like a GPU's, its tensors cannot be mixed with the processor's, single numbers aside. Its kernels are the
processor's; autocast changes nothing on it.

Registering a device is for the whole process. So `python -m tests.train.accelerator` trains and predicts in a
process of its own, and prints as JSON by how much the answers differ from the processor's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests import tiny
from tests.tiny import rows_of, tiny_encoder, tiny_tokenizer
from tests.train.simulated_graph import Refused, SimulatedGraph, mapped, tensors_of, waits
from tests.train.test_parts import mixed
from tests.train.workers import RETRIEVAL, SPEC, train_mixed, train_retrieval, train_tiny
from xtransfer.data.examples import ChoiceExample, PairExample, SpanExample, TaggingExample
from xtransfer.forms import FORMS
from xtransfer.retrieval.neighbours import nearest
from xtransfer.steps.bitext import embed
from xtransfer.train.context import Checkpoint, Context
from xtransfer.train.kernels.attention import use_cpu_attention
from xtransfer.train.model import TransferModel
from xtransfer.train.parts import TaskPart
from xtransfer.train.prediction import DataSet, predict
from xtransfer.train.randomness import build_head

NAME = "simulated"
MIXING = {
    torch.ops.aten._copy_from.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.index.Tensor,  # what is looked up may be named by the processor
}
"""Operators that take tensors of both."""


class Simulated(Tensor):
    """A tensor on the device."""

    raw: Tensor
    """The same on the processor."""

    @staticmethod
    def __new__(cls, raw: Tensor) -> Simulated:
        with torch.inference_mode(False):
            made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                raw.size(),
                strides=raw.stride(),
                storage_offset=raw.storage_offset(),
                dtype=raw.dtype,
                device=torch.device(NAME, 0),
            )
        made.raw = raw
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        more = kwargs or {}
        if torch.is_inference_mode_enabled():  # operators made of others come whole
            made = func.decompose(*args, **more)
            if made is not NotImplemented:
                return made
        return compute(func, *args, **more)


class Queue:
    """What the device was given to do, and how often the processor waited until it had nothing to do."""

    given = 0
    drained = 0
    pinned: list[Tensor] = []  # noqa: RUF012 - memory of the processor that the device reads by itself

    @classmethod
    def drain(cls) -> None:
        """Wait for everything that was given."""
        cls.drained += 1

    @classmethod
    def pin(cls, values: Tensor) -> Tensor:
        """Return a copy that the device can read while the processor goes on."""
        cls.pinned = [*cls.pinned[-100:], values.clone()]
        return cls.pinned[-1]


class Event:
    """A mark among what the device was given to do."""

    def record(self) -> None:
        """Set it behind everything that was given."""
        self.at = Queue.given

    def synchronize(self) -> None:
        """Wait until the device has come to it."""
        if self.at == Queue.given:
            Queue.drain()


class Misplaced(Exception):
    """An operator was given large tensors of the device and of the processor."""


def compute(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Do what an operator does, on the processor, for tensors of the device or for a new one on it."""
    if func is torch.ops.aten._to_copy.default:
        return _moved(func, *args, **kwargs)
    tensors = tensors_of((args, kwargs))
    here = [each for each in tensors if not isinstance(each, Simulated) and each.dim()]
    if here and len(here) < len(tensors) and func not in MIXING:
        raise Misplaced(
            f"{func}: the processor has {[tuple(each.shape) for each in here]} of its operands"
        )
    if "device" in kwargs:
        kwargs["device"] = torch.device("cpu")
    if func is torch.ops.aten._copy_from.default:
        if not all(isinstance(each, Simulated) for each in args[:2]):
            Queue.drain()
        _raw(args[1]).copy_(_raw(args[0]))
        return args[1]
    Queue.given += 1
    raw_args, raw_kwargs = mapped(_raw, (args, kwargs))
    if waits(func, raw_args):
        Queue.drain()
    if SimulatedGraph.captured:
        made = SimulatedGraph.captured[-1].note(
            func, raw_args, raw_kwargs, own=all(isinstance(each, Simulated) for each in tensors)
        )
    else:
        made = func(*raw_args, **raw_kwargs)
    # What works in place returns an operand.
    known = {id(each.raw): each for each in tensors if isinstance(each, Simulated)}
    return mapped(
        lambda each: (
            (known[id(each)] if id(each) in known else Simulated(each))
            if isinstance(each, Tensor)
            else each
        ),
        made,
    )


def _moved(func: Any, values: Tensor, *, device: Any = None, **more: Any) -> Tensor:
    to = values.device if device is None else torch.device(device)
    if SimulatedGraph.captured and to.type == values.device.type == NAME:
        raw = SimulatedGraph.captured[-1].note(
            func, [_raw(values)], {"device": torch.device("cpu"), **more}, own=True
        )
        return Simulated(raw)
    if SimulatedGraph.captured:
        raise Refused(f"{func}: a copy to or from the processor")
    Queue.given += 1
    leaves = to.type == "cpu" or any(values is each for each in Queue.pinned)
    if to.type != values.device.type and not (leaves and more.get("non_blocking")):
        Queue.drain()
    made = func(_raw(values), device="cpu", **more)
    return Simulated(made) if to.type == NAME else made


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, Simulated) else value


class _Stream:
    def wait_stream(self, other: _Stream) -> None:
        """Do nothing: the device does one thing after the other."""


class _Module:
    """What PyTorch asks of a device, as torch.cuda answers for GPUs."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Do nothing: what is drawn on the device is drawn on the processor."""

    get_rng_state = staticmethod(torch.get_rng_state)
    set_rng_state = staticmethod(torch.set_rng_state)
    CUDAGraph = SimulatedGraph
    Event = Event
    Stream = current_stream = _Stream

    def graph_pool_handle(self) -> tuple[int, int]:
        return (0, 0)

    @contextmanager
    def stream(self, _: _Stream) -> Iterator[None]:
        yield

    @contextmanager
    def graph(self, graph: SimulatedGraph, **_: Any) -> Iterator[None]:
        """Capture; transformers is told, as it would be on a GPU."""
        draws = torch.get_rng_state()
        asked, torch.cuda.is_current_stream_capturing = (
            torch.cuda.is_current_stream_capturing,
            lambda: True,
        )
        SimulatedGraph.captured.append(graph)
        try:
            yield
        finally:
            SimulatedGraph.captured.pop()
            torch.cuda.is_current_stream_capturing = asked
            torch.set_rng_state(draws)
            graph.put_back()


def register() -> list[Any]:
    """Make the device known; return what must be kept as long as it is used."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    Tensor.pin_memory = lambda values, _=None: Queue.pin(values)  # type: ignore[method-assign,assignment]
    rest, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    rest.fallback(compute, "PrivateUse1")
    for overload in (
        "default",
        "start",
        "start_step",
    ):  # else an empty tensor is made, and made larger
        op = getattr(torch.ops.aten.arange, overload)
        own.impl(op, lambda *args, op=op, **kwargs: compute(op, *args, **kwargs), "PrivateUse1")
    return [rest, own]


EXAMPLES: dict[str, tuple[Any, ...]] = {
    "classification": tuple(
        PairExample(id=str(at), text_a="the cat sat", text_b="a dog" * at, label="ab"[at % 2])
        for at in range(7)
    ),
    "choice": tuple(
        ChoiceExample(id=str(at), context="the cat", question="where?", choices=("mat", "a tree"), label=at % 2)
        for at in range(7)
    ),
    "tagging": tuple(
        TaggingExample(id=str(at), tokens=("the", "zoo", "ran")[: 1 + at % 3], tags=("a", "b", "b")[: 1 + at % 3])
        for at in range(7)
    ),
    "span": tuple(
        SpanExample(id=str(at), question="who?", context="the cat ran " * (1 + at), answers=(("cat", 4),))
        for at in range(7)
    ),
}  # fmt: skip


def main() -> None:
    """Print the largest difference of each piece of work, by name."""
    keep = register()
    found = {form: difference(lambda context, form=form: learn(form, context)) for form in EXAMPLES}
    found["mixture with text"] = difference(lambda context: mixed(context).weights)
    found["retrieval"] = difference(lambda context: train_retrieval(RETRIEVAL, context).weights)
    found["embeddings"] = difference(embeddings)
    found["neighbours"] = difference(neighbours)
    found["resumption"] = resumption()
    found["mixing"] = mixing()
    tiny.ATTENTION = (
        "sdpa"  # as encoders are loaded; of the other one, transformers looks at each mask
    )
    found["waits"] = waiting()
    print(json.dumps(found))
    del keep


def difference(work: Callable[[Context], Any]) -> float:
    """Return the largest difference between what a piece of work gives on the device and on the processor."""
    one, other = (
        work(Context(device=device, pad_id=1, prediction_tokens=100)) for device in (NAME, "cpu")
    )
    assert one.keys() == other.keys()
    return largest(one, other)


def learn(
    form: str, context: Context, *, epochs: int = SPEC.epochs, keep: str = "best"
) -> dict[str, Tensor]:
    """Train on examples of a form, and return the weights and the logits of the same rows."""
    part, model = task(form)
    spec = replace(SPEC, batch_size=4, epochs=epochs, keep=keep)
    outcome = train_mixed(spec, context, model, [part])
    logits = predict(model, form, part.train, context)
    assert logits is not None
    return outcome.weights | {f"logits {row}": each for row, each in enumerate(logits)}


def task(form: str) -> tuple[TaskPart, TransferModel]:
    """Return a few examples of a form, and a model for them."""
    labels = ("a", "b") if form in ("classification", "tagging") else ()
    encoded = FORMS[form].encode(
        EXAMPLES[form], tiny_tokenizer(), labels=labels, max_length=24, stride=8
    )
    described = [FORMS[form].describe(each) for each in EXAMPLES[form]]
    data = DataSet(rows=rows_of(encoded), examples=described)
    part = TaskPart(
        name=form,
        form=form,
        metric="none",
        labels=labels,
        train=data,
        dev={"en": data},
        score=lambda language, data, predictions: {"none": float(len(predictions))},
        batch_size=4,
        seed=1,
    )
    encoder = tiny_encoder(vocabulary=len(tiny_tokenizer()))
    head = build_head(form, 16, 1 if form == "choice" else len(labels), dropout=0.0, seed=1)
    return part, TransferModel(encoder, [head], bf16=False)


def embeddings(context: Context) -> dict[str, Tensor]:
    """Return the vectors of some rows in two layers."""
    encoded = FORMS["classification"].encode(
        EXAMPLES["classification"], tiny_tokenizer(), labels=("a", "b"), max_length=24, stride=0
    )
    data = DataSet(rows=rows_of(encoded), examples=[])
    encoder = tiny_encoder(vocabulary=len(tiny_tokenizer())).to(context.device)
    use_cpu_attention(encoder)  # as `load_encoder` does
    found = embed(encoder, data, context, layers=(1, 2), pooling="mean")
    return {str(layer): torch.from_numpy(each) for layer, each in found.items()}


def neighbours(context: Context) -> dict[str, Tensor]:
    """Return the nearest of 300 vectors to each of 40, by number, with their cosines."""
    random = np.random.default_rng(1)
    one, other = (
        torch.from_numpy(random.standard_normal((n, 8), dtype=np.float32)) for n in (40, 300)
    )
    scores, places = nearest(one, other, 4, device=context.device)
    return {"scores": torch.as_tensor(scores), "places": torch.as_tensor(places)}


def waiting() -> dict[str, int]:
    """Return by how many more times twice as much of a piece of work leaves the device without anything to do."""
    here = Context(device=NAME, pad_id=1, prediction_tokens=100)

    def predictions(form: str, context: Context) -> Any:
        part, model = task(form)
        return predict(model.to(NAME), form, part.train, context)

    found = {
        "training on a mixture": _more(lambda size: mixed(here, epochs=size, keep="last")),
        "embedding": _more(lambda size: embeddings(replace(here, prediction_tokens=180 // size))),
    }
    for form in EXAMPLES:
        found[f"training, {form}"] = _more(
            lambda size, form=form: learn(form, here, epochs=size, keep="last")
        )
        found[f"prediction, {form}"] = _more(
            lambda size, form=form: predictions(form, replace(here, prediction_tokens=180 // size))
        )
    return found


def _more(work: Callable[[int], Any]) -> int:
    counts = []
    for size in (3, 6):
        before = Queue.drained
        work(size)
        counts.append(Queue.drained - before)
    return counts[1] - counts[0]


def resumption() -> float:
    """Return by how much weights differ between a resumed run on the device and an undisturbed one."""
    kept: list[Checkpoint] = []
    context = Context(device=NAME, pad_id=1, prediction_tokens=100)
    whole = train_tiny(SPEC, replace(context, save=kept.append, save_every_s=0.0), dropout=0.2)
    again = train_tiny(SPEC, replace(context, resume=[kept[len(kept) // 2]].pop), dropout=0.2)
    return largest(whole.weights, again.weights)


def largest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference between tensors of the same names; NaN where one of them has any."""
    return float(torch.stack([(one[name] - other[name]).abs().max() for name in one]).max())


def mixing() -> float:
    """Return 0 if a sum of tensors of both, each more than a number, is refused."""
    try:
        torch.ones(2, device=NAME) + torch.ones(2)
    except Misplaced:
        return 0.0
    return 1.0


if __name__ == "__main__":
    main()
