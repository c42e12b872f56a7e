"""Which machine this is, and which of its processes is which: numbers of processes are used again."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Return the boot and the process namespace in which process numbers count; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def process_start(pid: int | None = None) -> str:
    """Return when a process (None: this one) started, in its kernel's ticks; "" for a dead one."""
    try:
        name = f"/proc/{os.getpid() if pid is None else pid}/stat"
        stat = Path(name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def has_ended(pid: int, start: str | None = None) -> bool:
    """Say whether a process of this machine is known to be no more.

    Where /proc hides the processes of other users (`hidepid`), one that a signal would find may be at work.

    Args:
        pid: its number.
        start: when it started, as `process_start` says; None: any process of that number will do.
    """
    found = process_start(pid)
    if found:
        return start is not None and found != start
    return not _is_hidden(pid)


def _is_hidden(pid: int) -> bool:
    if pid <= 0 or Path(f"/proc/{pid}").exists():  # a zombie is there, and not at work
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False
