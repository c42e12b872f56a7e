"""What a run is shown on: the states that a step may be in, and who is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

STATES = ("recorded", "done", "running", "waiting", "failed", "blocked", "pruned")
"""recorded: before this run; done: by this run, or by another driver meanwhile; blocked: by a step that failed;
pruned: left out by a prune step."""


class Board(Protocol):
    """Shows a run while it lasts: a terminal (`progress`), Prometheus (`gauges`), trackers (`feed`)."""

    def changed(self, key: str, state: str, text: str) -> None:
        """A step is in one of `STATES` now; `text`: its error, or what else there is to say."""
        ...

    def told(self, key: str, facts: Mapping[str, Any]) -> None:
        """A running step tells of itself."""
        ...
