"""Rules of a job's placement: that it is one, that all pods see its store, and that the head waits for its trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from xtransfer.cluster.manifests import Manifest, at, pod_templates
from xtransfer.cluster.placements import place_of
from xtransfer.cluster.rules import Hit, Rule
from xtransfer.config.placement import Placement
from xtransfer.documents import parse_yaml
from xtransfer.errors import ConfigError
from xtransfer.settings import check_settings

PRESTOP_S = 90
"""Seconds that k8s/image/prestop.sh waits where it is not told how long."""
OF_ONE_POD = ("configMap", "downwardAPI", "emptyDir", "ephemeral", "projected", "secret")
"""Volumes that are empty or read-only, or another one for each pod."""


def _valid(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    for _, config, name, read in _read(manifests):
        if isinstance(read, ConfigError):
            next_ = f" ({read.next.rstrip('.')})" if read.next else ""
            yield config, f"data.{name}", f"is no placement: {read.where}: {read.what}{next_}"


def _shared(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    for job, config, name, read in _read(manifests):
        if isinstance(read, ConfigError) or read.store.startswith("s3://"):
            continue
        folder = PurePosixPath(read.store.removeprefix("file://"))
        if not all(
            _is_shared(each.spec, folder)
            for each in pod_templates(job.body)
            if each.role in ("head", "worker")
        ):
            yield config, f"data.{name}", f"store {read.store} is a folder that pods do not share"


def _waited_for(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    for job, config, name, read in _read(manifests):
        if isinstance(read, ConfigError):
            continue
        for each in pod_templates(job.body):
            command = at(each.spec, "containers", 0, "lifecycle", "preStop", "exec", "command")
            waits = _seconds(command) if each.role == "head" else None
            if waits is not None and read.grace_s >= waits:
                what = f"grace_s is {read.grace_s:g}, and the head's preStop waits {waits} s"
                yield config, f"data.{name}", what


def _seconds(command: Any) -> int | None:
    """Return how long k8s/image/prestop.sh waits by its command, None for another one or where it does not say in seconds."""
    program, *rest = command or [""]
    if PurePosixPath(str(program)).name != "prestop":
        return None
    if not rest:
        return PRESTOP_S
    return int(rest[0]) if str(rest[0]).isdigit() else None


def _read(
    manifests: Sequence[Manifest],
) -> Iterator[tuple[Manifest, Manifest, str, Placement | ConfigError]]:
    """Yield (job, ConfigMap, file in it, placement or what is wrong) of every job that is given one."""
    for job in manifests:
        place = place_of(job.body) if job.kind == "RayJob" else None
        if place is None:
            continue
        for config in manifests:
            text = place.text_in(config.body) if config.kind == "ConfigMap" else None
            if text is not None:
                yield job, config, place.file, _placement(text, place.file)


def _placement(text: str, where: str) -> Placement | ConfigError:
    from xtransfer.store import open_store

    try:
        raw = parse_yaml(text, where)
        if not isinstance(raw, dict):
            return ConfigError(
                where, "must be a mapping of settings", "See k8s/base/placement.yaml."
            )
        found = check_settings(Placement, raw, where)
        if not found.store.startswith("file://"):  # nothing is contacted; folders are the pods'
            open_store(found.store)
    except ConfigError as error:
        return error
    return found


def _is_shared(spec: Mapping[str, Any], folder: PurePosixPath) -> bool:
    """Return whether a folder of a pod's first container lies on a volume that other pods may have too."""
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    mounts = [
        mount
        for mount in at(spec, "containers", 0, "volumeMounts") or ()
        if folder.is_relative_to(mount["mountPath"])
    ]
    if not mounts:
        return False
    nearest = max(mounts, key=lambda mount: len(PurePosixPath(mount["mountPath"]).parts))
    volume: Mapping[str, Any] = volumes.get(nearest.get("name"), {})
    read_only = nearest.get("readOnly") or at(volume, "persistentVolumeClaim", "readOnly")
    return bool(volume) and not read_only and not any(kind in volume for kind in OF_ONE_POD)


RULES = (
    Rule(
        name="placement",
        look=_valid,
        remedy="Correct it: the driver would end with this error when its cluster is up.",
    ),
    Rule(
        name="store-shared",
        look=_shared,
        remedy="Name a bucket (s3://), or a folder on a claim that head and workers mount to write to.",
    ),
    Rule(
        name="grace-head",
        look=_waited_for,
        remedy="Have preStop wait longer than that, and the head's terminationGracePeriodSeconds 20 s longer still: "
        "trials are cut off else.",
    ),
)
