"""Commands on data sets before anything is trained: `xtransfer data check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import AsJson, Config, Sets
from xtransfer.cli.output import print_json, print_table

if TYPE_CHECKING:
    from xtransfer.doctor.survey import Survey

commands = typer.Typer(
    name="data", no_args_is_help=True, rich_markup_mode=None, help="Look into data sets."
)


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def check(
    config: Config,
    sets: Sets = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read every data file of an experiment and tell what is wrong.

    It counts rows, labels, lengths and duplicates, and compares data sets that meet in one model.
    Exits with 2 on errors (unreadable files, missing languages, unknown or absent labels) and, with
    --strict, on warnings, above all test data the model has already been trained on.

    Example: xtransfer data check configs/real_small.yaml
    """
    from rich.console import Console

    from xtransfer.config.experiment import load_experiment
    from xtransfer.doctor import examine
    from xtransfer.doctor.findings import LEVELS

    experiment = load_experiment(config, sets or ())
    with Console(stderr=True).status("reading") as status:
        found = examine(experiment, tell=lambda text: status.update(f"reading {text}"))
    counts = {level: found.count(level) for level in LEVELS}
    if as_json:
        print_json(
            {
                "experiment": experiment.name,
                "counts": counts,
                "findings": [vars(finding) for finding in found.findings],
                "data_sets": [each.to_json() for each in found.surveys],
            }
        )
    else:
        _print_surveys(found.surveys)
        for finding in found.findings:
            print(f"{finding.level:<8} {finding.kind}: {finding}")
        print(", ".join(f"{counts[level]} {level}" for level in LEVELS))
    if counts["error"] or (strict and counts["warning"]):
        raise typer.Exit(2)


def _print_surveys(surveys: tuple[Survey, ...]) -> None:
    if not surveys:
        return
    head = [
        "task",
        "split",
        "lang",
        "rows",
        "used",
        "labels",
        "most",
        "chars",
        "p99",
        "max",
        "words",
    ]
    rows = [
        [
            each.data.name,
            each.data.role,
            each.data.language,
            str(each.rows),
            str(each.used),
            str(len(each.labels) or "-"),
            _most(each),
            *(str(value) for value in vars(each.characters).values()),
            str(each.words.median),
            str(each.duplicates),
            str(each.conflicts),
        ]
        for each in surveys
    ]
    print_table([*head, "dup", "conflict"], rows)
    print()


def _most(each: Survey) -> str:
    """Return the share of the most frequent label, of words where they have labels."""
    total = sum(each.labels.values())
    return f"{100 * max(each.labels.values()) / total:.1f}%" if total else "-"
