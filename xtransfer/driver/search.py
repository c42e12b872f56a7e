"""The plan as a Ray Tune search algorithm: what Tune samples next is the next step that is ready.

There is no barrier between phases and no scheduler of our own: Tune places trials and retries them, and
this class says which step may run. Steps that only choose (select, prune) need no resources and are done
here, as soon as the last step that they choose from has its record.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher

from xtransfer.driver.frontier import Frontier
from xtransfer.driver.outages import OUTAGE_S, Outages, pause
from xtransfer.driver.repairs import Repairs
from xtransfer.driver.tries import Tries
from xtransfer.driver.waits import Waits
from xtransfer.errors import InputLost, StepBusy, StoreError, XtransferError
from xtransfer.plan import Plan, Step
from xtransfer.records.failures import DIED

LOOK_EVERY_S = 2.0
"""Seconds between two looks at a step that is busy elsewhere, at least."""
LOOKS_SHARE = 0.1
"""Share of the driver's time that such looks take at most: Tune hears of nothing meanwhile."""
LOOKS_S = 1.0
"""Seconds of looks after which Tune goes on with what runs before there are more."""
REFUSED_AT_MOST = 10
"""Times in a row that one step looks free, is started and found busy, as where clocks differ by more than a
lease lasts."""

log = logging.getLogger(__name__)


