"""The arguments that commands share, and what they open with them: experiment, plan and store."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Container, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from xtransfer.config.experiment import Experiment
    from xtransfer.config.placement import Placement
    from xtransfer.plan import Plan
    from xtransfer.records.record import Record
    from xtransfer.report.answer import Answer
    from xtransfer.report.results import ReportInfo, Result
    from xtransfer.report.study import Study
    from xtransfer.store import ObjectInfo, Store

Config = Annotated[Path, typer.Argument(help="Experiment, a YAML file.", show_default=False)]
PlacementFile = Annotated[
    Path | None,
    typer.Option("--placement", help="Where and how to run, a YAML file; default: this machine."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="file://FOLDER or s3://BUCKET/PREFIX; default: the placement's, file://runs/store.",
    ),
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
Context = Annotated[
    str | None, typer.Option("--context", help="Of your kubeconfig; default: the current one.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Default: the overlay's, else the context's."),
]


def load(
    config: Path,
    placement: Path | None,
    store: str | None,
    sets: list[str] | None,
    place: list[str] | None,
) -> tuple[Experiment, Placement]:
    """Read the experiment and the placement that a command names."""
    from xtransfer.config.experiment import load_experiment

    return load_experiment(config, sets or ()), place_at(placement, store, place)


def place_at(path: Path | None, store: str | None, place: list[str] | None) -> Placement:
    """Read a placement; `--store` wins over what it says."""
    from xtransfer.config.placement import load_placement

    found = load_placement(path, place or ())
    return found if store is None else found.model_copy(update={"store": store})


def refuse_idle(given: Mapping[str, bool], why: str, remedy: str = "Leave it out.") -> None:
    """Refuse options that would do nothing where they were given: they would be taken to have done it.

    Args:
        given: option -> whether it was given.
        why: what keeps it from doing anything.
        remedy: what to do instead.

    Raises:
        ConfigError: naming the options.
    """
    from xtransfer.errors import ConfigError

    if idle := [option for option, there in given.items() if there]:
        raise ConfigError(" and ".join(idle), why, remedy)


def make_plan(
    experiment: Experiment, config: Path, *, lenient: bool, store: Store | None = None
) -> tuple[Plan, list[str]]:
    """Return the plan and the inputs it could not find (`lenient`; else they are an error).

    Data whose files are gone are taken for those that the store's records name, with a word to say so.

    Raises:
        ConfigError: what only a plan shows to be wrong; `config`, the experiment's file, is named.
    """
    from xtransfer.errors import ConfigError
    from xtransfer.planner.fingerprints import Fingerprints
    from xtransfer.planner.planner import build_plan
    from xtransfer.planner.remembered import RememberedData

    remembered = None if store is None else RememberedData(store)
    fingerprints = Fingerprints(experiment, lenient=lenient, remembered=remembered)
    try:
        made = build_plan(experiment, fingerprints)
    except ConfigError as error:  # the planner knows settings, and not whose
        raise ConfigError(f"{config}: {error.where}", error.what, error.next) from error
    for text in dict.fromkeys(fingerprints.recalled):
        print(f"xtransfer: taken as recorded: {text}", file=sys.stderr)
    return made, list(dict.fromkeys(fingerprints.missing))


def refuse_lengths(
    experiment: Experiment, made: Plan, config: Path, recorded: Container[str]
) -> None:
    """Refuse inputs that may be longer than what the encoder's folder has positions for, but those that are done."""
    from xtransfer.config.anatomy import anatomy_of, check_length

    folder = experiment.encoder.folder
    if folder is None:
        return
    anatomy = anatomy_of(folder)
    for key, step in made.steps.items():
        if step.kind == "prepare" and key not in recorded:
            where = f"{config}: {step.spec['task']} {step.spec['role']}"
            check_length(step.spec["max_length"], anatomy, where)


def open_at(placement: Placement) -> Store:
    """Open a placement's store."""
    from xtransfer.store import StoreOptions, open_store

    return open_store(placement.store, options=StoreOptions(**placement.s3.model_dump()))


