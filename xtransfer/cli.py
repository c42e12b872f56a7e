"""The command line: `xtransfer COMMAND`. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtransfer import __version__
from xtransfer.errors import ConfigError, XtransferError

if TYPE_CHECKING:
    from xtransfer.config import Experiment, Placement
    from xtransfer.plan import Plan
    from xtransfer.records import Record
    from xtransfer.store import Store

app = typer.Typer(
    name="xtransfer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Intermediate-task training for zero-shot cross-lingual transfer, on one machine or a cluster.",
)

Config = Annotated[Path, typer.Argument(help="Experiment, a YAML file.", show_default=False)]
PlacementFile = Annotated[
    Path | None, typer.Option("--placement", help="Where and how to run, a YAML file.")
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", help="file://FOLDER or s3://BUCKET/PREFIX.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one setting, as a.b=value; may be repeated."),
]
PlaceSets = Annotated[
    list[str] | None,
    typer.Option("--place", help="Change one setting of the placement, as a.b=value."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line; errors of the project's own end it with one line and their status."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(standalone_mode=True)
    except XtransferError as error:
        if debug:
            raise
        print(f"xtransfer: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        print("xtransfer: interrupted. The same command goes on from here.", file=sys.stderr)
        sys.exit(130)


def _version(value: bool) -> None:
    if value:
        print(f"xtransfer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks, their form, languages and roles.

    Example: xtransfer tasks --json
    """
    from xtransfer.tasks import NOT_YET, TASKS

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
            "ready": task.name not in NOT_YET,
            "files": {split: list(names) for split, names in task.source.files.items()},
            "note": task.note,
        }
        for task in TASKS.values()
    ]
    if as_json:
        _print_json(rows)
        return
    _print_table(
        ["task", "form", "metric", "roles", "benchmark", "languages", ""],
        [
            [
                row["task"],
                row["form"],
                row["metric"],
                " ".join(row["roles"]) or "training data",
                row["benchmark"],
                str(len(row["languages"])),
                "" if row["ready"] else "not yet",
            ]
            for row in rows
        ],
    )


@app.command()
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
    experiment, places = _load(config, placement, store, sets, place)
    made, missing = _plan(experiment, lenient=True)
    opened = _open(places)
    done = _recorded_keys(made, opened)
    if as_json:
        _print_json(
            {
                **made.to_json(),
                "counts": made.counts(),
                "recorded": sorted(done),
                "missing": missing,
            }
        )
        return
    _print_plan(made, done, missing, opened.url)
    if steps:
        print()
        _print_table(
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


@app.command()
def run(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved config and the plan; do nothing.")
    ] = False,
) -> None:
    """Do every step that has no record yet, then write the report.

    Safe to interrupt: the same command goes on from the records in the store.

    Example: xtransfer run configs/quickstart.yaml --store file://runs/demo
    """
    from rich.console import Console

    from xtransfer.tasks import NOT_YET

    experiment, places = _load(config, placement, store, sets, place)
    if dry_run:
        _print_resolved(experiment, places)
        made, missing = _plan(experiment, lenient=True)
        opened = _open(places)
        _print_plan(made, _recorded_keys(made, opened), missing, opened.url)
        return
    unbuilt = [
        name
        for name in (*experiment.intermediate.tasks, *experiment.target.tasks)
        if name in NOT_YET
    ]
    if unbuilt:
        raise ConfigError(
            str(config), f"not built yet: {', '.join(unbuilt)}", "See: xtransfer tasks"
        )
    made, _ = _plan(experiment, lenient=False)
    opened = _open(places)
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
    written = _write_report(experiment, made, opened, None)
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


@app.command()
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
    experiment, places = _load(config, placement, store, sets, place)
    made, _ = _plan(experiment, lenient=True)
    opened = _open(places)
    done = _recorded_keys(made, opened)
    failed = {key: note for key, note in _failures(opened).items() if key in made.steps}
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
        _print_json(rows)
        return
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    states = ("recorded", "failed", "not done")
    _print_table(
        ["phase", *states],
        [
            [phase, *(_count(rows, phase=phase, state=state) for state in states)]
            for phase in phases
        ],
    )
    for row in rows:
        if row["error"]:
            print(f"failed {row['step']}: {row['error']}")


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="A step's key, or its first digits.")],
    placement: PlacementFile = None,
    store: StoreUrl = None,
    place: PlaceSets = None,
    as_json: AsJson = False,
) -> None:
    """Show a recorded step: what it computed, from what, and what came out.

    Example: xtransfer explain 3fa1 --store file://runs/demo
    """
    from xtransfer.records import find

    opened = _open(_placement(placement, store, place))
    record = find(opened, key)
    if as_json:
        _print_json(record.model_dump())
        return
    print(record.folder)
    _print_section("computes", record.spec)
    _print_section(
        "from", {role: _parent(opened, parent) for role, parent in record.inputs.items()}
    )
    result = {name: value for name, value in record.result.items() if name != "history"}
    _print_section("result", result)
    _print_section("files", {file.name: f"{file.size:,} bytes" for file in record.files})
    _print_section("took", {name: f"{value:.1f}" for name, value in record.timing.items()})
    _print_section("with", record.environment)


