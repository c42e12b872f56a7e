"""What a step needs of its surroundings: the plan, the store, the placement, and somebody to tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xtransfer.config.placement import Placement
from xtransfer.errors import InputLost, IntegrityError, StoreError
from xtransfer.plan import Plan
from xtransfer.records.keeping import Holds, keep
from xtransfer.records.leases import Clock
from xtransfer.records.lookup import record_of
from xtransfer.records.record import Record, record_name
from xtransfer.store import Store

Telemetry = Callable[[Mapping[str, Any]], None]
"""Takes what a running step tells of itself: step, total, loss, examples_per_s, dev, stage."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """What a step needs of its surroundings."""

    plan: Plan
    store: Store
    placement: Placement
    scratch: Path
    """Folder for fetched files, shared by the processes of a node."""
    tell: Telemetry = lambda facts: None
    run: str = ""
    """The driver's name for what it runs, of which its notice to end is given (`xtransfer.process.leaving`)."""
    leaving: Callable[[], str] = lambda: ""
    """Why this process must end soon; empty while it need not."""
    fence: Callable[[], None] = lambda: None
    """Raises StepBusy where another process has taken the step over: what is kept of it is not this one's to
    write or delete any more."""
    alive: Callable[[], None] = lambda: None
    """Called while there is nothing to tell yet the work moves, so that it is not taken for hung."""
    clock: Clock = time.time
    """Of leases, Unix seconds."""
    holds: Holds = field(default_factory=Holds, repr=False, compare=False)
    """What keeps the fetched files where they are until the step ends."""

    def __post_init__(self) -> None:
        """Make the scratch folder: the driver's is not on every node."""
        self.scratch.mkdir(parents=True, exist_ok=True)

    def watched_by(self, beat: Callable[[], None]) -> Workbench:
        """Return this bench with a watchdog that is told of every move."""

        def tell(facts: Mapping[str, Any]) -> None:
            beat()
            self.tell(facts)

        return replace(self, tell=tell, alive=beat)

    def record(self, key: str) -> Record:
        """Return the record of a step of the plan.

        Raises:
            InputLost: when it is gone or damaged.
        """
        step = self.plan.steps[key]
        try:
            record = record_of(self.store, step)
        except IntegrityError as error:
            raise InputLost(step.folder, str(error)) from error
        if record is None:
            raise InputLost(step.folder, "has no record", "Its step must finish first.")
        return record

    def is_recorded(self, key: str) -> bool:
        """Say whether a step of the plan has a record, damaged or not."""
        return self.store.exists(record_name(self.plan.steps[key].folder))

    def files(self, record: Record, names: list[str] | None = None) -> Path:
        """Fetch a record's files, verified, and return their folder, which stays until the step ends.

        Raises:
            InputLost: when one is gone or damaged.
        """
        try:
            return keep(
                self.store,
                record,
                self.scratch,
                names,
                holds=self.holds,
                most_gb=self.placement.scratch_gb,
            )
        except IntegrityError as error:
            raise InputLost(record.folder, str(error)) from error
        finally:
            self.alive()

    def refuse_altered_files(self) -> None:
        """Raise StoreError where a fetched file was written to while the step used it.

        What was learnt or scored since then may be wrong, and must not be kept.
        """
        altered = self.holds.fetched.altered()
        if altered:
            raise spoiled_file(altered[0], "was altered while the step used it")

    def trained(self, key: str) -> Record:
        """Return the record of the trial that a select step chose; a trial's own key also does."""
        record = self.record(key)
        return self.record(record.result["chosen"]) if record.kind == "select" else record


def spoiled_file(path: Path, what: str) -> StoreError:
    """Return the error, by which a step is tried again, to raise where a fetched file is not what it was."""
    next_ = "The next try fetches it again. Leave the folder to the runs that use it."
    return StoreError(str(path), what, next_)
