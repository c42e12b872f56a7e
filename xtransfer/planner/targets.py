"""The target phase of a plan: each target after each arm, its few-shot stages and its averages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from xtransfer.config.averaging import row_name
from xtransfer.config.experiment import Experiment
from xtransfer.plan import Cell
from xtransfer.planner.analyses import Model
from xtransfer.planner.averages import averages_of
from xtransfer.planner.curriculum import few_shot_lesson, overridden, stage_lesson
from xtransfer.planner.draft import Draft
from xtransfer.planner.evaluations import EvaluationSteps
from xtransfer.planner.inputs import InputSteps
from xtransfer.planner.intermediate import Start
from xtransfer.planner.lessons import Lesson
from xtransfer.planner.pruning import PruningSteps
from xtransfer.planner.sweeps import Branch, SweepSteps, chosen_on
from xtransfer.selection import OVER_SEEDS, Rule
from xtransfer.tasks.task import Stage, Task


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A target after an arm."""

    task: Task
    arm: str
    start: Start
    languages: tuple[str, ...]
    """That it is scored in."""
    test: str
    """Key of its prepared test sets."""

    @property
    def sweep(self) -> str:
        return f"{self.task.name} after {self.arm}"


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """What a target's stages come to."""

    models: Mapping[int, str]
    """Seed -> key of the last stage's selection."""
    selected_on: str
    """The data that chose the model of each stage."""
    name: str
    """Of the last stage's trials, readable."""


