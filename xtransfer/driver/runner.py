"""A whole plan done on a Ray cluster: what has no record is, and how it went is told."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xtransfer.config.placement import Placement
from xtransfer.driver.board import Board
from xtransfer.driver.feed import tracked
from xtransfer.driver.gauges import MeasuredBoard
from xtransfer.driver.ray_session import RAY, ray_session
from xtransfer.driver.tuner import Driver
from xtransfer.errors import IntegrityError
from xtransfer.folders import private_folder, remove_orphans
from xtransfer.plan import Plan
from xtransfer.records.failures import forget
from xtransfer.records.journal import leave_plan
from xtransfer.records.probe import check_creation
from xtransfer.records.record import load_records, record_name
from xtransfer.settings import expanded
from xtransfer.store import Store

log = logging.getLogger(__name__)

SCRATCH = "xtransfer-run"
"""How the names of temporary folders for fetched files begin."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a run ended."""

    total: int
    done_before: int
    """Without those that were damaged."""
    done_now: int
    """With those that were damaged, and done again."""
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
    done = set(load_records(store, kinds, keys=plan.steps, damaged=damaged.append))
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
        KeyboardInterrupt: by Ctrl-C, SIGTERM and SIGHUP.
        StoreError: where the store refuses, or has no conditional writes.
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
    check_creation(store)
    name = leave_plan(store, plan)
    forget(store, plan.steps.keys() - done)
    with _scratch(placement) as scratch, ray_session(placement):
        if placement.ray.address != "local":
            board = MeasuredBoard(board, plan, placement, recorded=done)
        driver = Driver(
            plan=plan,
            plan_name=name,
            store=store,
            placement=placement,
            board=board,
            scratch=scratch,
        )
        frontier = driver.work_off(done, suspect)
    return Summary(
        total=len(plan.steps),
        done_before=len(frontier.done) - len(frontier.new),
        done_now=len(frontier.new),
        failed=frontier.failed,
        blocked=frontier.blocked,
        pruned=len(frontier.pruned),
    )


@contextmanager
def _scratch(placement: Placement) -> Iterator[Path]:
    """Yield the folder for fetched files; a temporary one is removed afterwards."""
    if placement.scratch is not None:
        path = expanded(placement.scratch).absolute()
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    path = private_folder(SCRATCH)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
