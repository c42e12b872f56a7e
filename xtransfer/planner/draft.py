"""A plan while it is made: the steps and tasks that it has so far."""

from __future__ import annotations

from collections.abc import Mapping

from xtransfer.plan import Step
from xtransfer.tasks.task import Task


class Draft:
    """Gathers the steps of a plan, parents before children, and the tasks that they use.

    Args:
        book: name -> task, of every task that the experiment can name.
    """

    def __init__(self, book: Mapping[str, Task]) -> None:
        self.book = book
        self.steps: dict[str, Step] = {}
        self.tasks: dict[str, Task] = {}
        self._watched: dict[str, None] = {}

    def add(self, step: Step) -> str:
        """Add a step, unless it is there, and return its key."""
        self.steps.setdefault(step.key, step)
        self._watched[step.key] = None
        return step.key

    def task(self, name: str) -> Task:
        """Return the task of this name, which the plan uses from now on."""
        return self.tasks.setdefault(name, self.book[name])

    def watch(self) -> Mapping[str, None]:
        """Return a mapping that gathers the keys of all steps asked for from now until the next call.

        Steps that were there before are among them.
        """
        self._watched = {}
        return self._watched
