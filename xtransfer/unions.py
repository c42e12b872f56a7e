"""Where in the user's file an error of pydantic is, through values that may be of several kinds.

`train.workers` is a number or two of them, so pydantic tries both and says of each why it is not that:

    train: {workers: [1, many]}

    location of the error                             path in the file    type there
    ("train", "workers", "int")                       train.workers       int
    ("train", "workers", "tuple[int, int]", 1)        train.workers[1]    int

The third step of a location names the kind that was tried, and stands in no file. Which steps do, only the types of
the settings tell, so they are walked beside the location.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

Step = str | int
Location = Sequence[Step]
"""The steps of a pydantic error: names, numbers of entries, and kinds of value where several may stand."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in the user's file."""

    path: tuple[Step, ...]
    """Names and numbers of entries alone, as the file has them."""
    kind: Any
    """The type of the value there; None: it is not known, or is one of several."""

    @property
    def fields(self) -> list[str]:
        """Return the names that a section at this place may hold, sorted; none where it is no section."""
        return sorted(getattr(self.kind, "model_fields", ()))


def place_of(model: type[BaseModel], location: Location) -> Place:
    """Return the place that a location of a pydantic error means in a file of these settings."""
    at: Any = model
    path: list[Step] = []
    for step in location:
        kinds = _kinds_of(at)
        if (len(kinds) == 1 and step != "[key]") or not kinds:
            path.append(step)
        at = at if step == "[key]" else _next(kinds, step)
    kinds = _kinds_of(at)
    return Place(path=tuple(path), kind=kinds[0] if len(kinds) == 1 else None)


def union_at(model: type[BaseModel], location: Location, start: int) -> int | None:
    """Return how many steps lead to the first value that may be of several kinds, None without any.

    `start`: fewest steps that count.
    """
    at: Any = model
    for count, step in enumerate(location):
        kinds = _kinds_of(at)
        if len(kinds) > 1 and count >= start:
            return count
        at = _next(kinds, step)
    return None


def _next(kinds: Sequence[Any], step: Step) -> Any:
    """Return the type that a step of a pydantic error leads to: into a value, or to one of its kinds."""
    if len(kinds) > 1:
        return next((kind for kind in kinds if _is_kind(kind, str(step))), None)
    return _inside(kinds[0], step) if kinds else None


def _kinds_of(annotation: Any) -> list[Any]:
    """Return the types that a value may have, null aside."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is None:
        return []
    if get_origin(annotation) in (Union, UnionType):
        return [kind for kind in get_args(annotation) if kind is not type(None)]
    return [annotation]


def _is_kind(kind: Any, label: str) -> bool:
    """Tell whether pydantic calls a type so where a value may have several."""
    name = getattr(get_origin(kind) or kind, "__name__", "")
    if hasattr(kind, "model_fields"):
        return label == name or label.endswith(f", {name}]")  # "function-after[check(), Name]"
    return label.startswith(name.lower())


def _inside(kind: Any, step: Step) -> Any:
    """Return the type of a part of a value, None where it is not known."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Mapping, dict) and args:
        return args[1]
    if origin is tuple:
        return (
            args[0]
            if args[-1] is Ellipsis or not isinstance(step, int) or step >= len(args)
            else args[step]
        )
    field = getattr(kind, "model_fields", {}).get(step)
    return None if field is None else field.annotation
