"""CUDA graphs as the simulated accelerator has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def mapped(change: Callable[[Any], Any], values: Any) -> Any:
    """Return operands with each that is no list, tuple or mapping changed."""
    if type(values) in (list, tuple):
        return type(values)(mapped(change, each) for each in values)
    if type(values) is dict:
        return {name: mapped(change, each) for name, each in values.items()}
    return change(values)


class Refused(RuntimeError):
    """What a stream does not let happen while it is captured."""


WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "equal",
    "masked_select",
    "is_nonzero",
    "_copy_from",
)


def waits(func: Any, args: Any) -> bool:
    """Tell whether the processor waits for a GPU in an operator: for a number, or for the size of what it makes."""
    name = func.name().removeprefix("aten::").split(".")[0]
    by_mask = name.startswith("index") and any(
        each is not None and each.dtype == torch.bool for each in tensors_of(args[1:2])
    )
    return name in WAITING or by_mask


class SimulatedGraph:
    """What torch.cuda.CUDAGraph is on a GPU: operators on tensors that keep their places, to be done again.

    As there, capturing changes no tensor that was there before, an operator that the processor would have to wait
    for is refused, and so is one that reads the processor's memory.
    """

    captured: list[SimulatedGraph] = []  # noqa: RUF012 - the one that is being captured, if any
    replays = 0

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self.own: set[int] = set()

    def note(self, func: Any, args: Any, kwargs: Any, *, own: bool) -> Any:
        """Do an operator, keep it, and keep what it writes to of the tensors from before.

        Args:
            func: the operator.
            args: its operands, on the processor.
            kwargs: likewise.
            own: whether all of them stand for tensors of the device.
        """
        if waits(func, args):
            raise Refused(f"{func}: the processor would have to wait")
        if not own:
            raise Refused(f"{func}: reads the memory of the processor")
        for value, described in zip(args, func._schema.arguments, strict=False):
            if described.alias_info is not None and described.alias_info.is_write:
                for each in tensors_of(value):
                    self._keep(each)
        made = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, made))
        read = {_place(each) for each in tensors_of((args, kwargs))}
        self.own |= {_place(each) for each in tensors_of(made)} - read
        return made

    def _keep(self, raw: Tensor) -> None:
        if _place(raw) not in self.own and _place(raw) not in self.before:
            whole = raw.detach().as_strided(
                (raw.untyped_storage().nbytes() // raw.element_size(),), (1,), 0
            )
            self.before[_place(raw)] = (whole, whole.clone())

    def put_back(self) -> None:
        """Give tensors from before the capture their numbers again."""
        for now, then in self.before.values():
            now.copy_(then)

    def replay(self) -> None:
        """Do everything again, in the same places."""
        SimulatedGraph.replays += 1
        for func, args, kwargs, kept in self.calls:
            made = func(*args, **kwargs)
            read = {_place(each) for each in tensors_of((args, kwargs))}
            for old, new in zip(tensors_of(kept), tensors_of(made), strict=True):
                if _place(old) not in read:
                    old.copy_(new)


def tensors_of(values: Any) -> list[Tensor]:
    """Return the tensors among operands."""
    found: list[Tensor] = []
    mapped(lambda each: found.append(each) if isinstance(each, Tensor) else None, values)
    return found


def _place(raw: Tensor) -> int:
    return raw.untyped_storage().data_ptr()
