"""Whole runs of a small experiment in which processes are killed -9 at seeded random moments.

A series is one store and one command. While it runs, one process after the other is killed: the driver, a
trial's process, a worker of a trial with two, the private cluster's raylet, a raylet of a cluster that was
joined, or the S3 service, which is started again over the same folder. Where that ends the driver, the
same command is given again. After its last moment the series runs undisturbed to its end.

A moment is (so many steps begun, so many seconds later): both follow from the seed, and are spread over
all phases. What happens exactly then does not follow from it, as machines differ in speed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.driver import STEPS, Bench, Driver
from tests.faults.processes import Process, below
from tests.faults.watch import Left, Watch, attempts_by_state, what_is_left
from xtransfer.driver.ray_session import RAY
from xtransfer.driver.runner import SCRATCH
from xtransfer.folders import remove_orphans

TITLES = {"trial": "ray::ImplicitFunc", "worker": "ray::RayTrainWorker", "raylet": "raylet/raylet "}
"""Victim -> how the title of its process begins, or what it has in it."""
STARTS_AT_MOST = 4
"""Commands given after the last moment until one succeeds: Tune tries a dead trial again twice."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When what is killed."""

    victim: str
    step: int
    """As soon as so many steps have begun, and there is such a process ..."""
    training: bool
    """... and a trial is past its first resumable checkpoint, if so ..."""
    pause_s: float
    """... and so many seconds more."""
    down_s: float
    """Until the S3 service, or another raylet, is started."""


@dataclass(frozen=True, kw_only=True)
class Blow:
    """A moment that has been."""

    moment: Moment
    at_s: float
    """Seconds since the series began."""
    begun: int
    recorded: int
    training: bool
    """Whether a trial was past its first resumable checkpoint."""
    again: bool
    """Whether the command had to be given again."""

    def __str__(self) -> str:
        """One line for people."""
        notes = (", training" if self.training else "") + (", started again" if self.again else "")
        return (
            f"{self.at_s:5.0f} s  kill -9 {self.moment.victim:<6} "
            f"{self.begun:2} steps begun, {self.recorded:2} recorded{notes}"
        )


@dataclass(kw_only=True)
class Series:
    """How a series went."""

    name: str
    blows: list[Blow] = field(default_factory=list)
    starts: int = 0
    seconds: float = 0.0
    finished: bool = False
    repeated: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    same_report: bool = False
    same_files: bool = False
    resumed: int = 0
    attempts: int = 0
    leftovers: list[str] = field(default_factory=list)
    """Titles of processes that outlived their driver, and folders that would outlive the next run."""
    trouble: str = ""

    @property
    def fine(self) -> bool:
        """Whether it kept what is promised."""
        whole = self.finished and self.same_report and self.same_files and not self.trouble
        return whole and not (self.repeated or self.rewritten or self.leftovers)


def draw_moments(
    victims: Sequence[str], *, draw: random.Random, steps: int = STEPS
) -> list[Moment]:
    """Return a moment for each victim, in order of time and spread over the plan's steps."""
    order = draw.sample(list(victims), len(victims))
    width = steps / len(order)
    return [
        Moment(
            victim=victim,
            step=int(draw.uniform(number * width, (number + 1) * width)),
            training=training,
            pause_s=round(draw.uniform(0, 1 if training else 3), 2),
            down_s=round(draw.uniform(0.5, 6), 2),
        )
        for number, victim in enumerate(order)
        for training in [draw.random() < 0.5]
    ]


def run_series(
    name: str,
    moments: Sequence[Moment],
    bench: Bench,
    *,
    expected: Left | None = None,
    places: Mapping[str, str] | None = None,
) -> tuple[Series, Left | None]:
    """Run CONFIG into a store of its own, kill at each moment, and see what has come of it.

    Args:
        name: of the store.
        moments: in order of time.
        bench: where it runs.
        expected: what an undisturbed run leaves; None: nothing to compare with.
        places: settings of the placement.
    """
    series, began = Series(name=name), time.monotonic()
    store = bench.open(name)
    with Watch(store) as watch, Driver(name, bench, watch, places=places) as driver:
        driver.start()
        for moment in moments:
            if not _await(moment, driver, bench, watch):
                break
            blow = _strike(moment, driver, bench, watch, began)
            series.blows.append(blow)
            bench.said(f"{name}: {blow}")
        for _ in range(STARTS_AT_MOST):
            if driver.status() == 0:
                break
            driver.start()
        series.finished = driver.status() == 0
        series.starts = driver.starts
        series.trouble = driver.trouble or ("" if series.finished else driver.tail())
        series.leftovers += driver.end()
    left = judge(series, watch, expected)
    for prefix in (SCRATCH, RAY):  # as the next run does
        remove_orphans(prefix, bench.temporary)
    series.leftovers += [path.name for path in bench.temporary.iterdir()]
    series.seconds = time.monotonic() - began
    return series, left


def judge(series: Series, watch: Watch, expected: Left | None) -> Left | None:
    """Note what has come of a series; return what it left, None when it has not finished."""
    if not series.finished:
        return None
    left = what_is_left(watch.store)
    series.repeated, series.rewritten = watch.repeated(), watch.rewritten()
    series.attempts = sum(attempts_by_state(watch.store).values())
    series.resumed = watch.resumed
    if expected is not None:
        series.same_report = left.report == expected.report and "report.md" in left.report
        series.same_files = (left.files, left.results) == (expected.files, expected.results)
    return left


def _victims(victim: str, driver: Driver, bench: Bench) -> list[Process]:
    """Return the processes that the kill may fall on now."""
    assert driver.process is not None
    everything = driver.everything()
    if victim == "driver":
        return [process for process in everything if process.pid == driver.process.pid]
    joined = bench.cluster.pids() if bench.cluster is not None else []
    title = TITLES[victim]
    return [p for p in below([driver.process.pid, *joined]) if title in p.title]


def _await(moment: Moment, driver: Driver, bench: Bench, watch: Watch) -> bool:
    """Wait for a moment; False when the run has succeeded before. One that failed is started again."""

    def come() -> bool:
        if len(watch.begun) < moment.step or (moment.training and not watch.training):
            return False
        return moment.victim in ("s3", "node") or bool(_victims(moment.victim, driver, bench))

    until = None
    while until is None or time.monotonic() < until or not come():
        if driver.ended:
            if driver.status() == 0 or driver.starts > 20:
                return False
            driver.start()
        if until is None and come():
            until = time.monotonic() + moment.pause_s
        time.sleep(0.05)
    return True


def _strike(moment: Moment, driver: Driver, bench: Bench, watch: Watch, began: float) -> Blow:
    """Kill, and give the command again where that ends the driver."""
    if moment.victim == "s3":
        bench.weed.kill()
    elif moment.victim == "node":
        assert bench.cluster is not None
        bench.cluster.kill()
    else:
        draw = random.Random(repr(moment))
        while not draw.choice(sorted(_victims(moment.victim, driver, bench))).kill():
            time.sleep(0.01)
    at, begun, recorded = time.monotonic() - began, len(watch.begun), len(watch.records)
    resuming = bool(watch.training)
    if moment.victim == "s3":
        time.sleep(moment.down_s)
        bench.weed.start()
    elif moment.victim == "node":
        assert bench.cluster is not None
        time.sleep(moment.down_s)
        bench.cluster.add()
    again = moment.victim == "driver" or (moment.victim == "raylet" and bench.cluster is None)
    if again:
        driver.status()  # at once, while what it left behind may still be there
        driver.start()
    return Blow(
        moment=moment, at_s=at, begun=begun, recorded=recorded, training=resuming, again=again
    )
