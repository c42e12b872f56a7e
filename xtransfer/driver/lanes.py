"""How Tune keeps a cluster full: how many steps wait for room at once, and what becomes of processes that start.

Tune gives the process of a trial that has ended to one whose own is just being started, and stops that one. Where
trials end more often than a process takes to start, no process ever comes up, and a cluster that has grown is not
used. And of a search algorithm other than its own, Tune takes one waiting trial at a time, so that an
autoscaler sees the need for one node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WAITING = 32
"""Steps that wait for room in the cluster at once: what an autoscaler sees of the need for more."""


@contextmanager
def full_lanes() -> Iterator[None]:
    """Have Tune let processes that are being started come up, and several steps wait for room."""
    from ray.tune.execution.tune_controller import TuneController

    reuse = TuneController._maybe_reuse_cached_actor

    def unless_starting(self: Any, trial: Any) -> bool:
        actors = self._actor_manager
        own = self._trial_to_actor.get(trial)
        if own is not None and own in actors.live_actors and not actors.is_actor_started(own):
            return False
        return reuse(self, trial)

    before = os.environ.get("TUNE_MAX_PENDING_TRIALS_PG")
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(WAITING))
    TuneController._maybe_reuse_cached_actor = unless_starting
    try:
        yield
    finally:
        TuneController._maybe_reuse_cached_actor = reuse
        if before is None:
            del os.environ["TUNE_MAX_PENDING_TRIALS_PG"]
