"""Commands in the official form of XTREME and XTREME-R: submission and score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    records_of,
)
from xtransfer.cli.output import print_json, print_table

if TYPE_CHECKING:
    from xtransfer.benchmark.scorecard import Scorecard


def submission(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; absent or empty.")],
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after",
            help="Which run: an intermediate task, baseline, or best (each target's by its dev score). "
            "TARGET=NAME is for one target; may be repeated.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the target trials.")] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Folder for the gold labels, in the same form.")
    ] = None,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
) -> None:
    """Write recorded predictions as XTREME and XTREME-R take them.

    The folder has <task>/test-<lang>.<ext> for each target of either benchmark. Tatoeba is in XTREME's
    order, English sentences sorted, so its data files must be there. LAReQA has no official form;
    its file is that of Mewsli-X: {question id: [20 candidate ids]}.

    Example: xtransfer submission configs/my.yaml --after mnli --seed 1 --out submission
    """
    from xtransfer.benchmark.choice import choose_runs
    from xtransfer.benchmark.submission import check_free, collect_submission, write_submission
    from xtransfer.pruning.pairs import pruned_pairs, without_pruned

    check_free(out, labels)
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, missing = make_plan(experiment, config, lenient=True, store=opened)
    records = records_of(made, opened)
    pruned = pruned_pairs(made, records)
    made = without_pruned(made, records)
    if missing:
        print(f"missing inputs: {len(missing)}, the first: {missing[0]}", file=sys.stderr)
    chosen = choose_runs(made, records, after=after or (), seed=seed, pruned=pruned)
    found = collect_submission(made, records, opened, chosen, with_labels=labels is not None)
    write_submission(found, out, labels)
    for note in found.notes:
        print(note, file=sys.stderr)
    print(out)


def score(
    predictions: Annotated[
        Path, typer.Option("--predictions", help="Folder with <task>/test-<lang>.<ext>.")
    ],
    labels: Annotated[Path, typer.Option("--labels", help="Folder with the gold labels.")],
    benchmark: Annotated[
        str, typer.Option("--benchmark", help="xtreme or xtreme-r.", show_default=False)
    ],
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Score the languages that are there; such tasks enter no group score."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a folder of predictions as the official scripts do.

    The files may come from any system, in the layout the official evaluate.py reads. A task's score
    is the unweighted mean over its languages; for question answering it is (mean EM + mean F1) / 2.
    Groups and the overall score are unweighted means over tasks, and are left out while a task is
    missing. The overall score of XTREME-R is the mean over its 10 tasks, LAReQA (mAP@20) and
    Mewsli-X (MRR@20) among them; that is xtransfer's definition, as the official script fails there.

    Example: xtransfer score --predictions submission --labels labels --benchmark xtreme
    """
    from xtransfer.benchmark.benchmarks import get_benchmark
    from xtransfer.benchmark.scorecard import score_folder

    card = score_folder(predictions, labels, get_benchmark(benchmark), partial=partial)
    if as_json:
        print_json(card.to_json())
        return
    _print_card(card)


def _print_card(card: Scorecard) -> None:
    groups = {task: group for group, tasks in card.benchmark.groups.items() for task in tasks}
    print_table(
        ["task", "group", "score", "metric", "languages"],
        [
            [name, groups[name], f"{each.score:.2f}", each.metric, str(len(each.languages))]
            for name, each in card.tasks.items()
        ],
    )
    for name, each in card.tasks.items():
        shown = ("em", "f1") if "em" in each.means else (each.metric,)
        found = (
            f"{code} {'/'.join(f'{scores[part]:.2f}' for part in shown)}"
            for code, scores in each.languages.items()
        )
        print(f"\n{name}, {'/'.join(shown)}: {', '.join(found)}")
    print()
    for group, value in card.groups.items():
        print(f"{group}: {'not complete' if value is None else f'{value:.2f}'}")
    if card.overall is None:
        print("overall: not computed, since tasks are missing or incomplete")
    else:
        print(f"overall: {card.overall:.2f}")
    for name, what in card.gaps.items():
        print(f"incomplete: {name}: {what}")
    for name in card.ignored:
        print(f"ignored: {name} is no task of {card.benchmark.title}")
    print(f"The overall score is {card.benchmark.overall}.")
