"""Which addresses processes listen on, read from /proc (Linux)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NamedTuple

LISTENS = "0A"
"""State of a socket in /proc/net/tcp (include/net/tcp_states.h)."""


class Listener(NamedTuple):
    """One listening socket."""

    program: str
    address: str
    port: int


def listeners(*, pid: int) -> list[Listener]:
    """Return the TCP sockets that a process and all its descendants listen on."""
    found: set[Listener] = set()
    sockets = _sockets()
    for each in _family(pid):
        folder = Path(f"/proc/{each}")
        try:
            program = (folder / "comm").read_text().strip()
            links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
        except OSError:  # ended meanwhile
            continue
        found |= {Listener(program, *sockets[link]) for link in links if link in sockets}
    return sorted(found)


def _family(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found, before = {pid}, 0
    while len(found) != before:
        before = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def _sockets() -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                raw, port = fields[1].split(":")
                words = [bytes.fromhex(raw[at : at + 8])[::-1] for at in range(0, len(raw), 8)]
                address = socket.inet_ntop(family, b"".join(words))
                found[f"socket:[{fields[9]}]"] = (address, int(port, 16))
    return found
