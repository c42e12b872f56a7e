"""What of a task's record must fit together: its columns, labels, languages and main score.

Types do not show any of it, and what does not fit would be noticed late, when a first dev set is scored, or
never.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from xtransfer.errors import ConfigError, did_you_mean
from xtransfer.metrics import METRICS_OF
from xtransfer.metrics.classification import POSITIVE
from xtransfer.metrics.qa import MLQA_LANGUAGES
from xtransfer.tasks.task import NO_ANSWER, Format, FormName, Stage, Task, files_fault

_TABLES: tuple[Format, ...] = ("tsv", "csv", "jsonl", "json", "hub")
_OF_TABLES = ("columns", "header", "rows", "skip_short_rows")
"""Fields of a source that say how tables are read."""
FORMATS: Mapping[FormName, Collection[Format]] = {
    "classification": _TABLES,
    "choice": _TABLES,
    "tagging": ("conll", "ccg", *_TABLES),
    "span": ("squad", *_TABLES),
    "bitext": ("bitext", "mining", "hub"),
    "retrieval": ("squad", "mentions"),
    "mlm": ("text",),
}
"""Form -> formats that its examples can be read from."""
FIELDS: Mapping[FormName, Collection[str]] = {
    "classification": ("id", "label", "text_a", "text_b"),
    "choice": ("id", "label", "context", "question", "choices", "choice_labels"),
    "tagging": ("id", "tokens", "tags"),
    "span": ("id", "question", "context", "answers"),
    "bitext": ("foreign", "english"),
}
"""Form -> fields of its examples that a table's columns may be named for."""
_UNTRAINED: Collection[FormName] = ("bitext", "mlm")
"""Forms that no stage trains: they have no head for examples with a label."""
_LABELLED: Collection[FormName] = ("classification", "choice", "tagging")
"""Forms whose examples have a label."""
_STRIDE = Stage.model_fields["stride"].default

_ENTITY = re.compile("O|[BI]-.+")


def check_sound(task: Task, place: str) -> None:
    """Check that the parts of a record fit together.

    Raises:
        ConfigError: naming the field at `place` and the remedy.
    """
    check_source(task, f"{place}.source")
    known = METRICS_OF[task.form]
    if task.metric not in known:
        raise ConfigError(
            f"{place}.metric",
            f"a {task.form} task has no metric '{task.metric}'",
            f"It has: {', '.join(known)}.",
        )
    if not task.languages:
        raise ConfigError(
            f"{place}.languages", "needs at least one language", "Name those of its test set."
        )
    _check_labels(task, place)
    unruled = {*task.languages, *task.more_languages} - set(MLQA_LANGUAGES)
    if task.metric == "mlqa" and unruled:
        raise ConfigError(
            f"{place}.metric",
            f"MLQA has no rules for {', '.join(sorted(unruled))}",
            "Take `qa`, which has the same for every language.",
        )
    if task.source.format == "mining" and task.stages is not None and not _has(task, "dev"):
        raise ConfigError(
            f"{place}.source.files",
            "have no `dev`, which the threshold of mined pairs is chosen on",
            "Name the files of a dev set.",
        )
    if task.form == "bitext" and not task.source.hub:
        mined = task.source.format == "mining"
        if mined != (task.metric == "f1"):
            raise ConfigError(
                f"{place}.metric",
                f"'{task.metric}' is not scored on files of the format '{task.source.format}'",
                "Take accuracy for pairs line by line (bitext), f1 for pairs that are to be found (mining).",
            )
    _check_used(task, place)


