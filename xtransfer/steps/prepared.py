"""The prepare step: examples of one task and split, tokenised once, as Arrow files in the store.

{language}.rows.arrow       token ids and labels, memory-mapped by every trial of a node
{language}.examples.jsonl   what decoding and scoring need of each example
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtransfer.data import file_names, read_examples, source_digests
from xtransfer.data.examples import Rows, TaggingExample
from xtransfer.data.samples import cut, hold_out, holdout_setting, spread
from xtransfer.errors import DataError, StepError
from xtransfer.folders import temporary_folder
from xtransfer.plan import Step
from xtransfer.records.fetched import FileState, file_state
from xtransfer.steps.encoder import mask_token
from xtransfer.tasks.task import Hub, Source, Task

if TYPE_CHECKING:
    from xtransfer.forms.encoding import Encoded
    from xtransfer.train.prediction import DataSet


def prepare(
    step: Step,
    *,
    task: Task,
    tokenizer: Any,
    folder: Path,
    report: Callable[[str, float], None],
    labels: Sequence[str] | None = None,
    longest: int | None = None,
    vocabulary: int | None = None,
) -> dict[str, Any]:
    """Tokenise what the step names into `folder`; return counts by language for the record.

    Args:
        step: a prepare step.
        task: the plan's task of that name.
        tokenizer: of the encoder.
        folder: where the files go.
        report: told each language and the share of languages done.
        labels: those of the training data, for the dev and test data of a task that has no others.
        longest: tokens that the encoder has positions for; None: not known.
        vocabulary: token ids that the encoder has embeddings for; None: not known.

    Raises:
        DataError: where data cannot be read, or an input is longer than the encoder can take.
        StepError: where the tokenizer gives ids that the encoder does not have, or for text has no mask token.
    """
    from xtransfer.forms import longest_sequence

    spec = step.spec
    task = task_of(step, task)
    if task.form == "mlm":
        mask_token(tokenizer, f"{task.name} {spec['role']}")
    languages: dict[str, Any] = {}
    result: dict[str, Any] = {"languages": languages}
    with _data_root(step) as root:
        selections: Iterable[_Selection] = _select(task, spec, root)
        if "spread" in spec:
            selections = _spread(list(selections), **spec["spread"])
        if task.labels_from_data:
            if labels is None:
                selections = list(selections)
                labels = sorted({tag for each in selections for tag in _tags(each.rows)})
            task = task.model_copy(update={"labels": tuple(labels)})
            result["labels"] = list(labels)
        for number, selection in enumerate(selections):
            language = selection.language
            report(language, number / len(spec["data"]))  # it is read, which may take a while
            encoded = _encode(selection.rows, task, spec, tokenizer)
            where = f"{task.name} {spec['role']} {language}"
            _check_length(longest_sequence(task.form, encoded), longest, where)
            _check_ids(encoded, vocabulary, where)
            _write(folder, language, task, encoded, selection.rows)
            languages[language] = _counts(selection, encoded)
            report(language, (number + 1) / len(spec["data"]))
    return result


def _encode(rows: Rows, task: Task, spec: Mapping[str, Any], tokenizer: Any) -> Encoded:
    from xtransfer.forms import FORMS

    return FORMS[task.form].encode(
        rows.examples,
        tokenizer,
        labels=task.labels,
        max_length=spec["max_length"],
        stride=spec["stride"] or 0,
    )


def _write(folder: Path, language: str, task: Task, encoded: Encoded, rows: Rows) -> None:
    """Write the two files of one language, which `read_data_set` reads."""
    from xtransfer.forms import FORMS
    from xtransfer.forms.files import write_rows

    write_rows(folder / f"{language}.rows.arrow", encoded)
    with (folder / f"{language}.examples.jsonl").open("w", encoding="utf-8") as file:
        for example in rows.examples:
            described = FORMS[task.form].describe(example)
            file.write(json.dumps(described, ensure_ascii=False) + "\n")


def _counts(selection: _Selection, encoded: Encoded) -> dict[str, Any]:
    """Return what a record says of one language: examples of the files and used, rows, tokens, what was cut."""
    ids = encoded.columns["input_ids"]
    return {
        "read": selection.read,
        "available": selection.available,
        "used": len(selection.rows.examples),
        "rows": len(ids),
        "tokens": sum(map(len, ids)),
        "skipped": dict(selection.rows.skipped),
        **{name: count for name, count in encoded.counts.items() if count},
    }


def _check_length(most: int, longest: int | None, where: str) -> None:
    """Find out now what would end training or evaluation in the middle."""
    if longest is not None and most > longest:
        raise DataError(
            where,
            f"has an input of {most} tokens, and the encoder has positions for {longest}",
            "Set a smaller max_length: in intermediate.overrides or target.overrides, or of an arm's text.",
        )


def _check_ids(encoded: Encoded, vocabulary: int | None, where: str) -> None:
    most = max((max(ids, default=0) for ids in encoded.columns["input_ids"]), default=0)
    if vocabulary is not None and most >= vocabulary:
        raise StepError(
            where,
            f"the tokenizer gives the id {most}, and the encoder has embeddings for {vocabulary} tokens",
            "Is it the tokenizer of this encoder? Take both from one place.",
        )


def read_again(step: Step, task: Task, language: str) -> Rows:
    """Return the examples of a prepare step in one language, from the data files.

    Args:
        step: a prepare step of a test set.
        task: the plan's task of that name.
        language: one of the step's.

    Raises:
        DataError: where a file is missing, or is not the one that was prepared.
    """
    spec = step.spec
    with _data_root(step) as root:
        return _select_language(task_of(step, task), spec, language, root).rows


def task_of(step: Step, task: Task) -> Task:
    """Return the task of a prepare step as the experiment or the arm changed it (source, labels)."""
    spec, where = step.spec, step.where
    hub = tuple(Hub.model_validate(place) for place in where.get("hub") or ())
    source = Source.model_validate(
        {**spec["source"], "files": {spec["split"]: tuple(where["files"])}, "hub": hub}
    )
    return task.model_copy(
        update={"source": source, "labels": tuple(spec["labels"]), "form": spec["form"]}
    )


def read_data_set(folder: Path, language: str) -> DataSet:
    """Return the rows and examples of one language; kept, since trials of a sweep share them.

    Not beyond the files that they were read from: rows are pages of theirs, and a file that was damaged on the
    node is fetched again.
    """
    paths = folder / f"{language}.rows.arrow", folder / f"{language}.examples.jsonl"
    return _read_data_set(*paths, tuple(map(file_state, paths)))


@lru_cache(maxsize=64)
def _read_data_set(rows: Path, examples: Path, _: tuple[FileState | None, ...]) -> DataSet:
    from xtransfer.forms.files import read_rows
    from xtransfer.train.prediction import DataSet

    with examples.open(encoding="utf-8") as file:
        read = [json.loads(line) for line in file]
    return DataSet(rows=read_rows(rows), examples=read)


@dataclass(frozen=True, kw_only=True)
class _Selection:
    """What a step uses of one language."""

    language: str
    read: int
    """Examples of the files."""
    available: int
    """Of them, those for this step's role."""
    rows: Rows


