"""The command that does the steps of an experiment: run."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import (
    Config,
    PlacementFile,
    PlaceSets,
    Sets,
    StoreUrl,
    command_of,
    load,
    make_plan,
    open_at,
    records_of,
    refuse_lengths,
    write_report,
)
from xtransfer.cli.output import failure_lines, print_plan, print_resolved, tell
from xtransfer.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from xtransfer.config.placement import Placement
    from xtransfer.driver.runner import Summary
    from xtransfer.plan import Plan
    from xtransfer.records.logs import StoreLog
    from xtransfer.store import Store


def run(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", help="A part: data, intermediate:TASK, target:TASK, or model:KEY to evaluate."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved config and the plan; do nothing.")
    ] = False,
) -> None:
    """Do every step that has no record yet, then write the report.

    Safe to interrupt: the same command goes on from the records in the store.

    Example: xtransfer run configs/quickstart.yaml --store file://runs/demo
    """
    from xtransfer.costs.shortfalls import shortfall_lines
    from xtransfer.driver.progress import screen
    from xtransfer.planner.idle import idle_lines
    from xtransfer.planner.subplan import part_named
    from xtransfer.records.logs import JOB_VARIABLE, StoreLog, logged_in, note_job

    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)  # refuses credentials in a URL, which must not be printed
    if dry_run:
        print_resolved(experiment, places)
    made, missing = make_plan(experiment, config, lenient=True, store=opened)
    idle = idle_lines(experiment, made, places)
    made = part_named(made, only)
    records = records_of(made, opened)
    recorded = set(records)
    refuse_lengths(experiment, made, config, recorded)
    if dry_run:
        print_plan(made, recorded, missing, opened.url, key=made.key)
        for line in idle:
            print(line)
        return
    job = os.environ.get(JOB_VARIABLE, "")
    log = StoreLog(opened, f"{made.experiment}-{made.key}")
    note_job(opened, job, made.key)
    # What is wrong with the inputs is on the terminal, and no store is made for it; a pod's is gone soon.
    with logged_in(log) if job else nullcontext():
        _check_inputs(made, missing, recorded, str(config))
    for line in (*shortfall_lines(made, records), *idle):
        tell(line)
    console = screen()
    with logged_in(log):
        summary = _work_off(made, opened, places, console, log)
        written = write_report(experiment, made, opened, None, command=command_of(config, sets))
    _tell_summary(summary, made, opened, console)
    print(written)
    if not summary.complete:
        raise typer.Exit(1)


def _work_off(
    made: Plan, opened: Store, places: Placement, console: Console, log: StoreLog
) -> Summary:
    """Do the plan; progress is shown on the console and logged in the store."""
    from xtransfer.driver.progress import ProgressBoard
    from xtransfer.driver.runner import run_plan

    board = ProgressBoard(made, console, log.write)
    with board.shown():
        return run_plan(made, opened, places.model_copy(update={"store": opened.url}), board)


def _tell_summary(summary: Summary, made: Plan, opened: Store, console: Console) -> None:
    """Print how many steps there are of each kind, and why some have failed."""
    from xtransfer.pruning.pairs import dropped_steps
    from xtransfer.records.failures import failures

    console.print(
        f"{summary.done_before} of {summary.total} steps were recorded before, "
        f"{summary.done_now} are new, {len(summary.failed)} failed, {len(summary.blocked)} blocked"
        f"{f', {summary.pruned} pruned' if summary.pruned else ''}.",
        soft_wrap=True,
    )
    if summary.failed:
        records = records_of(made, opened)
        over = {*records, *dropped_steps(made, records)}
        found = failures(made, opened, summary.failed, recorded=over)
        for line in failure_lines(found):
            console.print(line, soft_wrap=True, markup=False)
        console.print("The same command tries these again, and nothing that is recorded.")


def _check_inputs(made: Plan, missing: list[str], recorded: set[str], where: str) -> None:
    """Refuse to start while anything is wrong with what the run would read; name all of it."""
    from xtransfer.doctor import first_look

    problems = first_look(made, recorded=recorded, missing=missing)
    if problems:
        count = "1 input is" if len(problems) == 1 else f"{len(problems)} inputs are"
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise DataError(where, f"nothing was started, for {count} not in order:{lines}")