def check_source(task: Task, place: str) -> None:
    """Check that a source can be read as the form's examples, and that its columns are their fields.

    Raises:
        ConfigError: naming what cannot be, or would be passed over in silence.
    """
    source, formats = task.source, FORMATS[task.form]
    if source.format not in formats and not source.hub:
        raise ConfigError(
            f"{place}.format",
            f"a {task.form} task is not read from '{source.format}'",
            f"It is from: {', '.join(formats)}.",
        )
    if source.format == "hub" and not source.hub:
        raise ConfigError(f"{place}.hub", "is empty, but the format is 'hub'", "Name a data set.")
    of_tables = [name for name in _OF_TABLES if getattr(source, name)]
    if source.format not in _TABLES and not source.hub and of_tables:
        raise ConfigError(
            f"{place}.{of_tables[0]}",
            f"is for tables: what is where in a '{source.format}' file is fixed",
            "Leave it out, or write the data as a table: tsv, csv, jsonl or json.",
        )
    if source.rows and source.hub:
        raise ConfigError(
            f"{place}.rows",
            "is for files, and the source is on the hub",
            "Say it of `hub`: hub[].rows.",
        )
    for split, templates in source.files.items():
        if fault := files_fault(templates):
            raise ConfigError(f"{place}.files.{split}", fault)
    for name, given in (("labels", source.labels), ("skip_labels", source.skip_labels)):
        if given and task.form not in _LABELLED:
            raise ConfigError(
                f"{place}.{name}",
                f"is for labels, and a {task.form} task has none",
                "Leave it out.",
            )
        if given and source.format == "ccg" and not source.hub:
            raise ConfigError(
                f"{place}.{name}",
                "is for labels, and the categories of 'ccg' files are taken as they are",
                "Leave it out, or write the data as a table: tsv, csv, jsonl or json.",
            )
    if source.header and source.format in ("jsonl", "json"):
        raise ConfigError(
            f"{place}.header",
            f"is for tsv and csv: '{source.format}' names the fields of each row",
            "Leave it out.",
        )
    for name, label in source.labels.items():
        if task.labels and label not in (*task.labels, *source.skip_labels):
            raise ConfigError(
                f"{place}.labels.{name}",
                f"'{label}' is no label of the task",
                did_you_mean(label, task.labels) or f"It has: {_listed(task.labels)}.",
            )
    known = FIELDS.get(task.form, ())
    for name in source.columns:
        if name not in known:
            raise ConfigError(
                f"{place}.columns.{name}",
                f"a {task.form} task has no field '{name}'",
                did_you_mean(name, known) or f"It has: {', '.join(known) or 'none'}.",
            )


def check_stages(task: Task, book: Mapping[str, Task], place: str) -> None:
    """Check that what a task's stages train can do the task.

    The outputs of the head that its last stage trains are read as the task's own labels.

    Args:
        task: a record whose stages name tasks of `book`.
        book: every task there is.
        place: of the record.

    Raises:
        ConfigError: naming the stage and the remedy.
    """
    own = task.as_intermediate
    if own is not None and own.task != task.name:
        raise ConfigError(
            f"{place}.as_intermediate.task",
            f"is '{own.task}', but as an intermediate task '{task.name}' is trained on itself",
            "Leave it out.",
        )
    for name, stage in _trained_by(task):
        if book[stage.task].form in _UNTRAINED:
            raise ConfigError(
                f"{place}.{name}",
                f"'{stage.task}' is of the form '{book[stage.task].form}', which no stage trains",
                "Unlabelled text is what an arm's `text` names; sentence pairs are for evaluation.",
            )
    if task.stages is None or task.form == "bitext":  # sentences are compared without a head
        return
    if not task.stages:
        raise ConfigError(
            f"{place}.stages",
            f"are none, but a {task.form} task has a head, which must be trained",
            "Give epochs, batch_size and max_length of one.",
        )
    _check_last(task, task.stages[-1], book, f"{place}.stages[{len(task.stages) - 1}].task")


def _trained_by(task: Task) -> Iterator[tuple[str, Stage]]:
    if task.as_intermediate is not None:
        yield "as_intermediate", task.as_intermediate
    for index, stage in enumerate(task.stages or ()):
        yield f"stages[{index}].task", stage


