"""How a run stands, at the head of a page that is served while it goes on."""

from __future__ import annotations

from xtransfer.report.page.cells import Grid, Number, Row
from xtransfer.watching import Sight, SweepProgress


def progress_table(sight: Sight) -> Grid:
    """Return a row a sweep, and their sum."""
    return Grid(
        name="progress-table",
        caption="Steps by sweep",
        head=("sweep", "phase", "steps", "recorded", "at work", "failed", "blocked"),
        text=frozenset({"phase"}),
        rows=tuple(_row(each) for each in (*sight.sweeps, sight.all)),
    )


def _row(sweep: SweepProgress) -> Row:
    counts = (sweep.steps, sweep.recorded, sweep.running, sweep.failed, sweep.blocked)
    numbers = [Number(text=f"{count:,}" if count else "–", source="the store") for count in counts]
    return Row(
        label=sweep.name,
        kind="" if sweep.phase else "total",
        cells=(sweep.phase or "all", *numbers),
    )
