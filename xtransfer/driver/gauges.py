"""What a run tells Prometheus: steps by state, GPU time used and lost, and when training last moved.

Ray exports them from the driver's node as `ray_xtransfer_…`; k8s/components/monitoring shows them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xtransfer.config.placement import Placement
from xtransfer.costs.packing import gpus_of
from xtransfer.driver.board import STATES, Board
from xtransfer.driver.room import has_workers
from xtransfer.plan import Plan

STEPS = "xtransfer_steps"
GPU_SECONDS = "xtransfer_gpu_seconds"
LAST_PROGRESS = "xtransfer_last_progress_time_seconds"
GAP = 0.005
"""Share of the time that a step has run within which one place of it is remembered: a day in some 1,500."""


Publish = Callable[[str, float, Mapping[str, str]], None]
"""Takes a gauge's name, its value and its labels."""


class MeasuredBoard:
    """Passes everything on to another board, and publishes gauges of it.

    A trial of several workers takes no GPU before these have begun, which its first news says.
    A step that goes on from a checkpoint has lost the time since it first reached that place, the wait
    for another node included; an attempt that ends without a record has lost all its time.

    Args:
        board: is told everything.
        plan: whose steps are counted.
        placement: says how many GPUs a step holds.
        recorded: keys of the steps that were done before.
        publish: takes the gauges; None: Ray's.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        board: Board,
        plan: Plan,
        placement: Placement,
        *,
        recorded: Iterable[str] = (),
        publish: Publish | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.board = board
        self.plan = plan
        self.placement = placement
        self.publish = publish or _ray_gauges()
        self.clock = clock
        self.states = dict.fromkeys(plan.steps, "waiting") | dict.fromkeys(recorded, "recorded")
        self.counts = Counter(self.states.values())
        self.began: dict[str, float] = {}
        self.reached: dict[str, list[tuple[int, float]]] = {}
        """Running step -> (training step, when it was told of), both rising."""
        self.stages: dict[str, object] = {}
        self.spent = {"used": 0.0, "lost": 0.0}
        self._show()

    def changed(self, key: str, state: str, text: str) -> None:
        """Count the step anew, and the GPU time of an attempt that ended."""
        now = self.clock()
        if key in self.began:
            spent = (now - self.began.pop(key)) * self._gpus(key)
            self.spent["used"] += spent
            if state not in ("done", "recorded"):
                self.spent["lost"] += spent
        self.reached.pop(key, None)
        self.stages.pop(key, None)
        if state == "running":
            self.reached[key] = []
            if not has_workers(self.plan.steps[key], self.placement):
                self.began[key] = now
            self.publish(LAST_PROGRESS, now, {})
        self.counts[self.states.get(key, state)] -= 1
        self.counts[state] += 1
        self.states[key] = state
        self._show()
        self.board.changed(key, state, text)

    def told(self, key: str, facts: Mapping[str, Any]) -> None:
        """Note when training began, and when it moved."""
        if key in self.reached:
            self.began.setdefault(key, self.clock())
        if isinstance(facts.get("step"), int):
            now = self.clock()
            self.publish(LAST_PROGRESS, now, {})
            self._follow(key, facts["step"], facts.get("stage"), now)
        self.board.told(key, facts)

    def _follow(self, key: str, step: int, stage: object, now: float) -> None:
        """Find out whether a step has gone back to a checkpoint, and what that lost."""
        reached = self.reached.setdefault(key, [])
        if self.stages.get(key) != stage:
            self.stages[key] = stage
            reached.clear()
        again = bisect_left(reached, step, key=lambda each: each[0])
        if again < len(reached):
            self.spent["lost"] += (now - reached[again][1]) * self._gpus(key)
            del reached[again:]
            self._show()
        reached.append((step, now))
        if len(reached) > 2 and now - reached[-3][1] < GAP * (now - reached[0][1]):
            del reached[-2]

    def _show(self) -> None:
        for state in STATES:
            self.publish(STEPS, self.counts[state], {"state": state})
        for kind, seconds in self.spent.items():
            self.publish(GPU_SECONDS, seconds, {"kind": kind})

    def _gpus(self, key: str) -> float:
        step = self.plan.steps[key]
        workers = self.placement.train.most_workers if has_workers(step, self.placement) else 1
        return workers * gpus_of(step, self.plan.steps, self.placement)


def _ray_gauges() -> Publish:
    from ray.util.metrics import Gauge

    labels = {STEPS: ("state",), GPU_SECONDS: ("kind",), LAST_PROGRESS: ()}
    texts = {
        STEPS: "Steps of the plan by state.",
        GPU_SECONDS: "GPU time of ended attempts, and the part that left no record.",
        LAST_PROGRESS: "When a training step was last told of.",
    }
    gauges = {
        name: Gauge(name, description=texts[name], tag_keys=keys) for name, keys in labels.items()
    }
    return lambda name, value, tags: gauges[name].set(value, tags=dict(tags))
