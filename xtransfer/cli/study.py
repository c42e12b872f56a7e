"""Commands that work on an experiment as a whole: tasks, plan, run, status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtransfer.cli.options import (
    AsJson,
    Config,
    PlacementFile,
    PlaceSets,
    Sets,
    StoreUrl,
    command_of,
    load,
    make_plan,
    open_at,
    recorded_keys,
    records_in,
    records_of,
    write_report,
)
from xtransfer.cli.output import (
    failure_lines,
    print_estimate,
    print_json,
    print_plan,
    print_resolved,
    print_table,
)
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
    device: Annotated[
        str | None, typer.Option("--device", help="The GPUs, such as h100; default: as recorded.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=1, help="Tell the makespan on N.")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, help="CPUs of the cluster; default: enough.")
    ] = None,
    throughput: Annotated[
        Path | None, typer.Option("--throughput", help="Speeds that you know, a YAML file.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="Prices of devices an hour, a YAML file.")
    ] = None,
    quota: Annotated[
        int | None, typer.Option("--quota", min=1, help="GPUs that you may use at once.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", min=0, help="Hours until it has to be done.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do, what is recorded already, and what the rest would take.

    Hours are by your own records, by --throughput, or estimated, and say which; what nothing is known
    of is left out and named. A trial of several workers counts all their GPUs.

    Example: xtransfer plan configs/paper.yaml --device h100 --gpus 8 --prices prices.yaml
    """
    from xtransfer.costs.document import to_json
    from xtransfer.costs.estimate import Question, estimate
    from xtransfer.costs.tables import SpeedTable, load_prices, load_speeds
    from xtransfer.pruning.gates import without_pruned

    experiment, places = load(config, placement, store, sets, place)
    question = Question(
        device=device,
        gpus=gpus,
        cpus=cpus,
        quota=quota,
        deadline_h=deadline,
        speeds=SpeedTable() if throughput is None else load_speeds(throughput),
        prices=None if prices is None else load_prices(prices),
    )
    opened = open_at(places)
    made, missing = make_plan(experiment, lenient=True, store=opened)
    records = records_in(made, opened)
    made = without_pruned(made, records)
    done = set(records) & set(made.steps)
    found = estimate(made, records, places, question)
    if as_json:
        print_json(
            {
                **made.to_json(),
                "counts": made.counts(),
                "recorded": sorted(done),
                "missing": missing,
                "cost": to_json(found),
            }
        )
        return
    print_plan(made, done, missing, opened.url)
    print_estimate(found, made)
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
    from xtransfer.failures import failures
    from xtransfer.logs import StoreLog
    from xtransfer.progress import ProgressBoard
    from xtransfer.runner import run_plan
    from xtransfer.termination import on_terminate

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
        f"{summary.done_now} are new, {len(summary.failed)} failed, {len(summary.blocked)} blocked"
        f"{f', {summary.pruned} pruned' if summary.pruned else ''}.",
        soft_wrap=True,
    )
    if summary.failed:
        found = failures(made, opened, summary.failed, recorded=recorded_keys(made, opened))
        for line in failure_lines(found):
            console.print(line, soft_wrap=True, markup=False)
        console.print("The same command tries these again, and nothing that is recorded.")
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
    """Show which steps of an experiment are recorded, failed, blocked or not done, from the store alone.

    Example: xtransfer status configs/quickstart.yaml --store s3://bucket/prefix
    """
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, _ = make_plan(experiment, lenient=True, store=opened)
    records = records_of(made, opened)
    done = set(records)
    from xtransfer.failures import failures, noted
    from xtransfer.pruning.gates import dropped_steps

    dropped = dropped_steps(made, records) - done

    notes = {
        key: text for key, text in noted(opened).items() if key in made.steps and key not in done
    }
    found = {each.step.key: each for each in failures(made, opened, notes, recorded=done)}
    blocked = {step.key: key for key, each in found.items() for step in each.blocked}
    rows: list[dict[str, Any]] = []
    for key, step in made.steps.items():
        state = "recorded" if key in done else "failed" if key in found else "not done"
        state = "pruned" if key in dropped else state
        row = {
            "key": key,
            "step": step.folder,
            "phase": step.phase,
            "state": "blocked" if key in blocked else state,
            "error": notes.get(key, ""),
        }
        if key in found:
            row |= {"tries": found[key].tries, "log": found[key].log}
        if key in blocked:
            row["blocked_by"] = blocked[key]
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    states = ("recorded", "failed", "blocked", *(("pruned",) if dropped else ()), "not done")
    print_table(
        ["phase", *states],
        [
            [phase, *(_count(rows, phase=phase, state=state) for state in states)]
            for phase in phases
        ],
    )
    for line in failure_lines(found.values()):
        print(line)


def _check_inputs(made: Plan, missing: list[str], recorded: set[str], where: str) -> None:
    """Refuse to start while anything is wrong with what the run would read; name all of it."""
    from xtransfer.doctor import first_look

    problems = first_look(made, recorded=recorded, missing=missing)
    if problems:
        count = "1 input is" if len(problems) == 1 else f"{len(problems)} inputs are"
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise DataError(where, f"nothing was started, for {count} not in order:{lines}")


def _count(rows: list[dict[str, Any]], **wanted: str) -> str:
    return str(sum(all(row[name] == value for name, value in wanted.items()) for row in rows))
