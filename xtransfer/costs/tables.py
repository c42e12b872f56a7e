"""The user's own figures: speeds of an encoder on a device, and what a device costs an hour.

figures:
  - {encoder: xlm-roberta-large, device: h100, form: classification, max_length: 256,
     precision: bf16, examples_per_s: 400.0, source: our pilot, date: 2026-11-02}

h100: {spot: 2.1, on_demand: 4.2, currency: USD, source: the provider's price page, date: 2026-11-02}
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, RootModel, field_validator, model_validator

from xtransfer.costs.devices import device_named
from xtransfer.costs.lineage import Subject
from xtransfer.costs.speeds import FORWARD_SHARE, Speed
from xtransfer.settings import Settings, read_settings
from xtransfer.tasks.task import FormName


class Figure(Settings):
    """How fast one encoder trains, on one kind of device."""

    encoder: str
    """As the experiment names it, or the last part of that."""
    device: str
    task: str | None = None
    """A task, several joined by `+`; or `form`."""
    form: FormName | None = None
    max_length: int = Field(ge=1)
    """Longest input in tokens; of several tasks, the longest."""
    precision: Literal["fp32", "bf16"]
    devices: int = Field(default=1, ge=1)
    """That a trial had together."""
    examples_per_s: float = Field(gt=0)
    """Rows trained on in a second, dev evaluations left out."""
    predicted_per_s: float | None = Field(default=None, gt=0)
    """Rows predicted in a second; None: as training, without its backward passes."""
    source: str
    date: dt.date

    @model_validator(mode="after")
    def _of_one(self) -> Figure:
        if (self.task is None) == (self.form is None):
            raise ValueError("needs either `task` or `form`")
        return self

    _short = field_validator("device")(device_named)


class SpeedTable(Settings):
    """What the user knows of speeds."""

    figures: tuple[Figure, ...] = ()

    def speed(self, subject: Subject, encoder: str, device: str, devices: float) -> Speed | None:
        """Return the figure of a train or evaluate step; None without any.

        One of its task comes before one of its form, and then one on as many devices before one on others.

        Args:
            subject: what the step is about.
            encoder: its encoder's name.
            device: where it runs.
            devices: how many it has.
        """
        names = {encoder, encoder.rsplit("/", 1)[-1]}
        fitting = [
            figure
            for figure in self.figures
            if figure.encoder in names
            and figure.device == device
            and figure.precision == subject.precision
            and figure.max_length == max(subject.lengths)
        ]
        alike = [
            figure
            for figure in fitting
            if figure.task == "+".join(subject.tasks) or (figure.form,) == subject.forms
        ]
        figure = min(
            alike,
            key=lambda figure: (figure.task is None, figure.devices != devices),
            default=None,
        )
        return None if figure is None else _speed(figure, subject.kind, devices)


class Price(Settings):
    """What an hour of one device costs."""

    spot: float | None = Field(default=None, ge=0)
    on_demand: float | None = Field(default=None, ge=0)
    currency: str
    source: str
    date: dt.date

    @model_validator(mode="after")
    def _some(self) -> Price:
        if self.spot is None and self.on_demand is None:
            raise ValueError("needs `spot`, `on_demand` or both")
        return self


class Prices(RootModel[Mapping[str, Price]]):
    """Device -> its price; `cpu` is one CPU."""

    @field_validator("root")
    @classmethod
    def _short(cls, value: Mapping[str, Price]) -> Mapping[str, Price]:
        found: dict[str, Price] = {}
        for name, price in value.items():
            if (short := device_named(name)) in found:
                raise ValueError(f"two entries are of {short}, the second as '{name}'")
            found[short] = price
        return found


def load_speeds(path: Path) -> SpeedTable:
    """Read a table of speeds; raises ConfigError with file, place and cause."""
    return read_settings(SpeedTable, path, (), str(path))


def load_prices(path: Path) -> Prices:
    """Read a table of prices; raises ConfigError with file, place and cause."""
    return read_settings(Prices, path, (), str(path))


def _speed(figure: Figure, kind: str, devices: float) -> Speed:
    predicted = figure.predicted_per_s or figure.examples_per_s / FORWARD_SHARE
    derived = "" if figure.predicted_per_s else ", prediction taken as three times as fast"
    source = f"{figure.source}; {figure.date}{derived if kind == 'evaluate' else ''}"
    speed = Speed(
        examples_per_s=predicted if kind == "evaluate" else figure.examples_per_s,
        dev_examples_per_s=None if kind == "evaluate" else predicted,
        trust="table",
        source=source,
    )
    if not devices or figure.devices == devices:
        return speed
    note = f", taken from {figure.devices} to {devices:g} devices in proportion"
    return replace(speed.times(devices / figure.devices, note), trust="table")
