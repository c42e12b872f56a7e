"""The encoder that every branch of an experiment starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from xtransfer.config.pretraining import PretrainSpec
from xtransfer.errors import did_you_mean, shown
from xtransfer.mistakes import explain
from xtransfer.settings import Settings, expanded


class Pretrain(Settings):
    """The demo's own encoder: a tiny XLM-R pretrained on the artificial languages."""

    steps: int = Field(default=1500, ge=1)
    seed: int = 0
    options: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    """Further fields of `xtransfer.config.pretraining.PretrainSpec`."""

    @property
    def layers(self) -> int:
        """Return how many layers the encoder will have."""
        return PretrainSpec(**dict[str, Any](self.options)).layers

    @model_validator(mode="after")
    def _known(self) -> Pretrain:
        if own := sorted({"seed", "steps"} & self.options.keys()):
            raise ValueError(f"`options` has {own[0]}, which stands beside it")
        try:
            PretrainSpec(**dict[str, Any](self.options))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = shown(".".join(map(str, first["loc"])))
            if first["type"] == "extra_forbidden":
                known = sorted(PretrainSpec.model_fields.keys() - {"seed", "steps", "objectives"})
                hint = did_you_mean(name, known) or f"Known: {', '.join(known)}."
                raise ValueError(f"`options` has an unknown key '{name}'. {hint}") from None
            _, what, next_ = explain(PretrainSpec, error)
            raise ValueError(
                f"`options.{name}`: {what}. {next_}".rstrip() if name else f"of `options`, {what}"
            ) from None
        return self


class Encoder(Settings):
    """The pretrained masked language model that every branch starts from."""

    name: str | None = None
    """A folder in Hugging Face layout (`~` as in `data.root`), or a repository name on the hub."""
    revision: str | None = None
    """Full commit hash; required for a repository."""
    pretrain: Pretrain | None = None
    """Set instead of `name` to pretrain a tiny encoder first (the demo)."""
    notes: tuple[str, ...] = ()
    """Caveats that the report prints beside every result."""

    @property
    def folder(self) -> Path | None:
        """Return the folder that the encoder is in; None where no such folder is here."""
        folder = expanded(self.name) if self.name else None
        return folder if folder is not None and folder.is_dir() else None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> Encoder:
        if (self.name is None) == (self.pretrain is None):
            raise ValueError("give either `name` (a folder or a hub repository) or `pretrain`")
        if self.name is not None and not self.name.strip():
            raise ValueError("`name` is empty: give a folder or a hub repository")
        if self.pretrain is not None and self.revision is not None:
            raise ValueError("`revision` is that of a hub repository, and `pretrain` takes none")
        return self
