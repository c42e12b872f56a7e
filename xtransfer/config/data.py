"""Where an experiment's data are, how much of them is used and what is held out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from xtransfer.data.synthetic import Sizes
from xtransfer.errors import did_you_mean, shown
from xtransfer.settings import Settings, distinct, expanded
from xtransfer.tasks import TASKS
from xtransfer.tasks.hub import HUB, NOT_ON_HUB, on_hub
from xtransfer.tasks.task import Source, Split, Task, files_fault
from xtransfer.tasks.user import patched


class Synthetic(Settings):
    """Artificial languages instead of data files (`xtransfer.data.synthetic`)."""

    seed: int = 0
    options: Mapping[str, int | float | str] = Field(default_factory=dict)
    """Fields of `xtransfer.data.synthetic.Sizes`: numbers of examples."""

    @field_validator("options")
    @classmethod
    def _sizes(cls, value: Mapping[str, int | float | str]) -> Mapping[str, int | float | str]:
        known = [field.name for field in fields(Sizes)]
        for name, count in value.items():
            if name not in known:
                hint = did_you_mean(name, known) or f"Known: {', '.join(known)}."
                raise ValueError(f"has an unknown key '{shown(name)}'. {hint}")
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"`{name}` is a number of examples, from 1")
        return value


class Limits(Settings):
    """How many examples are used; a cut is a seeded sample and part of the identity."""

    seed: int = Field(default=0, ge=0)
    train: int | None = Field(default=None, ge=1)
    dev: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    tasks: Mapping[str, Mapping[Split, Annotated[int, Field(ge=1)] | None]] = Field(
        default_factory=dict
    )
    """Task -> split -> examples, where it differs from the three above."""

    def of(self, task: str, split: Split) -> int | None:
        """Return the largest number of examples of this task and split, None for all."""
        own = self.tasks.get(task, {})
        return own[split] if split in own else getattr(self, split, None)


class Data(Settings):
    """Where the data files are and how much of them is used."""

    root: str = "data"
    """Folder that the tasks' file names are relative to; `~` is the home of whoever runs the plan."""
    synthetic: Synthetic | None = None
    files: Mapping[str, Mapping[Split, tuple[str, ...]]] = Field(default_factory=dict)
    """Task -> split -> path templates, where they differ from the task's own."""
    sources: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Task -> fields of its source that differ, where files are written otherwise than the task says."""
    hub: tuple[str, ...] = ()
    """Tasks that are read from the Hugging Face hub instead of files; `true`: all but those that
    `files` or `sources` names."""
    revisions: Mapping[str, str] = Field(default_factory=dict)
    """Repository on the hub -> full commit hash, where it is not the recorded one."""
    holdout: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Task -> examples of its training file that are kept as its dev set and not trained on.
    Examples of one paragraph are held out together."""
    limits: Limits = Limits()

    @field_validator("files")
    @classmethod
    def _some_files(
        cls, value: Mapping[str, Mapping[Split, tuple[str, ...]]]
    ) -> Mapping[str, Mapping[Split, tuple[str, ...]]]:
        for name, splits in value.items():
            for split, templates in splits.items():
                if fault := files_fault(templates):
                    raise ValueError(f"of {name}, the `{split}` files {fault}")
        return value

    @field_validator("hub")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)

    @field_validator("hub", mode="before")
    @classmethod
    def _all_or_none(cls, value: Any) -> Any:
        if value is True or value == "all":
            return ("all",)
        return () if value is False else value

    @field_validator("revisions")
    @classmethod
    def _full(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for repository, revision in value.items():
            if not re.fullmatch(r"[0-9a-f]{40}", revision):
                raise ValueError(
                    f"'{revision}' of {repository} is no full commit hash (40 hex digits)"
                )
        return value

    @property
    def folder(self) -> Path:
        """Return `root` as an absolute path: steps run in other working directories."""
        return expanded(self.root).absolute()

    def source_of(self, task: Task, split: Split) -> Source:
        """Return where a split of the task is: its own place, the experiment's files, or the hub.

        The hub stands in for the files that the study's own record names, never for others.

        Raises:
            ConfigError: where `sources` has a field that no source has, or a value that it does not take.
        """
        own = task.name in TASKS and task.source == TASKS[task.name].source
        known = task.name in HUB or task.name in NOT_ON_HUB
        everything = "all" in self.hub and known and task.name not in {*self.files, *self.sources}
        if own and (everything or task.name in self.hub):
            return on_hub(task, revisions=self.revisions, where="data.hub").source
        source = task.source
        if task.name in self.sources:
            changes = dict(self.sources[task.name])
            if "files" in changes:
                changes["files"] = {**source.files, **changes["files"]}
            source = patched(task, changes, f"data.sources.{task.name}").source
        templates = self.files.get(task.name, {}).get(split)
        if templates is None:
            return source
        return source.model_copy(update={"files": {**source.files, split: templates}})
