"""What the trials of a sweep learn from: tasks with their data, and perhaps unlabelled text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xtransfer.config.arms import Text
from xtransfer.tasks.task import Split, Stage, Task

SHOWN = 3
"""Most tasks or languages that a name spells out."""


@dataclass(frozen=True, kw_only=True)
class LessonPart:
    """One task of a trial and its data."""

    task: Task
    stage: Stage
    languages: tuple[str, ...]
    dev_languages: tuple[str, ...]
    split: Split = "train"
    """Of the training data."""
    spread: bool | int = False
    """Examples of the training data to take evenly over all languages; True: as many as the first has."""
    sample: tuple[int, int] | None = None
    """(examples, seed) of a drawn sample of the training data; None: all, or the experiment's limit."""
    own_files: bool = False
    """True: the task's source names an arm's own files, and `data.files` does not replace them."""

    @property
    def name(self) -> str:
        """Name the task, with its languages where they are not its own."""
        if self.languages == (self.task.train_language,):
            return self.task.name
        few = len(self.languages) <= SHOWN
        shown = "-".join(self.languages) if few else f"{len(self.languages)}-languages"
        return f"{self.task.name}-{shown}"


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the trials of a sweep learn from, all but seed and learning rate."""

    parts: tuple[LessonPart, ...]
    sampling: Mapping[str, Any] | None = None
    text: Text | None = None
    epochs: int
    batch_size: int
    learning_rate: float

    @property
    def name(self) -> str:
        """Name the lesson by what it is made of, so that equal steps have equal names in any run."""
        tasks = [part.name for part in self.parts]
        shown = "+".join(tasks) if len(tasks) <= SHOWN else f"{len(tasks)}-tasks"
        return "-".join(name for name in (shown, "text" if self.text else "") if name)

    @property
    def selected_on(self) -> str:
        """Name the data that chooses among the trials: "mnli dev en"."""
        if not self.parts:
            assert self.text is not None
            return f"text dev {' '.join(self.text.languages)}"
        names = [f"{part.task.name} dev {' '.join(part.dev_languages)}" for part in self.parts]
        return names[0] if len(names) == 1 else f"mean of {', '.join(names)}"

    @property
    def metric(self) -> str:
        """Name the score that chooses among the trials."""
        metrics = list(dict.fromkeys(part.task.metric for part in self.parts)) or ["-loss"]
        return metrics[0] if len(metrics) == 1 else f"mean of {', '.join(metrics)}"
