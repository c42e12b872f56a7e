"""The steps of a plan that analyse trained models beside their scores.

Each is an evaluate step with a field `analysis`; `xtransfer.config.analyses` says what there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xtransfer.config.analyses import GAP, Alignment, Analyses
from xtransfer.plan import Probe, Step
from xtransfer.planner.draft import Draft
from xtransfer.planner.evaluations import EvaluationSteps
from xtransfer.tasks.task import Task


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


class AnalysisSteps:
    """Adds to a plan what is measured of models beside their scores.

    Args:
        asked: by the experiment.
        draft: the plan so far.
        evaluations: adds evaluate steps.
    """

    def __init__(self, asked: Analyses, draft: Draft, evaluations: EvaluationSteps) -> None:
        self.asked = asked
        self.draft = draft
        self.evaluations = evaluations

    def probes(self, *, arms: Sequence[Model], models: Sequence[Model]) -> Iterator[Probe]:
        """Plan all analyses.

        Args:
            arms: the model of each arm, the encoder as `baseline` among them.
            models: the models that targets are scored with.
        """
        if self.asked.forgetting:
            starts = {arm.after: arm.key for arm in arms}
            for model in models:
                start = starts[model.after]
                if start is not None:
                    yield from self._forgetting(model, start)
        if self.asked.alignment is not None:
            yield from self._alignment(self.asked.alignment, arms, models)

    def _forgetting(self, model: Model, start: str) -> Iterator[Probe]:
        """Plan the dev set of each part of an arm's trials, scored by a target's model with the arm's head.

        `start`: key of the arm's select step.
        """
        steps = self.draft.steps
        trial = steps[steps[start].inputs["trial-000"]]
        for number, part in enumerate(trial.spec["parts"]):
            task = self.draft.task(part["task"])
            yield self._probe(
                "forgetting",
                model,
                task,
                _head_inputs(part, trial, start),
                languages=part["dev_languages"],
                name=f"{task.name}-dev-after-{model.name}",
                more={"analysis": {"kind": "forgetting", "head": number}},
            )

    def _alignment(
        self, asked: Alignment, arms: Sequence[Model], models: Sequence[Model]
    ) -> Iterator[Probe]:
        """Plan the alignment of all arms, and of the targets that are asked for."""
        task = self.draft.task(asked.task)
        languages, test = self.evaluations.test_data(task, asked.languages)
        trained = [each for each in models if each.target in asked.targets]
        for model in (*arms, *trained):
            yield self._probe(
                "alignment",
                model,
                task,
                {"test": test},
                languages=languages,
                name=f"{task.name}-alignment-after-{model.name}",
                more={"metric": GAP, "analysis": {"kind": "alignment"}},
            )

    def _probe(
        self,
        kind: Literal["forgetting", "alignment"],
        model: Model,
        task: Task,
        inputs: Mapping[str, str],
        *,
        languages: Sequence[str],
        name: str,
        more: Mapping[str, Any],
    ) -> Probe:
        key = self.evaluations.add(
            task, languages, model.key, inputs, name=name, sweep=f"{task.name} {kind}", more=more
        )
        return Probe(
            kind=kind,
            key=key,
            task=task.name,
            after=model.after,
            target=model.target,
            seed=model.seed,
        )


def _head_inputs(part: Mapping[str, Any], trial: Step, start: str) -> dict[str, str]:
    """Return what a part's dev set is scored with beside the model: the arm's head, and its labels."""
    inputs = {"test": trial.inputs[f"dev {part['task']}"], "head": start}
    if part["labels"] is None:
        inputs["labels"] = trial.inputs[f"train {part['task']}"]
    return inputs