class TargetSteps:
    """Adds to a plan what trains models for targets and scores them.

    Args:
        experiment: what is planned.
        draft: the plan so far.
        inputs: adds the steps that data sets come from.
        sweeps: adds trials and selections.
        evaluations: adds scores.
        pruning: adds estimates, and is told the steps of each pair.
    """

    def __init__(
        self,
        experiment: Experiment,
        draft: Draft,
        *,
        inputs: InputSteps,
        sweeps: SweepSteps,
        evaluations: EvaluationSteps,
        pruning: PruningSteps,
    ) -> None:
        self.phase = experiment.target
        self.draft = draft
        self.inputs = inputs
        self.sweeps = sweeps
        self.evaluations = evaluations
        self.pruning = pruning
        self.models: list[Model] = []
        """What targets are scored with, without averages and few-shot stages."""

    def pair(self, task: Task, arm: str, start: Start) -> list[Cell]:
        """Plan a target after an arm, and its estimate where it may be pruned."""
        estimate = self._estimate(task, start)
        touched = self.draft.watch()
        cells = list(self._cells(task, arm, start))
        self.pruning.pair(task.name, arm, estimate, list(touched))
        return cells

    def _estimate(self, task: Task, start: Start) -> str | None:
        """Plan the estimate of a pair; None: it is trained in any case."""
        if not task.stages or start.key is None:
            return None
        lesson = self._lesson(task, task.stages[-1])
        (part,) = lesson.parts
        if not self.pruning.concerns(part.task.form, start.form):
            return None
        return self.pruning.estimate(
            lesson,
            model=start.key,
            data=self.inputs.part_data(part)[f"train {part.task.name}"],
            after=start.name,
            where=self.inputs.encoder_where,
        )

    def _lesson(self, task: Task, stage: Stage) -> Lesson:
        return stage_lesson(overridden(stage, self.phase, task.name), self.draft.task)

    def _cells(self, task: Task, arm: str, start: Start) -> Iterator[Cell]:
        languages, test = self.evaluations.test_data(task)
        pair = _Pair(task=task, arm=arm, start=start, languages=languages, test=test)
        if not task.stages:
            yield self._untrained(pair)
            return
        trained = self._trained(pair, task.stages)
        models: Mapping[int | None, str] = {**trained.models}
        if not self.phase.select_per_seed:  # all seeds have come to one model
            models = {None: next(iter(trained.models.values()))}
        for seed, model in models.items():
            # One that is chosen of a single seed has the same key, so it has the same name.
            own = self.phase.seeds[0] if len(self.phase.seeds) == 1 else seed
            tail = "" if own is None else f"-seed{own}"
            key = self._score(pair, pair.languages, model, tail)
            cell = Cell(
                target=task.name,
                intermediate=arm,
                seed=seed,
                key=key,
                selected_on=trained.selected_on,
            )
            yield cell
            name = self.draft.steps[model].name  # not of the target: others may share its training
            self.models.append(Model(after=arm, target=task.name, seed=seed, key=model, name=name))
            yield from self._few_shot(pair, cell, model, task.stages[-1])
        if self.phase.select_per_seed:
            yield from self._averages(pair, trained)

    def _untrained(self, pair: _Pair) -> Cell:
        """Plan the score of a target for which nothing is trained."""
        key = self._score(pair, pair.languages, pair.start.key, "")
        selected = pair.start.selected_on or "none"
        if "dev" in self.draft.steps[key].inputs:
            selected = f"{selected}; threshold: {pair.task.name} dev, each language"
        return Cell(
            target=pair.task.name, intermediate=pair.arm, seed=None, key=key, selected_on=selected
        )

    def _trained(self, pair: _Pair, stages: tuple[Stage, ...]) -> _Trained:
        """Plan a target's stages: each a sweep that goes on from what the one before selected.

        A stage also goes on with the head of the one before where that fits: XTREME trains XCOPA's
        on SocialIQA, then on COPA.
        """
        branch = Branch(
            start=pair.start.key, after=pair.start.name, phase="target", sweep=pair.sweep
        )
        average = self.phase.average
        starts: dict[int, str | None] = dict.fromkeys(self.phase.seeds, pair.start.key)
        models: dict[int, str] = {}
        selected_on = [pair.start.selected_on] if pair.start.selected_on else []
        name = ""
        before: Task | None = None
        for stage in stages:
            last = stage is stages[-1]
            lesson = self._lesson(pair.task, stage)
            (part,) = lesson.parts
            name = f"{lesson.name}{branch.tail}"
            rule = self._rule(pair.task, last=last)
            selected_on.append(chosen_on(lesson, rule, pair.task, self._dev_languages(pair)))
            trials = {
                seed: self.sweeps.trials(
                    lesson,
                    replace(branch, start=start),
                    seed,
                    head="kept" if _same_head(before, part.task) else "fresh",
                    more=average.of_trials() if average and last else {},
                )
                for seed, start in starts.items()
            }
            models = self._selected(pair, lesson, rule, branch, trials)
            starts = {**models}
            before = part.task
        return _Trained(models=models, selected_on=", then ".join(selected_on), name=name)

    def _rule(self, task: Task, *, last: bool) -> Rule:
        rule = self.phase.rules.get(task.name, self.phase.rule)
        if rule == "target_dev" and not last:
            return "best_dev"  # the model of a stage before the last cannot do the target yet
        return rule

    def _dev_languages(self, pair: _Pair) -> tuple[str, ...]:
        """Return the languages whose dev sets the oracle takes."""
        return tuple(sorted(self.phase.dev_languages.get(pair.task.name, pair.languages)))

    def _selected(
        self,
        pair: _Pair,
        lesson: Lesson,
        rule: Rule,
        branch: Branch,
        trials: Mapping[int, list[str]],
    ) -> dict[int, str]:
        """Plan the selections that end a stage, from the trials of each seed."""
        pool = [key for keys in trials.values() for key in keys]
        devs: dict[str, str] = {}
        if rule == "target_dev":
            languages = self._dev_languages(pair)
            devs = self.evaluations.dev_scores(pair.task, languages, pool, after=branch.after)
        if not self.phase.select_per_seed:
            best = self.sweeps.select(lesson, pool, rule, branch, devs=devs)
            return dict.fromkeys(trials, best)
        return {
            seed: self.sweeps.select(
                lesson,
                # The mean over seeds needs those of all.
                pool if rule in OVER_SEEDS else keys,
                rule,
                branch,
                seed=seed,
                devs=devs,
            )
            for seed, keys in trials.items()
        }

    def _few_shot(self, pair: _Pair, cell: Cell, model: str, stage: Stage) -> Iterator[Cell]:
        """Plan, for each language and number of examples, one further stage and its score."""
        task, after = pair.task, pair.start.name
        few = self.phase.few_shot.get(task.name)
        if few is None:
            return
        stage = overridden(stage, self.phase, task.name)
        seed = self.phase.seeds[0] if cell.seed is None else cell.seed
        for language in few.languages:
            for count in few.examples:
                lesson = few_shot_lesson(few, task, stage, language, examples=count, seed=seed)
                shots = f"{language}-{count}-shot"
                branch = Branch(
                    start=model, after=f"{after}-{shots}", phase="target", sweep=pair.sweep
                )
                key = self.sweeps.further_trial(lesson, branch, seed)
                scored = self._score(pair, (language,), key, f"-{shots}-seed{seed}")
                yield replace(cell, key=scored, few_shot=count)

    def _averages(self, pair: _Pair, trained: _Trained) -> Iterator[Cell]:
        """Plan the averages of the models of all seeds, and their scores."""
        if self.phase.average is None:
            return
        for found in averages_of(self.phase.average, trained.models, trained.name):
            key = self.draft.add(found.step)
            tail = found.step.name.removeprefix(trained.name)
            yield Cell(
                target=pair.task.name,
                intermediate=row_name(pair.arm, found.label),
                seed=found.seed,
                key=self._score(pair, pair.languages, key, tail),
                selected_on=f"{trained.selected_on}; weights: {found.label}",
            )

    def _score(self, pair: _Pair, languages: tuple[str, ...], model: str | None, tail: str) -> str:
        return self.evaluations.score(
            pair.task, languages, model, pair.test, after=pair.start.name, tail=tail
        )


def _same_head(before: Task | None, after: Task) -> bool:
    """Say whether the head of one task is one for another; None: there was none before."""
    if before is None or before.form != after.form or after.labels_from_data:
        return False
    return after.form == "choice" or before.labels == after.labels
