"""Finished steps shown in MLflow and TensorBoard, from their records.

The store stays the truth: what is shown can be thrown away and made anew by `xtransfer track`. Each step
is there once, by its key.

facts    what of a record is shown
runs     an MLflow run a step
events   a folder of TensorBoard's event files a step

While a plan is worked off, `xtransfer.driver.feed` hands steps on as they finish.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Protocol

from xtransfer.config.placement import Tracking, tracking_fault
from xtransfer.errors import ConfigError, XtransferError
from xtransfer.plan import Plan
from xtransfer.records.record import Record
from xtransfer.settings import expanded
from xtransfer.tracking.facts import Facts, facts_of

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where steps are shown. Only its methods connect anywhere, and any of them may fail."""

    name: str
    """For messages."""

    def known(self) -> set[str]:
        """Return the keys of the steps that are there, whole."""
        ...

    def show(self, facts: Facts) -> bool:
        """Show a step that is not there; return whether it is now, and not only begun by somebody else."""
        ...


def sinks_of(tracking: Tracking, experiment: str) -> list[Sink]:
    """Return where an experiment's steps are to be shown; connects nowhere yet.

    Raises:
        ConfigError: when what is asked for is not installed, or a URI carries credentials.
    """
    from xtransfer.tracking.events import EventFiles
    from xtransfer.tracking.runs import MlflowRuns

    found: list[Sink] = []
    if tracking.mlflow is not None:
        if fault := tracking_fault(tracking.mlflow):  # by `xtransfer track --mlflow`
            raise ConfigError("tracking.mlflow", fault)
        _need("mlflow", "tracking.mlflow")
        found.append(MlflowRuns(tracking.mlflow, experiment))
    if tracking.tensorboard is not None:
        _need("tensorboardX", "tracking.tensorboard")
        found.append(EventFiles(expanded(tracking.tensorboard), experiment))
    return found


def catch_up(sink: Sink, plan: Plan, records: Mapping[str, Record]) -> tuple[int, int]:
    """Show every recorded step of a plan that is not there; return how many are new, and were there.

    Neither are those that somebody else has begun to show, and not ended: they are warned of.

    Raises:
        XtransferError: where the sink cannot be reached or refuses.
    """
    wanted = [key for key in plan.steps if key in records]
    try:
        there = sink.known()
        new = [key for key in wanted if key not in there]
        shown = [key for key in new if sink.show(facts_of(records[key], plan.steps[key]))]
    except Exception as error:
        raise XtransferError(
            sink.name, f"{type(error).__name__}: {first_line(error)}", "What is there stays."
        ) from error
    if begun := len(new) - len(shown):
        log.warning(
            "%s: %d steps are left to another driver, which is showing them; look again in 5 minutes",
            sink.name,
            begun,
        )
    return len(shown), len(wanted) - len(new)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return next(iter(str(error).strip().splitlines()), "")


def _need(module: str, setting: str) -> None:
    if find_spec(module) is None:
        raise ConfigError(
            setting, f"{module} is not installed", "pip install 'xtransfer[tracking]'"
        )
