"""Hyper-parameters of an experiment's trials."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from xtransfer.config.adapters import Lora
from xtransfer.settings import Settings

_Beta = Annotated[float, Field(ge=0, lt=1)]
"""A rate of decay of Adam's running means."""


class Training(Settings):
    """Hyper-parameters shared by all trials. Defaults are those of the study, as jiant has them."""

    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises linearly; it then falls to 0."""
    weight_decay: float = Field(default=0.01, ge=0)
    adam_epsilon: float = Field(default=1e-8, gt=0)
    adam_betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    clip: float = Field(default=1.0, gt=0)
    """Largest L2 norm of the gradient."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """None: what the encoder's own configuration says."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast with fp32 master weights."""
    eval_every: int | None = Field(default=1000, ge=1)
    """Steps between two dev evaluations; the last step is always evaluated. None: only there."""
    patience: int = Field(default=30, ge=1)
    """Dev evaluations without improvement before a trial stops."""
    on_nan: Literal["fail", "skip"] = "fail"
    """What becomes of an optimizer step whose loss or gradient is not finite: it fails the trial, or it is
    left out and noted. How often is put up with is a matter of placement (`train.skips_in_all`)."""
    lora: Lora | None = None
    """Train adapters instead of the whole encoder, in all trials."""

    def identity(self) -> dict[str, Any]:
        """Return what enters the keys of trials. That a step fails them does not: it leaves no record."""
        absent = {"on_nan"} if self.on_nan == "fail" else set[str]()
        absent |= {"lora"} if self.lora is None else set()
        return self.model_dump(mode="json", exclude=absent)
