"""Analyses of trained models beside their scores: what an experiment asks for, and the steps they become.

    forgetting   the dev set of the intermediate task once more after the target was trained: the encoder
                 as the target left it, the head as the intermediate task left it
    alignment    cosine of mean-pooled states of translation pairs against that of other pairs, in each layer

Each is an evaluate step with a field `analysis`. They fill no cell of the table of scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from xtransfer.plan import Probe, Step
from xtransfer.settings import Settings, check_languages, distinct
from xtransfer.tasks.task import Task

GAP = "gap"
"""Main metric of alignment: mean cosine of translation pairs less that of all other pairs."""


class Alignment(Settings):
    """Translation pairs in the layers of the encoder, before and after training."""

    task: str = "tatoeba"
    """A bitext task; its test set's pairs are taken."""
    languages: tuple[str, ...] = ()
    """None: those that the experiment scores the task in."""
    targets: tuple[str, ...] = ()
    """Targets after whose training it is measured, too, seed by seed."""

    @model_validator(mode="after")
    def _codes(self) -> Alignment:
        check_languages(self.languages)
        distinct(self.targets)
        return self


class Analyses(Settings):
    """What is measured of the models beside their scores."""

    forgetting: bool = False
    """Of every target with training after every arm with a task."""
    alignment: Alignment | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that an analysis looks at."""

    after: str
    """The arm, `baseline` without one."""
    target: str = ""
    """The target that it was trained for last; empty: none."""
    seed: int | None = None
    key: str | None
    """Of its select step; None: the encoder itself."""
    name: str
    """Readable part of a step's name."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all steps of an analysis share."""

    add: Callable[[Step], str]
    encoder: str | None
    """Key of the step that makes the encoder; None: a public one."""
    encoder_id: Any
    where: Mapping[str, Any]
    precision: str


def plan_analyses(
    asked: Analyses,
    common: Common,
    *,
    arms: Sequence[Model],
    models: Sequence[Model],
    steps: Mapping[str, Step],
    task: Callable[[str], Task],
    pairs: Callable[[Task, tuple[str, ...]], tuple[tuple[str, ...], str]],
) -> Iterator[Probe]:
    """Add the steps of all analyses to a plan.

    Args:
        asked: by the experiment.
        common: of all steps.
        arms: the model of each arm, the encoder as `baseline` among them.
        models: the models that targets are scored with.
        steps: of the plan so far.
        task: name -> task.
        pairs: task and languages that are asked for -> languages, and key of the prepared sentence pairs.
    """
    if asked.forgetting:
        starts = {arm.after: arm.key for arm in arms}
        for model in models:
            key = starts[model.after]
            if key is None:
                continue
            trial = steps[steps[key].inputs["trial-000"]]
            for number in range(len(trial.spec["parts"])):
                yield _forgetting(common, model, trial, key, number, task)
    if asked.alignment is not None:
        chosen = task(asked.alignment.task)
        languages, test = pairs(chosen, asked.alignment.languages)
        trained = [each for each in models if each.target in asked.alignment.targets]
        for model in (*arms, *trained):
            yield _alignment(common, model, chosen, languages, test)


def _forgetting(
    common: Common, model: Model, trial: Step, start: str, number: int, task: Callable[[str], Task]
) -> Probe:
    """Plan the dev set of part `number` of an arm's trials, scored by a target's model with the arm's head.

    `start`: key of the arm's select step.
    """
    part = trial.spec["parts"][number]
    own = task(part["task"])
    inputs = {"test": trial.inputs[f"dev {own.name}"], "head": start}
    if part["labels"] is None:
        inputs["labels"] = trial.inputs[f"train {own.name}"]
    step = _step(
        common,
        model,
        own,
        inputs,
        languages=part["dev_languages"],
        analysis={"kind": "forgetting", "head": number},
        name=f"{own.name}-dev-after-{model.name}",
    )
    return _probe("forgetting", common.add(step), model, own.name)


def _alignment(
    common: Common, model: Model, task: Task, languages: tuple[str, ...], test: str
) -> Probe:
    step = _step(
        common,
        model,
        task,
        {"test": test},
        languages=list(languages),
        analysis={"kind": "alignment"},
        name=f"{task.name}-alignment-after-{model.name}",
        metric=GAP,
    )
    return _probe("alignment", common.add(step), model, task.name)


def _probe(kind: Literal["forgetting", "alignment"], key: str, model: Model, task: str) -> Probe:
    return Probe(
        kind=kind, key=key, task=task, after=model.after, target=model.target, seed=model.seed
    )


def _step(
    common: Common,
    model: Model,
    task: Task,
    inputs: dict[str, str],
    *,
    languages: list[str],
    analysis: Mapping[str, Any],
    name: str,
    metric: str = "",
) -> Step:
    parent = model.key or common.encoder
    if parent is not None:
        inputs = {**inputs, "model": parent}
    spec: dict[str, Any] = {
        "task": task.name,
        "form": task.form,
        "metric": metric or task.metric,
        "labels": list(task.labels),
        "languages": languages,
        "precision": common.precision,
        "encoder": common.encoder_id if parent is None else None,
        "retrieval": None,
        "analysis": dict(analysis),
    }
    return Step(
        kind="evaluate",
        name=name,
        spec=spec,
        inputs=inputs,
        where={"encoder": dict(common.where)},
        phase="evaluation",
        sweep=f"{task.name} {analysis['kind']}",
    )
