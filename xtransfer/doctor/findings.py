"""What the doctor has to say: a level, a place, what was found there and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "known", "note"]

LEVELS: tuple[Level, ...] = ("error", "warning", "known", "note")
"""error: the run would fail, or its scores would mean nothing. warning: scores may mean less than
they seem to. known: an overlap that the literature states. note: for information."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a user should know of a data set, or of two."""

    level: Level
    kind: str
    """A word or two, the same for all findings of the kind: "train-test overlap"."""
    where: str
    """The data sets: "xnli test de", or "squad_v1 dev en -> xquad test" of an overlap."""
    what: str
    next: str = ""

    def __str__(self) -> str:
        """Return the finding as one line."""
        text = f"{self.where}: {self.what}"
        return f"{text.rstrip('.')}. {self.next}" if self.next else text


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, the worst first, else in the order in which they were made."""

    def rank(finding: Finding) -> tuple[int, int]:
        kinds = ("train-test overlap", "dev-test overlap", "train-dev overlap")
        place = kinds.index(finding.kind) if finding.kind in kinds else len(kinds)
        return LEVELS.index(finding.level), place

    return tuple(sorted(findings, key=rank))


def by_language(counts: Sequence[tuple[str, str]], *, most: int = 6) -> str:
    """Return (language, count) pairs as text: "en 12, de 3 and 4 more"."""
    shown = ", ".join(f"{language} {count}" for language, count in counts[:most])
    more = len(counts) - most
    return f"{shown} and {more} more" if more > 0 else shown
