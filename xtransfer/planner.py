"""From an experiment to its plan.

prepare ──────────────┐
(pretrain ─┐)         v
           └──> train (intermediate sweep) ──> select ──> train (target sweep) ──> select ──> evaluate

With pruning, `estimate` and `prune` stand between the first selection and the target sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from xtransfer.analyses import Common, Model, plan_analyses
from xtransfer.arms import Arm
from xtransfer.averaging import averages_of, row_name
from xtransfer.config import Experiment, Phase
from xtransfer.inputs import Fingerprints, InputSteps
from xtransfer.lessons import Lesson, LessonPart
from xtransfer.plan import BASELINE, Cell, PhaseName, Plan, Probe, Step
from xtransfer.pruning.steps import PruningSteps
from xtransfer.selection import Rule
from xtransfer.tasks.task import Stage, Task
from xtransfer.tasks.user import patched

_TEXT_IDENTITY = {"languages", "exponent", "probability", "weight", "mask"}
"""What of an arm's text a train step hashes by itself; the rest is in its data's own keys."""
TEXT_LEARNING_RATE = 5e-6
"""Default beside masked language modelling, as in jiant's X-STILTs scripts; a sweep may set others."""


def build_plan(experiment: Experiment, fingerprints: Fingerprints) -> Plan:
    """Turn an experiment into its plan. Pure but for what `fingerprints` looks up."""
    return _Builder(experiment, fingerprints).build()


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What the targets of an arm start from."""

    key: str | None = None
    """Of the select step; None: the encoder itself."""
    name: str = BASELINE
    """What was trained on; a function of it, unlike the arm's own name."""
    selected_on: str = ""


