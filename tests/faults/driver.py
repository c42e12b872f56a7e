"""`xtransfer run` as a process that is watched, killed and started again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.faults.nodes import Nodes
from tests.faults.processes import Process, below
from tests.faults.watch import Watch
from tests.integration.test_pipeline import command
from tests.s3_server import Weed
from xtransfer.store import Store, StoreOptions, open_store

CONFIG = Path(__file__).with_name("kills.yaml")
STEPS = 18
"""Of the plan of CONFIG."""
PLACES = {
    "train.resume_every_s": "0.1",
    "s3.attempts": "40",
    "s3.longest_pause_s": "1",
    "s3.read_timeout_s": "10",
}
HANGS_AFTER_S = 400.0
"""Without a new object in the store, a driver is taken for hanging, which fails the series."""
GONE_WITHIN_S = 120.0
"""What killed drivers leave behind must have ended after so long. Ray's agents wait for their head, which
has died with the driver, for a minute."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What series run on."""

    folder: Path
    """For logs."""
    temporary: Path
    """Instead of /tmp, with a name as short: Ray's sockets are in it."""
    weed: Weed
    endpoint: str
    """Of S3 for the runs: the service itself, or a proxy before it."""
    cluster: Nodes | None = None
    """A cluster to join; None: each driver starts its own."""
    said: Callable[[str], None] = lambda text: None

    def open(self, name: str) -> Store:
        """Open the store `name` past the proxy, as somebody who does not give up soon."""
        options = StoreOptions(endpoint_url=self.weed.server.endpoint, attempts=12)
        return open_store(f"s3://{self.weed.server.bucket}/{name}", options=options)


class Driver:
    """`xtransfer run`, started as often as it takes."""

    def __init__(
        self,
        store: str,
        bench: Bench,
        watch: Watch,
        *,
        places: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        self.bench, self.watch = bench, watch
        found = {**PLACES, "s3.endpoint_url": bench.endpoint, **(places or {})}
        if bench.cluster is not None:
            found["ray.address"] = bench.cluster.address
        options = [part for item in found.items() for part in ("--place", "=".join(item))]
        url = f"s3://{bench.weed.server.bucket}/{store}"
        self.command = command("run", str(CONFIG), "--store", url, *options)
        self.environment = {
            **os.environ,
            **bench.weed.server.environment,
            "TMPDIR": str(bench.temporary),
            "OMP_NUM_THREADS": "1",
        }
        self.log = bench.folder / f"{name or store}.log"
        self.starts = 0
        self.trouble = ""
        self.seen: dict[tuple[int, str], Process] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Driver:
        self._output = self.log.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._output is not None
        if self.process is not None and self.process.poll() is None:
            for process in self.everything():
                process.kill()
            self.process.wait()
        self._output.close()

    def start(self) -> None:
        """Give the command, again when it has ended."""
        assert self._output is not None
        self.starts += 1
        self.watch.changed = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env=self.environment,
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended; one that hangs is killed, and noted."""
        assert self.process is not None
        if self.process.poll() is not None:
            return True
        if time.monotonic() - self.watch.changed < HANGS_AFTER_S:
            return False
        self.trouble = f"no new object for {HANGS_AFTER_S:.0f} s: {self.tail()}"
        self.process.kill()
        self.process.wait()
        return True

    def status(self) -> int:
        """Wait for its end and return the exit status."""
        assert self.process is not None
        while not self.ended:
            self.everything()
            time.sleep(0.2)
        return self.process.wait()

    def everything(self) -> list[Process]:
        """Return all processes that it has been seen to have, itself first."""
        assert self.process is not None
        now = below([self.process.pid])
        self.seen |= {(process.pid, process.started): process for process in now}
        return list(self.seen.values())

    def kill(self) -> None:
        """End the driver itself with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> list[str]:
        """Wait for all of its processes; return the titles of those that had to be killed.

        Those of a driver that is gone should end by themselves, within GONE_WITHIN_S.
        """
        found, until = self.everything(), time.monotonic() + GONE_WITHIN_S
        while any(process.alive for process in found) and time.monotonic() < until:
            time.sleep(0.2)
        return [process.title for process in found if process.kill()]

    def tail(self) -> str:
        """Return its last words."""
        return self.log.read_text(errors="replace")[-1500:]
