"""The driver: one Tuner works a whole plan off on a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtransfer.errors import IntegrityError, StoreError, XtransferError
from xtransfer.failures import DIED, forget, note_failure, note_of, reason
from xtransfer.folders import private_folder, remove_orphans
from xtransfer.frontier import Frontier
from xtransfer.gauges import Board, MeasuredBoard
from xtransfer.journal import leave_plan
from xtransfer.lanes import full_lanes
from xtransfer.leases import holder
from xtransfer.packing import gpus_of
from xtransfer.placement import Placement, Resources
from xtransfer.plan import Plan, Step
from xtransfer.ray_session import RAY, ray_session
from xtransfer.records import load_records, record_name
from xtransfer.store import Store
from xtransfer.termination import ending_on_terminate
from xtransfer.tracking.feed import tracked

log = logging.getLogger(__name__)

SCRATCH = "xtransfer-run"
"""How the names of temporary folders for fetched files begin."""
DRIVER_MEMORY = 512 * 2**20
"""Bytes that the driver of a trial with several workers claims."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a run ended."""

    total: int
    done_before: int
    done_now: int
    failed: Mapping[str, str]
    """Key -> error."""
    blocked: Mapping[str, str]
    """Key -> key of the failed ancestor."""
    pruned: int = 0
    """Steps without a record that pruning has left out."""

    @property
    def complete(self) -> bool:
        """Whether every step has a record, or needs none."""
        return self.done_before + self.done_now + self.pruned == self.total


def recorded(plan: Plan, store: Store) -> tuple[set[str], set[str]]:
    """Return the keys of the plan's steps that are done, and of those whose records are damaged.

    Damaged is a record that cannot be read, or one of whose files is absent or of another size. Its
    step sets it aside when it runs.
    """
    kinds = {step.kind for step in plan.steps.values()}
    damaged: list[IntegrityError] = []
    done = set(load_records(store, kinds, damaged=damaged.append)) & set(plan.steps)
    for error in damaged:
        log.info("damaged: %s", error)
    if not damaged:
        return done, set()
    there = {info.name for kind in kinds for info in store.list(f"{kind}/")}
    rest = [step for key, step in plan.steps.items() if key not in done]
    return done, {step.key for step in rest if record_name(step.folder) in there}


def run_plan(plan: Plan, store: Store, placement: Placement, board: Board) -> Summary:
    """Do every step of the plan that has no record, and return how it went.

    A step whose parent failed is blocked; the rest goes on.

    Raises:
        KeyboardInterrupt: by Ctrl-C, and by SIGTERM.
    """
    for prefix in (SCRATCH, RAY):
        remove_orphans(prefix)
    with tracked(board, plan, store, placement.tracking) as everybody:
        return _work(plan, store, placement, everybody)


def _work(plan: Plan, store: Store, placement: Placement, board: Board) -> Summary:
    done, suspect = recorded(plan, store)
    for key in done:
        board.changed(key, "recorded", "")
    if len(done) == len(plan.steps):
        return Summary(total=len(done), done_before=len(done), done_now=0, failed={}, blocked={})
    name = leave_plan(store, plan)
    forget(store, plan.steps.keys() - done)
    with _scratch(placement) as scratch, ray_session(placement):
        if placement.ray.address != "local":
            board = MeasuredBoard(board, plan, placement, recorded=done)
        frontier = _tune(
            plan, store, placement, board, name=name, done=done, suspect=suspect, scratch=scratch
        )
    return Summary(
        total=len(plan.steps),
        done_before=len(done),
        done_now=len(frontier.done) - len(done),
        failed=frontier.failed,
        blocked=frontier.blocked,
        pruned=len(frontier.pruned),
    )


