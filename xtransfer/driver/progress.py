"""Shows a run while it lasts: a live table on a terminal, one plain line an event elsewhere (stderr)."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xtransfer.driver.board import STATES
from xtransfer.errors import LONGEST_LINE, shown
from xtransfer.plan import Plan, Step

COLUMNS = {"step": 9, "loss": 6, "dev": 5, "examples/s": 10, "left": 6}
"""Columns of the live table -> characters that they need."""
PLAIN_EVERY_S = 15.0
"""Seconds between two progress lines of one step when not on a terminal."""


def screen() -> Console:
    """Return stderr as something to show a run on that may go away, as a terminal that is closed does.

    The run goes on: what it tells is in its log in the store, too.
    """
    return Console(file=cast("TextIO", _Lasting(sys.stderr)), highlight=False)


@dataclass(kw_only=True)
class Watched:
    """What is known of one step of a running plan."""

    state: str = "waiting"
    started: float = 0.0
    told: float = 0.0
    first: tuple[float, int] | None = None
    """When the step first told how far it was, and how far: what came before was getting ready."""
    facts: dict[str, Any] = field(default_factory=dict)


class ProgressBoard:
    """Keeps the state of every step and shows it."""

    def __init__(
        self, plan: Plan, console: Console, log: Callable[[str], None] = lambda line: None
    ) -> None:
        self.plan = plan
        self.console = console
        self.log = log
        self.steps = {key: Watched() for key in plan.steps}
        self.live: Live | None = None
        self.began = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[ProgressBoard]:
        """Show the live table while the block lasts, where there is a terminal."""
        if not self.console.is_terminal:
            yield self
            return
        with Live(
            console=self.console, get_renderable=self.render, refresh_per_second=2, transient=True
        ) as self.live:
            yield self
        self.live = None

    def changed(self, key: str, state: str, text: str) -> None:
        """Note that a step started, ended, failed or was blocked."""
        step = self.steps[key]
        step.state = state
        now = time.monotonic()
        if state == "running":
            step.started = now
        if state == "recorded":
            return
        line = f"{state:<8} {_name(self.plan.steps[key])}"
        if state == "done" and step.started:
            line += f" ({now - step.started:.0f} s)"
        if text:
            line += f": {text}"
        self.log(line)
        if not self.console.is_terminal or state in ("failed", "blocked"):
            # An error may quote anything, and must neither control the terminal nor fill it.
            lines = (
                shown(each, most=LONGEST_LINE) for each in f"{self.clock()} {line}".split("\n")
            )
            self.console.print(Text("\n".join(lines)), soft_wrap=True)

    def told(self, key: str, facts: Mapping[str, Any]) -> None:
        """Note what a running step tells of itself."""
        step = self.steps[key]
        step.facts.update({name: value for name, value in facts.items() if value is not None})
        now = time.monotonic()
        if step.first is None and "step" in facts:
            step.first = (now, facts["step"])
        if not self.console.is_terminal and now - step.told > PLAIN_EVERY_S and "step" in facts:
            step.told = now
            line = f"{self.clock()} at       {_name(self.plan.steps[key])}: {describe(step)}"
            self.console.print(Text(line), soft_wrap=True)

    def clock(self) -> str:
        """Return the time since the start as m:ss."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes:3d}:{seconds:02d}"

    def counts(self) -> dict[str, int]:
        """Return state -> number of steps."""
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        for step in self.steps.values():
            counts[step.state] += 1
        return counts

    def render(self) -> Group:
        """Return the live table."""
        counts = self.counts()
        finished = counts["recorded"] + counts["done"] + counts["pruned"]
        head = Text(
            f"{self.plan.experiment}  {self.clock().strip()}  "
            + "  ".join(f"{count} {state}" for state, count in counts.items() if count)
        )
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("running", no_wrap=True, ratio=1)
        # On a narrow terminal the names give way, never the numbers.
        for name, width in COLUMNS.items():
            table.add_column(name, no_wrap=True, min_width=width, justify="right")
        for key, step in self.steps.items():
            if step.state == "running":
                facts = step.facts
                table.add_row(
                    _name(self.plan.steps[key]),
                    _steps(facts),
                    _number(facts.get("loss"), 3),
                    _number(facts.get("dev"), 1),
                    _number(facts.get("examples_per_s"), 1),
                    _left(step),
                )
        return Group(head, ProgressBar(total=len(self.steps), completed=finished, width=60), table)


def describe(step: Watched) -> str:
    """Return a running step's facts as words."""
    facts = step.facts
    parts = [_steps(facts) if "unit" in facts else f"step {_steps(facts)}"]
    for name, digits in (("loss", 3), ("dev", 1), ("examples_per_s", 1)):
        if name in facts:
            parts.append(f"{name.replace('_per_', '/')} {_number(facts[name], digits)}")
    left = _left(step)
    return ", ".join([*parts, f"{left} left"] if left else parts)


def _name(step: Step) -> str:
    return f"{step.folder}{step.arm}"


def _steps(facts: Mapping[str, Any]) -> str:
    if "unit" in facts:  # a share of the work, no optimizer steps
        return f"{facts['step']} {facts['unit']} ({facts['stage']})"
    text = f"{facts['step']}/{facts['total']}" if "total" in facts else ""
    return f"{text} {facts['stage']}" if "stage" in facts else text


def _left(step: Watched) -> str:
    done, total = step.facts.get("step"), step.facts.get("total")
    if done is None or total is None or step.first is None or done <= step.first[1]:
        return ""
    since, at = step.first
    seconds = (time.monotonic() - since) * (total - done) / (done - at)
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _number(value: Any, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


class _Lasting:
    """A stream to which writing does not fail when nobody is at its other end any more."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with _unheard():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with _unheard():
            self.stream.flush()


@contextmanager
def _unheard() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EPIPE):  # of a terminal, and of a pipe
            raise
