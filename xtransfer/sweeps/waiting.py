"""A trial at a rung: it waits for its driver's ruling, or rules itself where none comes."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from xtransfer.plan import Step
from xtransfer.sweeps.rungs import Ruling, read_ruling

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

WAIT_S = 20.0
"""Seconds that a trial waits for its driver's ruling. With one worker it is there before the trial looks: Tune
rules before the trial's report returns."""
LOOK_EVERY_S = 0.5

log = logging.getLogger(__name__)


def ruled(step: Step, bench: Workbench, *, rung: int, score: float) -> Ruling:
    """Return the ruling of a trial at a rung.

    A driver rules when it hears of the rung; where there is none, or it could not reach the store, the
    trial does as the driver would have done.
    """
    from xtransfer.sweeps.scheduler import rule

    until = time.monotonic() + (WAIT_S if bench.run else 0.0)
    while (found := read_ruling(bench.store, step, rung)) is None:
        if time.monotonic() >= until:
            log.warning("%s rules itself at %d %%", step.folder, rung)
            return rule(bench.store, step, rung=rung, score=score)
        time.sleep(LOOK_EVERY_S)
    return found
