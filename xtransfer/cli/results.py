"""Commands that read what is recorded: explain, report, export."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from string import hexdigits
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
    load,
    make_plan,
    open_at,
    place_at,
    records_of,
    refuse_idle,
    tell_partial,
    write_report,
)
from xtransfer.cli.output import print_json, print_section

if TYPE_CHECKING:
    from xtransfer.config.experiment import Experiment
    from xtransfer.plan import Plan
    from xtransfer.store import Store


def explain(
    key: Annotated[str, typer.Argument(help="A step's key, or its first digits.")],
    placement: PlacementFile = None,
    store: StoreUrl = None,
    place: PlaceSets = None,
    as_json: AsJson = False,
) -> None:
    """Show what a recorded step computed, and what came out.

    Keys are in the report, in `plan --steps` and in `status --json`; their first digits are enough.

    Example: xtransfer explain 3fa1 --store file://runs/demo
    """
    from xtransfer.records.lookup import find

    opened = open_at(place_at(placement, store, place))
    record = find(opened, key)
    if as_json:
        print_json(record.model_dump())
        return
    print(record.folder)
    print_section("computes", record.spec)
    print_section("from", {role: _parent(opened, parent) for role, parent in record.inputs.items()})
    result = {name: value for name, value in record.result.items() if name != "history"}
    print_section("result", result)
    print_section("files", {file.name: f"{file.size:,} bytes" for file in record.files})
    print_section("took", {name: f"{value:.1f}" for name, value in record.timing.items()})
    print_section("with", record.environment)


def report(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report.")] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            "--bootstrap", min=0, help="Resamples behind intervals and p-values; 0: none of them."
        ),
    ] = None,
    claims: Annotated[
        list[Path] | None,
        typer.Option("--claims", help="A file of claims to decide, too; may be repeated."),
    ] = None,
    png: Annotated[
        bool, typer.Option("--png", help="Write its tables and drawings as PNG files, too.")
    ] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Show report.html in a browser of this machine, ever anew."),
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="For --serve; 0: any.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the report of what is recorded so far.

    The report says when the run is unfinished. Without --out it is written to the store. --serve
    writes nothing; its page also shows progress and reloads itself. --json prints the scores alone;
    with the rest of the report they are in report.json.

    Example: xtransfer report configs/quickstart.yaml --out report --claims configs/claims/paper.yaml
    """
    written = {"--out": out is not None, "--png": png}
    if as_json:
        judged = {"--bootstrap": bootstrap is not None, "--claims": bool(claims)}
        refuse_idle(
            {**written, **judged, "--serve": serve},
            "no use beside --json, which prints the scores alone",
            "Leave one of them out: report.json has all of it.",
        )
    if serve:
        refuse_idle(written, "no use beside --serve, which writes nothing")
    else:
        refuse_idle({"--port": port != 0}, "no use without --serve", "Give --serve, too.")
    experiment, places = load(config, placement, store, sets, place)
    experiment = _judged(experiment, bootstrap, claims or [])
    opened = open_at(places)
    made, _ = make_plan(experiment, config, lenient=True, store=opened)
    if as_json:
        from xtransfer.pruning.pairs import without_pruned
        from xtransfer.report.build import collect_results, results_json

        records = records_of(made, opened)
        tell_partial(made, records, opened)
        print_json(results_json(collect_results(without_pruned(made, records), records)))
        return
    given = command_of(config, sets)
    if serve:
        from xtransfer.cli.watch import serve_report

        serve_report(experiment, places, made, opened, command=given, port=port)
        return
    print(write_report(experiment, made, opened, out, command=given, pictures=png))


