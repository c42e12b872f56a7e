"""What hypothesis draws, outside of a test of its own."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st


def drawn(strategy: st.SearchStrategy[Any], *, count: int, number: int) -> list[Any]:
    """Return values that hypothesis draws from a strategy, the same for the same number."""
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(strategy)
    def take(value: Any) -> None:
        found.append(value)

    take()
    return found
