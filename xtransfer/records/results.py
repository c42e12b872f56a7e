"""The result in a record, by kind of step: what readers of recorded steps rely on.

A record's seal and key vouch for what was written, not for who wrote it: another version may have put
something else there. What is checked here can be read without a further look.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xtransfer.errors import IntegrityError
from xtransfer.records.record import Record, record_name

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class _Result(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Counts(_Result):
    read: int
    used: int
    available: int
    rows: int
    skipped: Mapping[str, int]
    __pydantic_extra__: dict[str, int]  # inputs that were cut, split or windowed


class _Prepared(_Result):
    languages: Mapping[str, _Counts]


class _Part(_Result):
    name: str
    share: float
    draws: int


class _Trained(_Result):
    score: float | None
    parts: list[_Part]
    history: list[Mapping[str, float]]
    text_head: str = ""


class _Selected(_Result):
    score: float | None
    chosen: Key


class _AveragedPart(_Result):
    key: Key


class _Averaged(_Result):
    averaged: list[_AveragedPart] = Field(min_length=1)


class _Estimated(_Result):
    estimate: float


class _Pruned(_Result):
    kept: list[Key] = Field(min_length=1)
    estimates: Mapping[Key, float]


class _Scored(_Result):
    metrics: Mapping[str, float]
    examples: int = Field(ge=1)


class _Evaluated(_Result):
    languages: Mapping[str, _Scored]
    layer: int | None = None


def learning_rate_of(record: Record) -> float:
    """Return the learning rate of a recorded trial, given by its specification or found when it began."""
    rate = record.spec["learning_rate"]
    return record.result["learning_rate"] if rate is None else rate


RESULTS: Mapping[str, type[_Result]] = {
    "prepare": _Prepared,
    "train": _Trained,
    "select": _Selected,
    "average": _Averaged,
    "estimate": _Estimated,
    "prune": _Pruned,
    "evaluate": _Evaluated,
}


def check_result(record: Record, metric: str = "", *, url: str = "") -> None:
    """Check what readers rely on in a record's result.

    Args:
        record: of any kind.
        metric: name of the score that an evaluation must have; "" for any.
        url: of the store that it is in, for the error; "": not known.

    Raises:
        IntegrityError: naming the step and the field.
    """
    shape = RESULTS.get(record.kind)
    if shape is None:
        return
    what = ""
    try:
        found = shape.model_validate(record.result)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = f"result.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        if isinstance(found, _Evaluated) and metric:
            lacking = [code for code, each in found.languages.items() if metric not in each.metrics]
            what = f"result.languages.{lacking[0]}: has no {metric}" if lacking else ""
    if what:
        name = record_name(record.folder)
        path = url.removeprefix("file://")
        by = f", by `mv {shlex.quote(f'{path}/{name}')} .`," if path.startswith("/") else ""
        raise IntegrityError(
            name,
            f"malformed record: {what}",
            f"Move it out of the store{by} and run its plan again: the step is done anew.",
        )
