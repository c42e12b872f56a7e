"""Processes of this machine, from /proc: those below a given one, never found by name among all."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process: a number that is used again belongs to another one."""

    pid: int
    parent: int
    started: str
    """In the kernel's ticks."""
    title: str
    """Its command line, which Ray's workers set to what they do."""

    @property
    def alive(self) -> bool:
        """Whether it still runs: a zombie does not."""
        found = _process(self.pid)
        return found is not None and found.started == self.started

    def kill(self) -> bool:
        """Send SIGKILL; return whether it was still there."""
        if not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            return True
        return False


def below(roots: Iterable[int]) -> list[Process]:
    """Return the processes of these ids and all their descendants."""
    found = [_process(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]
    children: dict[int, list[Process]] = {}
    known = {process.pid: process for process in found if process is not None}
    for process in known.values():
        children.setdefault(process.parent, []).append(process)
    tree: dict[int, Process] = {}
    at = [known[pid] for pid in roots if pid in known]
    while at:
        process = at.pop()
        if process.pid not in tree:
            tree[process.pid] = process
            at += children.get(process.pid, ())
    return list(tree.values())


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process's environment, and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    title = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(pid=pid, parent=int(fields[1]), started=fields[19], title=title)
