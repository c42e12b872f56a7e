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
