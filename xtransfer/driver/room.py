"""What a Ray cluster has room for: what a step takes of it, and how many trials with several workers start at once.

Ray keeps a step waiting for which no node has room, for ever and without a word. On a private cluster, which
never grows, such a plan is refused; on one that is joined, nodes may come, so that it is said and waited for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xtransfer.config.placement import Placement, Resources, section_of
from xtransfer.costs.packing import gpus_of
from xtransfer.errors import ConfigError
from xtransfer.plan import INLINE, Plan, Step

DRIVER_MEMORY = 512 * 2**20
"""Bytes that the driver of a trial with several workers claims."""
AHEAD = 4
"""Trials with several workers that run beyond those whose workers have room, on a cluster that may grow: an
autoscaler sees what they wait for."""
AHEAD_PRIVATE = 1
"""The same on a private cluster: the next one is ready when one ends."""
ASK_EVERY_S = 2.0
"""Seconds for which what Ray said of its nodes is taken to hold."""
_SMALL = 1e-9

Node = Mapping[str, float]
"""What a node announces: CPU, GPU, memory (bytes), and more."""

log = logging.getLogger(__name__)


def bundle_of(step: Step, plan: Plan, placement: Placement) -> dict[str, float]:
    """Return what Ray reserves for the process of a step: its own share, or for several workers only the driver's.

    With more than one worker, Ray Train asks for the workers' resources itself; the trial is only
    their driver. It takes memory and no CPU: a share of a CPU could keep its own workers waiting.
    """
    if has_workers(step, placement):
        return {"memory": DRIVER_MEMORY}
    return _share(step, plan, placement)


def has_workers(step: Step, placement: Placement) -> bool:
    """Say whether a step is a trial that may have several workers."""
    return step.kind == "train" and placement.train.most_workers > 1


def check_room(
    plan: Plan, placement: Placement, *, done: Collection[str], nodes: Sequence[Node]
) -> None:
    """See whether each step that is not done fits into the cluster, all by itself.

    Args:
        plan: the whole plan.
        placement: says what steps take.
        done: keys of the steps that need no room.
        nodes: of the cluster.

    Raises:
        ConfigError: when a step can never run, as the cluster is private.
    """
    private = placement.ray.address == "local"
    told: set[str] = set()
    for step, share, workers in _needs(plan, placement, done):
        section = section_of(step.kind)
        if section in told or holds(nodes, share) >= workers:
            continue
        each = f"{workers} workers with {_words(share)} each" if workers > 1 else _words(share)
        if private:
            raise ConfigError(
                f"placement: {section}",
                f"{step.folder} takes {each}, and the private Ray of this run has {_words(_sum(nodes))}",
                f"Lower {section}.cpus or {section}.gpus, set ray.cpus or ray.gpus to what this machine "
                "has, or join a cluster by ray.address.",
            )
        told.add(section)
        log.warning(
            "placement: %s: %s takes %s, and of the cluster's %d nodes none has room for it now, were they idle: "
            "such steps wait until one joins",
            section, step.folder, each, len(nodes),
        )  # fmt: skip


def holds(nodes: Iterable[Node], share: Mapping[str, float]) -> int:
    """Return how many such shares idle nodes hold at once."""
    return sum(
        int(min(node.get(name, 0.0) / wanted for name, wanted in share.items()) + _SMALL)
        for node in nodes
    )


def ray_nodes() -> list[Node]:
    """Return what the nodes of the cluster that this process has joined announce."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@dataclass(kw_only=True)
class Room:
    """How many trials with several workers may run at once.

    Their drivers claim no CPU and no GPU, so that Tune would start all that are ready: two processes each,
    which wait for the workers of others.
    """

    placement: Placement
    nodes: Callable[[], Sequence[Node]]
    """Returns those of the cluster at present."""
    clock: Callable[[], float] = time.monotonic
    _most: int = field(default=0, init=False)
    _until: float = field(default=float("-inf"), init=False)

    def __call__(self) -> int:
        """Return the number, which follows the cluster as it grows and shrinks."""
        if self.clock() >= self._until:
            train = self.placement.train
            ahead = AHEAD_PRIVATE if self.placement.ray.address == "local" else AHEAD
            share = _amounts(train, train.gpus)
            self._most = holds(self.nodes(), share) // train.fewest_workers + ahead
            self._until = self.clock() + ASK_EVERY_S
        return self._most


def _needs(
    plan: Plan, placement: Placement, done: Collection[str]
) -> Iterable[tuple[Step, dict[str, float], int]]:
    """Yield one step of each kind of need: with what a process of it takes, and how many it needs at least."""
    seen: set[tuple[object, ...]] = set()
    for key, step in plan.steps.items():
        if key in done or step.kind in INLINE:
            continue
        share, workers = _share(step, plan, placement), 1
        if has_workers(step, placement):
            workers = placement.train.fewest_workers
        need = (section_of(step.kind), *sorted(share.items()), workers)
        if need not in seen:
            seen.add(need)
            yield step, share, workers


def _share(step: Step, plan: Plan, placement: Placement) -> dict[str, float]:
    return _amounts(placement.resources_for(step.kind), gpus_of(step, plan.steps, placement))


def _amounts(wants: Resources, gpus: float) -> dict[str, float]:
    return {"CPU": wants.cpus, "GPU": gpus} if gpus else {"CPU": wants.cpus}


def _sum(nodes: Iterable[Node]) -> dict[str, float]:
    found = list(nodes)
    return {name: sum(node.get(name, 0.0) for node in found) for name in ("CPU", "GPU")}


def _words(share: Mapping[str, float]) -> str:
    return " and ".join(
        f"{amount:g} {name}{'' if amount == 1 else 's'}" for name, amount in share.items()
    )
