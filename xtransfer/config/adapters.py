"""Low-rank adapters (LoRA, Hu et al. 2022) as an experiment asks for them."""

from __future__ import annotations

from pydantic import Field, field_validator

from xtransfer.settings import Settings, distinct


class Lora(Settings):
    """Train the product of two small matrices beside some linear layers, and leave the encoder as it is.

    Heads are trained whole. What is recorded has the product added to the layers' own weights, so that
    dependents, evaluation and export read it as any other model.
    """

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    """The product is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of what goes into the product, in training."""
    targets: tuple[str, ...] = Field(default=("query", "value"), min_length=1)
    """Last parts of the names of linear layers; in XLM-R also key and dense."""

    def text(self) -> str:
        """Return it in words."""
        return (
            f"LoRA of rank {self.rank} and alpha {self.alpha:g} beside the layers "
            f"{', '.join(self.targets)}" + (f", dropout {self.dropout:g}" if self.dropout else "")
        )

    @field_validator("targets")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name for name in value):
            raise ValueError("has an empty name")
        return distinct(value)