def _check_last(task: Task, stage: Stage, book: Mapping[str, Task], place: str) -> None:
    last = book[stage.task]
    if last.form != task.form:
        raise ConfigError(
            place,
            f"'{last.name}' is a {last.form} task, and its head cannot do this {task.form} task",
            "Let the last stage be of a task of the same form.",
        )
    if task.form != "choice" and last.labels != task.labels:
        raise ConfigError(
            place,
            f"'{last.name}' has other labels, or in another order: {_listed(last.labels)}",
            "Give this task the same labels, and by source.labels what its files write for them.",
        )


def _check_used(task: Task, place: str) -> None:
    """Refuse fields of a record that nothing of its form, or nothing beside its other fields, reads."""
    if task.scoring != "cosine" and task.form != "bitext":
        what = f"is for sentence pairs, and a {task.form} task has none"
        raise ConfigError(f"{place}.scoring", what, "Leave it out.")
    if task.labels and task.form not in (*_LABELLED, "span"):
        what = f"are given, and a {task.form} task has none"
        raise ConfigError(f"{place}.labels", what, "Leave them out.")
    if task.form == "bitext" and task.metric != "f1" and task.source.files.get("dev"):
        raise ConfigError(
            f"{place}.source.files.dev",
            "is for the threshold of mined pairs (metric f1), and pairs line by line have none",
            "Leave it out.",
        )
    if both := sorted({*task.languages} & {*task.more_languages}):
        what = f"has '{both[0]}', which `languages` has already"
        raise ConfigError(f"{place}.more_languages", what, "Leave it out of one of them.")
    for name, stage in _trained_by(task):
        if stage.task == task.name and task.form != "span" and stage.stride != _STRIDE:
            raise ConfigError(
                f"{place}.{name.removesuffix('.task')}.stride",
                f"only tasks of the form span have windows, and '{task.name}' has none",
                "Leave it out.",
            )


def _check_labels(task: Task, place: str) -> None:
    labels = task.labels
    if len(set(labels)) != len(labels) or "" in labels:
        what = "an empty one" if "" in labels else "a repeated one"
        raise ConfigError(f"{place}.labels", f"have {what}: {_listed(labels)}", "Take it out.")
    if task.form == "classification" and len(labels) == 1:
        what = f"are one, {labels[0]!r}, and there is nothing to tell apart"
        raise ConfigError(f"{place}.labels", what, "List all of them.")
    if task.form == "choice" and not labels and "choice_labels" not in task.source.columns:
        raise ConfigError(
            f"{place}.labels",
            "are none, so it is not known what the files write for the first answer, the second ...",
            "List them, or name the column of each row's own names as source.columns.choice_labels.",
        )
    if task.metric == "accuracy_and_f1" and (len(labels) != 2 or POSITIVE not in labels):
        raise ConfigError(
            f"{place}.labels",
            f"`accuracy_and_f1` takes the F1 of label '{POSITIVE}' of two",
            "Name them '0' and '1', and what the files write by source.labels.",
        )
    if (task.metric == "squad_v2") != (labels == (NO_ANSWER,)) and task.form == "span":
        raise ConfigError(
            f"{place}.labels",
            f"a span task has the label '{NO_ANSWER}' with the metric squad_v2, and none without",
            f"Set both (metric: squad_v2, labels: [{NO_ANSWER}]), or another metric and no labels.",
        )
    odd = [each for each in labels if not _ENTITY.fullmatch(each)]
    if task.metric == "span_f1" and odd:
        raise ConfigError(
            f"{place}.labels",
            f"'{odd[0]}' is not O, B-type or I-type, which `span_f1` reads entities from",
            "Put other schemes into these by source.labels.",
        )


def _listed(labels: Collection[str]) -> str:
    names = [repr(each) for each in labels]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "none"


def _has(task: Task, split: str) -> bool:
    return bool(task.source.hub) or bool(task.source.files.get(split))  # type: ignore[call-overload]
