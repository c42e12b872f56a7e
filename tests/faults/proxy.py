"""A proxy that lets a share of HTTP requests fail in the ways of a bad network or a busy service."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_ERRORS = {500: ("InternalError", "Internal Server Error"), 503: ("SlowDown", "Slow Down")}


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Shares of all requests; what is left passes."""

    error: float = 0.05
    """Answered with 500 or 503 by the proxy."""
    reset: float = 0.02
    """The connection is reset: half of them before the request is passed on, half after, so that it
    was done and only the reply is lost."""
    truncate: float = 0.02
    """The reply breaks off in the middle."""
    stall: float = 0.005
    """Nothing is said for `stall_s`, then the connection is closed."""
    stall_s: float = 3.0
    late: float = 0.0
    """Passed on, and answered after `late_s`."""
    late_s: float = 1.0


@dataclass
class FaultProxy:
    """A running proxy."""

    upstream: str
    faults: Faults
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def draw(self) -> str:
        """Return what happens to the next request."""
        at = self.random.random()
        for name in ("error", "reset", "truncate", "stall", "late"):
            at -= getattr(self.faults, name)
            if at < 0:
                return name
        return "passed"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request of a connection; S3's client opens another for the next."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            headers = _headers(head)
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            await self._answer(head, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        fault = self.draw()
        self.counts[fault] += 1
        early = self.random.random() < 0.5
        if fault == "stall":
            await asyncio.sleep(self.faults.stall_s)
            return
        if fault == "error":
            writer.write(_error(self.random.choice([500, 503])))
            await writer.drain()
            return
        if fault == "reset" and early:
            _reset(writer)
            return
        if fault == "late":
            await asyncio.sleep(self.faults.late_s)
        reply = await self._ask(head, body)
        if fault == "reset":
            _reset(writer)
            return
        if fault == "truncate":
            start = reply.index(b"\r\n\r\n") + 4
            reply = reply[: start + (len(reply) - start) // 2]
            if len(reply) == start:  # nothing to cut: break off in the head
                reply = reply[: start // 2]
        writer.write(reply)
        await writer.drain()

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        parts = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        lines = [
            line
            for line in head.split(b"\r\n")
            if not line.lower().startswith((b"expect:", b"connection:"))
        ]
        writer.write(b"\r\n".join([lines[0], b"Connection: close", *lines[1:]]) + body)
        await writer.drain()
        try:
            return await reader.read(-1)
        finally:
            writer.close()


@contextlib.contextmanager
def fault_proxy(upstream: str, *, faults: Faults, seed: int) -> Iterator[FaultProxy]:
    """Run a proxy before the service at `upstream`, in a thread of its own."""
    proxy = FaultProxy(upstream, faults, random.Random(seed))
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> Any:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        return server

    def work() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(start())
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(30)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def _error(status: int) -> bytes:
    code, reason = _ERRORS[status]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an end of the stream."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
