"""The tasks that xtransfer knows, by name.

task            what a task is: a frozen record
intermediate    the intermediate tasks, and those that only serve as a stage of a target
targets         the target tasks of XTREME and XTREME-R
languages       the languages of both, with their codes
hub             where the tasks are on the Hugging Face hub
user            tasks of the user's own, from YAML
soundness       what of a record must fit together
"""

from __future__ import annotations

from collections.abc import Mapping

from xtransfer.errors import ConfigError, did_you_mean
from xtransfer.tasks.intermediate import INTERMEDIATE
from xtransfer.tasks.targets import TARGETS
from xtransfer.tasks.task import Task

TASKS: Mapping[str, Task] = {task.name: task for task in (*INTERMEDIATE, *TARGETS)}


def get_task(name: str, where: str, book: Mapping[str, Task] | None = None) -> Task:
    """Return the task of that name.

    Args:
        name: what the user wrote.
        where: where it is written, for the error: `configs/x.yaml: target.tasks[2]`.
        book: the tasks there are; None: the built-in ones.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    known = TASKS if book is None else book
    if name in known:
        return known[name]
    near = did_you_mean(name, known)
    raise ConfigError(where, f"no task '{name}'", f"{near} List them with: xtransfer tasks".strip())
