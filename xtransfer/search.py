"""The plan as a Ray Tune search algorithm: what Tune samples next is the next step that is ready.

There is no barrier between phases and no scheduler of our own: Tune places trials and retries them, and
this class says which step may run. Selection steps need no resources and are done here, as soon as a
sweep's last trial has its record.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from xtransfer.errors import InputLost, StepBusy, XtransferError
from xtransfer.failures import DIED
from xtransfer.frontier import Frontier
from xtransfer.plan import Plan, Step

LOOK_EVERY_S = 2.0
"""Seconds between two looks at a step that is busy elsewhere."""
REFUSED_AT_MOST = 10
"""Times that one step is started and found busy: a step that kills every machine it runs on looks so,
as its lease outlives it."""
LOST_AT_MOST = 3
"""Times that one step is done again because what it left was damaged when a child read it."""


class PlanSearcher(Searcher):
    """Suggests each step of a plan once all its parents are done.

    A step that finds a parent's record or files damaged waits until the parent is done again, and one
    that another driver is at work on waits for that one's record.

    Args:
        plan: the whole plan.
        done: keys that have records already.
        work_inline: does a selection or prune step, leaving its record.
        kept: returns the keys of the estimates that a prune step that is done keeps.
        changed: told (key, state, error text) whenever a step starts, ends, fails or is blocked.
        look: says whether a step that is ready is "recorded" by now, "busy" elsewhere, or "free".
        suspect: keys whose records are damaged, so that having one does not mean done.
        retries: times that a step is started again whose process died or could not reach the store.
        why: says of a step that ended without a report why it did.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        done: Iterable[str],
        work_inline: Callable[[Step], None],
        kept: Callable[[Step], Collection[str]] = lambda step: (),
        changed: Callable[[str, str, str], None] = lambda key, state, text: None,
        look: Callable[[Step], str] = lambda step: "free",
        suspect: Iterable[str] = (),
        retries: int = 0,
        why: Callable[[str], str] = lambda key: "",
    ) -> None:
        super().__init__(metric="finished", mode="max")
        self.plan = plan
        self.running: dict[str, str] = {}
        """Trial -> key."""
        self.work_inline = work_inline
        self.kept = kept
        self.changed = changed
        self.look = look
        self.why = why
        self.suspect = set(suspect)
        self.retries = retries
        self.busy_until: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.died: Counter[str] = Counter()
        self.left: set[str] = set()
        self.ending = False
        self.frontier = Frontier(plan, done=done, changed=changed)
        for step in plan.steps.values():
            if step.kind == "prune" and step.key in self.frontier.done:
                self._learn(step)
        self._choose()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the plan and the driver's hooks: Tune writes copies to disk, which nobody reads."""
        left_out = ("plan", "frontier", "work_inline", "kept", "changed", "look", "why")
        return {**self.__dict__, **dict.fromkeys(left_out)}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next ready step, None while none is ready, FINISHED when none will be."""
        if self.ending:
            return Searcher.FINISHED
        while (key := self._next()) is not None:
            found = self.look(self.plan.steps[key])
            if found == "busy":
                self._put_off(key)
            elif found == "recorded" and key not in self.suspect:
                self._finish(key, "by another driver")
            else:  # where its record is suspect, the step itself sees whether it is sound
                self.running[trial_id] = key
                return {"key": key}
        return None if self.running or self.busy_until else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Take note that a step has to leave its machine: its process may die before it ends."""
        if result.get("left"):
            self.left.add(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take note of how a step ended; do the selections and see what is blocked now."""
        key = self.running.pop(trial_id, None)
        if key is None:
            return
        result = result or {}
        text = result.get("error") or ""
        if trial_id in self.left:
            self.frontier.put_back(key)
            self.changed(key, "waiting", "")
            return
        if result.get("busy") and self.refused[key] < REFUSED_AT_MOST:
            self.refused[key] += 1
            self._put_off(key)
            self.changed(key, "waiting", "")
            return
        if result.get("lost") and self._lose(key, result["lost"], text):
            self._choose()
            return
        if result.get("again") or (not text and (error or not result.get("finished"))):
            text = text or self.why(key) or DIED
            self.died[key] += 1
            if self.died[key] <= self.retries:
                self._put_off(key)
                self.changed(key, "waiting", f"{text}; it is tried again")
                return
        if text:
            self.frontier.fail(key, text)
        else:
            self._finish(key)

    def end(self) -> None:
        """Suggest nothing more; what runs may come to its end."""
        self.ending = True

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store knows what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a restarted driver reads the store."""

    def _next(self) -> str | None:
        """Take the first ready step that is not put off."""
        now = time.monotonic()
        for key in [key for key, until in self.busy_until.items() if until <= now]:
            del self.busy_until[key]
            self.frontier.put_back(key)
        self._choose()
        return self.frontier.take()

    def _put_off(self, key: str) -> None:
        """Leave a taken step alone for a while."""
        self.busy_until[key] = time.monotonic() + LOOK_EVERY_S

    def _finish(self, key: str, text: str = "") -> None:
        self.changed(key, "done", text)
        self.frontier.finish(key)
        self._choose()

    def _choose(self) -> None:
        """Do every selection and prune step that is ready."""
        while (key := self.frontier.take_choice()) is not None:
            step = self.plan.steps[key]
            try:
                self.work_inline(step)
            except StepBusy:  # another driver is just choosing
                self._put_off(key)
            except InputLost as error:
                if not self._lose(key, error.where, str(error)):
                    self.frontier.fail(key, str(error))
            except XtransferError as error:
                self.frontier.fail(key, str(error))
            else:
                self.changed(key, "done", "")
                self.frontier.finish(key)
                self._learn(step)

    def _learn(self, step: Step) -> None:
        """Take note of what a step that is done keeps, if it prunes."""
        if step.kind != "prune":
            return
        try:
            self.frontier.keep(step.key, self.kept(step))
        except InputLost as error:
            if not self._do_again(step.key, str(error)):
                self.frontier.undo(step.key)
                self.frontier.fail(step.key, str(error))

    def _lose(self, key: str, folder: str, text: str) -> bool:
        """Have a step wait for an ancestor that it found damaged; False when that helps no more."""
        ancestor = next((k for k, step in self.plan.steps.items() if step.folder == folder), "")
        if not ancestor or not self._do_again(ancestor, text):
            return False
        self.frontier.wait_for(key, ancestor)
        self.changed(key, "waiting", "")
        return True

    def _do_again(self, key: str, text: str) -> bool:
        """Take a damaged step for not done; False when it was done again too often already.

        Several children may find the same damage; only the first that does so counts.
        """
        if key not in self.frontier.done:
            return True
        if self.lost[key] >= LOST_AT_MOST:
            return False
        self.lost[key] += 1
        self.suspect.add(key)
        self.frontier.undo(key)
        self.changed(key, "waiting", f"damaged, to be done again: {text}")
        return True


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
