"""The cheap part of the check: every file is there, opens, and its first rows are what they should be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from xtransfer.data import read_first
from xtransfer.data.examples import ChoiceExample, PairExample, TaggingExample
from xtransfer.doctor.needs import DataSet, absent_root, data_sets
from xtransfer.errors import DataError
from xtransfer.plan import Plan

FIRST_ROWS = 50


def first_look(
    plan: Plan, *, recorded: Collection[str] = (), missing: Sequence[str] = ()
) -> list[str]:
    """Return what is wrong with the inputs of a run, one line each; all of it, not the first.

    Args:
        plan: what is to be run.
        recorded: keys of the steps that are done: they need no data any more.
        missing: what the plan could not find when it was made.
    """
    sets = list(_to_read(plan, recorded))
    fault = absent_root(sets)
    if fault:  # one line for it, not one for each file
        encoder = [text for text in missing if text.startswith("encoder")]
        return [*encoder, f"data.root: {fault}"]
    problems = dict.fromkeys(missing)
    for each in sets:
        try:
            rows = read_first(
                each.task,
                split=each.split,
                language=each.language,
                root=each.root,
                count=FIRST_ROWS,
            )
            if each.role == "test" and _without_labels(rows.examples):
                raise DataError(
                    f"{each.task.name} {each.split} {each.language}",
                    f"none of the first {len(rows.examples)} rows has a label, so nothing can be scored",
                    "XTREME's prepared test files carry none: bring the labelled files.",
                )
        except DataError as error:
            problems[str(error)] = None
    return list(problems)


def _without_labels(examples: Sequence[object]) -> bool:
    """Say whether there are rows, and none has a label or tags; answers and matches are not looked for."""
    kinds = (PairExample, ChoiceExample, TaggingExample)
    golds = [
        each.tags if isinstance(each, TaggingExample) else each.label
        for each in examples
        if isinstance(each, kinds)
    ]
    return bool(golds) and all(gold is None for gold in golds)


def _to_read(plan: Plan, recorded: Collection[str]) -> Iterator[DataSet]:
    """Yield each data set once that a run reads from files; artificial languages have none."""
    seen: set[str] = set()
    for key, sets in data_sets(plan).items():
        identities = plan.steps[key].spec["data"]
        for each in sets:
            identity = identities[each.language]
            synthetic = isinstance(identity, dict) and "synthetic" in identity
            if key not in recorded and not synthetic and each.source not in seen:
                seen.add(each.source)
                yield each
