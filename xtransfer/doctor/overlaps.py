"""What a model has seen of the data that it is scored on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from xtransfer.doctor.findings import Finding, Level, by_language
from xtransfer.doctor.known import why_known
from xtransfer.doctor.survey import Digests, Survey
from xtransfer.doctor.texts import WHOLE

WEIGHTY = (WHOLE, "passage", "prompt", "id")
"""Parts that two data sets do not share by chance."""
LIGHT = ("question",)
"""Parts that mean nothing by themselves: on another passage a question has another answer."""
CHANCE = 0.01
"""Share of a language's rows below which shared sentences are taken for chance: "I do not know." is in
every corpus."""
_PLURAL = {WHOLE: "whole inputs", "id": "ids"}


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much of one data set stands in another."""

    seen: Survey
    scored: Survey
    part: str
    rows: int
    """Rows of `scored` with a text of this part that `seen` has in any of its parts."""
    distinct: int
    """Different texts among them."""
    used: int
    """Of the rows, those that both sides use under the experiment's limits."""


class Comparison:
    """Compares surveys, sorting the digests of each only once."""

    def __init__(self) -> None:
        self._sorted: dict[tuple[Survey, str, bool], Digests] = {}

    def overlaps(self, seen: Survey, scored: Survey) -> list[Overlap]:
        """Return the parts of `scored` that `seen` holds, whole inputs first."""
        found: list[Overlap] = []
        for name in sorted(scored.parts, key=lambda part: (part != WHOLE, part)):
            part = scored.parts[name]
            kind = "id" if name == "id" else "text"
            hits = _isin(part.digests, self._all_of(seen, kind, used=False))
            if not hits.any():
                continue
            used = hits & scored.in_use[part.rows]
            if used.any() and not seen.in_use.all():
                used &= _isin(part.digests, self._all_of(seen, kind, used=True))
            found.append(
                Overlap(
                    seen=seen,
                    scored=scored,
                    part=name,
                    rows=len(np.unique(part.rows[hits])),
                    distinct=len(np.unique(part.digests[hits])),
                    used=len(np.unique(part.rows[used])),
                )
            )
        return found

    def _all_of(self, survey: Survey, kind: str, *, used: bool) -> Digests:
        """Return all digests of a survey, sorted: of its ids, or of its texts of whatever part."""
        key = (survey, kind, used)
        if key not in self._sorted:
            arrays = [
                part.digests[survey.in_use[part.rows]] if used else part.digests
                for name, part in survey.parts.items()
                if (name == "id") == (kind == "id")
            ]
            both = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.uint64)
            self._sorted[key] = np.unique(both)
        return self._sorted[key]


def overlap_findings(overlaps: Iterable[Overlap]) -> list[Finding]:
    """Return a finding for each pair of data sets and part, all languages in one."""
    groups: dict[tuple[str, str, str], list[Overlap]] = {}
    for each in overlaps:
        data = each.seen.data
        key = (str(data), f"{each.scored.data.name} {each.scored.data.role}", each.part)
        groups.setdefault(key, []).append(each)
    whole = {
        (seen, scored): group for (seen, scored, part), group in groups.items() if part == WHOLE
    }
    return [
        _finding(seen, scored, part, group)
        for (seen, scored, part), group in groups.items()
        if part in (WHOLE, "passage") or not _told_by(whole.get((seen, scored), []), group)
    ]


def _told_by(inputs: list[Overlap], group: list[Overlap]) -> bool:
    """Say whether as many rows overlap in their whole input."""
    rows = {each.scored: each.rows for each in inputs}
    return all(rows.get(each.scored) == each.rows for each in group)


def _finding(seen: str, scored: str, part: str, group: list[Overlap]) -> Finding:
    data = group[0].seen.data
    kind = f"{data.role}-{group[0].scored.data.role} overlap"
    known = why_known(f"{data.name} {data.role}", scored) if data.split == data.role else ""
    rows, used = (sum(getattr(each, name) for each in group) for name in ("rows", "used"))
    counts = [
        (each.scored.data.language, f"{each.rows:,} of {each.scored.rows:,}")
        for each in sorted(group, key=lambda each: -each.rows)
    ]
    name = _PLURAL.get(part, f"{part}s")
    what = f"shares {name}: rows in {by_language(counts)}"
    if part not in (WHOLE, "id"):
        what += f" ({max(each.distinct for each in group):,} different)"
    if used < rows:
        what += f"; under this experiment's limits {used:,} of {rows:,}"
    level = _level(part, group, known=bool(known))
    advice = {"known": f"Known: {known}.", "warning": _ADVICE[kind]}.get(level, "")
    if part == "id" and level == "warning":
        advice += " Running numbers meet by chance."
    return Finding(level=level, kind=kind, where=f"{seen} -> {scored}", what=what, next=advice)


def _level(part: str, group: list[Overlap], *, known: bool) -> Level:
    least = 0 if part in WEIGHTY else 1 if part in LIGHT else CHANCE
    if not any(each.used > least * each.scored.used for each in group):
        return "note"
    return "known" if known else "warning"


_ADVICE: Mapping[str, str] = {
    "train-test overlap": "The model trains on what it is tested on: take these rows out.",
    "dev-test overlap": "The model is selected on what it is tested on: say so beside the scores.",
    "train-dev overlap": "Selection rewards what was learnt by heart: take these rows out.",
}


def _isin(values: Digests, among: Digests) -> np.ndarray:
    """Return which values are in `among`, which is sorted."""
    if not len(among):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return among[at] == values
