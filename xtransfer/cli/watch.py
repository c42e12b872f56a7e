"""Commands that look at a run while it goes on: watch, and the report served."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import (
    Config,
    Findings,
    PlacementFile,
    PlaceSets,
    Sets,
    StoreUrl,
    findings_of,
    load,
    make_plan,
    open_at,
    records_in,
    refuse_idle,
)
from xtransfer.cli.output import failure_lines

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from xtransfer.config.experiment import Experiment
    from xtransfer.config.placement import Placement
    from xtransfer.plan import Plan
    from xtransfer.records.record import Record
    from xtransfer.store import ObjectInfo, Store
    from xtransfer.watching import Sight, SweepProgress

SHOWN = 12
"""Steps at work, and failures, that are named at once."""
_AROUND = 5
"""Lines of what is drawn beside sweeps, steps and failures: the head, the bar, and the table's own; one stays free."""
WIDEST = 10_000
"""Columns of what is printed where there is no terminal."""


def watch(
    config: Config,
    placement: PlacementFile = None,
    store: StoreUrl = None,
    sets: Sets = None,
    place: PlaceSets = None,
    every: Annotated[
        float | None,
        typer.Option("--every", min=0.2, help="Seconds between two looks; default: 5."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
) -> None:
    """Show a run's progress by sweep, time left and failures, live.

    It reads the store alone, from any machine, and says who is at work. It ends with the run: with status 1 where something failed. Without a terminal it prints anew
    whenever something has changed.

    Example: xtransfer watch configs/paper.yaml --store s3://bucket/prefix
    """
    from rich.console import Console
    from rich.live import Live

    from xtransfer.watching import look

    if once:
        refuse_idle({"--every": every is not None}, "no use beside --once")
    pause = every or 5.0
    experiment, places = load(config, placement, store, sets, place)
    opened = open_at(places)
    made, _ = make_plan(experiment, config, lenient=True, store=opened)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDEST  # nothing is cut of what is read by a program, or later

    known: dict[ObjectInfo, Record] = {}

    def now() -> Sight:
        return look(made, opened, records_in(made, opened, known=known), places)

    sight = now()
    if console.is_terminal and not once:
        with Live(
            _drawn(sight, height=console.height), console=console, auto_refresh=False
        ) as live:
            while not sight.over:
                time.sleep(pause)
                sight = now()
                height = None if sight.over else console.height
                live.update(_drawn(sight, height=height), refresh=True)
    else:
        shown = None
        while True:
            counts = (sight.sweeps, tuple(each.step.key for each in sight.at_work))
            if counts != shown:
                drawn = _drawn(sight, bar=console.is_terminal)
                console.print(drawn, crop=False, no_wrap=True, overflow="ignore")
                shown = counts
            if once or sight.over:
                break
            time.sleep(pause)
            sight = now()
    for line in failure_lines(sight.failures):
        console.print(line, soft_wrap=True, markup=False)
    if sight.failures:
        raise typer.Exit(1)


def serve_report(
    experiment: Experiment,
    places: Placement,
    made: Plan,
    store: Store,
    *,
    command: str,
    port: int,
) -> None:
    """Serve the report on this machine until it is interrupted."""
    from xtransfer.report.serving import ReportServer

    server = ReportServer(page_maker(experiment, places, made, store, command=command), port=port)
    print(f"The report is at {server.url} until you press Ctrl-C.", file=sys.stderr, flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


def page_maker(
    experiment: Experiment, places: Placement, made: Plan, store: Store, *, command: str
) -> Callable[[], str]:
    """Return a function that renders report.html as things stand when it is called."""
    from xtransfer.report.page import render_page
    from xtransfer.watching import look

    read: dict[ObjectInfo, Record] = {}
    known: dict[frozenset[str], Findings] = {}

    def page() -> str:
        everything = records_in(made, store, known=read)
        own = {key: record for key, record in everything.items() if key in made.steps}
        if (keys := frozenset(own)) not in known:  # else only the progress is new
            known.clear()
            known[keys] = findings_of(experiment, made, own, store, command=command)
        _, info, answer, study = known[keys]
        return render_page(answer, study, info, sight=look(made, store, everything, places))

    return page


def _drawn(sight: Sight, *, bar: bool = True, height: int | None = None) -> RenderableType:
    """Return a run as it is shown; beyond `height` lines, sweeps in which nothing goes on give way."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from xtransfer.watching import time_left

    all_ = sight.all
    left = time_left(sight)
    head = Text(
        f"{sight.experiment}  {all_.recorded} of {all_.steps} steps recorded"
        + (f", {left}" * bool(left))
    )
    table = Table(box=None, pad_edge=False)
    for name in ("sweep", "phase"):  # on a narrow terminal these give way, never the numbers
        table.add_column(name)
    for name in ("steps", "recorded", "at work", "failed", "blocked"):
        table.add_column(name, justify="right", no_wrap=True)
    lines = _steps_drawn(sight, height)
    room = None if height is None else max(1, height - len(lines) - _AROUND)
    sweeps, more = _shown_of(sight.sweeps, room)
    for each in sweeps:
        counts = (each.steps, each.recorded, each.running, each.failed, each.blocked)
        table.add_row(Text(each.name), each.phase, *(str(count or "-") for count in counts))
    lines = [Text(more, no_wrap=True, overflow="ellipsis"), *lines] if more else lines
    if not bar:
        return Group(head, table, *lines)
    drawn = ProgressBar(total=max(1, all_.steps), completed=all_.recorded, width=60)
    return Group(head, drawn, table, *lines)


def _steps_drawn(sight: Sight, height: int | None) -> list[Text]:
    """Return a line for each step at work and each failure that is named; in a bounded height, of one row."""
    from rich.text import Text

    most = SHOWN if height is None else min(SHOWN, max(1, height // 5))
    working = [
        Text(f"at work  {each.step.folder}  {each.seconds:.0f} s  on {each.host}")
        for each in sight.at_work[:most]
    ]
    failed = [
        Text(f"failed   {each.step.folder}: {each.error}", style="red")
        for each in sight.failures[:most]
    ]
    for line in (*working, *failed) if height is not None else ():
        line.no_wrap, line.overflow = True, "ellipsis"
    return [*working, *failed]


def _shown_of(
    sweeps: Sequence[SweepProgress], room: int | None
) -> tuple[Sequence[SweepProgress], str]:
    """Return the sweeps that are shown where there is room for so many, and what is said of the others."""
    if room is None or len(sweeps) <= room:
        return sweeps, ""
    shown = [
        each
        for each in sweeps
        if each.running or each.failed or 0 < each.recorded < each.steps  # something goes on in it
    ][:room]
    recorded = sum(each.recorded == each.steps for each in sweeps)
    return (
        shown,
        f"and {len(sweeps) - len(shown)} more; of all {len(sweeps)}, {recorded} are recorded",
    )
