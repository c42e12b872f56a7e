"""Many drivers on one plan, started at the same time, some of them killed on the way."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

from tests.faults.driver import STEPS, Bench, Driver
from tests.faults.kills import Blow, Moment, Series, judge
from tests.faults.watch import Left, Watch


def run_rivals(
    name: str, bench: Bench, *, drivers: int, killed: int, seed: int, expected: Left | None
) -> Series:
    """Start `drivers` at once on one store, kill -9 `killed` of them, and see what has come of it.

    Those that are killed are not started again: the others finish.
    """
    series, began = Series(name=name), time.monotonic()
    draw = random.Random(seed)
    moments = sorted(draw.randrange(1, STEPS - 3) for _ in range(killed))
    with Watch(bench.open(name)) as watch, ExitStack() as stack:
        running = [
            stack.enter_context(Driver(name, bench, watch, name=f"{name}-{number}"))
            for number in range(drivers)
        ]
        for driver in running:
            driver.start()
        for step in moments:
            pause_s = round(draw.uniform(0, 2), 2)
            alive = draw.sample(running, len(running))
            while len(watch.begun) < step and not all(driver.ended for driver in running):
                time.sleep(0.05)
            time.sleep(pause_s)
            victim = next((driver for driver in alive if not driver.ended), None)
            if victim is None:
                break
            victim.kill()
            running.remove(victim)
            series.blows.append(
                Blow(
                    moment=Moment(
                        victim="rival", step=step, training=False, pause_s=pause_s, down_s=0
                    ),
                    at_s=time.monotonic() - began,
                    begun=len(watch.begun),
                    recorded=len(watch.records),
                    training=bool(watch.training),
                    again=False,
                )
            )
            bench.said(f"{name}: {series.blows[-1]}")
        statuses = [driver.status() for driver in running]
        series.finished = not any(statuses)
        series.starts = drivers
        series.trouble = "; ".join(driver.trouble for driver in running if driver.trouble)
        for driver in running:
            series.leftovers += driver.end()
    judge(series, watch, expected)
    series.seconds = time.monotonic() - began
    return series
