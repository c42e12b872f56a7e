"""An experiment as a plan: a DAG of content-addressed steps, known whole before anything runs.

    prepare ──────────────┐
    (pretrain ─┐)         v
               └──> train (intermediate sweep) ──> select ──> train (target sweep) ──> select ──> evaluate

A step's key hashes what is computed: its kind and version, its specification and its parents' keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from xtransfer.config import Experiment, Phase
from xtransfer.identity import key_of
from xtransfer.tasks import NOT_YET, TASKS
from xtransfer.tasks.task import Split, Stage, Task

Kind = Literal["pretrain", "prepare", "train", "select", "evaluate"]
PhaseName = Literal["data", "encoder", "intermediate", "target", "evaluation"]

VERSIONS: Mapping[Kind, int] = {
    "pretrain": 1,
    "prepare": 1,
    "train": 1,
    "select": 1,
    "evaluate": 1,
}
"""Raised when a step of this kind would compute something else from the same specification."""

BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One unit of work whose result is recorded once and for all."""

    kind: Kind
    name: str
    """Readable part of the store path; a function of the identity, not hashed by itself."""
    spec: Mapping[str, Any]
    """What is computed, as JSON."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Role -> key of the parent step in that role."""
    where: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Locations of outside inputs (data root, encoder folder); not hashed: their digests are."""
    phase: PhaseName
    """For progress and reports; not hashed."""
    sweep: str = ""
    """The sweep that a trial belongs to; for progress and reports, not hashed."""

    @property
    def key(self) -> str:
        """12 hex digits that stand for what the step computes."""
        cached = self.__dict__.get("_key")
        if cached is None:
            cached = key_of(
                {
                    "kind": self.kind,
                    "version": VERSIONS[self.kind],
                    "spec": self.spec,
                    "inputs": self.inputs,
                }
            )
            self.__dict__["_key"] = cached
        return cached

    @property
    def folder(self) -> str:
        """Where the step's record and files are in the store."""
        return f"{self.kind}/{self.name}-{self.key}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the result table before it is known: what is scored, and where it will be."""

    target: str
    intermediate: str
    """Name of the intermediate task, or `baseline`."""
    seed: int | None
    """Seed of the target trial; None for a target without training."""
    key: str
    """Key of the evaluate step."""
    selected_on: str
    """Data set, split and language that chose the model: "mnli dev en", "none"."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps of an experiment, parents before children, and the table they fill."""

    experiment: str
    steps: Mapping[str, Step]
    """Key -> step, in an order in which every parent precedes its children."""
    cells: tuple[Cell, ...]
    not_yet: tuple[str, ...] = ()
    """Tasks of the experiment that this version cannot run."""

    @property
    def key(self) -> str:
        """12 hex digits that stand for the whole plan."""
        return key_of(sorted(self.steps))

    def counts(self) -> dict[str, int]:
        """Return the number of steps of each kind and phase, as `kind` or `kind (phase)`."""
        counts: dict[str, int] = {}
        for step in self.steps.values():
            label = f"{step.kind} ({step.phase})" if step.kind in ("train", "select") else step.kind
            counts[label] = counts.get(label, 0) + 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON; `from_json` reads it back."""
        return {
            "experiment": self.experiment,
            "key": self.key,
            "steps": [{**asdict(step), "key": step.key} for step in self.steps.values()],
            "cells": [asdict(cell) for cell in self.cells],
            "not_yet": list(self.not_yet),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """Rebuild a plan; step keys are computed anew, so a doctored file cannot pass."""
        steps = [
            Step(**{name: item for name, item in raw.items() if name != "key"})
            for raw in value["steps"]
        ]
        return Plan(
            experiment=value["experiment"],
            steps={step.key: step for step in steps},
            cells=tuple(Cell(**raw) for raw in value["cells"]),
            not_yet=tuple(value["not_yet"]),
        )


class Fingerprints(Protocol):
    """What a plan must know of the outside world to give its inputs an identity."""

    def data(self, task: Task, split: Split, language: str) -> Any:
        """Return JSON that identifies the bytes of one data set."""
        ...

    def encoder(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Return the encoder's identity, its tokenizer's identity, and where it is."""
        ...


def build_plan(experiment: Experiment, fingerprints: Fingerprints) -> Plan:
    """Turn an experiment into its plan. Pure but for what `fingerprints` looks up."""
    return _Builder(experiment, fingerprints).build()


