"""How often a step has died without getting anywhere.

On machines that may be taken away, a long trial dies more often than any step should that ends the process it
runs in. What tells them apart is where an attempt goes on: a trial that saved its state has a later place to
go on from, and a step that always dies at one place has not.
"""

from __future__ import annotations

from collections import Counter


class Tries:
    """Counts the deaths of steps since they last got further."""

    def __init__(self) -> None:
        self._deaths: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        """Attempt that runs -> the training step that it told of first: after the one that it goes on from."""
        self._latest: dict[str, int] = {}
        """Key -> the latest of these, of attempts that have died."""

    def told(self, attempt: str, place: int) -> None:
        """Take note of how far a running attempt says it is, in optimizer steps."""
        self._first.setdefault(attempt, place)

    def died(self, attempt: str, key: str) -> int:
        """Take note of an attempt that died, and return how often its step has since it last got further."""
        first = self._first.pop(attempt, None)
        if first is not None:
            latest = self._latest.get(key)
            if latest is not None and first > latest:
                self._deaths[key] = 0
            self._latest[key] = max(first, latest or 0)
        self._deaths[key] += 1
        return self._deaths[key]

    def ended(self, attempt: str) -> None:
        """Forget an attempt that has ended otherwise."""
        self._first.pop(attempt, None)
