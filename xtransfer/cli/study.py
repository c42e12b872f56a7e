"""Commands that work on an experiment as a whole: tasks, plan, run, status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import (
    AsJson,
    Config,
    PlacementFile,
    PlaceSets,
    Sets,
    StoreUrl,
    command_of,
    failures_in,
    load,
    make_plan,
    open_at,
    recorded_keys,
    write_report,
)
from xtransfer.cli.output import print_json, print_plan, print_resolved, print_table
from xtransfer.errors import DataError

if TYPE_CHECKING:
    from xtransfer.plan import Plan


def tasks(as_json: AsJson = False) -> None:
    """List the tasks, their form, languages and roles.

    Example: xtransfer tasks --json
    """
    from xtransfer.tasks import TASKS

    rows = [
        {
            "task": task.name,
            "form": task.form,
            "metric": task.metric,
            "roles": [
                role
                for role, able in (
                    ("intermediate", task.as_intermediate is not None),
                    ("target", task.stages is not None),
                )
                if able
            ],
            "benchmark": task.benchmark,
            "languages": list(task.languages),
            "files": {split: list(names) for split, names in task.source.files.items()},
            "note": task.note,
        }
        for task in TASKS.values()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["task", "form", "metric", "roles", "benchmark", "languages"],
        [
            [
                row["task"],
                row["form"],
                row["metric"],
                " ".join(row["roles"]) or "training data",
                row["benchmark"],
                str(len(row["languages"])),
            ]
            for row in rows
        ],
    )


def plan(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    steps: Annotated[bool, typer.Option("--steps", help="List every step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do: steps by kind, and how many have records already.

    Example: xtransfer plan configs/paper.yaml --steps
    """
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, missing = make_plan(experiment, lenient=True, store=opened)
    done = recorded_keys(made, opened)
    if as_json:
        print_json(
            {
                **made.to_json(),
                "counts": made.counts(),
                "recorded": sorted(done),
                "missing": missing,
            }
        )
        return
    print_plan(made, done, missing, opened.url)
    if steps:
        print()
        print_table(
            ["step", "state", "inputs"],
            [
                [
                    step.folder,
                    "recorded" if key in done else "",
                    " ".join(f"{role}={parent}" for role, parent in step.inputs.items()),
                ]
                for key, step in made.steps.items()
            ],
        )


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
    from rich.console import Console

    from xtransfer.subplan import part_named

    experiment, places = load(config, placement, store, sets, place)
    if dry_run:
        print_resolved(experiment, places)
        opened = open_at(places)
        made, missing = make_plan(experiment, lenient=True, store=opened)
        made = part_named(made, only)
        print_plan(made, recorded_keys(made, opened), missing, opened.url)
        return
    opened = open_at(places)
    made, missing = make_plan(experiment, lenient=True, store=opened)
    made = part_named(made, only)
    _check_inputs(made, missing, recorded_keys(made, opened), str(config))
    from xtransfer.logs import StoreLog
    from xtransfer.progress import ProgressBoard
    from xtransfer.runner import on_terminate, run_plan

    on_terminate()
    console = Console(stderr=True, highlight=False)
    log = StoreLog(opened, f"{experiment.name}-{made.key}")
    board = ProgressBoard(made, console, log.write)
    try:
        with board.shown():
            summary = run_plan(made, opened, places.model_copy(update={"store": opened.url}), board)
    finally:
        log.flush()
    written = write_report(experiment, made, opened, None, command=command_of(config, sets))
    console.print(
        f"{summary.done_before} of {summary.total} steps were recorded before, "
        f"{summary.done_now} are new, {len(summary.failed)} failed, {len(summary.blocked)} blocked.",
        soft_wrap=True,
    )
    for key, text in summary.failed.items():
        console.print(f"failed  {made.steps[key].folder}: {text}", soft_wrap=True, markup=False)
    for key, culprit in summary.blocked.items():
        console.print(
            f"blocked {made.steps[key].folder}: {made.steps[culprit].folder} failed",
            soft_wrap=True,
            markup=False,
        )
    print(written)
    if not summary.complete:
        raise typer.Exit(1)


def status(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    as_json: AsJson = False,
) -> None:
    """Show which steps of an experiment are recorded, failed or not done, from the store alone.

    Example: xtransfer status configs/quickstart.yaml --store s3://bucket/prefix
    """
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, _ = make_plan(experiment, lenient=True, store=opened)
    done = recorded_keys(made, opened)
    failed = {key: note for key, note in failures_in(opened).items() if key in made.steps}
    rows = [
        {
            "key": key,
            "step": step.folder,
            "phase": step.phase,
            "state": "recorded" if key in done else "failed" if key in failed else "not done",
            "error": "" if key in done else failed.get(key, ""),
        }
        for key, step in made.steps.items()
    ]
    if as_json:
        print_json(rows)
        return
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    states = ("recorded", "failed", "not done")
    print_table(
        ["phase", *states],
        [
            [phase, *(_count(rows, phase=phase, state=state) for state in states)]
            for phase in phases
        ],
    )
    for row in rows:
        if row["error"]:
            print(f"failed {row['step']}: {row['error']}")


def _check_inputs(made: Plan, missing: list[str], recorded: set[str], where: str) -> None:
    """Refuse to start while anything is wrong with what the run would read; name all of it."""
    from xtransfer.doctor import first_look

    problems = first_look(made, recorded=recorded, missing=missing)
    if problems:
        count = "1 input is" if len(problems) == 1 else f"{len(problems)} inputs are"
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise DataError(where, f"nothing was started, for {count} not in order:{lines}")


def _count(rows: list[dict[str, str]], **wanted: str) -> str:
    return str(sum(all(row[name] == value for name, value in wanted.items()) for row in rows))