def export(
    key: Annotated[
        str,
        typer.Argument(
            help="Key of a pretrain, train, select or average step; with --config, or a target."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Its experiment: the model card then has means over seeds."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            help="Of a target: the row of the table, as it is named there; default: baseline.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of a target: default is the first.")
    ] = None,
    sets: Sets = None,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    place: PlaceSets = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Folder of the base encoder, if it has moved.")
    ] = None,
) -> None:
    """Write a trained model as a Hugging Face folder.

    `AutoModel.from_pretrained` loads its encoder; the head is in head.safetensors, the model card in README.md.

    Example: xtransfer export 3fa1 --out model --store file://runs/demo

    Example: xtransfer export xnli --config configs/quickstart.yaml --after squad_v1 --out model
    """
    from xtransfer.card import Provenance
    from xtransfer.export import export_model, model_of
    from xtransfer.plan import BASELINE

    said = f"xtransfer {shlex.join(sys.argv[1:])}"
    of_a_target = {"--after": after is not None, "--seed": seed is not None}
    if config is None:
        refuse_idle(
            {**of_a_target, "--set": bool(sets)},
            "no use without an experiment",
            "Give --config FILE.",
        )
        _check_key(key, "For a target's model give its experiment, too: --config FILE.")
        opened = open_at(place_at(placement, store, place))
        print(
            export_model(opened, key, out, encoder=encoder, provenance=Provenance(exported_by=said))
        )
        return
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, _ = make_plan(experiment, config, lenient=True, store=opened)
    if key in experiment.target.tasks:
        target, key = key, model_of(made, key, after or BASELINE, seed)
        _check_done(made, opened, key, target, after or BASELINE, seed)
    else:
        targets = f"The targets are: {', '.join(experiment.target.tasks)}."
        refuse_idle(of_a_target, f"no use without a target, and '{key}' is none", targets)
        _check_key(key, targets)
    provenance = Provenance(
        plan=made,
        tasks=experiment.book,
        trained_by=f"xtransfer run {command_of(config, sets)} --store {places.store}",
        exported_by=said,
    )
    print(export_model(opened, key, out, encoder=encoder, provenance=provenance))


def track(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", help="Tracking URI; default: the placement's.")
    ] = None,
    tensorboard: Annotated[
        str | None, typer.Option("--tensorboard", help="Folder; default: the placement's.")
    ] = None,
) -> None:
    """Show every recorded step in MLflow and TensorBoard, once each.

    `run` does so as it goes, where its placement names a tracker (`tracking`).

    Example: xtransfer track configs/my.yaml --mlflow sqlite:///runs/mlflow.db
    """
    from xtransfer.errors import ConfigError
    from xtransfer.tracking import catch_up, sinks_of

    experiment, places = load(config, placement, store, sets, place)
    given = {"mlflow": mlflow, "tensorboard": tensorboard}
    changes = {name: value for name, value in given.items() if value is not None}
    sinks = sinks_of(places.tracking.model_copy(update=changes), experiment.name)
    if not sinks:
        raise ConfigError(
            "tracking", "names no tracker", "Give --mlflow URI or --tensorboard FOLDER."
        )
    opened = open_at(places)
    made, _ = make_plan(experiment, config, lenient=True, store=opened)
    records = records_of(made, opened)
    for sink in sinks:
        new, there = catch_up(sink, made, records)
        print(f"{sink.name}: {new} steps are new, {there} were there")


def _judged(experiment: Experiment, bootstrap: int | None, files: list[Path]) -> Experiment:
    """Return the experiment with another number of resamples and more claims."""
    from xtransfer.config.claims import check_claims, load_claims

    found = (*experiment.claims, *(c for f in files for c in load_claims(f, experiment.book)))
    check_claims(found, experiment.book, " and ".join(map(str, files)))
    statistics = experiment.statistics
    if bootstrap is not None:
        statistics = statistics.model_copy(update={"bootstrap": bootstrap})
    return experiment.model_copy(update={"claims": found, "statistics": statistics})


def _check_key(key: str, remedy: str) -> None:
    """Refuse what cannot be a key: most likely it is the name of a target."""
    from xtransfer.errors import ConfigError

    if set(key) - set(hexdigits):
        raise ConfigError(f"'{key}'", "is no key, which has hex digits only", remedy)


def _check_done(
    made: Plan, opened: Store, key: str, target: str, after: str, seed: int | None
) -> None:
    """Refuse a model that is not there, by the row that was asked for: nobody typed its key."""
    from xtransfer.errors import NotFound, UserError
    from xtransfer.pruning.pairs import pruned_pairs
    from xtransfer.records.lookup import find

    try:
        find(opened, key)
    except NotFound:
        seeds = [c.seed for c in made.cells if (c.target, c.intermediate) == (target, after)]
        seed = seeds[0] if seed is None else seed
        row = f"{target} after {after}{'' if seed is None else f', seed {seed}'}"
        for pair in pruned_pairs(made, records_of(made, opened)):
            if (pair.target, pair.intermediate) == (target, after):
                raise UserError(row, pair.why(), "Export another row.") from None
        raise UserError(
            row, f"is not done in {opened.url}", "Finish it with xtransfer run, or see --store."
        ) from None


def _parent(store: Store, key: str) -> str:
    from xtransfer.errors import NotFound
    from xtransfer.records.lookup import find

    try:
        return find(store, key).folder
    except NotFound:  # a trial that a selection did without, or what was set aside
        return f"{key}, which has no record"
