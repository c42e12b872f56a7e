"""Which data sets a plan needs, and which of them meet in the history of one model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtransfer.data import file_names
from xtransfer.data.examples import Rows
from xtransfer.data.samples import cut, hold_out, holdout_setting
from xtransfer.identity import canonical_json
from xtransfer.plan import Plan, Step, few_shot_data
from xtransfer.steps.prepared import task_of
from xtransfer.tasks.task import Split, Task


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """One language of one data set as a plan uses it, at whatever input length."""

    name: str
    """Of the task."""
    task: Task
    """With the experiment's own files."""
    role: Split
    """What it is used for. With a held-out dev set, `split` is not the same."""
    split: Split
    """Of the files."""
    language: str
    root: Path
    holdout: Mapping[str, int] | None
    limit: Mapping[str, int] | None
    few_shot: bool = False
    """Whether there must be as many examples as the limit says."""

    def __str__(self) -> str:
        return f"{self.name} {self.role} {self.language}"

    @property
    def source(self) -> str:
        """A name for what is read, whatever part of it is used."""
        source = self.task.source.model_dump()
        return canonical_json([self.name, source, self.split, self.language, str(self.root)])

    def available(self, rows: Rows) -> Rows:
        """Return the part of the file's rows that this use may draw from."""
        if self.holdout is None:
            return rows
        return hold_out(
            rows,
            self.role,
            examples=self.holdout["examples"],
            seed=self.holdout["seed"],
            setting=holdout_setting(self.task),
            file=", ".join(file_names(self.task, split=self.split, language=self.language)),
        )

    def used(self, rows: Rows) -> Rows:
        """Return the part of the available rows that the experiment's limits leave."""
        if self.limit is None:
            return rows
        return cut(rows, self.limit["examples"], seed=self.limit["seed"])


def data_sets(plan: Plan) -> dict[str, list[DataSet]]:
    """Return key of prepare step -> its data sets; the same use is the same object."""
    known: dict[str, DataSet] = {}
    found: dict[str, list[DataSet]] = {}
    shots = {key for step in plan.steps.values() for key in few_shot_data(step)}
    for key, step in plan.steps.items():
        if step.kind != "prepare":
            continue
        found[key] = []
        for each in _data_sets_of(step, plan.tasks[step.spec["task"]], few_shot=key in shots):
            use = canonical_json([each.source, each.role, each.holdout, each.limit, each.few_shot])
            found[key].append(known.setdefault(use, each))
    return found


def absent_root(sets: Iterable[DataSet]) -> str:
    """Say which data root is no folder, though files are to be read below it; empty if all are."""
    roots = {each.root for each in sets if not each.task.source.hub}
    absent = [str(root) for root in sorted(roots) if not root.is_dir()]
    if not absent:
        return ""
    return f"no folder {', '.join(absent)}. Put the files there, or set data.root to where they are"


def meetings(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield pairs of prepare steps (seen before, scored later) in the history of one model.

    Scored later are the test set of an evaluation and the dev set of a trial. Seen before are the
    training sets of the model and of those that it started from; and, of a test set, the dev sets
    that chose them.
    """
    seen: dict[str, frozenset[str]] = {}
    order = {key: place for place, key in enumerate(plan.steps)}
    pairs: dict[tuple[str, str], None] = {}
    for key, step in plan.steps.items():
        own = [parent for parent in step.inputs.values() if _is_data(plan, parent)]
        seen[key] = frozenset(own).union(
            *(seen[parent] for parent in step.inputs.values() if parent not in own)
        )
        for scored in own:
            role = _role(plan, scored)
            roles = {"test": ("train", "dev"), "dev": ("train",)}.get(role, ())
            for earlier in sorted(seen[key], key=order.__getitem__):
                if _role(plan, earlier) in roles:
                    pairs[earlier, scored] = None
    return iter(pairs)


def _data_sets_of(step: Step, task: Task, *, few_shot: bool) -> Iterator[DataSet]:
    spec: Mapping[str, Any] = step.spec
    task = task_of(step, task)
    for language in spec["data"]:
        yield DataSet(
            name=spec["task"],
            task=task,
            role=spec["role"],
            split=spec["split"],
            language=language,
            root=Path(step.where["root"]),
            holdout=spec["holdout"],
            limit=spec["limit"],
            few_shot=few_shot,
        )


def _is_data(plan: Plan, key: str) -> bool:
    return key in plan.steps and plan.steps[key].kind == "prepare"


def _role(plan: Plan, key: str) -> str:
    return plan.steps[key].spec["role"]
