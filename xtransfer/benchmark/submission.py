"""The official folder of predictions, from what evaluate steps have recorded.

    <folder>/<task>/test-<lang>.<ext>

One run of every target goes into it: the one after the arm, and with the seed, that is asked for.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xtransfer.benchmark.benchmarks import BENCHMARKS, benchmarks_of
from xtransfer.benchmark.choice import Chosen
from xtransfer.benchmark.formats import file_name, format_of
from xtransfer.errors import DataError, UserError
from xtransfer.plan import Plan
from xtransfer.records.predictions import read_gold, read_predictions
from xtransfer.records.record import Record
from xtransfer.report.contamination import selection_notes
from xtransfer.store import Store
from xtransfer.store.folder import disk_errors
from xtransfer.tasks.task import Task

JsonDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """Files by their names below the folder, and what whoever submits them must know."""

    predictions: Mapping[str, str]
    labels: Mapping[str, str]
    """Empty unless labels were asked for."""
    notes: Sequence[str]


def collect_submission(
    plan: Plan,
    records: Mapping[str, Record],
    store: Store,
    chosen: Sequence[Chosen],
    *,
    with_labels: bool,
) -> Submission:
    """Read the predictions, and labels if asked for, of the chosen runs.

    Args:
        plan: of the experiment.
        records: key -> record of its recorded steps.
        store: where the records' files are.
        chosen: the run of each target.
        with_labels: read gold labels too.

    Raises:
        UserError: where no target is a task of either benchmark.
        DataError: where examples have no gold label, or Tatoeba's files are not those of the run.
        StoreError: where the store fails or a file is not what its record says.
    """
    predictions: dict[str, str] = {}
    labels: dict[str, str] = {}
    notes: list[str] = []
    for each in chosen:
        task, record = plan.tasks[each.cell.target], records[each.cell.key]
        notes.append(each.note())
        if not benchmarks_of(task.name):
            continue
        prepared = records.get(record.inputs["test"])
        notes += [f"{task.name}: {note}" for note in selection_notes(plan, each.cell)]
        notes += _shortfalls(task, record, prepared)
        for language in record.spec["languages"]:
            rows = read_predictions(store, record, language)
            ids = _official_order(plan, task, record, language) or list(rows)
            if set(ids) != set(rows):
                where = f"{task.name} test {language}"
                raise DataError(
                    where,
                    "its data files hold other examples than were predicted for",
                    "Put the files that the run read back below data.root, or run the experiment with those of now.",
                )
            name, form = file_name(task, language), format_of(task)
            predictions[name] = form.write_predictions(ids, [rows[each_id] for each_id in ids])
            if with_labels:
                gold = read_gold(store, records, record, task, language)
                labels[name] = form.write_labels(ids, [gold[each_id] for each_id in ids])
    notes += [
        f"{name} is left out: it is a task of neither benchmark"
        for name in dict.fromkeys(cell.target for cell in plan.cells)
        if not benchmarks_of(name)
    ]
    if not predictions:
        raise UserError(
            "submission",
            "the experiment has no target of XTREME or XTREME-R",
            "Name some as target.tasks, and run it again; they are listed by: xtransfer tasks",
        )
    return Submission(predictions=predictions, labels=labels, notes=notes)


def write_submission(found: Submission, out: Path, labels: Path | None = None) -> None:
    """Write the folders whole or not at all: each appears under its name when all its files are there.

    Raises:
        UserError: where a folder holds something already, or one is in the other.
        StoreError: where the disk refuses.
    """
    check_free(out, labels)
    with _written(found.predictions, out) as first:
        if labels is None:
            _move(first, out)
            return
        with _written(found.labels, labels) as second:
            _move(second, labels)
            _move(first, out)


def check_free(out: Path, labels: Path | None = None) -> None:
    """Raise `UserError` unless the folders are absent or empty, and neither is in the other."""
    folders = [out] if labels is None else [out, labels]
    for folder in folders:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(str(folder), "exists and is not empty", "Give a new folder.")
    one, other = folders[0].resolve(), folders[-1].resolve()
    if labels is not None and (one.is_relative_to(other) or other.is_relative_to(one)):
        raise UserError(
            str(labels), f"is the folder {out}, or one is in the other", "Give two folders."
        )


@contextmanager
def _written(files: Mapping[str, str], target: Path) -> Generator[Path]:
    """Yield a folder beside `target` with all files; it is removed if it was not moved."""
    target = target.absolute()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with disk_errors(target):
            for name, text in files.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="")
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, target: Path) -> None:
    with disk_errors(target):
        temporary.replace(target)  # onto an empty folder too


def _official_order(plan: Plan, task: Task, record: Record, language: str) -> list[str] | None:
    """Return the ids of Tatoeba's English sentences in XTREME's order; None for other tasks.

    XTREME's preparation sorts the English side by its text (utils_preprocess.py), and its labels are
    in that order. The run read the sentences in LASER's, and did not record their text.
    """
    if not format_of(task).sorted_by_text:
        return None
    from xtransfer.steps.prepared import read_again

    found = read_again(plan.steps[record.inputs["test"]], task, language)
    english = [each for each in cast("Any", found.examples) if each.side == "english"]
    return [each.id for each in sorted(english, key=lambda each: each.text.strip())]


def _shortfalls(task: Task, record: Record, prepared: Record | None) -> Iterator[str]:
    """Say where the files hold less than the benchmarks ask for."""
    have = set(record.spec["languages"])
    for benchmark in benchmarks_of(task.name):
        wanted = BENCHMARKS[benchmark].languages[task.name]
        lacking = [code for code in wanted if code not in have]
        if lacking:
            title = BENCHMARKS[benchmark].title
            yield f"{task.name}: {len(lacking)} of {title}'s {len(wanted)} languages are not there"
    counts: dict[str, JsonDict] = {} if prepared is None else prepared.result["languages"]
    cut = [code for code, found in counts.items() if found["used"] < found["available"]]
    if cut:
        yield (
            f"{task.name}: a sample of the test set only, in {len(cut)} languages (data.limits), which "
            "the official labels do not fit"
        )