class _Builder:
    def __init__(self, experiment: Experiment, fingerprints: Fingerprints) -> None:
        self.experiment = experiment
        self.book = experiment.book
        self.used: dict[str, Task] = {}
        self.steps: dict[str, Step] = {}
        self.touched: dict[str, None] = {}
        """Keys of the steps that what is planned now needs."""
        self.models: list[Model] = []
        """What targets are scored with, without averages and few-shot stages."""
        self.inputs = InputSteps(experiment, fingerprints, self._add)
        self.pruning = PruningSteps(experiment.pruning, self._add)

    def build(self) -> Plan:
        experiment = self.experiment
        starts: dict[str, _Start] = {BASELINE: _Start()}
        for arm in experiment.intermediate.tasks:
            starts[arm.name] = self._intermediate(arm)
        cells = [
            cell
            for target in experiment.target.tasks
            for name, start in starts.items()
            for cell in self._pair(self._task(target), name, start)
        ]
        probes = tuple(self._analyses(starts))
        return Plan(
            experiment=experiment.name,
            steps=self.steps,
            cells=tuple(cells),
            tasks=self.used,
            gates=self.pruning.gates(self.steps),
            probes=probes,
        )

    def _analyses(self, starts: Mapping[str, _Start]) -> Iterator[Probe]:
        inputs = self.inputs

        def pairs(task: Task, languages: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
            scored = self.experiment.target.languages.get(task.name, task.languages)
            languages = tuple(sorted(languages or scored))
            length = self._test_length(task)
            return languages, inputs.prepare(task, "test", languages, max_length=length)

        return plan_analyses(
            self.experiment.analyses,
            Common(
                add=self._add,
                encoder=inputs.encoder,
                encoder_id=inputs.encoder_id,
                where=inputs.encoder_where,
                precision=self.experiment.training.precision,
            ),
            arms=[Model(after=arm, key=each.key, name=each.name) for arm, each in starts.items()],
            models=self.models,
            steps=self.steps,
            task=self._task,
            pairs=pairs,
        )

    def _add(self, step: Step) -> str:
        self.steps.setdefault(step.key, step)
        self.touched[step.key] = None
        return step.key

    def _task(self, name: str) -> Task:
        return self.used.setdefault(name, self.book[name])

    # --- training ---------------------------------------------------------------------------

    def _intermediate(self, arm: Arm) -> _Start:
        phase = self.experiment.intermediate
        lesson = self._lesson(arm)
        trials = [
            key
            for seed in phase.seeds
            for key in self._trials(
                lesson, seed, start=None, after=BASELINE, phase="intermediate", sweep=arm.name
            )
        ]
        key = self._select(lesson, trials, phase.rule, after=BASELINE, phase="intermediate")
        return _Start(key=key, name=lesson.name, selected_on=_chosen_on(lesson, phase.rule))

    def _lesson(self, arm: Arm) -> Lesson:
        """Return what an arm trains on: each task as its own record says, unless the arm does."""
        phase = self.experiment.intermediate
        parts: list[LessonPart] = []
        stages: list[Stage] = []
        for name in arm.tasks:
            task = self._task(name)
            assert task.as_intermediate is not None
            stages.append(_overridden(task.as_intermediate, phase, task.name, arm.name))
            if arm.source:
                task = patched(task, arm.source, f"intermediate arm '{arm.name}'")
            languages = arm.languages or (task.train_language,)
            parts.append(
                LessonPart(
                    task=task,
                    stage=stages[-1],
                    languages=languages,
                    dev_languages=arm.dev_languages or languages,
                    spread=arm.spread,
                    own_files="files" in arm.source,
                )
            )
        if len(parts) == 1:
            stage = stages[0]
        else:
            # No task's own number of epochs is the mixture's: 3 epochs as in the paper (unverified).
            own = Stage(task=arm.name, epochs=3, batch_size=24, max_length=256)
            stage = _overridden(own, phase, arm.name)
        rate = TEXT_LEARNING_RATE if arm.text is not None else stage.learning_rate
        return Lesson(
            parts=tuple(parts),
            sampling=arm.sampling.model_dump(mode="json") if len(parts) > 1 else None,
            text=arm.text,
            epochs=stage.epochs,
            batch_size=stage.batch_size,
            learning_rate=rate,
        )

    def _pair(self, task: Task, arm: str, start: _Start) -> list[Cell]:
        """Plan a target after an arm, and its estimate where it may be pruned."""
        estimate = None
        arms = len(self.experiment.intermediate.tasks)
        if task.stages and start.key is not None:
            lesson = self._stage_lesson(
                _overridden(task.stages[-1], self.experiment.target, task.name)
            )
            (part,) = lesson.parts
            if self.pruning.prunes(part.task.form, arms):
                estimate = self.pruning.estimate(
                    lesson,
                    model=start.key,
                    data=self.inputs.part_data(part)[f"train {part.task.name}"],
                    after=start.name,
                    where=self.inputs.encoder_where,
                )
        self.touched = {}
        cells = list(self._target(task, arm, start))
        self.pruning.pair(task.name, arm, estimate, list(self.touched))
        return cells

    def _target(self, task: Task, arm: str, start: _Start) -> Iterator[Cell]:
        phase = self.experiment.target
        languages = tuple(sorted(phase.languages.get(task.name, task.languages)))
        test = self.inputs.prepare(
            task, "test", languages, max_length=self._test_length(task), stride=self._stride(task)
        )
        if not task.stages:
            key = self._evaluate(task, languages, start.key, test, after=start.name, tail="")
            selected = start.selected_on or "none"
            if "dev" in self.steps[key].inputs:
                selected = f"{selected}; threshold: {task.name} dev, each language"
            yield Cell(target=task.name, intermediate=arm, seed=None, key=key, selected_on=selected)
            return
        sweep = f"{task.name} after {arm}"
        groups: dict[int, str | None] = dict.fromkeys(phase.seeds, start.key)
        selected_on = [start.selected_on] if start.selected_on else []
        for each in task.stages:
            lesson = self._stage_lesson(_overridden(each, phase, task.name))
            rule = phase.rules.get(task.name, phase.rule)
            if rule == "target_dev" and each is not task.stages[-1]:
                rule = "best_dev"  # the model of a stage before the last cannot do the target yet
            dev_languages = tuple(sorted(phase.dev_languages.get(task.name, languages)))
            selected_on.append(_chosen_on(lesson, rule, task, dev_languages))
            last = each is task.stages[-1]
            trials = {
                seed: self._trials(
                    lesson,
                    seed,
                    start=groups[seed],
                    after=start.name,
                    phase="target",
                    sweep=sweep,
                    more=phase.average.of_trials() if phase.average and last else {},
                )
                for seed in groups
            }
            pool = [key for keys in trials.values() for key in keys]
            devs: dict[str, str] = {}
            if rule == "target_dev":
                devs = self._dev_scores(task, dev_languages, pool, after=start.name)
            if phase.select_per_seed:
                groups = {
                    seed: self._select(
                        lesson,
                        # The mean over seeds needs those of all.
                        pool if rule == "mean_over_seeds" else keys,
                        rule,
                        after=start.name,
                        phase="target",
                        seed=seed,
                        devs=devs,
                    )
                    for seed, keys in trials.items()
                }
            else:
                best = self._select(lesson, pool, rule, after=start.name, phase="target", devs=devs)
                groups = dict.fromkeys(groups, best)
        selected = ", then ".join(selected_on)
        seeds = groups if phase.select_per_seed else {None: next(iter(groups.values()))}
        for seed, model in seeds.items():
            tail = "" if seed is None else f"-seed{seed}"
            key = self._evaluate(task, languages, model, test, after=start.name, tail=tail)
            cell = Cell(
                target=task.name, intermediate=arm, seed=seed, key=key, selected_on=selected
            )
            yield cell
            assert model is not None
            name = f"{task.name}-after-{start.name}{tail}"
            self.models.append(Model(after=arm, target=task.name, seed=seed, key=model, name=name))
            draw = phase.seeds[0] if seed is None else seed
            yield from self._few_shot(task, cell, model, test, after=start.name, seed=draw)
            if phase.average and seed == phase.seeds[-1]:
                models = {each: key for each, key in groups.items() if key is not None}
                name = f"{lesson.name}{_after(start.name)}"
                for found in averages_of(phase.average, models, name):
                    tail = found.step.name.removeprefix(name)
                    key = self._add(found.step)
                    key = self._evaluate(task, languages, key, test, after=start.name, tail=tail)
                    yield Cell(
                        target=task.name,
                        intermediate=row_name(arm, found.label),
                        seed=found.seed,
                        key=key,
                        selected_on=f"{selected}; weights: {found.label}",
                    )

    def _stage_lesson(self, stage: Stage) -> Lesson:
        """Return a target's stage as a lesson of one part."""
        task = self._task(stage.task)
        languages = (task.train_language,)
        return Lesson(
            parts=(
                LessonPart(task=task, stage=stage, languages=languages, dev_languages=languages),
            ),
            epochs=stage.epochs,
            batch_size=stage.batch_size,
            learning_rate=stage.learning_rate,
        )

    def _few_shot(
        self, task: Task, cell: Cell, model: str, test: str, *, after: str, seed: int
    ) -> Iterator[Cell]:
        """Plan, for each language and number of examples, one further stage and its score."""
        few = self.experiment.target.few_shot.get(task.name)
        if few is None:
            return
        assert task.stages
        stage = _overridden(task.stages[-1], self.experiment.target, task.name)
        for language in few.languages:
            for count in few.examples:
                lesson = Lesson(
                    parts=(
                        LessonPart(
                            task=task,
                            stage=stage,
                            languages=(language,),
                            dev_languages=(),
                            split=few.split,
                            sample=(count, seed),
                        ),
                    ),
                    epochs=few.epochs,
                    batch_size=few.batch_size,
                    learning_rate=few.learning_rate,
                )
                shots = f"{language}-{count}-shot"
                key = self._train(
                    lesson,
                    few.learning_rate,
                    seed,
                    start=model,
                    after=f"{after}-{shots}",
                    phase="target",
                    sweep=f"{task.name} after {cell.intermediate}",
                    further=True,
                )
                scored = self._evaluate(
                    task,
                    (language,),
                    key,
                    test,
                    after=after,
                    tail=f"-{shots}-seed{seed}",
                )
                yield replace(cell, key=scored, few_shot=count)

    def _trials(
        self,
        lesson: Lesson,
        seed: int,
        *,
        start: str | None,
        after: str,
        phase: PhaseName,
        sweep: str,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[str]:
        """Plan the trials of one seed of a sweep."""
        settings = self.experiment.target if phase == "target" else self.experiment.intermediate
        plan = partial(
            self._train,
            lesson,
            seed=seed,
            start=start,
            after=after,
            phase=phase,
            sweep=sweep,
            more=more,
        )
        keys = [plan(rate) for rate in settings.rates(lesson.learning_rate)]
        for about, known in settings.search.suggested(len(keys)):
            keys.append(plan(None, suggestion=(about, keys[:known])))
        return keys

    def _train(
        self,
        lesson: Lesson,
        rate: float | None,
        seed: int,
        *,
        start: str | None,
        after: str,
        phase: PhaseName,
        sweep: str,
        further: bool = False,
        more: Mapping[str, Any] = MappingProxyType({}),
        suggestion: tuple[dict[str, Any], list[str]] | None = None,
    ) -> str:
        """Plan one trial.

        Args:
            lesson: what it learns from.
            rate: its learning rate; None: it is suggested when the trial begins.
            seed: of the trial.
            start: key of the selection that it goes on from; None: the encoder.
            after: name of what that was trained on.
            phase: of the study.
            sweep: that it belongs to.
            further: it goes on with the head of its start, and keeps its last weights.
            more: what its specification has beyond the usual.
            suggestion: how its learning rate is found, and the trials that are known then.
        """
        training = self.experiment.training
        inputs: dict[str, str] = {}
        parts: list[dict[str, Any]] = []
        for part in lesson.parts:
            inputs |= self.inputs.part_data(part)
            task = part.task
            parts.append(
                {
                    "task": task.name,
                    "form": task.form,
                    "metric": task.metric,
                    "labels": None if task.labels_from_data else list(task.labels),
                    "languages": list(part.languages),
                    "dev_languages": list(part.dev_languages),
                }
            )
        text = lesson.text
        if text is not None:
            inputs |= self.inputs.text_data(self._task("text"), text)
        parent = start or self.inputs.encoder
        if parent is not None:
            inputs["start"] = parent
        spec = {
            "parts": parts,
            "sampling": lesson.sampling,
            "text": None if text is None else text.model_dump(mode="json", include=_TEXT_IDENTITY),
            "learning_rate": rate,
            "seed": seed,
            "epochs": lesson.epochs,
            "batch_size": lesson.batch_size,
            **training.identity(),
            "keep": "last" if further else "best",
            "head": "kept" if further else "fresh",
            "encoder": self.inputs.encoder_id if parent is None else None,
            **more,
        }
        name = f"{lesson.name}{_after(after)}"
        if suggestion is not None:
            about, earlier = suggestion
            spec["tpe"] = about
            inputs |= {f"earlier-{index:03d}": key for index, key in enumerate(earlier)}
            name += f"-tpe{about['number']}-seed{seed}"
        else:
            name += f"-lr{rate:g}-seed{seed}"
        if not further:
            spec |= self._rivals(phase, lesson, seed)
        return self._add(
            Step(
                kind="train",
                name=name,
                spec=spec,
                inputs=inputs,
                where={"encoder": dict(self.inputs.encoder_where)},
                phase=phase,
                sweep=sweep,
            )
        )

    def _rivals(self, phase: PhaseName, lesson: Lesson, seed: int) -> dict[str, Any]:
        """Return what a trial's key says of the trials that may have it stopped: those of its selection."""
        settings = self.experiment.target if phase == "target" else self.experiment.intermediate
        rates = settings.rates(lesson.learning_rate)
        seeds = (seed,) if settings.select_per_seed else settings.seeds
        if settings.asha is None or len(rates) * len(seeds) == 1:
            return {}
        return {"asha": settings.asha.identity(rates, seeds)}

    def _select(
        self,
        lesson: Lesson,
        trials: list[str],
        rule: Rule,
        *,
        after: str,
        phase: PhaseName,
        seed: int | None = None,
        devs: Mapping[str, str] | None = None,
    ) -> str:
        """Plan a selection; `devs`: trial -> its evaluation on the target's dev sets."""
        experiment = self.experiment
        settings = experiment.target if phase == "target" else experiment.intermediate
        seeds = {self.steps[key].spec["seed"] for key in trials}
        own = seed if rule == "mean_over_seeds" and len(seeds) > 1 else None
        label = "best" if len(seeds) > 1 else f"seed{min(seeds)}"
        if own is not None:
            label = f"seed{own}"
        spec: dict[str, Any] = {
            "rule": rule,
            "metric": lesson.metric,
            "split": lesson.selected_on,
        }
        inputs = {f"trial-{index:03d}": key for index, key in enumerate(trials)}
        if own is not None:
            spec["seed"] = own
        if settings.incomplete != "refuse":
            spec["incomplete"] = settings.incomplete
        if rule == "target_dev":
            assert devs is not None
            first = self.steps[devs[trials[0]]].spec
            spec["metric"] = first["metric"]
            spec["split"] = f"{first['task']} dev {' '.join(first['languages'])}"
            inputs |= {f"dev-{index:03d}": devs[key] for index, key in enumerate(trials)}
        return self._add(
            Step(
                kind="select",
                name=f"{lesson.name}{_after(after)}-{label}",
                spec=spec,
                inputs=inputs,
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
        after: str,
        tail: str,
    ) -> str:
        inputs = {"test": test}
        if task.form == "bitext" and "dev" in task.source.files:
            length = self._test_length(task)
            inputs["dev"] = self.inputs.prepare(task, "dev", languages, max_length=length)
        if "pool" in task.source.files:
            length = self._test_length(task)
            inputs["pool"] = self.inputs.prepare(task, "pool", ("all",), max_length=length)
        parent = model or self.inputs.encoder
        if parent is not None:
            inputs["model"] = parent
        spec: dict[str, Any] = {
            "task": task.name,
            "form": task.form,
            "metric": task.metric,
            "labels": list(task.labels),
            "languages": list(languages),
            "precision": self.experiment.training.precision,
            "encoder": self.inputs.encoder_id if parent is None else None,
            "retrieval": self.experiment.retrieval.of(task) if task.form == "bitext" else None,
        }
        return self._add(
            Step(
                kind="evaluate",
                name=f"{task.name}-after-{after}{tail}",
                spec=spec,
                inputs=inputs,
                where={"encoder": dict(self.inputs.encoder_where)},
                phase="evaluation",
                sweep=f"{task.name} after {after}",
            )
        )

    def _dev_scores(
        self, task: Task, languages: tuple[str, ...], trials: list[str], *, after: str
    ) -> dict[str, str]:
        """Plan the evaluation of each trial on the target's own dev sets; return trial -> its key."""
        dev = self.inputs.prepare(
            task,
            "dev",
            languages,
            max_length=self._test_length(task),
            stride=self._stride(task),
        )
        return {
            key: self._evaluate(
                task, languages, key, dev, after=after, tail=f"-dev-{_trial(self.steps[key])}"
            )
            for key in trials
        }

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


def _trial(step: Step) -> str:
    return f"lr{step.spec['learning_rate']:g}-seed{step.spec['seed']}"


def _chosen_on(
    lesson: Lesson, rule: Rule, task: Task | None = None, dev_languages: tuple[str, ...] = ()
) -> str:
    """Return the data that chose a model, for readers; `task` and `dev_languages` are the oracle's."""
    if rule == "target_dev" and task is not None:
        return f"oracle: {task.name} dev {' '.join(dev_languages)}"
    return f"{lesson.selected_on}{', mean over seeds' if rule == 'mean_over_seeds' else ''}"


def _all_override(phase: Phase, field_name: str) -> Any:
    override = phase.overrides.get("all")
    return None if override is None else getattr(override, field_name)


def _overridden(stage: Stage, phase: Phase, *names: str) -> Stage:
    """Return the stage with the experiment's values for `all`, then for each name, put in."""
    changes: dict[str, Any] = {}
    for name in ("all", *names):
        override = phase.overrides.get(name)
        if override is not None:
            changes |= override.model_dump(exclude_none=True)
    return stage.model_copy(update=changes)
