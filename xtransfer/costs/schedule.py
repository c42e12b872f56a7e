"""When each step of a DAG would start on so many devices: list scheduling, as the driver does it.

The driver gives out the first ready step, in the order of the plan, that there is room for (Graham 1969,
list scheduling). No order beats max(longest chain, work / devices).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

_DUST = 1e-9
"""Shares of devices are sums of fractions."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One step that is left."""

    key: str
    parents: tuple[str, ...]
    """Those that are left, too."""
    seconds: float
    gpus: float = 0.0
    cpus: float = 0.0
    counted: bool = True
    """False for a step of the driver's own, which takes no place among those that run at once."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What there is room for; None: any amount."""

    gpus: float | None = None
    cpus: float | None = None
    steps: int | None = None
    """Most steps at once."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A simulated run, in seconds from its start."""

    starts: Mapping[str, float]
    makespan: float


def critical_path(jobs: Sequence[Job]) -> tuple[float, list[str]]:
    """Return the longest chain of steps in time: seconds, and its keys in order.

    Args:
        jobs: in any order.
    """
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    by_key = {job.key: job for job in jobs}
    order = TopologicalSorter({job.key: job.parents for job in jobs}).static_order()
    for job in (by_key[key] for key in order if key in by_key):
        parents = [parent for parent in job.parents if parent in ends]
        last = max(parents, key=ends.__getitem__, default=None)
        before[job.key] = last
        ends[job.key] = (ends[last] if last is not None else 0.0) + job.seconds
    if not ends:
        return 0.0, []
    at: str | None = max(ends, key=ends.__getitem__)
    seconds, chain = ends[at], list[str]()
    while at is not None:
        chain.append(at)
        at = before[at]
    return seconds, chain[::-1]


def lower_bound(jobs: Sequence[Job], capacity: Capacity) -> float:
    """Return what no schedule can beat: max(longest chain, work / devices), in seconds."""
    bounds = [critical_path(jobs)[0]]
    if capacity.gpus:
        bounds.append(sum(job.gpus * job.seconds for job in jobs) / capacity.gpus)
    if capacity.cpus:
        bounds.append(sum(job.cpus * job.seconds for job in jobs) / capacity.cpus)
    if capacity.steps:
        bounds.append(sum(job.seconds for job in jobs if job.counted) / capacity.steps)
    return max(bounds)


def simulate(jobs: Sequence[Job], capacity: Capacity) -> Schedule | None:
    """Return when each step starts and how long all take; None where a step never finds room.

    Args:
        jobs: in the order of the plan, in which those that are ready start.
        capacity: of the cluster.
    """
    waiting = {job.key: len(set(job.parents)) for job in jobs}
    children: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        for parent in set(job.parents):
            children.setdefault(parent, []).append(number)
    # Steps of one kind take the same room: where one does not fit, none of its like does.
    ready: dict[tuple[float, float, bool], list[int]] = {}
    room = _Room(capacity)
    for number, job in enumerate(jobs):
        if not room.fits(_shape(job)):
            return None
        if not waiting[job.key]:
            heapq.heappush(ready.setdefault(_shape(job), []), number)
    now, starts = 0.0, dict[str, float]()
    running: list[tuple[float, int]] = []
    while True:
        while (shape := _first_that_fits(ready, room)) is not None:
            number = heapq.heappop(ready[shape])
            room.take(shape, 1)
            starts[jobs[number].key] = now
            heapq.heappush(running, (now + jobs[number].seconds, number))
        if not running:
            return Schedule(starts=starts, makespan=now)
        now = running[0][0]
        while running and running[0][0] <= now:
            number = heapq.heappop(running)[1]
            room.take(_shape(jobs[number]), -1)
            for child in children.get(jobs[number].key, ()):
                waiting[jobs[child].key] -= 1
                if not waiting[jobs[child].key]:
                    heapq.heappush(ready.setdefault(_shape(jobs[child]), []), child)


def _shape(job: Job) -> tuple[float, float, bool]:
    return job.gpus, job.cpus, job.counted


def _first_that_fits(
    ready: Mapping[tuple[float, float, bool], list[int]], room: _Room
) -> tuple[float, float, bool] | None:
    """Return the kind of the first ready step that there is room for."""
    fitting = [shape for shape, numbers in ready.items() if numbers and room.fits(shape)]
    return min(fitting, key=lambda shape: ready[shape][0], default=None)


class _Room:
    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.gpus = self.cpus = 0.0
        self.steps = 0

    def fits(self, shape: tuple[float, float, bool]) -> bool:
        gpus, cpus, counted = shape
        most = self.capacity
        return (
            (most.gpus is None or self.gpus + gpus <= most.gpus + _DUST)
            and (most.cpus is None or self.cpus + cpus <= most.cpus + _DUST)
            and (most.steps is None or not counted or self.steps < most.steps)
        )

    def take(self, shape: tuple[float, float, bool], times: int) -> None:
        gpus, cpus, counted = shape
        self.gpus += gpus * times
        self.cpus += cpus * times
        self.steps += times if counted else 0
