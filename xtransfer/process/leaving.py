"""When a running step must save its state and go: its node is about to be taken away, or the run ends.

Two things say so, and both are asked of Ray's control store: a node that is being drained (a spot
instance's notice, Kubernetes evicting the pod: see k8s/image/prestop.sh), and a mark that the driver
leaves when SIGTERM tells it to end.
"""

from __future__ import annotations

import logging
import threading

import ray
from ray._private.state import state
from ray.experimental import internal_kv

LOOK_EVERY_S = 2.0
"""Seconds between two looks."""
NAMESPACE = b"xtransfer"

log = logging.getLogger(__name__)


class Notice:
    """Looks, in a thread of its own, for a reason why this process must go.

    Args:
        run: the driver's name for what it runs, as given to `ask_to_leave`.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.node = ray.get_runtime_context().get_node_id()
        self.draining = False
        """This process's node is about to go; nothing more should begin here."""
        self._reason = ""
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="leaving", daemon=True).start()

    def reason(self) -> str:
        """Return why this process must go, empty while it need not."""
        return self._reason

    def look(self) -> str:
        """Look at once, and return what `reason` does."""
        try:
            self._look()
        except Exception as error:  # noqa: BLE001 - Ray may be going down: no notice, then
            log.debug("no look for a notice: %s", error)
        return self._reason

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set() and not self._reason:
            self.look()
            self._ended.wait(LOOK_EVERY_S)

    def _look(self) -> None:
        if self.node in draining_nodes():
            self.draining = True
            self._reason = "its node is being drained"
        elif internal_kv._internal_kv_get(self.run.encode(), namespace=NAMESPACE):
            self._reason = "the driver was told to end"


def draining_nodes() -> set[str]:
    """Return the ids of the nodes that are being drained, as Ray Train itself asks for them."""
    return set(state.get_draining_nodes())


def ask_to_leave(run: str) -> None:
    """Have every step of `run` that can save its state do so and end."""
    internal_kv._internal_kv_put(run.encode(), b"1", namespace=NAMESPACE)
