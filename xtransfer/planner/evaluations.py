"""The evaluate steps of a plan: models scored on a target's test sets, or on its dev sets for the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtransfer.config.experiment import Experiment
from xtransfer.plan import Step
from xtransfer.planner.curriculum import evaluation_length, evaluation_stride
from xtransfer.planner.draft import Draft
from xtransfer.planner.inputs import InputSteps
from xtransfer.tasks.task import Split, Task


class EvaluationSteps:
    """Adds evaluate steps to a plan, and the preparation of what they score.

    Args:
        experiment: what is planned.
        inputs: adds the steps that data sets come from.
        draft: the plan so far.
    """

    def __init__(self, experiment: Experiment, inputs: InputSteps, draft: Draft) -> None:
        self.experiment = experiment
        self.inputs = inputs
        self.draft = draft

    def test_data(self, task: Task, languages: tuple[str, ...] = ()) -> tuple[tuple[str, ...], str]:
        """Plan the test sets of a target.

        Args:
            task: the target.
            languages: of the test sets; none: those that the experiment scores it in.

        Returns:
            The languages in order, and the key of the prepared data.
        """
        scored = self.experiment.target.languages.get(task.name, task.languages)
        languages = tuple(sorted(languages or scored))
        return languages, self._prepare(task, "test", languages)

    def score(
        self,
        task: Task,
        languages: tuple[str, ...],
        model: str | None,
        test: str,
        *,
        after: str,
        tail: str,
    ) -> str:
        """Plan the scores of a model, and return the step's key.

        Args:
            task: the target.
            languages: that it is scored in.
            model: key of the step that gives the model; None: the encoder itself.
            test: key of the prepared data.
            after: name of what the arm was trained on.
            tail: of the step's name.
        """
        inputs = {"test": test}
        if task.form == "bitext" and "dev" in task.source.files:
            inputs["dev"] = self._prepare(task, "dev", languages)
        if "pool" in task.source.files:
            inputs["pool"] = self._prepare(task, "pool", ("all",))
        return self.add(
            task,
            languages,
            model,
            inputs,
            name=f"{task.name}-after-{after}{tail}",
            sweep=f"{task.name} after {after}",
            more={"retrieval": self.experiment.retrieval.of(task)} if task.form == "bitext" else {},
        )

    def add(
        self,
        task: Task,
        languages: Sequence[str],
        model: str | None,
        inputs: Mapping[str, str],
        *,
        name: str,
        sweep: str,
        more: Mapping[str, Any],
    ) -> str:
        """Add an evaluate step to the plan, and return its key.

        Args:
            task: whose data are scored.
            languages: of the data.
            model: key of the step that gives the model; None: the encoder itself.
            inputs: keys of the other parents by role, the prepared data as `test`.
            name: of the step.
            sweep: that it is listed with.
            more: settings beside those that every evaluate step has, or in their place.
        """
        parent = model or self.inputs.encoder
        if parent is not None:
            inputs = {**inputs, "model": parent}
        spec: dict[str, Any] = {
            "task": task.name,
            "form": task.form,
            "metric": task.metric,
            "labels": list(task.labels),
            "languages": list(languages),
            "precision": self.experiment.training.precision,
            "encoder": self.inputs.encoder_id if parent is None else None,
            "retrieval": None,
            **more,
        }
        return self.draft.add(
            Step(
                kind="evaluate",
                name=name,
                spec=spec,
                inputs=inputs,
                where={"encoder": dict(self.inputs.encoder_where)},
                phase="evaluation",
                sweep=sweep,
            )
        )

    def dev_scores(
        self, task: Task, languages: tuple[str, ...], trials: list[str], *, after: str
    ) -> dict[str, str]:
        """Plan the evaluation of each trial on the target's own dev sets; return trial -> its key."""
        dev = self._prepare(task, "dev", languages)
        steps = self.draft.steps
        return {
            key: self.score(
                task, languages, key, dev, after=after, tail=f"-dev-{_trial(steps[key])}"
            )
            for key in trials
        }

    def _prepare(self, task: Task, split: Split, languages: tuple[str, ...]) -> str:
        phase = self.experiment.target
        return self.inputs.prepare(
            task,
            split,
            languages,
            max_length=evaluation_length(task, phase),
            stride=evaluation_stride(task, phase),
        )


def _trial(step: Step) -> str:
    """Name a trial as its own step does: by its learning rate, or its number where that is suggested."""
    rate = step.spec["learning_rate"]
    label = f"tpe{step.spec['tpe']['number']}" if rate is None else f"lr{rate:g}"
    return f"{label}-seed{step.spec['seed']}"
