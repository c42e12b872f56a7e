"""The placement of a RayJob: the file that its entry point names, in the ConfigMap of its volume `placement`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xtransfer.cluster.manifests import Body, Manifest, at, pod_templates
from xtransfer.config.placement import Placement
from xtransfer.documents import parse_yaml
from xtransfer.errors import ConfigError

VOLUME = "placement"
"""Of a head, with its placement's ConfigMap (k8s/base/rayjob.yaml)."""
GIVEN = re.compile(r"--placement[= ](?:\S*/)?(?P<file>[^/\s]+)")
"""How an entry point names the placement's file."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a job reads its placement."""

    file: str
    configs: frozenset[str]
    """Names of the ConfigMaps that its volume has, one unless its pods differ."""

    def text_in(self, config: Body) -> str | None:
        """Return the text of the placement, None where it is not in this object."""
        name = at(config, "metadata", "name")
        text = at(config, "data", self.file)
        return str(text) if text is not None and name in self.configs else None


def place_of(job: Body) -> Place | None:
    """Return where a job reads its placement, None where its entry point names none."""
    given = GIVEN.search(str(at(job, "spec", "entrypoint") or ""))
    if given is None:
        return None
    volumes = [volume for each in pod_templates(job) for volume in each.spec.get("volumes") or ()]
    names = [at(volume, "configMap", "name") for volume in volumes if volume.get("name") == VOLUME]
    return Place(file=given["file"], configs=frozenset(map(str, filter(None, names))))


def placement_of(manifests: Sequence[Manifest], job: Manifest) -> Placement | None:
    """Return the placement of a job, None where there is none or it is not valid."""
    for text in _texts((each.body for each in manifests if each.kind == "ConfigMap"), job.body):
        try:
            return Placement.model_validate(parse_yaml(text, ""), strict=False)
        except (ConfigError, ValueError):  # a rule says so
            continue
    return None


def store_in(configs: Iterable[Body], job: Body) -> str:
    """Return the store's URL that a job's placement names among some ConfigMaps, empty where none does."""
    for text in _texts(configs, job):
        try:
            found = parse_yaml(text, "")
        except ConfigError:
            continue
        # It may be of another version: no more is asked of it.
        if isinstance(found, dict) and "store" in found:
            return str(found["store"])
    return ""


def _texts(configs: Iterable[Body], job: Body) -> Iterator[str]:
    if (place := place_of(job)) is None:
        return
    for config in configs:
        if (text := place.text_in(config)) is not None:
            yield text
