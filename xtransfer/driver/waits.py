"""What a driver waits for that has nothing to do itself: it is said, lest it look as if it hung."""

from __future__ import annotations

import logging

from xtransfer.plan import Step

TELL_AFTER_S = 15.0
"""Seconds of nothing but waiting for others, after which it is said."""
TELL_EVERY_S = 300.0
"""Seconds until it is said again."""

log = logging.getLogger(__name__)


class Waits:
    """Says now and then on what others are at work, while there is nothing else to do."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told: float | None = None

    def busy(self, step: Step, who: str, now: float, *, idle: bool) -> None:
        """Take note that somebody else is at work on a step that is next.

        Args:
            step: that is waited for.
            who: is at work on it.
            now: seconds of any clock.
            idle: whether nothing of this driver runs.
        """
        if not idle:
            self._since = self._told = None
            return
        self._since = now if self._since is None else self._since
        due = self._since + TELL_AFTER_S if self._told is None else self._told + TELL_EVERY_S
        if now >= due:
            self._told = now
            log.warning("nothing to do but to wait for others: %s: %s", step.folder, who)
