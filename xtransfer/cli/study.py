"""Commands that show an experiment as a whole, or what there is for one: tasks, plan, status."""

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
    load,
    make_plan,
    open_at,
    records_in,
    records_of,
    refuse_idle,
    refuse_lengths,
)
from xtransfer.cli.output import (
    failure_lines,
    print_estimate,
    print_json,
    print_plan,
    print_table,
)

if TYPE_CHECKING:
    from xtransfer.config.placement import Placement
    from xtransfer.costs.estimate import Question
    from xtransfer.plan import Plan
    from xtransfer.records.failures import Failure
    from xtransfer.store import Store


def tasks(as_json: AsJson = False) -> None:
    """List the tasks, their form, languages and roles.

    --json also names the files that each expects below the experiment's data.root.

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
    """Show what a run would do and take; start nothing.

    It counts the steps and those that are recorded already, and tells what the rest will take. Hours are
    by your own records, by --throughput, or estimated, and say which; what nothing is known of is left
    out and named. A trial of several workers counts all their GPUs.

    Example: xtransfer plan configs/paper.yaml --placement configs/placement/gpu.yaml --device h100 --gpus 8
    """
    from xtransfer.costs.document import to_json
    from xtransfer.costs.estimate import Question, estimate
    from xtransfer.costs.shortfalls import shortfall_lines, shortfalls, unreached_rungs
    from xtransfer.costs.tables import SpeedTable, load_prices, load_speeds
    from xtransfer.planner.idle import idle_lines
    from xtransfer.pruning.pairs import without_pruned

    experiment, places = load(config, placement, store, sets, place)
    if not any(each.gpus for each in (places.train, places.evaluate, places.prepare)):
        asked = {"--device": device, "--gpus": gpus, "--quota": quota}
        refuse_idle(
            {option: value is not None for option, value in asked.items()},
            "no step takes a GPU by this placement",
            "Give that of the run as --placement FILE, or --place train.gpus=1 --place evaluate.gpus=1.",
        )
    question = Question(
        device=device,
        gpus=gpus,
        cpus=cpus,
        quota=quota,
        deadline_h=deadline,
        speeds=SpeedTable() if throughput is None else load_speeds(throughput),
        prices=None if prices is None else load_prices(prices),
    )
    _check_deadline(question, places)
    opened = open_at(places)
    made, missing = make_plan(experiment, config, lenient=True, store=opened)
    records = records_in(made, opened)
    refuse_lengths(experiment, made, config, records)
    whole, made = made, without_pruned(made, records)
    done = set(records) & set(made.steps)
    found = estimate(made, records, places, question)
    idle = idle_lines(experiment, whole, places)
    if as_json:
        print_json(
            {
                **made.to_json(),
                "key": whole.key,
                "counts": made.counts(),
                "recorded": sorted(done),
                "missing": missing,
                "few_checkpoints": shortfalls(made, records),
                "unreached_rungs": unreached_rungs(made, records),
                "idle_settings": idle,
                "cost": to_json(found),
            }
        )
        return
    print_plan(made, done, missing, opened.url, key=whole.key)
    print_estimate(found, made)
    for line in (*shortfall_lines(made, records), *idle):
        print(line)
    if steps:
        print()
        _print_steps(made, done)


def _check_deadline(question: Question, places: Placement) -> None:
    """Refuse a deadline where nothing says what is to meet it."""
    from xtransfer.errors import ConfigError

    room = (question.gpus, question.quota, question.cpus, places.ray.gpus, places.ray.cpus)
    if question.deadline_h is not None and all(each is None for each in room):
        raise ConfigError(
            "--deadline", "needs to know on what", "Give --gpus N, --quota N or --cpus N, too."
        )


def _print_steps(made: Plan, done: set[str]) -> None:
    print_table(
        ["step", "state", "inputs"],
        [
            [
                f"{step.folder}{step.arm}",
                "recorded" if key in done else "",
                " ".join(f"{role}={parent}" for role, parent in step.inputs.items()),
            ]
            for key, step in made.steps.items()
        ],
    )


def status(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    as_json: AsJson = False,
) -> None:
    """Show which steps are recorded, failed, blocked or not done.

    It reads the store alone, from any machine, also while a run is at work.

    Example: xtransfer status configs/quickstart.yaml --store s3://bucket/prefix
    """
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, _ = make_plan(experiment, config, lenient=True, store=opened)
    rows, failed = _states(made, opened)
    if as_json:
        print_json(rows)
        return
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    pruned = ["pruned"] if any(row["state"] == "pruned" for row in rows) else []
    states = ["recorded", "failed", "blocked", *pruned, "not done"]
    print_table(
        ["phase", *states],
        [
            [phase, *(_count(rows, phase=phase, state=state) for state in states)]
            for phase in phases
        ],
    )
    for line in failure_lines(failed):
        print(line)


def _states(made: Plan, opened: Store) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Return a row for every step of a plan, with its state, and what there is to know of those that failed."""
    from xtransfer.pruning.pairs import dropped_steps
    from xtransfer.records.failures import failures, noted

    records = records_of(made, opened)
    dropped = dropped_steps(made, records) - set(records)
    over = {*records, *dropped}
    notes = {
        key: text for key, text in noted(opened).items() if key in made.steps and key not in over
    }
    found = {each.step.key: each for each in failures(made, opened, notes, recorded=over)}
    blocked = {step.key: key for key, each in found.items() for step in each.blocked}
    rows: list[dict[str, Any]] = []
    for key, step in made.steps.items():
        state = "recorded" if key in records else "failed" if key in found else "not done"
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
    return rows, list(found.values())


def _count(rows: list[dict[str, Any]], **wanted: str) -> str:
    return str(sum(all(row[name] == value for name, value in wanted.items()) for row in rows))
