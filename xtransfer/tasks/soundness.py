"""What of a task's record must fit together: its columns, labels, languages and main score.

Types do not show any of it, and what does not fit would be noticed late, when a first dev set is scored, or
never.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from xtransfer.errors import ConfigError, did_you_mean
from xtransfer.metrics import METRICS_OF
from xtransfer.metrics.qa import MLQA_LANGUAGES
from xtransfer.tasks.task import NO_ANSWER, FormName, Task

FIELDS: Mapping[FormName, Collection[str]] = {
    "classification": ("id", "label", "text_a", "text_b"),
    "choice": ("id", "label", "context", "question", "choices", "choice_labels"),
    "tagging": ("id", "tokens", "tags"),
    "span": ("id", "question", "context", "answers"),
    "bitext": ("foreign", "english"),
}
"""Form -> fields of its examples that a table's columns may be named for."""
POSITIVE = "1"
"""The label whose F1 `accuracy_and_f1` takes."""

_ENTITY = re.compile("O|[BI]-.+")


def check_sound(task: Task, place: str) -> None:
    """Check that the parts of a record fit together.

    Raises:
        ConfigError: naming the field at `place` and the remedy.
    """
    check_columns(task, f"{place}.source.columns")
    known = METRICS_OF[task.form]
    if task.metric not in known:
        raise ConfigError(
            f"{place}.metric",
            f"a {task.form} task has no metric '{task.metric}'",
            f"It has: {', '.join(known)}.",
        )
    if not task.languages:
        raise ConfigError(f"{place}.languages", "needs at least one language")
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


def check_columns(task: Task, place: str) -> None:
    """Check that a source's columns are named for fields of the form's examples.

    Raises:
        ConfigError: naming the first that is not; it would be passed over in silence.
    """
    known = FIELDS.get(task.form, ())
    for name in task.source.columns:
        if name not in known:
            raise ConfigError(
                f"{place}.{name}",
                f"a {task.form} task has no field '{name}'",
                did_you_mean(name, known) or f"It has: {', '.join(known) or 'none'}.",
            )


def _check_labels(task: Task, place: str) -> None:
    labels = task.labels
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
        )
    odd = [each for each in labels if not _ENTITY.fullmatch(each)]
    if task.metric == "span_f1" and odd:
        raise ConfigError(
            f"{place}.labels",
            f"'{odd[0]}' is not O, B-type or I-type, which `span_f1` reads entities from",
            "Put other schemes into these by source.labels.",
        )


def _has(task: Task, split: str) -> bool:
    return bool(task.source.hub) or bool(task.source.files.get(split))  # type: ignore[call-overload]
