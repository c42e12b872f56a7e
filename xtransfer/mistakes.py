"""What pydantic finds wrong with settings, in words: the path as YAML has it, what is wrong and what next.

    train: {workers: [1, many]}

    what pydantic says         ("train", "workers", "int")                       int_type
                               ("train", "workers", "tuple[int, int]", 1)        int_type
    the kind that is meant     the list: it is one, and the mistake is inside of it
    path                       train.workers[1]
    sentence                   input should be a valid integer, not 'many'

With `workers: many` none of the kinds is meant, and the sentence is "must be a whole number or a list, not 'many'".
What a location means in the user's file is for `xtransfer.unions` to say; this module finds the words.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from xtransfer.errors import did_you_mean, shown
from xtransfer.unions import place_of, union_at


def explain(model: type[BaseModel], error: ValidationError) -> tuple[str, str, str]:
    """Return of the first mistake its path in the settings, what is wrong, and what next (or nothing).

    Of a value that may be of several kinds, what is said is of the kind that it is meant to be, or of
    all where it is none of them.
    """
    mistake = _first_mistake(model, cast("list[Any]", error.errors(include_url=False)))
    first = _misspelt(mistake.errors) or mistake.errors[0]
    if mistake.kinds:
        what, next_ = f"must be {_either(mistake.kinds)}, not {_given(first)}", ""
    else:
        what, next_ = _explain(model, first)
    if more := mistake.more:
        next_ = f"{next_} ({more} more error{'s' if more > 1 else ''} after this one.)".strip()
    return _dotted(place_of(model, first["loc"]).path), what, next_


@dataclass(frozen=True, kw_only=True)
class _Mistake:
    """What pydantic says of one mistake: often several errors, one or more for each kind that a value may have."""

    errors: Sequence[Any]
    """Those that are about what was meant, in pydantic's order."""
    kinds: Sequence[str] = ()
    """In words the kinds that the value may have, where it is meant to be none of them."""
    more: int
    """Errors of other mistakes."""


def _first_mistake(model: type[BaseModel], errors: Sequence[Any]) -> _Mistake:
    """Narrow errors down to the first mistake, one value of several kinds after the other on the way to it."""
    about, start, more = errors, 0, len(errors) - 1
    while (union := union_at(model, about[0]["loc"], start)) is not None:
        there = about[0]["loc"][:union]
        about = [each for each in about if each["loc"][:union] == there]
        if not start:  # what is narrowed down further is about the same value
            more = len(errors) - len(about)
        meant = _meant(about, union)
        if not meant:
            kinds = [noun for each in about if (noun := _noun(model, each))]
            return _Mistake(errors=about, kinds=kinds, more=more)
        about, start = meant, union + 1
    return _Mistake(errors=about, more=more)


def _misspelt(errors: Sequence[Any]) -> Any:
    """Return, where the first error is that a key is absent, the one of a key beside it that means it."""
    first = errors[0]
    if first["type"] != "missing":
        return None
    beside = [
        each
        for each in errors
        if each["type"] == "extra_forbidden" and each["loc"][:-1] == first["loc"][:-1]
    ]
    wanted = [str(first["loc"][-1])]
    return next((each for each in beside if did_you_mean(str(each["loc"][-1]), wanted)), None)


def _explain(model: type[BaseModel], error: Any) -> tuple[str, str]:
    """Put a pydantic error into words: what is wrong, and what next."""
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        known = place_of(model, location[:-1]).fields
        near = did_you_mean(str(location[-1]), known)
        return f"unknown key '{shown(str(location[-1]))}'", near or (
            f"Known: {', '.join(known)}." if known else ""
        )
    if error["type"] == "missing":
        return "is required but absent", ""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]), ""
    return _mismatch(error)


def _mismatch(error: Any) -> tuple[str, str]:
    """Say of which kind a value is to be, as YAML has it."""
    given = _given(error)
    kind = error["type"]
    if kind == "too_short":
        least = error["ctx"]["min_length"]
        return f"needs {least} or more entries, not {given}", ""
    if kind == "too_long":
        most = error["ctx"]["max_length"]
        return f"takes {most} entries at most, not {given}", ""
    if kind == "tuple_type":
        single = isinstance(error["input"], str | int | float)
        listed = isinstance(error["input"], str) and "," in error["input"]  # as in seeds=1,2
        inside = shown(error["input"], most=60) if listed else given
        return f"must be a list, not {given}", (
            f"Write it in brackets: [{inside}]."
            if single
            else "Write it in brackets, or an entry a line."
        )
    if kind in _MAPPINGS:
        return f"must be a mapping of settings, not {given}", ""
    if kind == "bool_type":
        return f"must be true or false, not {given}", ""
    if kind == "string_type" and isinstance(error["input"], bool | int | float | dt.date):
        return f"must be a text, not {given}", "Put it in quotes."
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {given}", ""


_MAPPINGS = ("model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type")
"""Kinds of pydantic's errors where something else stands in the place of a mapping."""


_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
}
"""Kinds of pydantic's errors where a value is of another kind -> the kind that was looked for."""


def _noun(model: type[BaseModel], error: Any) -> str:
    """Name what a value would be if it were of the kind that this error is about; empty: this is no such error."""
    if error["type"] == "literal_error":
        return error["ctx"]["expected"].replace(" or ", ", ")
    if error["type"] in _MAPPINGS:
        kind = place_of(model, error["loc"]).kind
        names = ", ".join(f"`{name}`" for name in getattr(kind, "model_fields", ()))
        return f"a mapping with {names}" if names else "a mapping"
    return _KINDS.get(error["type"], "")


def _meant(errors: Sequence[Any], union: int) -> list[Any]:
    """Return the errors of the kind that a value seems to be: those of the kind with the fewest.

    Args:
        errors: of a value that may be of several kinds.
        union: steps to that value.
    """
    kinds: dict[Any, list[Any]] = {}
    for error in errors:
        kinds.setdefault(error["loc"][union], []).append(error)
    alien = (*_KINDS, *_MAPPINGS, "literal_error")
    own = [
        found
        for found in kinds.values()
        if not all(len(each["loc"]) == union + 1 and each["type"] in alien for each in found)
    ]
    return min(own, key=lambda found: (len(found), found[0]["type"] != "literal_error"), default=[])


def _either(kinds: Sequence[str]) -> str:
    """List the kinds of value that there may be, each once."""
    named = [
        kind for kind in dict.fromkeys(kinds) if kind != "a whole number" or "a number" not in kinds
    ]
    return " or ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def _given(error: Any) -> str:
    return shown(_as_yaml(error["input"]), most=60)


def _as_yaml(value: Any) -> str:
    """Return a setting as it is written in YAML, on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_yaml, cast('tuple[Any, ...]', value)))}]"
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return f"{{{', '.join(f'{name}: {_as_yaml(each)}' for name, each in items)}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value.isoformat() if isinstance(value, dt.date) else repr(value)


def _dotted(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        name = step if isinstance(step, int) else shown(step)
        text += f"[{name}]" if isinstance(step, int) else f".{name}" if text else f"{name}"
    return text
