"""Records that have something to show, and a tracker that keeps what it is shown."""

from __future__ import annotations

from tests.recorded import record_of
from xtransfer.plan import Plan
from xtransfer.records.record import Record, commit
from xtransfer.store import Store
from xtransfer.tracking.facts import Facts

HISTORY = [
    {"step": 4, "loss": 1.5, "dev accuracy": 40.0},
    {"step": 8, "loss": 1.25, "dev accuracy": 50.0},
]
TIMING = {"started": 1_790_000_000.0, "seconds": 20.0, "train_s": 15.0}


def record_all(store: Store, plan: Plan) -> dict[str, Record]:
    """Commit a record of every step, trials with a history; return them by key."""
    found: dict[str, Record] = {}
    for key, step in plan.steps.items():
        record = record_of(step)
        history = {"history": HISTORY} if step.kind == "train" else {}
        changed = {"result": {**record.result, **history}, "timing": TIMING}
        found[key] = commit(store, record.model_copy(update=changed))
    return found


class Shown:
    """A tracker in memory; `fails` times it refuses, and somebody else has begun to show what `begun` names."""

    def __init__(self, *, fails: int = 0) -> None:
        self.name = "shown"
        self.fails = fails
        self.begun: set[str] = set()
        self.facts: list[Facts] = []

    def known(self) -> set[str]:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the tracker is down\nfor long")
        return {each.key for each in self.facts}

    def show(self, facts: Facts) -> bool:
        if facts.key in self.begun:
            return False
        self.facts.append(facts)
        return True
