"""A Ray cluster of this machine to join, with raylets that are killed, drained and added."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.faults.processes import variables


class Nodes:
    """A head and nodes of one CPU each, every one with a raylet of its own."""

    def __init__(self, folder: Path, *, cpus: int, node: Mapping[str, Any]) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self._node = node
        Path("/tmp/ray").mkdir(exist_ok=True)  # where Ray notes the address, whatever its folder
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": cpus, "temp_dir": str(folder), "include_dashboard": False},
        )
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        """Host and port to join at."""
        return self._cluster.address

    def add(self) -> None:
        """Start another raylet, with one CPU."""
        self._nodes.append(self._cluster.add_node(num_cpus=1, **self._node))

    def kill(self) -> None:
        """Kill -9 the newest node's raylet; what it leaves is cleared when it has been noticed."""
        node = self._nodes.pop()
        node.kill_raylet(check_alive=False)  # a drained one may have ended
        self._cluster.remove_node(node, allow_graceful=False)

    def drain(self, *, seconds: int) -> None:
        """Tell Ray that the newest node is about to be preempted, so many seconds from now."""
        from ray._raylet import GcsClient
        from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

        deadline = int((time.time() + seconds) * 1000)
        accepted, reason = GcsClient(address=self.address).drain_node(
            self._nodes[-1].node_id, DRAIN_NODE_REASON_PREEMPTION, "a test", deadline
        )
        assert accepted, reason

    def pids(self) -> list[int]:
        """Return the processes that Ray started for all nodes."""
        return [
            info.process.pid
            for node in self._cluster.list_all_nodes()
            for found in node.all_processes.values()
            for info in found
        ]

    def stop(self) -> None:
        """End all of them."""
        self._cluster.shutdown()


@contextmanager
def joined(
    folder: Path, *, cpus: int, nodes: int = 0, node: Mapping[str, Any] | None = None
) -> Iterator[Nodes]:
    """Run a cluster that asks for a token: a head with `cpus`, and `nodes` of one CPU each.

    Args:
        folder: of Ray's own files. Its name must be short: a socket's may have 107 characters.
        cpus: of the head.
        nodes: to begin with.
        node: what else each of them has, in the words of `ray.cluster_utils.Cluster.add_node`.
    """
    with variables({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}):
        found = Nodes(folder, cpus=cpus, node=node or {})
        try:
            for _ in range(nodes):
                found.add()
            yield found
        finally:
            found.stop()


@lru_cache(maxsize=1)
def _token() -> str:
    """Return one token for all clusters: Ray keeps the first that it sees in a process."""
    return secrets.token_hex(16)
