"""Rules of room: whether any worker that the job may have holds what a step of its placement takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xtransfer.cluster.manifests import Manifest, at, cluster_spec
from xtransfer.cluster.placements import placement_of
from xtransfer.cluster.quantities import quantity
from xtransfer.cluster.rules import Hit, Rule
from xtransfer.config.placement import Resources

_SMALL = 1e-9
_MOST_REPLICAS = 2**31 - 1
"""Workers of a group that names no `maxReplicas`: the default of the CRD."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A worker group, as Ray sees it."""

    name: str
    most: int
    """Of its workers at once."""
    cpus: float
    gpus: float

    def holds(self, wants: Resources) -> int:
        """Return how many of these one worker holds at once."""
        shares = [self.cpus / wants.cpus] if wants.cpus else []
        shares += [self.gpus / wants.gpus] if wants.gpus else []
        return int(min(shares) + _SMALL) if self.most else 0


def groups_of(job: Manifest) -> list[Group]:
    """Return the worker groups of a job."""
    _, spec = cluster_spec(job.body) or ("", {})
    return [_group(group) for group in spec.get("workerGroupSpecs") or ()]


def _group(group: Mapping[str, Any]) -> Group:
    """Return a group with the CPUs and GPUs that the operator has `ray start` announce."""
    given: Mapping[str, Any] = group.get("rayStartParams") or {}
    resources = at(group, "template", "spec", "containers", 0, "resources") or {}
    asked: Mapping[str, Any] = {
        **(resources.get("requests") or {}),
        **(resources.get("limits") or {}),
    }
    gpus = next((value for name, value in asked.items() if name.endswith("gpu")), 0)
    cpus = -(-(quantity(asked.get("cpu", 0)) or 0) // 1)
    return Group(
        name=str(group.get("groupName", "")),
        most=int(group.get("maxReplicas", _MOST_REPLICAS)) * int(group.get("numOfHosts", 1)),
        cpus=float(given.get("num-cpus", cpus)),
        gpus=float(given.get("num-gpus", quantity(gpus) or 0)),
    )


def _fits(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    for job in manifests:
        placement = placement_of(manifests, job) if job.kind == "RayJob" else None
        if placement is None:
            continue
        groups, (path, _) = groups_of(job), cluster_spec(job.body) or ("", {})
        where = f"{path}.workerGroupSpecs"
        for name in ("train", "prepare", "evaluate"):
            wants: Resources = getattr(placement, name)
            if not any(group.holds(wants) for group in groups):
                there = ", ".join(f"{g.name}: {_words(g.cpus, g.gpus)}" for g in groups) or "none"
                yield (
                    job,
                    where,
                    f"none has room for {_words(wants.cpus, wants.gpus)} of `{name}` ({there})",
                )
                break
        else:
            room = sum(group.most * group.holds(placement.train) for group in groups)
            fewest = placement.train.fewest_workers
            if room < fewest:
                yield job, where, f"have room for {room} of the {fewest} workers of a trial"


def _words(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")


RULES = (
    Rule(
        name="room",
        look=_fits,
        remedy="Give a group more, or the placement less: else steps wait for ever, and nothing says why.",
    ),
)
