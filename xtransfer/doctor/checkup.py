"""The whole check of a plan's data: every file read once, then compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtransfer.config.experiment import Experiment
from xtransfer.data import read_examples
from xtransfer.data.hub import HubAway, asks_hub
from xtransfer.doctor.contents import contents
from xtransfer.doctor.findings import Finding, in_order
from xtransfer.doctor.needs import DataSet, absent_root, data_sets, meetings
from xtransfer.doctor.overlaps import Comparison, Overlap, overlap_findings
from xtransfer.doctor.survey import Survey, survey
from xtransfer.errors import DataError
from xtransfer.folders import temporary_folder
from xtransfer.planner.planner import build_plan
from xtransfer.steps.prepared import write_synthetic
from xtransfer.tasks.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """What the doctor found."""

    surveys: tuple[Survey, ...]
    findings: tuple[Finding, ...]

    def count(self, level: str) -> int:
        """Return the number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)


def examine(experiment: Experiment, *, tell: Callable[[str], None] = lambda text: None) -> Checkup:
    """Read every data set that the experiment needs, and compare those that must not meet.

    Args:
        experiment: what is to be run.
        tell: told what is being read.
    """
    plan = build_plan(experiment, _NoDigests())
    needed = data_sets(plan)
    uses = list(dict.fromkeys(each for sets in needed.values() for each in sets))
    fault = absent_root(uses)
    if fault and experiment.data.synthetic is None:
        finding = Finding(level="error", kind="unreadable", where="data.root", what=fault)
        return Checkup(surveys=(), findings=(finding,))
    findings: list[Finding] = []
    surveys: dict[DataSet, Survey] = {}
    with _root_of(experiment) as root:
        away, untried = False, 0
        for group in _by_source(uses):
            if away and asks_hub(group[0].task, root or group[0].root):
                untried += 1
                continue
            tell(str(group[0]))
            away |= not _survey(group, root, surveys, findings)
    if untried:
        findings.append(_untried(untried))
    compare = Comparison()
    overlaps: dict[tuple[DataSet, DataSet], list[Overlap]] = {}
    for seen, scored in meetings(plan):
        for first in needed[seen]:
            for second in needed[scored]:
                if first in surveys and second in surveys and (first, second) not in overlaps:
                    tell(f"{first} -> {second}")
                    overlaps[first, second] = compare.overlaps(surveys[first], surveys[second])
    findings += overlap_findings(each for found in overlaps.values() for each in found)
    findings += contents(list(surveys.values()))
    return Checkup(surveys=tuple(surveys.values()), findings=in_order(findings))


def _by_source(uses: Sequence[DataSet]) -> list[list[DataSet]]:
    """Return the data sets in groups that one reading serves."""
    groups: dict[str, list[DataSet]] = {}
    for each in uses:
        groups.setdefault(each.source, []).append(each)
    return list(groups.values())


def _survey(
    group: Sequence[DataSet],
    root: Path | None,
    surveys: dict[DataSet, Survey],
    findings: list[Finding],
) -> bool:
    """Read the files of a group and count each of its data sets; note what fails.

    Returns:
        False where the hub gave no answer.
    """
    data = group[0]
    try:
        rows = read_examples(
            data.task, split=data.split, language=data.language, root=root or data.root
        )
    except DataError as error:
        place = f"{data.name} {data.split} {data.language}"
        where = error.where if error.where.startswith(place) else f"{place}: {error.where}"
        findings.append(
            Finding(level="error", kind="unreadable", where=where, what=error.what, next=error.next)
        )
        return not isinstance(error, HubAway)
    for each in group:
        try:
            surveys[each] = survey(each, rows)
        except DataError as error:
            findings.append(
                Finding(level="error", kind="too few rows", where=str(each), what=str(error))
            )
    return True


def _untried(count: int) -> Finding:
    """Say that further data sets were not asked for: each would have taken as long to fail."""
    return Finding(
        level="error",
        kind="unreadable",
        where="data.hub",
        what=f"the hub gives no answer; data sets that were not tried: {count}",
        next="With HF_HUB_OFFLINE=1 in the environment, those in the cache are read.",
    )


@contextmanager
def _root_of(experiment: Experiment) -> Iterator[Path | None]:
    """Yield the folder of the artificial languages, written once; None with data files."""
    synthetic = experiment.data.synthetic
    if synthetic is None:
        yield None
        return
    with temporary_folder() as folder:
        write_synthetic(synthetic.model_dump(), folder)
        yield folder


class _NoDigests:
    """Gives a plan its data sets by name, so that planning reads no file."""

    def data(self, task: Task, split: Split, language: str) -> Any:
        return {"unread": [task.name, split, language, list(task.source.files.get(split, ()))]}

    def encoder(self) -> tuple[Any, Any, dict[str, Any]]:
        return {"unread": "encoder"}, {"unread": "tokenizer"}, {}
