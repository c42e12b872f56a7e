"""The two phases of an experiment that train: their tasks, their grids and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from xtransfer.config.arms import Arm, FewShot
from xtransfer.config.averaging import Average
from xtransfer.selection import Rule
from xtransfer.settings import Settings, check_languages, distinct
from xtransfer.sweeps.settings import Asha, Search


class StageOverride(Settings):
    """Values of a training stage that differ from the task's defaults."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    max_length: int | None = Field(default=None, ge=8)
    stride: int | None = Field(default=None, ge=0)


class Phase(Settings):
    """The grid of trials of each task or arm of a phase."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (1,)
    learning_rates: tuple[float, ...] = ()
    """Empty: the task's own default."""
    search: Search = Search()
    asha: Asha | None = None
    """Whether trials are stopped that fall behind; None: every one runs to its end."""
    overrides: Mapping[str, StageOverride] = Field(default_factory=dict)
    """Task or arm -> changed stage values; `all` applies first, then the task's, then the arm's."""
    select_per_seed: bool
    """True: the best learning rate of each seed goes on, so every seed is a replicate of its own.
    False: the one best trial of the whole sweep goes on."""
    rule: Rule = "best_dev"
    """How the trial that goes on is chosen, see `xtransfer.selection`."""
    incomplete: Literal["refuse", "allow"] = "refuse"
    """What a selection does with a grid that lacks trials: it waits for all, or does without those that failed."""

    def rates(self, default: float) -> tuple[float, ...]:
        """Return the learning rates of a sweep whose task has this one by default."""
        return self.search.rates(self.learning_rates, default)

    @field_validator("seeds", "learning_rates")
    @classmethod
    def _no_repeats(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @field_validator("learning_rates")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < rate < 1 for rate in value):
            raise ValueError("learning rates lie between 0 and 1")
        return value


class Intermediate(Phase):
    """Phase 2 of the study: fine-tuning on an intermediate task."""

    tasks: tuple[Arm, ...] = ()
    """Each a task's name or an arm: what is trained on before the targets."""
    select_per_seed: bool = False

    @field_validator("tasks")
    @classmethod
    def _other_names(cls, value: tuple[Arm, ...]) -> tuple[Arm, ...]:
        distinct(tuple(arm.name for arm in value))
        return value


class Target(Phase):
    """Phase 3: fine-tuning on a target's English training set, then scoring in every language."""

    tasks: tuple[str, ...]
    select_per_seed: bool = True
    languages: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Target -> languages to score, where not all of the task's."""
    rules: Mapping[str, Rule] = Field(default_factory=dict)
    """Target -> its own rule, where not `rule`."""
    dev_languages: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Target -> languages whose dev sets the rule `target_dev` takes; none: those that are scored."""
    few_shot: Mapping[str, FewShot] = Field(default_factory=dict)
    """Target -> a further stage on examples of a target language, beside the zero-shot score."""
    average: Average | None = None
    """Averages of weights that are scored beside the selected models."""

    @field_validator("languages", "dev_languages")
    @classmethod
    def _codes(cls, value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for codes in value.values():
            check_languages(codes)
        return value

    @field_validator("tasks")
    @classmethod
    def _other_tasks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)

    @field_validator("seeds")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("needs at least one seed")
        return value
