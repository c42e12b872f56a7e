"""The driver at work: Ray Tune's Tuner on a plan, and what it hears, leaves in the store and shows of its steps."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtransfer.config.placement import Placement
from xtransfer.driver.board import Board
from xtransfer.driver.cautions import cautions
from xtransfer.driver.frontier import Frontier
from xtransfer.driver.lanes import full_lanes
from xtransfer.driver.room import Room, bundle_of, check_room, has_workers, ray_nodes
from xtransfer.driver.termination import ending_on_signal
from xtransfer.errors import StoreError, XtransferError, shown
from xtransfer.execution.execute import run_step
from xtransfer.folders import temporary_folder
from xtransfer.plan import Plan, Step
from xtransfer.process.workbench import Workbench
from xtransfer.records.failures import DIED, forget, note_failure, note_of, reason
from xtransfer.records.journal import leave_plan
from xtransfer.records.leases import holder
from xtransfer.records.record import record_name
from xtransfer.store import Store

if TYPE_CHECKING:
    from ray.tune import Tuner

    from xtransfer.driver.search import PlanSearcher

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Works a plan off on the Ray that this process has joined."""

    plan: Plan
    plan_name: str
    """Of the plan as the store has it (`xtransfer.records.journal`)."""
    store: Store
    placement: Placement
    board: Board
    scratch: Path
    """Folder for fetched files."""
    said: dict[str, str] = field(default_factory=dict, init=False)
    """Key -> what Ray said of an attempt that ended without a report."""

    def work_off(self, done: set[str], suspect: set[str]) -> Frontier:
        """Do what is not done, and return where the plan then stands.

        Args:
            done: keys of the steps that are done.
            suspect: keys of those whose records are damaged.

        Raises:
            KeyboardInterrupt: by Ctrl-C, SIGTERM and SIGHUP.
            ConfigError: when a step never has room.
            XtransferError: when Ray ends the run.
        """
        from ray.tune.error import TuneError

        from xtransfer.process.leaving import ask_to_leave

        searcher = self._searcher(done, suspect)
        frontier = searcher.frontier
        if len(frontier.done | frontier.pruned) == len(self.plan.steps):
            return frontier
        check_room(
            self.plan, self.placement, done=frontier.done | frontier.pruned, nodes=ray_nodes()
        )
        for line in cautions(self.placement):
            log.warning("%s", line)
        run = f"{self.plan.experiment}-{self.plan.key}-{secrets.token_hex(4)}"

        def leave() -> None:
            searcher.end()
            ask_to_leave(run)

        with temporary_folder(self.scratch) as folder:
            tuner = self._tuner(searcher, run, folder)
            try:
                with full_lanes(), ending_on_signal(leave, seconds=self.placement.grace_s):
                    tuner.fit()
            except (RuntimeError, TuneError) as error:
                next_ = "What is recorded is safe: the same command goes on."
                raise XtransferError("ray", _said_of(error), next_) from error
        if frontier.unfinished and not searcher.ending:
            raise KeyboardInterrupt  # Tune ends its run on SIGUSR1, and says so to nobody
        return frontier

    def _searcher(self, done: set[str], suspect: set[str]) -> PlanSearcher:
        from xtransfer.driver.search import PlanSearcher

        bench = Workbench(
            plan=self.plan, store=self.store, placement=self.placement, scratch=self.scratch
        )

        def work_inline(step: Step) -> None:
            run_step(step, bench)

        return PlanSearcher(
            self.plan,
            done=done,
            work_inline=work_inline,
            changed=self._changed,
            kept=lambda step: bench.record(step.key).result["kept"],
            look=self._look,
            suspect=suspect,
            retries=self.placement.retries,
            why=self._why,
            apart=lambda step: has_workers(step, self.placement),
            room=Room(placement=self.placement, nodes=ray_nodes),
            leave_plan=lambda: leave_plan(self.store, self.plan),
        )

    def _tuner(self, searcher: PlanSearcher, run: str, folder: Path) -> Tuner:
        """Return the Tuner that does what `searcher` suggests.

        Args:
            searcher: the plan.
            run: name of this run, for steps that must leave.
            folder: for what Tune writes.
        """
        from ray import tune

        from xtransfer.driver.relays import ProgressRelay, SweepScheduler
        from xtransfer.execution.trial import run_trial

        plan, placement = self.plan, self.placement
        trainable = tune.with_parameters(
            run_trial,
            run=run,
            plan_name=self.plan_name,
            placement=placement.model_dump(),
            scratch=str(self.scratch),
        )

        def resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
            # Tune sends it with the trainable: it must hold neither store nor board.
            return tune.PlacementGroupFactory(
                [bundle_of(plan.steps[config["key"]], plan, placement)]
            )

        return tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=SweepScheduler(self.said.__setitem__, plan=plan, store=self.store),
                num_samples=-1,  # until the searcher says so: a damaged step is sampled again
                # A process that is kept for later keeps its CPU, for which the workers of a trial would
                # wait for ever.
                reuse_actors=placement.train.most_workers == 1,
                max_concurrent_trials=placement.concurrent,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                callbacks=[ProgressRelay(self._changed, self.board.told)],
                verbose=0,
            ),
        )

    def _look(self, step: Step) -> str:
        """Say whether a step is "recorded" or "free", or who is at work on it."""
        if self.store.exists(record_name(step.folder)):
            return "recorded"
        found = holder(self.store, step.key)
        return f"process {found.pid} on {found.host} is at work on it" if found else "free"

    def _why(self, key: str) -> str:
        """Say why an attempt ended without a report: by what Ray said, else by what it has noted itself."""
        text = reason(self.said.pop(key, ""))
        if text == DIED:
            with contextlib.suppress(StoreError):
                return note_of(self.store, key) or text
        return text

    def _changed(self, key: str, state: str, text: str) -> None:
        """Show what has become of a step, and keep its note of a failure in the store up to date."""
        with contextlib.suppress(StoreError):
            # A step that has left a note itself has left a traceback with it.
            if state == "failed" and not note_of(self.store, key):
                note_failure(self.store, self.plan.steps[key], text, "")
            elif state == "waiting":
                forget(self.store, [key])
        self.board.changed(key, state, text)


def _said_of(error: Exception) -> str:
    """Return in one line what ended a run: Tune gives the traceback of what it stumbled over as its text."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(lines[-1 if lines[0].startswith("Traceback") else 0], most=300)
