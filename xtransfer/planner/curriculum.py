"""What an experiment has its trials learn: lessons of arms, of targets' stages and of few-shot stages.

Values of a stage are those of the task's own record, unless the experiment overrides them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xtransfer.config.arms import Arm, FewShot
from xtransfer.config.phases import Phase
from xtransfer.planner.lessons import Lesson, LessonPart
from xtransfer.tasks.task import Stage, Task
from xtransfer.tasks.user import patched

TEXT_LEARNING_RATE = 5e-6
"""Default beside masked language modelling, as in jiant's X-STILTs scripts; a sweep may set others."""

FindTask = Callable[[str], Task]
"""Name -> task, which the plan uses from then on."""


def arm_lesson(arm: Arm, phase: Phase, find: FindTask) -> Lesson:
    """Return what an arm trains on: each task as its own record says, unless the arm does."""
    parts: list[LessonPart] = []
    stages: list[Stage] = []
    for name in arm.tasks:
        task = find(name)
        assert task.as_intermediate is not None
        stages.append(overridden(task.as_intermediate, phase, task.name, arm.name))
        if arm.source:
            task = patched(task, arm.source, f"intermediate arm '{arm.name}'.source")
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
        stage = overridden(own, phase, arm.name)
    rate = TEXT_LEARNING_RATE if arm.text is not None else stage.learning_rate
    return Lesson(
        parts=tuple(parts),
        sampling=arm.sampling.model_dump(mode="json") if len(parts) > 1 else None,
        text=arm.text,
        epochs=stage.epochs,
        batch_size=stage.batch_size,
        learning_rate=rate,
    )


def stage_lesson(stage: Stage, find: FindTask) -> Lesson:
    """Return a target's stage as a lesson of one part."""
    task = find(stage.task)
    languages = (task.train_language,)
    return Lesson(
        parts=(LessonPart(task=task, stage=stage, languages=languages, dev_languages=languages),),
        epochs=stage.epochs,
        batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
    )


def few_shot_lesson(
    few: FewShot, task: Task, stage: Stage, language: str, *, examples: int, seed: int
) -> Lesson:
    """Return a further stage on so many examples of a target language.

    Args:
        few: what the experiment says of it.
        task: the target.
        stage: its last one, whose lengths are taken.
        language: of the examples.
        examples: how many are drawn.
        seed: that they are drawn with.
    """
    part = LessonPart(
        task=task,
        stage=stage,
        languages=(language,),
        dev_languages=(),
        split=few.split,
        sample=(examples, seed),
    )
    return Lesson(
        parts=(part,),
        epochs=few.epochs,
        batch_size=few.batch_size,
        learning_rate=few.learning_rate,
    )


def overridden(stage: Stage, phase: Phase, *names: str) -> Stage:
    """Return the stage with the experiment's values for `all`, then for each name, put in."""
    changes: dict[str, Any] = {}
    for name in ("all", *names):
        override = phase.overrides.get(name)
        if override is not None:
            changes |= override.model_dump(exclude_none=True)
    return stage.model_copy(update=changes)


def evaluation_length(task: Task, phase: Phase) -> int:
    """Return a target's evaluation length: the last stage's, or the task's own without training."""
    override = phase.overrides.get(task.name)
    if override is not None and override.max_length is not None:
        return override.max_length
    if task.stages:
        return overridden(task.stages[-1], phase, task.name).max_length
    override = phase.overrides.get("all")
    everywhere = None if override is None else override.max_length
    return everywhere or task.max_length


def evaluation_stride(task: Task, phase: Phase) -> int:
    """Return the step from window to window at a target's evaluation: the last stage's."""
    return overridden(task.stages[-1], phase, task.name).stride if task.stages else 0
