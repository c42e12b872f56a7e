"""A folder of predictions scored against a folder of labels, as the official evaluate.py does it.

Means are plain sums in the official order of tasks and languages, divided by their number: the same
floats as evaluate.py's, which the exact summation of `statistics.fmean` would not give.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtransfer.benchmark.benchmarks import Benchmark
from xtransfer.benchmark.formats import file_name, format_of
from xtransfer.errors import DataError, did_you_mean
from xtransfer.metrics import score
from xtransfer.report.results import plain_mean
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScore:
    """One task in all its languages."""

    task: str
    metric: str
    """Name of the main score."""
    languages: Mapping[str, Mapping[str, float]]
    """Language -> every score, 0 to 100, by name."""
    means: Mapping[str, float]
    """Name of a score -> unweighted mean over the languages."""
    score: float
    """The mean main score; of question answering (mean EM + mean F1) / 2."""
    missing: tuple[str, ...] = ()
    """Languages of the benchmark that are not among them; any makes the score a partial one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorecard:
    """What a folder of predictions scores on a benchmark."""

    benchmark: Benchmark
    tasks: Mapping[str, TaskScore]
    missing: Mapping[str, str]
    """Task that is not scored -> why."""
    ignored: tuple[str, ...]
    """Folders among the predictions that are no task of the benchmark."""

    @property
    def groups(self) -> dict[str, float | None]:
        """Group -> unweighted mean over its tasks; None unless each is scored in every language."""
        return {group: self._mean(tasks) for group, tasks in self.benchmark.groups.items()}

    @property
    def overall(self) -> float | None:
        """Unweighted mean over all tasks; None unless each is scored in every language."""
        return self._mean(self.benchmark.tasks)

    @property
    def gaps(self) -> dict[str, str]:
        """Task -> what of it is not scored."""
        partial = {
            name: f"without {' '.join(each.missing)}"
            for name, each in self.tasks.items()
            if each.missing
        }
        return {**self.missing, **partial}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "benchmark": self.benchmark.name,
            "overall": self.overall,
            "overall_is": self.benchmark.overall,
            "complete": not self.gaps,
            "missing": self.gaps,
            "ignored": list(self.ignored),
            "groups": self.groups,
            "tasks": {
                name: {
                    "score": each.score,
                    "metric": each.metric,
                    "means": dict(each.means),
                    "languages": {code: dict(found) for code, found in each.languages.items()},
                }
                for name, each in self.tasks.items()
            },
        }

    def _mean(self, tasks: Sequence[str]) -> float | None:
        if any(name in self.gaps for name in tasks):
            return None
        return plain_mean([self.tasks[name].score for name in tasks])


def score_folder(
    predictions: Path, labels: Path, benchmark: Benchmark, *, partial: bool = False
) -> Scorecard:
    """Score every task of the benchmark that both folders have.

    Args:
        predictions: folder with `<task>/test-<lang>.<ext>`.
        labels: folder of the same layout with the gold labels.
        benchmark: which tasks and languages are scored.
        partial: take the languages that both folders have, those outside of the benchmark too,
            instead of asking for every language of a task that is there.

    Raises:
        DataError: where a folder is absent or they have no task in common, a language is missing, or
            a file is malformed or does not fit its labels; it names the file, and the line or id.
    """
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise DataError(str(folder), "no such folder", "It holds a folder for each task.")
    tasks: dict[str, TaskScore] = {}
    missing: dict[str, str] = {}
    for name in benchmark.tasks:
        absent = [
            what
            for what, folder in (("predictions", predictions), ("labels", labels))
            if not (folder / name).is_dir()
        ]
        if absent:
            missing[name] = f"no {' and no '.join(absent)}"
            continue
        codes = _languages(TASKS[name], predictions, labels, benchmark, partial=partial)
        tasks[name] = _score_task(TASKS[name], codes, predictions, labels, benchmark)
    if not tasks:
        raise DataError(
            str(predictions),
            f"has no task of {benchmark.title} in common with {labels}",
            f"Name the folders in both: {' '.join(benchmark.tasks)}.",
        )
    return Scorecard(
        benchmark=benchmark,
        tasks=tasks,
        missing=missing,
        ignored=tuple(_ignored(predictions, benchmark)),
    )


def _score_task(
    task: Task, codes: Sequence[str], predictions: Path, labels: Path, benchmark: Benchmark
) -> TaskScore:
    languages = {code: _score_language(task, code, predictions, labels) for code in codes}
    names = next(iter(languages.values()))
    means = {name: plain_mean([found[name] for found in languages.values()]) for name in names}
    qa = task.form == "span"
    return TaskScore(
        task=task.name,
        metric=task.metric,
        languages=languages,
        means=means,
        score=(means["em"] + means["f1"]) / 2 if qa else means[task.metric],
        missing=tuple(code for code in benchmark.languages[task.name] if code not in languages),
    )


def _score_language(task: Task, code: str, predictions: Path, labels: Path) -> dict[str, float]:
    name = file_name(task, code)
    gold, found = format_of(task).read(task, labels / name, predictions / name)
    try:
        return score(task, gold, found, language=code)
    except ValueError as error:
        raise DataError(str(predictions / name), str(error)) from None


def _languages(
    task: Task, predictions: Path, labels: Path, benchmark: Benchmark, *, partial: bool
) -> list[str]:
    """Return the languages to score, those of the benchmark first and in its order."""
    wanted = benchmark.languages[task.name]
    if not partial:
        for code in wanted:
            for folder, what in ((predictions, "predictions"), (labels, "labels")):
                _check_there(folder / file_name(task, code), what, task, benchmark)
        return list(wanted)
    have = _codes(predictions / task.name, task) & _codes(labels / task.name, task)
    if not have:
        raise DataError(
            str(predictions / task.name),
            f"has no language in common with {labels / task.name}",
            f"Name the files like {Path(file_name(task, 'en')).name}.",
        )
    return [*(code for code in wanted if code in have), *sorted(have - set(wanted))]


def _check_there(path: Path, what: str, task: Task, benchmark: Benchmark) -> None:
    if path.is_file():
        return
    others = sorted(each.name for each in path.parent.glob(f"{path.stem}.*"))
    hint = f"There is {others[0]}: rename it if it holds them. " if others else ""
    count = len(benchmark.languages[task.name])
    raise DataError(
        str(path),
        f"no such file, so {task.name} lacks {what} in one of its {count} languages",
        f"{hint}Add it, or score what is there with --partial.",
    )


def _codes(folder: Path, task: Task) -> set[str]:
    ending = re.escape(format_of(task).extension)
    found = (re.fullmatch(rf"test-(.+)\.{ending}", path.name) for path in folder.iterdir())
    return {match[1] for match in found if match}


def _ignored(predictions: Path, benchmark: Benchmark) -> Iterable[str]:
    for path in sorted(predictions.iterdir()):
        if path.is_dir() and path.name not in benchmark.languages:
            near = did_you_mean(path.name, benchmark.languages)
            yield f"{path.name} ({near})" if near else path.name