def _tune(
    plan: Plan,
    store: Store,
    placement: Placement,
    board: Board,
    *,
    name: str,
    done: set[str],
    suspect: set[str],
    scratch: Path,
) -> Frontier:
    from ray import tune

    from xtransfer.execute import run_step
    from xtransfer.leaving import ask_to_leave
    from xtransfer.relays import ProgressRelay
    from xtransfer.search import PlanSearcher
    from xtransfer.sweeps.scheduler import SweepScheduler
    from xtransfer.trial import run_trial
    from xtransfer.workbench import Workbench

    def look(step: Step) -> str:
        if store.exists(record_name(step.folder)):
            return "recorded"
        return "busy" if holder(store, step.key) else "free"

    said: dict[str, str] = {}

    def why(key: str) -> str:
        text = reason(said.pop(key, ""))
        return _last_words(store, key) or text if text == DIED else text

    def changed(key: str, state: str, text: str) -> None:
        if state == "failed":
            _note(store, plan.steps[key], text)
        elif state == "waiting":
            with contextlib.suppress(StoreError):
                forget(store, [key])
        board.changed(key, state, text)

    bench = Workbench(plan=plan, store=store, placement=placement, scratch=scratch)
    searcher = PlanSearcher(
        plan,
        done=done,
        work_inline=lambda step: _discard(run_step(step, bench)),
        changed=changed,
        kept=lambda step: bench.record(step.key).result["kept"],
        look=look,
        suspect=suspect,
        retries=placement.retries,
        why=why,
    )

    def resources(config: Mapping[str, Any]) -> Any:
        return tune.PlacementGroupFactory(_bundles(plan.steps[config["key"]], plan, placement))

    run = f"{plan.experiment}-{plan.key}-{secrets.token_hex(4)}"

    def leave() -> None:
        searcher.end()
        ask_to_leave(run)

    trainable = tune.with_parameters(
        run_trial,
        run=run,
        plan_name=name,
        placement=placement.model_dump(),
        scratch=str(scratch),
    )
    frontier = searcher.frontier
    if len(frontier.done | frontier.pruned) == len(plan.steps):
        return frontier
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=SweepScheduler(said.__setitem__, plan=plan, store=store),
            num_samples=-1,  # until the searcher says so: a damaged step is sampled again
            # A process that is kept for later keeps its CPU, for which the workers of a trial would wait
            # for ever.
            reuse_actors=placement.train.most_workers == 1,
            max_concurrent_trials=placement.concurrent,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            callbacks=[ProgressRelay(changed, board.told)],
            verbose=0,
        ),
    )
    try:
        with full_lanes(), ending_on_terminate(leave, seconds=placement.grace_s):
            tuner.fit()
    except RuntimeError as error:
        raise XtransferError(
            "ray", str(error).splitlines()[0], "What is recorded is safe: the same command goes on."
        ) from error
    if frontier.unfinished and not searcher.ending:
        raise KeyboardInterrupt  # Tune ends its run on Ctrl-C, and says so to nobody
    return frontier


def _last_words(store: Store, key: str) -> str:
    """Return what a process that ended itself has noted, "" for none."""
    try:
        return note_of(store, key)
    except StoreError:
        return ""


def _note(store: Store, step: Step, text: str) -> None:
    """Leave a note of a failure, unless the step has left one itself, with a traceback."""
    with contextlib.suppress(StoreError):
        if not note_of(store, step.key):
            note_failure(store, step, text, "")


def _bundles(step: Step, plan: Plan, placement: Placement) -> list[dict[str, float]]:
    """Return the resources of a step: its own share, or for several workers only the driver's.

    With more than one worker, Ray Train asks for the workers' resources itself; the trial is only
    their driver. It takes memory and no CPU: a share of a CPU could keep its own workers waiting.
    """
    wants: Resources = {
        "train": placement.train,
        "pretrain": placement.train,
        "evaluate": placement.evaluate,
        "estimate": placement.evaluate,
    }.get(step.kind, placement.prepare)
    if step.kind == "train" and placement.train.most_workers > 1:
        return [{"memory": DRIVER_MEMORY}]
    bundle: dict[str, float] = {"CPU": wants.cpus}
    gpus = gpus_of(step, plan.steps, placement)
    if gpus:
        bundle["GPU"] = gpus
    return [bundle]


@contextmanager
def _scratch(placement: Placement) -> Iterator[Path]:
    """Yield the folder for fetched files; a temporary one is removed afterwards."""
    if placement.scratch is not None:
        path = Path(placement.scratch).absolute()
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    path = private_folder(SCRATCH)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _discard(_: object) -> None:
    """Drop a value that a callback must not return."""
