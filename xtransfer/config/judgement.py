"""How an experiment's results are judged; no part of any step's identity."""

from __future__ import annotations

from pydantic import Field, field_validator

from xtransfer.settings import Settings, check_languages, distinct
from xtransfer.typology.distances import KINDS, How, Kind


class Statistics(Settings):
    """How sure the report is of its numbers."""

    bootstrap: int = Field(default=1000, ge=0)
    """Resamples of the test examples behind intervals and p-values; 0: none are computed."""
    seed: int = Field(default=0, ge=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Coverage of intervals; 1 less this is the level of tests."""
    gain: float = Field(default=1.0, gt=0)
    """Points that the report says how many seeds it takes to see."""


class Typology(Settings):
    """How gains are set against distances between languages."""

    kinds: tuple[Kind, ...] = KINDS
    """Distances of URIEL that gains are regressed on, each by itself."""
    several_sources: How = "nearest"
    """Distance of a language from an arm that was trained in several."""
    low_resource: float | tuple[str, ...] = 5.0
    """Languages with less GiB than this in CC-100 (XLM-R's text; a choice of ours), or named ones."""

    _each_once = field_validator("kinds")(distinct)

    @field_validator("low_resource")
    @classmethod
    def _codes(cls, value: float | tuple[str, ...]) -> float | tuple[str, ...]:
        if isinstance(value, tuple):
            return check_languages(value)
        if value < 0:
            raise ValueError("is a size in GiB, from 0, or a list of languages")
        return value


class Power(Settings):
    """What the report's estimate of energy assumes; without any of it there is no estimate."""

    cpu_watts: float | None = Field(default=None, gt=0)
    """Drawn by one reserved CPU, its share of the rest of the machine included."""
    gpu_watts: float | None = Field(default=None, gt=0)
    """Drawn by one reserved GPU."""
