"""One step of the plan from its parents' records to its own, on whatever machine this is."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xtransfer import __version__
from xtransfer.costs.packing import resources_of
from xtransfer.errors import InputLost, IntegrityError, StepBusy, StepLeft, StoreError, shown
from xtransfer.execution.work import WORK
from xtransfer.folders import temporary_folder
from xtransfer.identity import source_digest
from xtransfer.plan import INLINE, VERSIONS, Step
from xtransfer.process.watchdog import watched
from xtransfer.process.workbench import Workbench, spoiled_file
from xtransfer.records.checkpoints import drop_checkpoints
from xtransfer.records.leases import Lease, holding
from xtransfer.records.outputs import damage
from xtransfer.records.quarantine import set_aside
from xtransfer.records.record import Done, Record, commit, read_record
from xtransfer.store import Store
from xtransfer.store.folder import enough_space

log = logging.getLogger(__name__)

UNWATCHED = (*INLINE, "train")
"""What takes no time, and trials, each worker of which watches itself."""


def run_step(step: Step, bench: Workbench) -> Record:
    """Do the work of a step, if no sound record says it is done, and leave its record.

    Raises:
        StepBusy: when another process is at work on it, or took it over while this one was silent.
    """
    with (
        bench.holds,
        holding(bench.store, step.key, seconds=bench.placement.lease_s, clock=bench.clock) as lease,
    ):
        found = sound_record(bench.store, step)
        if found is not None:
            lease.outcome = "found"
            return found
        record = _do(step, bench, lease)
        lease.outcome = "done"
    if step.kind == "train":
        try:
            drop_checkpoints(bench.store, step.key)
        except StoreError as error:
            # The step is done all the same, and `store gc` removes what is left.
            log.warning("%s: its checkpoints were not removed: %s", step.folder, error)
    return record


def sound_record(store: Store, step: Step) -> Record | None:
    """Return a step's record if every byte of it and its files is right, None while there is none.

    One that is damaged is set aside, so that the step can be done again: what is so at a second look, too, and
    not only on the way here.
    """
    faults: list[IntegrityError] = []
    for _ in range(2):
        try:
            record = read_record(store, step.kind, step.name, step.key)
            faults = [] if record is None else damage(store, record)
        except IntegrityError as error:
            faults = [error]
        else:
            if not faults:
                return record
    set_aside(store, step.folder, [str(fault) for fault in faults])
    return None


def environment(*more: str) -> dict[str, str]:
    """Return the versions that results depend on, and which source of this one; `more`: further packages."""
    packages = ("torch", "transformers", "tokenizers", "deepspeed", "ray", "numpy", *more)
    own = {"python": platform.python_version(), "xtransfer": __version__}
    own["source"] = source_digest()
    return own | {name: version(name) for name in packages}


def _do(step: Step, bench: Workbench, lease: Lease) -> Record:
    """Do the work of a step that this process holds, and leave its record."""

    def tell(facts: Mapping[str, Any]) -> None:
        if lease.lost:
            lease.check()
        bench.tell(facts)

    # Before the work: files may change meanwhile.
    made_with = environment(*(["peft"] if step.spec.get("lora") else []))
    started = time.time()
    with (
        enough_space(bench.scratch),
        temporary_folder(bench.scratch) as folder,
    ):
        with _fetched_files_blamed(bench):
            done = _work(step, replace(bench, tell=tell, fence=lease.check), folder)
        # What waits for its workers holds no device: its time begins with them.
        ended = time.time()
        started = min(ended, started + done.timing.get("waited_s", 0.0))
        return commit(
            bench.store,
            Record(
                key=step.key,
                kind=step.kind,
                name=step.name,
                version=VERSIONS[step.kind],
                spec=dict(step.spec),
                inputs=dict(step.inputs),
                files=(),
                result=done.result,
                environment=made_with,
                placement={
                    **resources_of(step, bench.plan.steps, bench.placement),
                    "encoder": step.where.get("encoder", {}).get("name", ""),
                    **done.placement,
                },
                timing={"started": started, "seconds": ended - started, **done.timing},
            ),
            folder,
            fence=lease.check,
        )


@contextmanager
def _fetched_files_blamed(bench: Workbench) -> Iterator[None]:
    """Turn what fails while fetched files are deleted or altered into a StoreError, by which it is tried again.

    Libraries that read them have errors of their own, or take what they read for an encoder without weights.
    What comes to an end with altered files is not believed either.
    """
    try:
        yield
    except (InputLost, StepBusy, StepLeft, StoreError):
        raise
    except Exception as error:
        spoiled = bench.holds.fetched.spoiled()
        if not spoiled:
            raise
        cause = shown(f"{type(error).__name__}: {error}", most=300)
        what = f"was deleted or altered while the step used it: {cause}"
        raise spoiled_file(spoiled[0], what) from error
    bench.refuse_altered_files()


def _work(step: Step, bench: Workbench, folder: Path) -> Done:
    if step.kind in UNWATCHED:
        return WORK[step.kind](step, bench, folder)
    limit, store = bench.placement.hung_after_s, bench.store
    with watched(step, store, silent_s=limit, scratch=bench.scratch) as beat:
        return WORK[step.kind](step, bench.watched_by(beat), folder)
