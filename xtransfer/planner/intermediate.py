"""The intermediate phase of a plan: the sweep of an arm, and the one model that its targets start from."""

from __future__ import annotations

from dataclasses import dataclass

from xtransfer.config.arms import Arm
from xtransfer.config.phases import Phase
from xtransfer.plan import BASELINE
from xtransfer.planner.curriculum import FindTask, arm_lesson
from xtransfer.planner.sweeps import Branch, SweepSteps, chosen_on


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the targets of an arm start from."""

    key: str | None = None
    """Of the select step; None: the encoder itself."""
    name: str = BASELINE
    """What was trained on; a function of it, unlike the arm's own name."""
    selected_on: str = ""
    form: str = ""
    """Of the task; empty for several at once and for the encoder itself."""


def plan_arm(arm: Arm, phase: Phase, sweeps: SweepSteps, find: FindTask) -> Start:
    """Plan the sweep of an arm and the selection among all its trials."""
    lesson = arm_lesson(arm, phase, find)
    branch = Branch(start=None, after=BASELINE, phase="intermediate", sweep=arm.name)
    trials = [key for seed in phase.seeds for key in sweeps.trials(lesson, branch, seed)]
    key = sweeps.select(lesson, trials, phase.rule, branch)
    form = lesson.parts[0].task.form if len(lesson.parts) == 1 else ""
    return Start(key=key, name=lesson.name, selected_on=chosen_on(lesson, phase.rule), form=form)
