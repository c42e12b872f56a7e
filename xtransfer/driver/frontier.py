"""Which steps of a plan are done, which may run next, and which never will.

An event costs as much as the steps that hang on it, however large the plan is.
"""

from __future__ import annotations

import heapq
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable

from xtransfer.plan import INLINE, Plan, Step, alternatives, gates_of, is_dropped, lost_need


class Frontier:
    """Follows a plan: a step is ready once all that it needs is done.

    It needs its parents, what may yet prune it, and remoter ancestors that it has found damaged. A selection
    that takes a grid as it is does without the trials that have failed or are blocked.

    Args:
        plan: the whole plan.
        done: keys that have records already.
        changed: told (key, state, error text) of steps that fail, are blocked or are pruned.
        apart: says of a step that it is one of those that `take` may be told to leave.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        done: Iterable[str],
        changed: Callable[[str, str, str], None],
        apart: Callable[[Step], bool] = lambda step: False,
    ) -> None:
        self.plan = plan
        self.done = set(done)
        self.new: set[str] = set()
        """Those of them that have become so since, again perhaps."""
        self.failed: dict[str, str] = {}
        """Key -> error."""
        self.blocked: dict[str, str] = {}
        """Key -> key of the failed ancestor."""
        self.pruned: set[str] = set()
        self.changed = changed
        self._gates = gates_of(plan.gates)
        self._behind: dict[str, list[str]] = {}
        self._kept: dict[str, Collection[str]] = {}
        self._taken: set[str] = set()
        self._place = {key: at for at, key in enumerate(plan.steps)}
        self._needs: dict[str, set[str]] = {}
        self._children: dict[str, list[str]] = {}
        self._apart = {key for key, step in plan.steps.items() if apart(step)}
        self._ready: list[tuple[int, str]] = []
        self._ready_apart: list[tuple[int, str]] = []
        self._choices: list[tuple[int, str]] = []
        self._queued: set[str] = set()
        for key, step in plan.steps.items():
            gates = {gate.prune for gate in self._gates.get(key, ())}
            for prune in gates:
                self._behind.setdefault(prune, []).append(key)
            self._needs[key] = gates.union(step.inputs.values())
            for parent in self._needs[key]:
                self._children.setdefault(parent, []).append(key)
        self._spared = {
            key: set[str]().union(*trials)
            for key, step in plan.steps.items()
            if (trials := alternatives(step))
        }
        """Key of a selection -> the parents of which it needs some."""
        self._open = {key: needs - self.done for key, needs in self._needs.items()}
        for key in plan.steps:
            self._place_step(key)

    @property
    def unfinished(self) -> bool:
        """Whether a step waits or is taken."""
        return bool(self._taken) or any(self.waits(key) for key in self.plan.steps)

    def waits(self, key: str) -> bool:
        """Say whether a step is neither done, taken, failed, blocked nor pruned."""
        return not (
            key in self.done
            or key in self._taken
            or key in self.failed
            or key in self.blocked
            or key in self.pruned
        )

    def take(self, *, apart: bool = True) -> str | None:
        """Return the first step that is ready, which counts as taken from now on; None for none.

        `apart`: it may be one of those that are kept apart.
        """
        return self._pop(self._ready, *([self._ready_apart] if apart else []))

    def take_choice(self) -> str | None:
        """Return the first step that is ready and only chooses (`plan.INLINE`); None for none."""
        return self._pop(self._choices)

    def take_this(self, key: str) -> None:
        """Let a step that waits count as taken."""
        self._taken.add(key)

    def put_back(self, key: str) -> None:
        """Let a taken step wait again."""
        self._taken.discard(key)
        self._place_step(key)

    def finish(self, key: str) -> None:
        """Take note that a step has its record."""
        self._taken.discard(key)
        self.done.add(key)
        self.new.add(key)
        for child in self._children.get(key, ()):
            self._open[child].discard(key)
            self._place_step(child)

    def undo(self, key: str) -> None:
        """Take a step that was done for not done: what it left is damaged."""
        self.done.discard(key)
        self.new.discard(key)
        for child in self._children.get(key, ()):
            self._open[child].add(key)
        self._place_step(key)

    def fail(self, key: str, text: str) -> None:
        """Take note that a step has failed, which blocks what needs it."""
        self._taken.discard(key)
        self.failed[key] = text
        self.changed(key, "failed", text)
        for child in self._children.get(key, ()):
            self._place_step(child)

    def wait_for(self, key: str, ancestor: str) -> None:
        """Have a taken step wait until an ancestor is done."""
        if ancestor not in self._needs[key]:
            self._needs[key].add(ancestor)
            self._children.setdefault(ancestor, []).append(key)
        if ancestor not in self.done:
            self._open[key].add(ancestor)
        self.put_back(key)

    def keep(self, prune: str, estimates: Collection[str]) -> None:
        """Take note of the estimates that a prune step keeps; the other pairs' steps are left out."""
        self._kept[prune] = estimates
        for key in self._behind.get(prune, ()):
            self._place_step(key)

    def _place_step(self, key: str) -> None:
        """See what becomes of a step that waits: it is pruned, blocked, ready or waits on."""
        entries = [key]
        while entries:
            key = entries.pop()
            if not self.waits(key):
                continue
            if is_dropped(self._gates.get(key, ()), self._kept):
                self.pruned.add(key)
                self.changed(key, "pruned", "")
            elif (culprit := self._culprit(key)) is not None:
                self.blocked[key] = culprit
                self.changed(key, "blocked", self.failed[culprit])
                entries += self._children.get(key, ())
            elif not self._awaits(key) and key not in self._queued:
                self._queued.add(key)
                heapq.heappush(self._queue(key), (self._place[key], key))

    def _queue(self, key: str) -> list[tuple[int, str]]:
        if self.plan.steps[key].kind in INLINE:
            return self._choices
        return self._ready_apart if key in self._apart else self._ready

    def _culprit(self, key: str) -> str | None:
        """Return the failed step because of which a step can never run."""
        lost = ChainMap(self.blocked, self.failed)
        need = lost_need(self.plan.steps[key], self._open[key], lost)
        return self.blocked.get(need, need) if need else None

    def _awaits(self, key: str) -> bool:
        """Say whether anything is yet to come that a step needs."""
        spared = self._spared.get(key, ())
        return any(
            need not in spared or not (need in self.failed or need in self.blocked)
            for need in self._open[key]
        )

    def _pop(self, *queues: list[tuple[int, str]]) -> str | None:
        while full := [queue for queue in queues if queue]:
            _, key = heapq.heappop(min(full, key=lambda queue: queue[0]))
            self._queued.discard(key)
            # It may have been done or pruned since, or something that it needs undone.
            if self.waits(key) and not self._awaits(key):
                self._taken.add(key)
                return key
        return None
