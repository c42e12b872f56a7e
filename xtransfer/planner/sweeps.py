"""The sweep of one lesson in a plan: its trials, and the selection among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from xtransfer.config.experiment import Experiment
from xtransfer.config.phases import Phase
from xtransfer.plan import BASELINE, EARLIER, PhaseName, Step
from xtransfer.planner.draft import Draft
from xtransfer.planner.inputs import InputSteps
from xtransfer.planner.lessons import Lesson
from xtransfer.selection import OVER_SEEDS, Rule
from xtransfer.tasks.task import Task

Head = Literal["fresh", "kept"]

_TEXT_IDENTITY = {"languages", "exponent", "probability", "weight", "mask"}
"""What of an arm's text a train step hashes by itself; the rest is in its data's own keys."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Where in a plan trials stand."""

    start: str | None
    """Key of the selection that they go on from; None: the encoder."""
    after: str
    """Name of what that was trained on."""
    phase: PhaseName
    sweep: str
    """That they belong to."""

    @property
    def tail(self) -> str:
        """The part of a step's name that says where it started.

        A trial from the base encoder has the same name, as it has the same key, in either phase.
        """
        return "" if self.after == BASELINE else f"-after-{self.after}"


@dataclass(frozen=True, kw_only=True)
class _Suggested:
    """A learning rate that is found when the trial begins."""

    about: dict[str, Any]
    earlier: list[str]
    """Keys of the trials that are known then."""


class SweepSteps:
    """Adds train and select steps to a plan.

    Args:
        experiment: what is planned.
        inputs: adds the steps that the trials' data come from.
        draft: the plan so far.
    """

    def __init__(self, experiment: Experiment, inputs: InputSteps, draft: Draft) -> None:
        self.experiment = experiment
        self.inputs = inputs
        self.draft = draft

    def trials(
        self,
        lesson: Lesson,
        branch: Branch,
        seed: int,
        *,
        head: Head = "fresh",
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[str]:
        """Plan the trials of one seed of a sweep.

        Args:
            lesson: what they learn from.
            branch: where they stand.
            seed: of all of them.
            head: "kept": they go on with the head of their start.
            more: what their keys have beyond the usual.
        """
        settings = self._settings(branch)
        more = {**more, **self._rivals(lesson, branch, seed)}
        data = self._data(lesson)
        keys = [
            self._train(lesson, data, branch, seed, rate, head=head, more=more)
            for rate in settings.rates(lesson.learning_rate)
        ]
        for about, known in settings.search.suggested(len(keys)):
            if settings.incomplete != "refuse":
                about["incomplete"] = settings.incomplete
            suggested = _Suggested(about=about, earlier=keys[:known])
            keys.append(self._train(lesson, data, branch, seed, suggested, head=head, more=more))
        return keys

    def further_trial(self, lesson: Lesson, branch: Branch, seed: int) -> str:
        """Plan a trial at the lesson's own rate that goes on with the head of its start.

        It keeps its last weights.
        """
        data, rate = self._data(lesson), lesson.learning_rate
        return self._train(lesson, data, branch, seed, rate, head="kept", weights="last")

    def select(
        self,
        lesson: Lesson,
        trials: list[str],
        rule: Rule,
        branch: Branch,
        *,
        seed: int | None = None,
        devs: Mapping[str, str] | None = None,
    ) -> str:
        """Plan a selection.

        Args:
            lesson: of the trials.
            trials: their keys.
            rule: that chooses among them.
            branch: where they stand.
            seed: of the trial that goes on, where the rule compares means over seeds.
            devs: trial -> its evaluation on the target's dev sets, for the oracle.
        """
        settings = self._settings(branch)
        steps = self.draft.steps
        seeds = {steps[key].spec["seed"] for key in trials}
        own = seed if rule in OVER_SEEDS and len(seeds) > 1 else None
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
            first = steps[devs[trials[0]]].spec
            spec["metric"] = first["metric"]
            spec["split"] = f"{first['task']} dev {' '.join(first['languages'])}"
            inputs |= {f"dev-{index:03d}": devs[key] for index, key in enumerate(trials)}
        return self.draft.add(
            Step(
                kind="select",
                name=f"{lesson.name}{branch.tail}-{label}",
                spec=spec,
                inputs=inputs,
                phase=branch.phase,
            )
        )

    def _settings(self, branch: Branch) -> Phase:
        experiment = self.experiment
        return experiment.target if branch.phase == "target" else experiment.intermediate

    def _train(
        self,
        lesson: Lesson,
        data: Mapping[str, str],
        branch: Branch,
        seed: int,
        rate: float | _Suggested,
        *,
        head: Head = "fresh",
        weights: Literal["best", "last"] = "best",
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        inputs = dict(data)
        parent = branch.start or self.inputs.encoder
        if parent is not None:
            inputs["start"] = parent
        text = lesson.text
        spec: dict[str, Any] = {
            "parts": _parts(lesson),
            "sampling": lesson.sampling,
            "text": None if text is None else text.model_dump(mode="json", include=_TEXT_IDENTITY),
            "learning_rate": None if isinstance(rate, _Suggested) else rate,
            "seed": seed,
            "epochs": lesson.epochs,
            "batch_size": lesson.batch_size,
            **self.experiment.training.identity(),
            "keep": weights,
            "head": head,
            "encoder": self.inputs.encoder_id if parent is None else None,
            **more,
        }
        name = f"{lesson.name}{branch.tail}"
        if isinstance(rate, _Suggested):
            spec["tpe"] = rate.about
            inputs |= {f"{EARLIER}{index:03d}": key for index, key in enumerate(rate.earlier)}
            name += f"-tpe{rate.about['number']}-seed{seed}"
        else:
            name += f"-lr{rate:g}-seed{seed}"
        return self.draft.add(
            Step(
                kind="train",
                name=name,
                spec=spec,
                inputs=inputs,
                where={"encoder": dict(self.inputs.encoder_where)},
                phase=branch.phase,
                sweep=branch.sweep,
            )
        )

    def _data(self, lesson: Lesson) -> dict[str, str]:
        """Plan what a trial reads; return the keys by role."""
        inputs: dict[str, str] = {}
        for part in lesson.parts:
            inputs |= self.inputs.part_data(part)
        if lesson.text is not None:
            inputs |= self.inputs.text_data(self.draft.task("text"), lesson.text)
        return inputs

    def _rivals(self, lesson: Lesson, branch: Branch, seed: int) -> dict[str, Any]:
        """Return what a trial's key says of the trials that may have it stopped: those of its selection."""
        settings = self._settings(branch)
        rates = settings.rates(lesson.learning_rate)
        seeds = (seed,) if settings.select_per_seed else settings.seeds
        if settings.asha is None or len(rates) * len(seeds) == 1:
            return {}
        return {"asha": settings.asha.identity(rates, seeds)}


def chosen_on(
    lesson: Lesson, rule: Rule, task: Task | None = None, dev_languages: tuple[str, ...] = ()
) -> str:
    """Return the data that chose a model, for readers; `task` and `dev_languages` are the oracle's."""
    if rule == "target_dev" and task is not None:
        return f"oracle: {task.name} dev {' '.join(dev_languages)}"
    return f"{lesson.selected_on}{', mean over seeds' if rule in OVER_SEEDS else ''}"


def _parts(lesson: Lesson) -> list[dict[str, Any]]:
    return [
        {
            "task": part.task.name,
            "form": part.task.form,
            "metric": part.task.metric,
            "labels": None if part.task.labels_from_data else list(part.task.labels),
            "languages": list(part.languages),
            "dev_languages": list(part.dev_languages),
        }
        for part in lesson.parts
    ]
