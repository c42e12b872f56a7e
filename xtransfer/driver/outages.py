"""A store that is away: when a step that needs it is tried again, and when a run stops starting anything."""

from __future__ import annotations

from collections import Counter

STORE_PAUSE_S = 5.0
"""Seconds until a step that the store was away for is tried again; each further time twice as many ..."""
LONGEST_PAUSE_S = 300.0
"""... but never more than these: the store may have been back for long."""
OUTAGE_S = 900.0
"""Seconds of nothing but a store that is away, after which a run starts nothing more."""


class Outages:
    """Counts how often the store was away in a row, of each step and in all.

    Args:
        retries: times that a step waits for the store.
    """

    def __init__(self, retries: int) -> None:
        self.retries = retries
        self._missed: Counter[str] = Counter()
        self._since: float | None = None

    def answered(self, key: str) -> None:
        """Take note that the store was there for a step."""
        self._since = None
        self._missed.pop(key, None)

    def missed(self, key: str, now: float) -> float | None:
        """Take note that it was away at `now`, in seconds of any clock; return for how long the step waits.

        None: it has waited often enough.
        """
        self._since = now if self._since is None else self._since
        self._missed[key] += 1
        return None if self._missed[key] > self.retries else pause(self._missed[key])

    def too_long(self, now: float) -> bool:
        """Say whether the store has answered nothing for longer than a run waits."""
        return self._since is not None and now - self._since > OUTAGE_S


def pause(times: int) -> float:
    """Return how many seconds a step waits for which the store was away so many times."""
    doublings = min(times - 1, 30)  # far beyond the longest pause, and no float's end
    return min(LONGEST_PAUSE_S, STORE_PAUSE_S * 2**doublings)
