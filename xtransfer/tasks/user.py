"""Tasks of the user's own: records in YAML, in the experiment or in files that it names.

Short forms are written out before a record is checked: `like` starts from a built-in task, and a stage
without `task` trains on the task itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from xtransfer.errors import ConfigError
from xtransfer.mistakes import explain
from xtransfer.settings import check_languages, expanded, read_yaml
from xtransfer.tasks import TASKS, get_task
from xtransfer.tasks.soundness import check_sound, check_source, check_stages
from xtransfer.tasks.task import Source, Task

_NAME = re.compile(r"[a-z][a-z0-9_+-]{0,29}")
_LABELS_NEEDED = ("classification", "tagging")
"""Forms whose record says its labels; of a choice task a column may say them row by row."""


def complete_user_tasks(raw: dict[str, Any], path: Path) -> None:
    """Write out the short forms of an experiment's `tasks`, in place.

    Raises:
        ConfigError: for a file that cannot be read, or an unknown task behind `like`.
    """
    entries = raw.get("tasks")
    if not isinstance(entries, list):
        return
    for index, entry in enumerate(cast("list[Any]", entries)):
        where = f"{path}: tasks[{index}]"
        if isinstance(entry, str):
            entry = _read(path.parent / expanded(entry), where)  # noqa: PLW2901 - the file is the entry
        if isinstance(entry, dict):
            entries[index] = _complete(cast("dict[str, Any]", entry), where)


def check_user_tasks(tasks: tuple[Task, ...], book: Mapping[str, Task], where: str) -> None:
    """Check what a record's types do not say: names, metrics, labels and stages.

    Raises:
        ConfigError: naming the record, the field and the remedy.
    """
    seen: set[str] = set()
    for index, task in enumerate(tasks):
        place = f"{where}: tasks[{index}]"
        if not _NAME.fullmatch(task.name):
            raise ConfigError(
                f"{place}.name",
                f"'{task.name}' is not a name",
                "Write 1 to 30 of a-z, 0-9, '-', '_' and '+', beginning with a letter.",
            )
        if task.name in TASKS or task.name in seen:
            what = "built in" if task.name in TASKS else "there twice"
            raise ConfigError(f"{place}.name", f"'{task.name}' is {what}", "Choose another name.")
        seen.add(task.name)
        check_sound(task, place)
        for field, codes in (
            ("languages", task.languages),
            ("more_languages", task.more_languages),
            ("train_language", (task.train_language,)),
        ):
            try:
                check_languages(codes)
            except ValueError as error:
                raise ConfigError(f"{place}.{field}", str(error)) from None
        if task.form in _LABELS_NEEDED and not task.labels and not task.labels_from_data:
            raise ConfigError(f"{place}.labels", f"a {task.form} task needs its labels")
        if task.labels_from_data and (task.form != "tagging" or task.stages is not None):
            raise ConfigError(
                f"{place}.labels_from_data",
                "is for tagging tasks that are no targets",
                "List them.",
            )
        if task.labels_from_data and task.labels:
            raise ConfigError(
                f"{place}.labels_from_data",
                "takes the labels from the training data, and `labels` lists them, too",
                "Leave one of them out.",
            )
        for stage in (task.as_intermediate, *(task.stages or ())):
            if stage is not None:
                get_task(stage.task, f"{place}.stages", book)
        check_stages(task, book, place)
        if task.as_intermediate is None and task.stages is None:
            raise ConfigError(
                place,
                "says neither `as_intermediate` nor `stages`, so it can be used for nothing",
                "Give the epochs, batch_size and max_length of one of them.",
            )


def patched(task: Task, changes: Mapping[str, Any], where: str) -> Task:
    """Return a task with some fields of its source changed; `where` is the place that says so.

    Raises:
        ConfigError: for a field that a source does not have, or a value it does not take.
    """
    try:
        source = Source.model_validate({**task.source.model_dump(), **changes})
    except ValidationError as error:
        path, what, next_ = explain(Source, error)
        raise ConfigError(f"{where}.{path}", what, next_) from None
    changed = task.model_copy(update={"source": source})
    check_source(changed, where)
    return changed


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except ConfigError as error:
        raise ConfigError(where, str(error)) from None


def _complete(entry: dict[str, Any], where: str) -> dict[str, Any]:
    entry = dict(entry)
    name = entry.get("name", "")
    like = entry.pop("like", None)
    if like is not None:
        base = get_task(str(like), f"{where}.like")
        inherited = base.model_dump(exclude_defaults=True)
        if entry.keys() & {"labels", "labels_from_data"}:  # either stands in the other's place
            inherited = {key: inherited[key] for key in inherited if not key.startswith("labels")}
            inherited["source"] = _without_others(inherited["source"], entry.get("labels"))
        if entry.get("stages"):  # which say it
            inherited.pop("max_length", None)
        entry = {**_renamed(inherited, base.name, name), **entry}
        own: Any = entry.get("source") or {}
        if isinstance(own, dict):  # what is none is refused with the rest of the record
            entry["source"] = {**inherited["source"], **cast("dict[str, Any]", own)}
    if isinstance(entry.get("as_intermediate"), dict):
        entry["as_intermediate"] = {"task": name, **entry["as_intermediate"]}
    if isinstance(entry.get("stages"), list | tuple):
        entry["stages"] = [
            {"task": name, **stage} if isinstance(stage, dict) else stage
            for stage in entry["stages"]
        ]
    return entry


def _without_others(source: dict[str, Any], labels: Any) -> dict[str, Any]:
    """Return a source without what its files write for labels that are none of the task's own."""
    written: dict[str, str] = source.get("labels", {})
    if not written or not isinstance(labels, list | tuple):
        return source
    known = [*cast("list[str]", labels), *source.get("skip_labels", ())]
    return {**source, "labels": {name: to for name, to in written.items() if to in known}}


def _renamed(inherited: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a record whose stages train on itself, where the old one's did."""
    out = {
        key: value for key, value in inherited.items() if key not in ("benchmark", "group", "size")
    }
    for stage in (inherited.get("as_intermediate"), *inherited.get("stages", ())):
        if stage is not None and stage["task"] == old:
            stage["task"] = new
    return out
