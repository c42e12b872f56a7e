"""What is trained between the encoder and the targets, and after them: arms and few-shot stages.

An arm is one row of the result table: a task, several at once, a task in another language or spread over
several, with or without unlabelled text. Each is one line of an experiment's YAML:

    intermediate:
      tasks:
        - mnli
        - {name: multi, tasks: [mnli, squad_v1, hellaswag], sampling: {kind: temperature, temperature: 2}}
        - {name: mnli-mlm, task: mnli, text: {languages: [en, sw, ta]}}
        - {name: mnli-sw, task: mnli, languages: [sw], source: &files {files: {
            train: ["mnli/train-{lang}.jsonl"], dev: ["mnli/dev-{lang}.jsonl"]}}}
        - {name: mnli-wide, task: mnli, languages: [en, sw, zh], spread: true, source: *files}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from xtransfer.settings import Settings, check_languages, check_name, distinct
from xtransfer.tasks.task import files_fault


class Sampling(Settings):
    """How often each task of a multi-task arm is drawn; a bare name is its `kind`."""

    kind: Literal["proportional", "temperature", "uniform"] = "proportional"
    """To the number of examples; to its power 1 / temperature; or the same for all."""
    cap: int | None = Field(default=2**17, ge=1)
    """K: a task counts as having at most so many examples. Unverified: recalled from the paper."""
    temperature: float = Field(default=1.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _bare_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _used(self) -> Sampling:
        if self.temperature != 1.0 and self.kind != "temperature":
            raise ValueError(
                f"`temperature` does nothing to {self.kind} sampling: give `kind: temperature`, too"
            )
        return self


class Text(Settings):
    """Unlabelled text that an arm goes on with masked language modelling on, beside its tasks.

    Exponent, mask share and probability are choices of ours where the paper's are not known.
    """

    languages: tuple[str, ...] = Field(min_length=1)
    files: tuple[str, ...] = ()
    """Path templates, a paragraph a line; none: those of the task `text`."""
    exponent: float = Field(default=0.3, ge=0, le=1)
    """A language is drawn in proportion to its rows to this power (XLM-R: 0.3)."""
    probability: float = Field(default=0.5, gt=0, lt=1)
    """Share of the optimizer steps that go to text; tasks keep as many steps as without."""
    weight: float = Field(default=1.0, gt=0)
    """What the loss on text is multiplied by."""
    mask: float = Field(default=0.15, gt=0, lt=1)
    """Share of tokens to predict: 80 % hidden, 10 % replaced, 10 % left (Devlin et al. 2019)."""
    max_length: int = Field(default=256, ge=8)
    holdout: int = Field(default=200, ge=1)
    """Paragraphs of each language that are kept to measure the loss on."""

    _codes = field_validator("languages")(check_languages)

    @field_validator("files")
    @classmethod
    def _some_files(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and (fault := files_fault(value)):
            raise ValueError(fault)
        return value


class Arm(Settings):
    """One way to train between the encoder and the targets: a row of the result table.

    A bare name is the arm of that one task.
    """

    name: str
    """Of a single task, the task's own unless given."""
    tasks: tuple[str, ...] = ()
    """Trained on together, a head each; `task: x` is short for one. None: on text alone."""
    languages: tuple[str, ...] = ()
    """Of the training data, in the files named by `{lang}`; none: each task's own."""
    dev_languages: tuple[str, ...] = ()
    """Of the dev sets; none: those of training."""
    spread: bool | int = False
    """Size-matched multilingual training. True: as many examples as the first language has, spread
    evenly over all of them, no example twice; a number: that many."""
    source: Mapping[str, Any] = Field(default_factory=dict)
    """Fields of the task's source that differ, such as `files` of a translation; of one task only."""
    sampling: Sampling = Sampling()
    text: Text | None = None

    _codes = field_validator("languages", "dev_languages")(check_languages)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value, "tasks": (value,)}
        if not isinstance(value, Mapping):
            return value
        given = dict(cast("Mapping[str, Any]", value))
        if "task" in given:
            if "tasks" in given:
                raise ValueError("give either `task` or `tasks`")
            given["tasks"] = (given.pop("task"),)
        tasks = given.get("tasks")
        if "name" not in given and isinstance(tasks, tuple) and len(cast("Any", tasks)) == 1:
            given["name"] = tasks[0]
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Arm:
        check_name(self.name.replace("+", ""))
        if self.name == "baseline":
            raise ValueError("'baseline' is the name of the arm without any training")
        if self.name == "best":
            raise ValueError("'best' is what `submission --after` calls each target's best arm")
        if not self.tasks and self.text is None:
            raise ValueError("needs a `task`, `tasks` or `text` to train on")
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"has a repeated task: {list(self.tasks)}")
        if self.source and len(self.tasks) != 1:
            raise ValueError("`source` needs exactly one task to belong to")
        if self.sampling != Sampling() and len(self.tasks) < 2:
            raise ValueError("`sampling` is between several `tasks`")
        if not self.tasks and (self.languages or self.dev_languages):
            raise ValueError("has no task to have `languages`: those of text are `text.languages`")
        shared = Text.model_fields["probability"].default
        if not self.tasks and self.text is not None and self.text.probability != shared:
            raise ValueError("has no task to share its steps with: leave `text.probability` out")
        if self.spread < 0:
            raise ValueError("`spread` is true, false or a number of examples")
        if self.spread and len(self.languages) < 2:
            raise ValueError("`spread` needs two or more `languages`")
        if self.spread is not True and 0 < self.spread < len(self.languages):
            raise ValueError(
                f"`spread` is {self.spread}, which leaves some of {len(self.languages)} languages no example"
            )
        return self


class FewShot(Settings):
    """A further stage of a target: every selected model goes on with few examples of one language.

    No dev set chooses among its steps, since a handful of examples has none to spare (Schmidt et al.
    2022): all epochs are run and the last weights are scored.
    """

    examples: tuple[int, ...] = Field(min_length=1)
    """Numbers of examples; each gives a model and a score of its own."""
    languages: tuple[str, ...] = Field(min_length=1)
    split: Literal["train", "dev"] = "dev"
    """Where the examples come from: the target's own data in that language."""
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0, lt=1)

    _codes = field_validator("languages")(check_languages)

    @field_validator("examples")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(count < 1 for count in value):
            raise ValueError("each number of examples is at least 1")
        return distinct(value)
