"""What of a step's record is shown: parameters, scores, and scores over training steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from xtransfer.plan import Step
from xtransfer.records.record import Record

LONGEST = 500
"""Most characters of a parameter: what is longer is in the record."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One finished step, to be shown."""

    key: str
    name: str
    """Its folder in the store."""
    tags: Mapping[str, str]
    """Key, kind, phase, sweep, and `parent ROLE` -> key."""
    params: Mapping[str, str]
    """What was computed."""
    scores: Mapping[str, float]
    series: Mapping[str, tuple[tuple[int, float], ...]]
    """Name -> (training step, value), rising."""
    started: float
    """Unix seconds."""
    ended: float


def facts_of(record: Record, step: Step) -> Facts:
    """Return what of a record is shown.

    Args:
        record: of the step.
        step: of the plan, which knows phase and sweep.
    """
    started = record.timing.get("started", 0.0)
    return Facts(
        key=record.key,
        name=record.folder,
        tags={
            "key": record.key,
            "kind": record.kind,
            "phase": step.phase,
            **({"sweep": step.sweep} if step.sweep else {}),
            **{f"parent {role}": key for role, key in record.inputs.items()},
        },
        params={name: _shown(value) for name, value in record.spec.items() if value is not None},
        scores={
            **_numbers(record.result),
            **_languages(record),
            **{f"timing {n}": v for n, v in record.timing.items() if n != "started"},
        },
        series=_series(record.result.get("history") or ()),
        started=started,
        ended=started + record.timing.get("seconds", 0.0),
    )


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in result.items() if _is_number(value)}


def _languages(record: Record) -> dict[str, float]:
    """Return the scores of each language of an evaluation, and their unweighted means."""
    if record.kind != "evaluate":
        return {}
    found: dict[str, dict[str, float]] = {}
    for language, each in record.result["languages"].items():
        for name, value in _numbers(each.get("metrics") or {}).items():
            found.setdefault(name, {})[language] = value
    means = {f"mean {name}": fmean(values.values()) for name, values in found.items()}
    return means | {
        f"{language} {name}": value
        for name, values in found.items()
        for language, value in values.items()
    }


def _series(history: Any) -> dict[str, tuple[tuple[int, float], ...]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in history:
        for name, value in entry.items():
            if name != "step" and _is_number(value):
                found.setdefault(name, []).append((int(entry["step"]), float(value)))
    return {name: tuple(points) for name, points in found.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