class _Builder:
    def __init__(self, experiment: Experiment, fingerprints: Fingerprints) -> None:
        self.experiment = experiment
        self.fingerprints = fingerprints
        self.steps: dict[str, Step] = {}
        self.encoder: str | None = None
        self.encoder_id: Any = None
        self.tokenizer_id: Any = None
        self.encoder_where: Mapping[str, Any] = {}

    def build(self) -> Plan:
        experiment = self.experiment
        self._plan_encoder()
        starts: dict[str, str | None] = {BASELINE: None}
        for name in experiment.intermediate.tasks:
            starts[name] = self._intermediate(TASKS[name])
        cells = [
            cell
            for target in experiment.target.tasks
            for arm, start in starts.items()
            for cell in self._target(TASKS[target], arm, start)
        ]
        used = [*experiment.intermediate.tasks, *experiment.target.tasks]
        return Plan(
            experiment=experiment.name,
            steps=self.steps,
            cells=tuple(cells),
            not_yet=tuple(dict.fromkeys(name for name in used if name in NOT_YET)),
        )

    def _add(self, step: Step) -> str:
        self.steps.setdefault(step.key, step)
        return step.key

    def _plan_encoder(self) -> None:
        pretrain = self.experiment.encoder.pretrain
        if pretrain is None:
            self.encoder_id, self.tokenizer_id, self.encoder_where = self.fingerprints.encoder()
            return
        synthetic = self.experiment.data.synthetic
        self.encoder = self._add(
            Step(
                kind="pretrain",
                name="tiny-xlmr",
                spec={
                    "steps": pretrain.steps,
                    "seed": pretrain.seed,
                    "options": dict(pretrain.options),
                    "synthetic": synthetic.model_dump() if synthetic else None,
                },
                phase="encoder",
            )
        )

    # --- data -------------------------------------------------------------------------------

    def _prepare(
        self, task: Task, split: Split, languages: tuple[str, ...], *, max_length: int, stride: int
    ) -> str:
        data, limits = self.experiment.data, self.experiment.data.limits
        held = data.holdout.get(task.name) if split in ("train", "dev") else None
        count = limits.of(task.name, split)
        role, split = split, "train" if held is not None else split
        templates = data.files.get(task.name, {}).get(split)
        if templates is not None:
            files = {**task.source.files, split: templates}
            task = task.model_copy(
                update={"source": task.source.model_copy(update={"files": files})}
            )
        source = task.source
        spec: dict[str, Any] = {
            "task": task.name,
            "form": task.form,
            "split": split,
            "labels": list(task.labels),
            "source": source.model_dump(exclude={"files", "hub"}),
            "data": {
                language: self._data_identity(task, split, language) for language in languages
            },
            "role": role,
            "holdout": None if held is None else {"examples": held, "seed": limits.seed},
            "limit": None if count is None else {"examples": count, "seed": limits.seed},
            "max_length": max_length,
            "stride": stride if task.form == "span" else None,
        }
        inputs: dict[str, str] = {}
        if self.encoder is None:
            spec["tokenizer"] = self.tokenizer_id
        else:
            inputs["encoder"] = self.encoder
        where = {
            # Steps run in other working directories, and on other machines.
            "root": str(Path(data.root).absolute()),
            "files": list(source.files.get(split, ())),
            "hub": source.hub.model_dump() if source.hub else None,
            "encoder": dict(self.encoder_where),
        }
        return self._add(
            Step(
                kind="prepare",
                name=f"{task.name}-{role}",
                spec=spec,
                inputs=inputs,
                where=where,
                phase="data",
            )
        )

    def _data_identity(self, task: Task, split: Split, language: str) -> Any:
        synthetic = self.experiment.data.synthetic
        if synthetic is not None:
            return {"synthetic": synthetic.model_dump(), "language": language}
        return self.fingerprints.data(task, split, language)

    # --- training ---------------------------------------------------------------------------

    def _intermediate(self, task: Task) -> str:
        phase = self.experiment.intermediate
        assert task.as_intermediate is not None
        stage = _overridden(task.as_intermediate, phase, task.name)
        trials = [
            self._train(
                stage, rate, seed, start=None, after=BASELINE, phase="intermediate", sweep=task.name
            )
            for seed in phase.seeds
            for rate in phase.learning_rates or (stage.learning_rate,)
        ]
        return self._select(stage, trials, after=BASELINE, phase="intermediate")

    def _target(self, task: Task, arm: str, start: str | None) -> Iterator[Cell]:
        phase = self.experiment.target
        languages = tuple(sorted(phase.languages.get(task.name, task.languages)))
        test = self._prepare(
            task, "test", languages, max_length=self._test_length(task), stride=self._stride(task)
        )
        if not task.stages:
            key = self._evaluate(task, languages, start, test, arm=arm, tail="")
            selected = _selected_on(arm, ())
            yield Cell(target=task.name, intermediate=arm, seed=None, key=key, selected_on=selected)
            return
        sweep = f"{task.name} after {arm}"
        groups: dict[int, str | None] = dict.fromkeys(phase.seeds, start)
        stage = task.stages[-1]
        for each in task.stages:
            stage = _overridden(each, phase, task.name)
            rates = phase.learning_rates or (stage.learning_rate,)
            trials = {
                seed: [
                    self._train(
                        stage,
                        rate,
                        seed,
                        start=groups[seed],
                        after=arm,
                        phase="target",
                        sweep=sweep,
                    )
                    for rate in rates
                ]
                for seed in groups
            }
            if phase.select_per_seed:
                groups = {
                    seed: self._select(stage, keys, after=arm, phase="target")
                    for seed, keys in trials.items()
                }
            else:
                pool = [key for keys in trials.values() for key in keys]
                best = self._select(stage, pool, after=arm, phase="target")
                groups = dict.fromkeys(groups, best)
        selected = _selected_on(arm, task.stages)
        seeds = groups if phase.select_per_seed else {None: next(iter(groups.values()))}
        for seed, model in seeds.items():
            tail = "" if seed is None else f"-seed{seed}"
            key = self._evaluate(task, languages, model, test, arm=arm, tail=tail)
            yield Cell(target=task.name, intermediate=arm, seed=seed, key=key, selected_on=selected)

    def _train(
        self,
        stage: Stage,
        rate: float,
        seed: int,
        *,
        start: str | None,
        after: str,
        phase: PhaseName,
        sweep: str,
    ) -> str:
        task = TASKS[stage.task]
        lengths = {"max_length": stage.max_length, "stride": stage.stride}
        training = self.experiment.training
        inputs = {
            "train": self._prepare(task, "train", (task.train_language,), **lengths),
            "dev": self._prepare(task, "dev", (task.train_language,), **lengths),
        }
        parent = start or self.encoder
        if parent is not None:
            inputs["start"] = parent
        spec = {
            "task": task.name,
            "form": task.form,
            "metric": task.metric,
            "labels": list(task.labels),
            "learning_rate": rate,
            "seed": seed,
            "epochs": stage.epochs,
            "batch_size": stage.batch_size,
            **training.model_dump(),
            "encoder": self.encoder_id if parent is None else None,
        }
        spec["adam_betas"] = list(training.adam_betas)
        return self._add(
            Step(
                kind="train",
                name=f"{task.name}{_after(after)}-lr{rate:g}-seed{seed}",
                spec=spec,
                inputs=inputs,
                where={"encoder": dict(self.encoder_where)},
                phase=phase,
                sweep=sweep,
            )
        )

    def _select(self, stage: Stage, trials: list[str], *, after: str, phase: PhaseName) -> str:
        task = TASKS[stage.task]
        seeds = {self.steps[key].spec["seed"] for key in trials}
        label = f"seed{min(seeds)}" if len(seeds) == 1 else "best"
        return self._add(
            Step(
                kind="select",
                name=f"{task.name}{_after(after)}-{label}",
                spec={
                    "rule": "best_dev",
                    "metric": task.metric,
                    "split": f"{task.name} dev {task.train_language}",
                },
                inputs={f"trial-{index:03d}": key for index, key in enumerate(trials)},
                phase=phase,
            )
        )

    # --- evaluation -------------------------------------------------------------------------

    def _evaluate(
        self,
        task: Task,
        languages: tuple[str, ...],
        model: str | None,
        test: str,
        *,
        arm: str,
        tail: str,
    ) -> str:
        inputs = {"test": test}
        parent = model or self.encoder
        if parent is not None:
            inputs["model"] = parent
        spec: dict[str, Any] = {
            "task": task.name,
            "form": task.form,
            "metric": task.metric,
            "labels": list(task.labels),
            "languages": list(languages),
            "precision": self.experiment.training.precision,
            "encoder": self.encoder_id if parent is None else None,
            "retrieval": (
                self.experiment.retrieval.model_dump() if task.form == "bitext" else None
            ),
        }
        return self._add(
            Step(
                kind="evaluate",
                name=f"{task.name}-after-{arm}{tail}",
                spec=spec,
                inputs=inputs,
                where={"encoder": dict(self.encoder_where)},
                phase="evaluation",
                sweep=f"{task.name} after {arm}",
            )
        )

    def _test_length(self, task: Task) -> int:
        """Return the evaluation length: the last stage's, or the task's own without training."""
        override = self.experiment.target.overrides.get(task.name)
        if override is not None and override.max_length is not None:
            return override.max_length
        if task.stages:
            return _overridden(task.stages[-1], self.experiment.target, task.name).max_length
        return _all_override(self.experiment.target, "max_length") or task.max_length

    def _stride(self, task: Task) -> int:
        if not task.stages:
            return 0
        return _overridden(task.stages[-1], self.experiment.target, task.name).stride


def _after(arm: str) -> str:
    """Return the part of a step's name that says where it started.

    A trial from the base encoder has the same name, as it has the same key, in either phase.
    """
    return "" if arm == BASELINE else f"-after-{arm}"


def _selected_on(arm: str, stages: tuple[Stage, ...]) -> str:
    """Name the dev sets that chose a model: the intermediate task's, then each target stage's."""
    names = [*([] if arm == BASELINE else [arm]), *(stage.task for stage in stages)]
    return ", then ".join(f"{name} dev {TASKS[name].train_language}" for name in names) or "none"


def _all_override(phase: Phase, field_name: str) -> Any:
    override = phase.overrides.get("all")
    return None if override is None else getattr(override, field_name)


def _overridden(stage: Stage, phase: Phase, task: str) -> Stage:
    """Return the stage with the experiment's values for `all`, then for this task, put in."""
    changes: dict[str, Any] = {}
    for name in ("all", task):
        override = phase.overrides.get(name)
        if override is not None:
            changes |= override.model_dump(exclude_none=True)
    return stage.model_copy(update=changes)
