"""What Tune tells of its trials, handed on: which have begun, what they tell, and why one ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler


class FailureRelay(FIFOScheduler):
    """Hands what Ray says of every attempt that ended without a report to `ended(key, text)`.

    It is told before the search algorithm is, unlike a callback.
    """

    def __init__(self, ended: Callable[[str, str], None]) -> None:
        super().__init__()
        self.ended = ended

    def __getstate__(self) -> dict[str, Any]:
        """Leave the driver's hook out, should Tune write a copy to disk."""
        return {**self.__dict__, "ended": None}

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002 - Tune's signature
        """Pass on why an attempt ended."""
        self.ended(trial.config["key"], _last_error(trial))


def _last_error(trial: Any) -> str:
    """Return what Ray said of a trial's last attempt: Tune adds each to a file of the driver's."""
    try:
        text = Path(trial.error_file or "").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition("Failure # ")[2].partition("\n")[2].strip()


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
