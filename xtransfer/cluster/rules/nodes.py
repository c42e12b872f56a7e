"""Rules of what Ray announces and takes of a node, and of what containers ask for: on the head nothing for steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from xtransfer.cluster.manifests import (
    Manifest,
    at,
    cluster_spec,
    pod_templates,
    worker_groups,
)
from xtransfer.cluster.quantities import quantity
from xtransfer.cluster.rules import Rule, each

STORE_SHARE = Fraction(3, 10)
"""Share of a node's memory that Ray takes for its object store ..."""
STORE_WITHOUT_SHM = Fraction(10**10)
"""... and the most bytes of it where /dev/shm has no more (ray/_private/utils.py of 2.60)."""

Found = Iterator[tuple[str, str]]
RAY = ("RayJob", "RayCluster")


def _head_cpus(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    if at(spec, "headGroupSpec", "rayStartParams", "num-cpus") != "0":
        yield f"{path}.headGroupSpec.rayStartParams.num-cpus", 'is not "0": trials run on the head'


def _head_room(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    if at(spec, "headGroupSpec", "rayStartParams", "memory") != "0":
        yield (
            f"{path}.headGroupSpec.rayStartParams.memory",
            'is not "0": drivers of trials with several workers run on the head',
        )


def _head_memory(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        if each_.role != "head":
            continue
        resources = at(each_.spec, "containers", 0, "resources") or {}
        asked, most = at(resources, "requests", "memory"), at(resources, "limits", "memory")
        if asked is None or most is None or quantity(asked) != quantity(most):
            where = f"{each_.path}.spec.containers[0].resources"
            yield where, f"memory request {asked or 'none'} is not the limit {most or 'none'}"


def _shm(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    head = (f"{path}.headGroupSpec", spec.get("headGroupSpec") or {})
    for where, group in (head, *worker_groups(manifest.body)):
        pod = at(group, "template", "spec") or {}
        mounts = at(pod, "containers", 0, "volumeMounts") or []
        name = next((m.get("name") for m in mounts if m.get("mountPath") == "/dev/shm"), None)  # noqa: S108
        volumes = {volume.get("name"): volume for volume in pod.get("volumes") or ()}
        volume = at(volumes.get(name, {}), "emptyDir") or {}
        if volume.get("medium") != "Memory":
            yield f"{where}.template.spec.volumes", "has no emptyDir in memory at /dev/shm"
            continue
        room, needed = quantity(volume.get("sizeLimit")), _object_store(group)
        if room is not None and needed is not None and room < needed:
            yield (
                f"{where}.template.spec.volumes",
                (
                    f"has {volume['sizeLimit']} at /dev/shm, less than Ray's object store of "
                    f"{float(needed) / 2**30:.1f} GiB, which is put on disk"
                ),
            )


def _requests(manifest: Manifest) -> Found:
    """Find what no pod may ask for: more than its limit, and of devices less."""
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            asked: Mapping[str, Any] = at(container, "resources", "requests") or {}
            most: Mapping[str, Any] = at(container, "resources", "limits") or {}
            for name, value in asked.items():
                device = "/" in name and not name.startswith("kubernetes.io/")
                request, limit = quantity(value), quantity(most.get(name))
                if request is None or (limit is None and not device):
                    continue
                if limit is None or request > limit or (device and request < limit):
                    has = f"limit {most[name]}" if name in most else "no limit"
                    yield f"{path}.resources", f"asks for {value} of {name}, with {has}"


def _object_store(group: Mapping[str, Any]) -> Fraction | None:
    """Return the bytes of a node's object store, None where nothing says how much memory it has."""
    given = at(group, "rayStartParams", "object-store-memory")
    if given is not None:
        return quantity(given)
    memory = quantity(
        at(group, "template", "spec", "containers", 0, "resources", "limits", "memory")
    )
    return None if memory is None else min(memory * STORE_SHARE, STORE_WITHOUT_SHM)


RULES = (
    Rule(name="head-cpus", look=each(_head_cpus, *RAY), remedy='Set it to "0".'),
    Rule(
        name="head-room",
        look=each(_head_room, *RAY),
        remedy='Set it to "0": left out, the operator announces the limit of the container.',
    ),
    Rule(
        name="head-memory",
        look=each(_head_memory, *RAY),
        remedy="Make them equal: a head over its request is killed first.",
    ),
    Rule(
        name="shared-memory",
        look=each(_shm, *RAY),
        remedy="Mount one of 30 % of the memory limit or more: Ray's object store is there, and the default"
        " has 64 MB.",
    ),
    Rule(
        name="requests",
        look=each(_requests),
        remedy="Change both together, and make those of GPUs equal: no such pod can be made, and the job waits for it.",
    ),
)
