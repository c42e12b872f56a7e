"""From estimates to the pairs that are trained. Pure; the record keeps all estimates."""

from __future__ import annotations

from collections.abc import Mapping


def best(estimates: Mapping[str, float], keep: int) -> list[str]:
    """Return the `keep` names with the highest estimates, best first; a tie goes to the smaller name."""
    return sorted(estimates, key=lambda name: (-estimates[name], name))[:keep]