class PlanSearcher(Searcher):
    """Suggests each step of a plan once all its parents are done.

    A step that finds a parent's record or files damaged waits until the parent is done again, and one
    that another driver is at work on waits for that one's record. What the store is away for is tried
    again later, up to `retries` times: an error of the store never leaves this class, for Tune would end
    all that runs.

    Args:
        plan: the whole plan.
        done: keys that have records already.
        work_inline: does a selection or prune step, leaving its record.
        kept: returns the keys of the estimates that a prune step that is done keeps.
        changed: told (key, state, error text) whenever a step starts, ends, fails or is blocked.
        look: says whether a step that is ready is "recorded" by now or "free", or who is at work on it.
        suspect: keys whose records are damaged, so that having one does not mean done.
        retries: times that a step is started or chosen again whose process died or for which the store
            could not be reached; a trial that has got further since has all of them again.
        why: says of a step that ended without a report why it did.
        apart: says of which steps only so many may run at once ...
        room: ... as this returns; 1 at least.
        leave_plan: writes the plan anew for the processes of its steps.
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
        apart: Callable[[Step], bool] = lambda step: False,
        room: Callable[[], int] = lambda: 1,
        leave_plan: Callable[[], object] = lambda: None,
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
        self.apart = apart
        self.room = room
        self.leave_plan = leave_plan
        self.retries = retries
        self.busy_until: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        self.tries = Tries()
        self.waits = Waits()
        self.outages = Outages(retries)
        """Of the store when the driver itself was at a step."""
        self.left: set[str] = set()
        self.ending = False
        self.frontier = Frontier(plan, done=done, changed=changed, apart=apart)
        self.repairs = Repairs(self.frontier, suspect=suspect, changed=changed)
        for step in plan.steps.values():
            if step.kind == "prune" and step.key in self.frontier.done:
                self._learn(step)
        self._choose()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the plan and the driver's hooks: Tune writes copies to disk, which nobody reads."""
        hooks = ("work_inline", "kept", "changed", "look", "why", "apart", "room", "leave_plan")
        return {**self.__dict__, **dict.fromkeys(("plan", "frontier", "repairs", *hooks))}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next ready step, None while none is ready, FINISHED when none will be."""
        if self.ending:
            return Searcher.FINISHED
        began = time.monotonic()
        while (key := self._next()) is not None:
            before = time.monotonic()
            try:
                found = self.look(self.plan.steps[key])
            except StoreError as error:
                self._wait_for_store(key, error)
                if self._pauses():
                    break
                continue
            self.outages.answered(key)
            now = time.monotonic()
            if found == "recorded" and key not in self.repairs.suspect:
                self._finish(key, "by another driver")
            elif found in ("recorded", "free"):
                # Where its record is suspect, the step itself sees whether it is sound.
                self.running[trial_id] = key
                return {"key": key}
            else:
                # Somebody is at work on it, and may be for as long as it takes.
                self.refused.pop(key, None)
                self.waits.busy(self.plan.steps[key], found, now, idle=not self.running)
                round_s = (now - before) * (len(self.busy_until) + 1)
                self._put_off(key, max(LOOK_EVERY_S, round_s / LOOKS_SHARE))
            if now - began > LOOKS_S and self._pauses():
                break
        return None if self._pauses() and not self.ending else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Take note that a step has to leave its machine: its process may die before it ends.

        And of how far a trial is.
        """
        if result.get("left"):
            self.left.add(trial_id)
        key, place = self.running.get(trial_id, ""), result.get("step")
        if isinstance(place, int) and key and self.plan.steps[key].kind == "train":
            self.tries.told(trial_id, place)

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
            self.tries.ended(trial_id)
            self.frontier.put_back(key)
            self.changed(key, "waiting", "")
            return
        if result.get("busy") and self.refused[key] < REFUSED_AT_MOST:
            self.refused[key] += 1
            self._put_off(key)
            self.changed(key, "waiting", "")
            return
        if result.get("lost") and self.repairs.wait_for(key, result["lost"], text):
            self._choose()
            return
        if result.get("planless"):
            self._mend_plan()
        if result.get("again") or (not text and (error or not result.get("finished"))):
            text = text or self.why(key) or DIED
            died = self.tries.died(trial_id, key)
            if died <= self.retries:
                self._put_off(key, pause(died) if result.get("again") else LOOK_EVERY_S)
                self.changed(key, "waiting", f"{text}; it is tried again")
                return
        self.tries.ended(trial_id)
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
        return self.frontier.take(apart=self._has_room())

    def _has_room(self) -> bool:
        """Say whether one more of the steps may run of which only so many may at once."""
        running = sum(self.apart(self.plan.steps[key]) for key in self.running.values())
        return not running or running < self.room()

    def _put_off(self, key: str, seconds: float = LOOK_EVERY_S) -> None:
        """Leave a taken step alone for a while."""
        self.busy_until[key] = time.monotonic() + seconds

    def _pauses(self) -> bool:
        """Say whether this may look again later: one that waits for the store keeps Tune from what runs."""
        return bool(self.running or self.busy_until or self.ending)

    def _wait_for_store(self, key: str, error: StoreError) -> None:
        """Have a taken step wait for a store that is away; after so many times it has failed."""
        now = time.monotonic()
        log.warning("%s: %s", self.plan.steps[key].folder, error)
        seconds = self.outages.missed(key, now)
        if seconds is None:
            self.frontier.fail(key, str(error))
        else:
            self._put_off(key, seconds)
        if self.outages.too_long(now):
            log.warning(
                "the store has answered nothing for %.0f s: nothing more is started", OUTAGE_S
            )
            self.end()

    def _mend_plan(self) -> None:
        try:
            self.leave_plan()
        except StoreError as error:
            log.warning("the plan was not written anew: %s", error)

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
                if not self.repairs.wait_for(key, error.where, str(error)):
                    self.frontier.fail(key, str(error))
            except StoreError as error:
                self._wait_for_store(key, error)
                if self._pauses():
                    return
            except XtransferError as error:
                self.frontier.fail(key, str(error))
            else:
                self.changed(key, "done", "")
                self.frontier.finish(key)
                if self._learn(step):
                    self.outages.answered(key)
                elif self._pauses():
                    return

    def _learn(self, step: Step) -> bool:
        """Take note of what a step that is done keeps, if it prunes; say whether the store was there.

        A step of which that cannot be read counts as not done: it is chosen again, and found done.
        """
        if step.kind != "prune":
            return True
        try:
            self.frontier.keep(step.key, self.kept(step))
        except InputLost as error:
            if not self.repairs.redo(step.key, str(error)):
                self.frontier.undo(step.key)
                self.frontier.fail(step.key, str(error))
        except StoreError as error:
            self.frontier.undo(step.key)
            self.frontier.take_this(step.key)
            self._wait_for_store(step.key, error)
            return False
        return True
