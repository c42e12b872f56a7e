"""What Tune tells of its trials, handed on: which have begun, what they tell, and why one ended.

Tune has two ears for it: a scheduler, which hears of a trial before the search algorithm does and before the
trial goes on, and callbacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from xtransfer.errors import StoreError
from xtransfer.plan import Plan
from xtransfer.store import Store
from xtransfer.sweeps.rungs import Ruling
from xtransfer.sweeps.scheduler import rule

log = logging.getLogger(__name__)


class FailureRelay(FIFOScheduler):
    """Hands what Ray says of every attempt that ended without a report to `ended(key, text)`."""

    def __init__(self, ended: Callable[[str, str], None]) -> None:
        super().__init__()
        self.ended = ended

    def __getstate__(self) -> dict[str, Any]:
        """Leave the driver's hook out, should Tune write a copy to disk."""
        return {**self.__dict__, "ended": None}

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002 - Tune's signature
        """Pass on why an attempt ended."""
        self.ended(trial.config["key"], _last_error(trial))


class SweepScheduler(FailureRelay):
    """Has each trial that comes to a rung ruled by its sweep's own ASHA, and lets Tune go on.

    Tune calls this before the trial's report returns, so that the ruling is there by then.
    """

    def __init__(self, ended: Callable[[str, str], None], *, plan: Plan, store: Store) -> None:
        super().__init__(ended)
        self.plan = plan
        self.store = store
        self.known: dict[str, Ruling] = {}
        """Object -> ruling: while this rules, all of Tune waits, so that nothing is read twice."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process, should Tune write a copy to disk."""
        return {**super().__getstate__(), "plan": None, "store": None, "known": {}}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:  # noqa: ARG002 - Tune's signature
        """Rule, where a trial says that it has come to a rung."""
        if result.get("rung"):
            step = self.plan.steps[trial.config["key"]]
            try:
                rule(self.store, step, rung=result["rung"], score=result["best"], known=self.known)
            except StoreError as error:  # the trial rules itself, when it has waited long enough
                log.warning("no ruling of %s: %s", step.folder, error)
        return TrialScheduler.CONTINUE


class ProgressRelay(Callback):
    """Says which steps have begun, and what they tell: of those suggested, many still wait for room.

    Args:
        changed: told (key, "running", "").
        told: takes (key, facts).
    """

    def __init__(
        self,
        changed: Callable[[str, str, str], None],
        told: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.changed = changed
        self.told = told

    def __getstate__(self) -> dict[str, Any]:
        """Leave the driver's hooks out: Tune writes a copy of its callbacks to disk."""
        return {"changed": None, "told": None}

    def on_trial_start(
        self,
        iteration: int,  # noqa: ARG002 - the signature is Tune's
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        **_: Any,
    ) -> None:
        """Pass on that a step has a process."""
        self.changed(trial.config["key"], "running", "")

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002 - the signature is Tune's
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        result: dict[str, Any],
        **_: Any,
    ) -> None:
        """Pass on a running step's facts."""
        self.told(trial.config["key"], result)


def _last_error(trial: Any) -> str:
    """Return what Ray said of a trial's last attempt: Tune adds each to a file of the driver's."""
    try:
        text = Path(trial.error_file or "").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition("Failure # ")[2].partition("\n")[2].strip()