def records_of(made: Plan, store: Store) -> dict[str, Record]:
    """Return key -> record of the plan's recorded steps; a damaged one counts as none, and is named."""
    kinds = {step.kind for step in made.steps.values()}
    return records_in(made, store, kinds, keys=made.steps)


def records_in(
    made: Plan,
    store: Store,
    kinds: Iterable[str] | None = None,
    *,
    keys: Container[str] | None = None,
    known: MutableMapping[ObjectInfo, Record] | None = None,
) -> dict[str, Record]:
    """Return key -> record of a store, other plans' too, of all kinds or of some; damaged ones as above.

    `keys`: of the steps that are wanted, None: all. `known`: those that were read before, as `load_records`
    takes and keeps them.
    """
    from xtransfer.errors import IntegrityError
    from xtransfer.plan import VERSIONS
    from xtransfer.records.record import load_records
    from xtransfer.records.results import check_result

    metrics = {cell.key: made.tasks[cell.target].metric for cell in made.cells}
    found: dict[str, Record] = {}
    kinds = VERSIONS if kinds is None else kinds
    every = load_records(store, kinds, keys=keys, damaged=_tell_damage, known=known)
    for key, record in every.items():
        try:
            check_result(record, metrics.get(key, ""), url=store.url)
        except IntegrityError as error:
            _tell_damage(error)
            continue
        found[key] = record
    return found


def _tell_damage(error: Exception) -> None:
    print(f"xtransfer: damaged: {error}", file=sys.stderr)


def command_of(config: Path, sets: list[str] | None) -> str:
    """Return an experiment's file and settings as a command takes them."""
    return shlex.join([str(config), *(part for each in sets or () for part in ("--set", each))])


class Findings(NamedTuple):
    """All that a report is rendered from."""

    results: list[Result]
    info: ReportInfo
    answer: Answer
    study: Study


def findings_of(
    experiment: Experiment, made: Plan, records: Mapping[str, Record], store: Store, *, command: str
) -> Findings:
    """Return what the records of a plan say."""
    from xtransfer.pruning.pairs import pruned_pairs, without_pruned
    from xtransfer.records.failures import noted
    from xtransfer.report.build import answer_of, collect_results, describe_run
    from xtransfer.report.study import study_of

    info = describe_run(experiment, made, records, noted(store))
    pruned = pruned_pairs(made, records)
    made = without_pruned(made, records)
    results = collect_results(made, records)
    answer = answer_of(experiment, made, results, info, store=store, records=records, pruned=pruned)
    study = study_of(experiment, made, records, store=store, command=command)
    return Findings(results, info, answer, study)


def tell_partial(made: Plan, records: Mapping[str, Record], store: Store) -> None:
    """Say on stderr how many scores there are, where some are not: it may be the wrong store."""
    from xtransfer.pruning.pairs import without_pruned

    cells = without_pruned(made, records).cells
    scored = sum(cell.key in records for cell in cells)
    if scored < len(cells):
        what = "has the others not yet" if records else "holds no record of this plan"
        print(f"partial: {scored} of {len(cells)} scores; {store.url} {what}", file=sys.stderr)


def write_report(
    experiment: Experiment,
    made: Plan,
    store: Store,
    out: Path | None,
    *,
    command: str,
    pictures: bool = False,
) -> str:
    """Write the report's files to `out`, or into the store; return where report.html is."""
    from xtransfer.records.layout import REPORTS
    from xtransfer.report.tables import render
    from xtransfer.store.folder import disk_errors
    from xtransfer.store.unfinished import replacing

    prefix = f"{REPORTS}/{experiment.name}-{made.key}"
    records = records_of(made, store)
    results, info, answer, study = findings_of(experiment, made, records, store, command=command)
    texts = render(results, experiment=info, answer=answer, study=study)
    files = {name: text.encode() for name, text in texts.items()}
    if pictures:
        from xtransfer.report.pictures import draw_pictures

        files |= draw_pictures(answer, study)
    if out is None:
        for name, data in files.items():
            store.write(f"{prefix}/{name}", data)
    else:
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                with replacing(out / name) as temporary:
                    temporary.write_bytes(data)
    tell_partial(made, records, store)
    return f"{store.url}/{prefix}/report.html" if out is None else str(out / "report.html")