def _select(task: Task, spec: Mapping[str, Any], root: Path) -> Iterator[_Selection]:
    """Read one language after the other, so that no more than one is in memory."""
    for language in spec["data"]:
        yield _select_language(task, spec, language, root)


def _select_language(task: Task, spec: Mapping[str, Any], language: str, root: Path) -> _Selection:
    _check_unchanged(task, spec, language, root)
    found = read_examples(task, split=spec["split"], language=language, root=root)
    held, limit = found, spec["limit"]
    if spec["holdout"] is not None:
        held = hold_out(
            found,
            spec["role"],
            **spec["holdout"],
            setting=holdout_setting(task),
            file=", ".join(file_names(task, split=spec["split"], language=language)),
        )
    return _Selection(
        language=language,
        read=len(found.examples),
        available=len(held.examples),
        rows=held if limit is None else cut(held, limit["examples"], seed=limit["seed"]),
    )


def _spread(
    selections: Sequence[_Selection], *, examples: int | None, seed: int
) -> list[_Selection]:
    rows = spread({each.language: each.rows for each in selections}, examples, seed=seed)
    return [replace(each, rows=rows[each.language]) for each in selections]


def _tags(found: Rows) -> Iterator[str]:
    """Yield every tag of tagged sentences."""
    for example in found.examples:
        assert isinstance(example, TaggingExample)
        yield from example.tags or ()


def _check_unchanged(task: Task, spec: Mapping[str, Any], language: str, root: Path) -> None:
    """Refuse files that are no longer those whose digests are in the step's key."""
    planned = spec["data"][language]
    if isinstance(planned, dict) and "synthetic" in planned:
        return
    if source_digests(task, split=spec["split"], language=language, root=root) != planned:
        raise DataError(
            f"{task.name} {spec['split']} {language}",
            "its files changed after the run was planned",
            "Start the run again: it plans anew.",
        )


@contextmanager
def _data_root(step: Step) -> Iterator[Path]:
    """Yield the folder with the data files; artificial languages are written to a temporary one."""
    synthetic = next(
        (
            identity["synthetic"]
            for identity in step.spec["data"].values()
            if isinstance(identity, dict) and "synthetic" in identity
        ),
        None,
    )
    if synthetic is None:
        yield Path(step.where["root"])
        return
    with temporary_folder() as folder:
        write_synthetic(synthetic, folder)
        yield folder


def write_synthetic(settings: dict[str, Any], root: Path) -> Any:
    """Write the artificial languages that `settings` describes; return their `World`."""
    from xtransfer.data.synthetic import Sizes, World, write_world

    world = World(seed=settings["seed"], sizes=Sizes(**settings["options"]))
    write_world(world, root)
    return world
