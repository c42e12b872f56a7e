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
from xtransfer.plan import INLINE, Plan, Step
from xtransfer.pruning.gates import gates_of, is_dropped

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
        self.done = set(done)
        self.failed: dict[str, str] = {}
        self.blocked: dict[str, str] = {}
        self.running: dict[str, str] = {}
        self.lost: Counter[str] = Counter()
        self.awaits: dict[str, set[str]] = {}
        self.work_inline = work_inline
        self.keeps = kept
        self.gates = gates_of(plan.gates)
        self.kept: dict[str, Collection[str]] = {}
        self.pruned: set[str] = set()
        self.changed = changed
        self.look = look
        self.why = why
        self.suspect = set(suspect)
        self.busy_until: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        self.retries = retries
        self.died: Counter[str] = Counter()
        self.left: set[str] = set()
        self.ending = False
        self._settle()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the driver's hooks out: Tune writes a copy of its search algorithm to disk."""
        hooks = ("work_inline", "keeps", "changed", "look", "why")
        return {**self.__dict__, **dict.fromkeys(hooks)}

    @property
    def waiting(self) -> list[str]:
        """Keys of the steps that are neither done, running, failed, blocked nor pruned."""
        busy = set(self.running.values())
        return [
            key
            for key in self.plan.steps
            if key not in self.done
            and key not in busy
            and key not in self.failed
            and key not in self.blocked
            and key not in self.pruned
        ]

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next ready step, None while none is ready, FINISHED when none will be."""
        if self.ending:
            return Searcher.FINISHED
        while (state := self._next()) is not None:
            key, found = state
            if found == "recorded":
                self.done.add(key)
                self.changed(key, "done", "by another driver")
                self._settle()
                continue
            self.running[trial_id] = key
            self.changed(key, "running", "")
            return {"key": key}
        elsewhere = any(self._ready(self.plan.steps[key]) for key in self.waiting)
        return None if self.running or elsewhere else Searcher.FINISHED

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
            self.changed(key, "waiting", "")
            return
        if result.get("busy") and self.refused[key] < REFUSED_AT_MOST:
            self.refused[key] += 1
            self.busy_until[key] = time.monotonic() + LOOK_EVERY_S
            self.changed(key, "waiting", "")
            return
        if result.get("lost") and self._lose(key, result["lost"], text):
            self._settle()
            return
        if result.get("again") or (not text and (error or not result.get("finished"))):
            text = text or self.why(key) or DIED
            self.died[key] += 1
            if self.died[key] <= self.retries:
                self.busy_until[key] = time.monotonic() + LOOK_EVERY_S
                self.changed(key, "waiting", f"{text}; it is tried again")
                return
        if text:
            self._fail(key, text)
        else:
            self.done.add(key)
            self.changed(key, "done", "")
        self._settle()

    def end(self) -> None:
        """Suggest nothing more; what runs may come to its end."""
        self.ending = True

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store knows what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a restarted driver reads the store."""

    def _next(self) -> tuple[str, str] | None:
        """Return the first ready step that is not busy elsewhere, and whether it is recorded now."""
        for key in self.waiting:
            step = self.plan.steps[key]
            if time.monotonic() < self.busy_until.get(key, 0) or not self._ready(step):
                continue
            found = self.look(step)
            if found == "recorded" and key in self.suspect:
                found = "free"  # for now; the step itself sees whether its record is sound
            if found != "busy":
                return key, found
            self.busy_until[key] = time.monotonic() + LOOK_EVERY_S
        return None

    def _ready(self, step: Step) -> bool:
        return all(key in self.done for key in self._needs(step))

    def _needs(self, step: Step) -> set[str]:
        """Return the keys of what a step waits for.

        These are its parents, remoter ancestors that it found damaged, and what may yet prune it.
        """
        gates = (gate.prune for gate in self.gates.get(step.key, ()))
        return {*step.inputs.values(), *self.awaits.get(step.key, ()), *gates}

    def _lose(self, key: str, folder: str, text: str) -> bool:
        """Take an ancestor of `key` for not done; False when it was done again too often already."""
        parent = next((k for k, step in self.plan.steps.items() if step.folder == folder), "")
        if not parent:
            return False
        # Several children may find the same damage; only the first that does so counts.
        if parent in self.done:
            if self.lost[parent] >= LOST_AT_MOST:
                return False
            self.lost[parent] += 1
            self.suspect.add(parent)
            self.done.discard(parent)
            self.changed(parent, "waiting", f"damaged, to be done again: {text}")
        self.awaits.setdefault(key, set()).add(parent)
        self.changed(key, "waiting", "")
        return True

    def _fail(self, key: str, text: str) -> None:
        self.failed[key] = text
        self.changed(key, "failed", text)

    def _settle(self) -> None:
        """Do every selection that is ready, then mark what can never run. Parents come first."""
        for key, step in self._in_order():
            if key in self.done or key in self.failed or key in self.blocked:
                self._learn(step)
                continue
            if is_dropped(self.gates.get(key, ()), self.kept):
                if key not in self.pruned:
                    self.pruned.add(key)
                    self.changed(key, "pruned", "")
                continue
            culprit = next(
                (p for p in self._needs(step) if p in self.failed or p in self.blocked), None
            )
            if culprit is not None:
                self.blocked[key] = self.blocked.get(culprit, culprit)
                self.changed(key, "blocked", self.failed[self.blocked[key]])
            elif step.kind in INLINE and self._ready(step):
                try:
                    self.work_inline(step)
                except StepBusy:  # another driver is just choosing
                    continue
                except InputLost as error:
                    if not self._lose(key, error.where, str(error)):
                        self._fail(key, str(error))
                except XtransferError as error:
                    self._fail(key, str(error))
                else:
                    self.done.add(key)
                    self.changed(key, "done", "")
                    self._learn(step)

    def _in_order(self) -> list[tuple[str, Step]]:
        """Return the steps in an order in which every parent and every prune step precedes its own."""
        last = [key for key in self.plan.steps if key in self.gates]
        first = [key for key in self.plan.steps if key not in self.gates]
        return [(key, self.plan.steps[key]) for key in (*first, *last)]

    def _learn(self, step: Step) -> None:
        """Take note of what a prune step keeps, once it is done."""
        if step.kind != "prune" or step.key in self.kept or step.key not in self.done:
            return
        try:
            self.kept[step.key] = self.keeps(step)
        except InputLost as error:
            self.done.discard(step.key)
            self.suspect.add(step.key)
            self.lost[step.key] += 1
            if self.lost[step.key] > LOST_AT_MOST:
                self._fail(step.key, str(error))
            else:
                self.changed(step.key, "waiting", f"damaged, to be done again: {error}")


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
    """Hands what running steps report to `told(key, facts)`."""

    def __init__(self, told: Callable[[str, Mapping[str, Any]], None]) -> None:
        self.told = told

    def __getstate__(self) -> dict[str, Any]:
        """Leave the driver's hook out: Tune writes a copy of its callbacks to disk."""
        return {"told": None}

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
