"""Gain against distance, as points and lines to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from xtransfer.report.answer import Answer
from xtransfer.report.scores import LanguageScore


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One language after one arm."""

    after: str
    language: str
    distances: Mapping[str, float | None]
    """Kind -> 0 to 1, from the languages that the arm was trained in."""
    gib: float | None
    """Of text in CC-100."""
    gain: float
    """Zero-shot, points, mean over the targets that have the language."""
    targets: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """The slope of a regression through the middle of the dots, with the interval of the slope."""

    x: float
    y: float
    """The middle."""
    slope: float
    low: float
    high: float

    def at(self, x: float, slope: float | None = None) -> float:
        """Return the line's height at `x`; with another slope, that of a line through the same middle."""
        return self.y + (self.slope if slope is None else slope) * (x - self.x)


def dots_of(answer: Answer, train_languages: Mapping[str, Sequence[str]]) -> list[Dot]:
    """Return a dot for every language and arm whose distance is known."""
    if answer.typology is None:
        return []
    scores: dict[tuple[str, str], list[tuple[str, LanguageScore]]] = {}
    for cell in answer.scores:
        for each in cell.languages:
            if each.gain is not None and each.language not in train_languages.get(cell.target, ()):
                scores.setdefault((cell.after, each.language), []).append((cell.target, each))
    dots: list[Dot] = []
    for away in answer.typology.distances:
        own = scores.get((away.after, away.language), [])
        if own and any(value is not None for value in away.values.values()):
            dots.append(
                Dot(
                    after=away.after,
                    language=away.language,
                    distances=away.values,
                    gib=away.gib,
                    gain=fmean(each.gain for _, each in own if each.gain is not None),
                    targets=tuple(target for target, _ in own),
                    keys=tuple(dict.fromkeys(key for _, each in own for key in each.keys)),
                )
            )
    return dots


def line_of(answer: Answer, kind: str, dots: Sequence[Dot]) -> Line | None:
    """Return the line of the regression on a kind of distance; None where there is none."""
    places = [
        (dot.distances[kind], dot.gain) for dot in dots if dot.distances.get(kind) is not None
    ]
    if answer.typology is None or not places:
        return None
    for each in answer.typology.regressions:
        for relation in each.relations:
            if each.kind == kind and relation.predictor == f"{kind} distance":
                return Line(
                    x=fmean(x for x, _ in places if x is not None),
                    y=fmean(y for _, y in places),
                    slope=relation.value,
                    low=relation.low,
                    high=relation.high,
                )
    return None


def kinds_of(answer: Answer, dots: Sequence[Dot]) -> list[str]:
    """Return the kinds of distance of which some dot has one, in the answer's order."""
    if answer.typology is None:
        return []
    return [
        each.kind
        for each in answer.typology.regressions
        if any(dot.distances.get(each.kind) is not None for dot in dots)
    ]
