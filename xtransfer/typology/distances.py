"""How far languages are from each other, by URIEL; a table in the package, so no network is needed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Literal, get_args

Kind = Literal["syntactic", "phonological", "inventory", "genetic", "geographic", "featural"]
KINDS: tuple[Kind, ...] = get_args(Kind)
How = Literal["nearest", "mean"]
"""Which distance counts of a language's from several."""
SOURCE = "URIEL, from the feature vectors of lang2vec 1.1.2 (CC BY-SA 4.0)"

MACRO: Mapping[str, str] = {
    "et": "est", "fa": "fas", "ms": "msa", "sw": "swa", "zh": "zho",
}  # fmt: skip
"""Two-letter code -> URIEL's code, where it is not the ISO 639-3 code of `tasks.languages`.

lang2vec's own table of two-letter codes has these; most features are recorded under them."""


def distance(kind: Kind, one: str, other: str) -> float | None:
    """Return the distance of two languages, 0 to 1; None where URIEL or the table has none.

    Args:
        kind: of distance.
        one: two-letter code.
        other: two-letter code.
    """
    if one == other:
        return 0.0
    found = _table().get((min(one, other), max(one, other)))
    return None if found is None else found[kind]


def distance_from(kind: Kind, sources: Sequence[str], language: str, *, how: How) -> float | None:
    """Return the distance of a language from several: from the nearest, or the mean.

    None where there is no source, or any of them has no value.
    """
    found = [distance(kind, source, language) for source in sources]
    values = [each for each in found if each is not None]
    if not values or len(values) < len(found):
        return None
    return min(values) if how == "nearest" else fmean(values)


@cache
def _table() -> dict[tuple[str, str], dict[Kind, float | None]]:
    path = Path(__file__).with_name("uriel.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            (row["one"], row["other"]): {
                kind: float(row[kind]) if row[kind] else None for kind in KINDS
            }
            for row in rows
        }