@app.command()
def report(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of what is recorded so far; a partial run gives a report that says so.

    Example: xtransfer report configs/quickstart.yaml --out report
    """
    experiment, places = _load(config, placement, store, sets, place)
    made, _ = _plan(experiment, lenient=True)
    opened = _open(places)
    if as_json:
        from xtransfer.report.build import collect_results, results_json

        _print_json(results_json(collect_results(made, _records(made, opened))))
        return
    print(_write_report(experiment, made, opened, out))


@app.command()
def export(
    key: Annotated[str, typer.Argument(help="Key of a train or select step.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    placement: PlacementFile = None,
    store: StoreUrl = None,
    place: PlaceSets = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Folder of the base encoder, if it has moved.")
    ] = None,
) -> None:
    """Write a trained model as a Hugging Face folder that `from_pretrained` loads.

    Example: xtransfer export 3fa1 --out model --store file://runs/demo
    """
    from xtransfer.export import export_model

    opened = _open(_placement(placement, store, place))
    print(export_model(opened, key, out, encoder=encoder))


# --- what commands share -------------------------------------------------------------------------


def _load(
    config: Path,
    placement: Path | None,
    store: str | None,
    sets: list[str] | None,
    place: list[str] | None,
) -> tuple[Experiment, Placement]:
    from xtransfer.config import load_experiment

    return load_experiment(config, sets or ()), _placement(placement, store, place)


def _placement(path: Path | None, store: str | None, place: list[str] | None) -> Placement:
    from xtransfer.config import load_placement

    found = load_placement(path, place or ())
    return found if store is None else found.model_copy(update={"store": store})


def _plan(experiment: Experiment, *, lenient: bool) -> tuple[Plan, list[str]]:
    from xtransfer.fingerprints import Fingerprints
    from xtransfer.plan import build_plan

    fingerprints = Fingerprints(experiment, lenient=lenient)
    made = build_plan(experiment, fingerprints)
    return made, list(dict.fromkeys(fingerprints.missing))


def _open(placement: Placement) -> Store:
    from xtransfer.store import StoreOptions, open_store

    options = StoreOptions(endpoint_url=placement.s3.endpoint_url, region=placement.s3.region)
    return open_store(placement.store, options=options)


def _records(made: Plan, store: Store) -> dict[str, Record]:
    from xtransfer.records import load_records

    kinds = {step.kind for step in made.steps.values()}
    return {key: found for key, found in load_records(store, kinds).items() if key in made.steps}


def _recorded_keys(made: Plan, store: Store) -> set[str]:
    return set(_records(made, store))


def _failures(store: Store) -> dict[str, str]:
    """Return key -> error of the steps whose last attempt failed."""
    found: dict[str, str] = {}
    for item in store.list("failures/"):
        note = json.loads(store.read(item.name))
        found[note["key"]] = note["error"]
    return found


def _write_report(experiment: Experiment, made: Plan, store: Store, out: Path | None) -> str:
    """Write the report's files to `out`, or into the store; return where report.md is."""
    from xtransfer.report.build import collect_results, describe_run
    from xtransfer.report.tables import render

    records = _records(made, store)
    info = describe_run(experiment, made, records, _failures(store))
    files = render(collect_results(made, records), experiment=info)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
        return str(out / "report.md")
    prefix = f"reports/{experiment.name}-{made.key}"
    for name, text in files.items():
        store.write(f"{prefix}/{name}", text.encode())
    return f"{store.url}/{prefix}/report.md"


def _parent(store: Store, key: str) -> str:
    from xtransfer.records import find

    return find(store, key).folder


def _print_plan(made: Plan, done: set[str], missing: list[str], url: str) -> None:
    print(f"experiment {made.experiment}, plan {made.key}, store {url}")
    rows: list[list[str]] = []
    for label, count in made.counts().items():
        recorded = sum(
            key in done
            for key, step in made.steps.items()
            if label in (step.kind, f"{step.kind} ({step.phase})")
        )
        rows.append([label, str(count), str(recorded)])
    rows.append(["all", str(len(made.steps)), str(len(done))])
    _print_table(["steps", "planned", "recorded"], rows)
    if made.not_yet:
        print(f"not yet built: {' '.join(made.not_yet)}")
    if missing:
        print(f"missing inputs: {len(missing)}, the first: {missing[0]}")


def _print_resolved(experiment: Experiment, placement: Placement) -> None:
    import yaml

    for title, section in (("experiment", experiment), ("placement", placement)):
        print(f"# {title}")
        print(yaml.safe_dump(json.loads(section.model_dump_json()), sort_keys=False).rstrip())
        print()


def _count(rows: list[dict[str, str]], **wanted: str) -> str:
    return str(sum(all(row[name] == value for name, value in wanted.items()) for row in rows))


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print aligned columns, two spaces apart, so that cut and awk can read them too."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def _print_section(title: str, values: dict[str, Any]) -> None:
    if not values:
        return
    print(f"\n{title}:")
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        print(f"  {name}: {text}")
