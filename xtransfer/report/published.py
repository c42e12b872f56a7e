"""Published scores that a report sets beside its own, for reference; nothing is computed from them."""

from __future__ import annotations

from dataclasses import dataclass

_XTREME = "XTREME's test sets, full size; listed for XLM-R Large with the benchmark"
_THIRD = "third-party tables; not checked against the paper itself"
_ISSUE = "an issue by an author of jiant (nyu-mll/jiant): no training, hidden_states[14], mean"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """One published score."""

    system: str
    target: str
    """A task of this project, or `average` over XTREME."""
    metric: str
    value: float
    source: str


def _rows(system: str, source: str, *scores: tuple[str, str, float]) -> tuple[PublishedRow, ...]:
    return tuple(
        PublishedRow(system=system, target=target, metric=metric, value=value, source=source)
        for target, metric, value in scores
    )


PUBLISHED: tuple[PublishedRow, ...] = (
    *_rows(
        "XLM-R Large",
        _XTREME,
        ("xnli", "accuracy", 79.2),
        ("pawsx", "accuracy", 86.4),
        ("panx", "F1", 65.4),
        ("xquad", "F1", 76.6),
        ("xquad", "EM", 60.8),
        ("mlqa", "F1", 71.6),
        ("mlqa", "EM", 53.2),
        ("bucc2018", "F1", 66.0),
        ("tatoeba", "accuracy", 57.3),
        ("average", "XTREME", 68.1),
    ),
    *_rows(
        "XLM-R Large, layer 14",
        _ISSUE,
        ("bucc2018", "F1 on dev", 71.5),
        ("tatoeba", "accuracy", 31.0),
    ),
    *_rows(
        "X-STILTs, best",
        _THIRD,
        ("xnli", "accuracy", 80.4),
        ("pawsx", "accuracy", 87.7),
        ("panx", "F1", 64.7),
        ("tydiqa", "F1", 76.0),
        ("average", "XTREME", 73.5),
    ),
)
