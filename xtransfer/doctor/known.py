"""Overlaps between data sets that the literature states: to be told, but no news."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Known:
    """One data set was made from another."""

    seen: str
    """Task and role of what a model saw first."""
    scored: str
    why: str


KNOWN = (
    Known(
        seen="squad_v1 dev",
        scored="xquad test",
        why="XQuAD translates 240 paragraphs of SQuAD v1.1 dev (Artetxe et al. 2020)",
    ),
    Known(
        seen="squad_v2 dev",
        scored="xquad test",
        why="XQuAD translates 240 paragraphs of SQuAD v1.1 dev (Artetxe et al. 2020), "
        "whose articles SQuAD v2.0 dev has too (Rajpurkar et al. 2018)",
    ),
    Known(
        seen="squad_v1 dev",
        scored="lareqa test",
        why="LAReQA asks XQuAD's questions (Roy et al. 2020), which are of SQuAD v1.1 dev",
    ),
    Known(
        seen="squad_sentences dev",
        scored="lareqa test",
        why="LAReQA asks XQuAD's questions (Roy et al. 2020), which are of SQuAD v1.1 dev",
    ),
    Known(
        seen="squad_v2 dev",
        scored="lareqa test",
        why="LAReQA asks XQuAD's questions (Roy et al. 2020), which are of SQuAD v1.1 dev",
    ),
    Known(
        seen="tydiqa dev",
        scored="tydiqa test",
        why="TyDiQA GoldP has one labelled split beside its training set, and XTREME tests on it",
    ),
)


def why_known(seen: str, scored: str) -> str:
    """Return the reason that is known for an overlap, empty where none is.

    Args:
        seen: task and role, "squad_v1 dev", of a data set whose files are those of this split.
        scored: the same of the data set that is scored.
    """
    return next((each.why for each in KNOWN if (each.seen, each.scored) == (seen, scored)), "")
