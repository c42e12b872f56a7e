"""From dev scores to the trial that goes on. Pure; the record keeps all candidates and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtransfer.errors import StepError

RULES = ("best_dev",)


def select(rule: str, candidates: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the candidate that the rule chooses.

    `best_dev`: the highest dev score; a tie goes to the lower learning rate, then the lower seed, then
    the smaller key, so that the outcome never depends on the order in which trials ended.

    Args:
        rule: one of `RULES`.
        candidates: each with `key`, `score`, `learning_rate` and `seed`.

    Raises:
        StepError: for an unknown rule or no candidates.
    """
    if rule not in RULES:
        raise StepError("selection", f"no rule '{rule}'", f"Known: {', '.join(RULES)}.")
    if not candidates:
        raise StepError("selection", "there is no candidate to choose from")
    return min(
        candidates,
        key=lambda each: (-each["score"], each["learning_rate"], each["seed"], each["key"]),
    )
