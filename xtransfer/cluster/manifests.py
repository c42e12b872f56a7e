"""Kubernetes objects as read from YAML, with where they came from, and the pod templates in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xtransfer.documents import parse_documents
from xtransfer.errors import ConfigError

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One object."""

    file: str
    """The file or overlay that it was read from."""
    body: Body

    @property
    def kind(self) -> str:
        """Return the object's kind."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """Return the object's name, empty where it has none."""
        return str(at(self.body, "metadata", "name") or "")

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the object's labels."""
        return cast("Mapping[str, str]", at(self.body, "metadata", "labels") or {})

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return the object's annotations."""
        return cast("Mapping[str, str]", at(self.body, "metadata", "annotations") or {})


@dataclass(frozen=True, kw_only=True)
class PodTemplate:
    """One pod template of an object."""

    role: str
    """`head`, `worker`, `submitter`, or `pod` in what is not Ray's."""
    path: str
    """Where it is, as `spec.a[0].b`."""
    template: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        """Return the pod's specification."""
        return self.template.get("spec") or {}

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels that the pods will carry."""
        return at(self.template, "metadata", "labels") or {}

    def containers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Return (path, container) of all containers, init containers too."""
        for field in ("initContainers", "containers"):
            for index, container in enumerate(self.spec.get(field) or ()):
                yield f"{self.path}.spec.{field}[{index}]", container

    def configs(self) -> Iterator[tuple[str, str]]:
        """Return (path, name) of each ConfigMap that the pods need: volumes, variables."""
        for index, volume in enumerate(self.spec.get("volumes") or ()):
            where = f"{self.path}.spec.volumes[{index}]"
            yield from _named(f"{where}.configMap", at(volume, "configMap"))
            for number, source in enumerate(at(volume, "projected", "sources") or ()):
                at_source = f"{where}.projected.sources[{number}].configMap"
                yield from _named(at_source, at(source, "configMap"))
        for where, container in self.containers():
            for number, source in enumerate(container.get("envFrom") or ()):
                at_source = f"{where}.envFrom[{number}].configMapRef"
                yield from _named(at_source, at(source, "configMapRef"))
            for number, variable in enumerate(container.get("env") or ()):
                at_source = f"{where}.env[{number}].valueFrom.configMapKeyRef"
                yield from _named(at_source, at(variable, "valueFrom", "configMapKeyRef"))


def _named(path: str, reference: Any) -> Iterator[tuple[str, str]]:
    """Yield (path, name) of a reference, if there is one."""
    name = at(reference, "name")
    if name:
        yield f"{path}.name", str(name)


def at(value: Any, *steps: str | int) -> Any:
    """Return what is at the end of a path of keys and indexes, None where there is nothing."""
    for step in steps:
        if isinstance(step, str):
            value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, dict) else None
        elif isinstance(value, list) and step < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[step]
        else:
            return None
    return value


def parse_manifests(text: str, file: str) -> list[Manifest]:
    """Return the objects of a YAML text of one or several documents; Lists are taken apart.

    Raises:
        ConfigError: naming `file` and the document that is no Kubernetes object.
    """
    found: list[Manifest] = []
    for number, document in enumerate(parse_documents(text, file), 1):
        if document is None:
            continue
        where = f"document {number}"
        body = _object(document, file, where)
        if body["kind"] != "List":
            found.append(Manifest(file=file, body=body))
            continue
        items = body.get("items")
        if not isinstance(items, list):
            raise ConfigError(file, f"{where} is a List without a list of `items`")
        found += [
            Manifest(file=file, body=_object(item, file, f"{where}, items[{index}]"))
            for index, item in enumerate(cast("list[Any]", items))
        ]
    return found


def read_manifests(path: Path) -> list[Manifest]:
    """Return the objects of a YAML file, or of all YAML files below a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml"))
        if not files:
            raise ConfigError(str(path), "holds no YAML file")
    else:
        files = [path]
    found: list[Manifest] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(file), f"cannot be read: {error}") from None
        found += parse_manifests(text, str(file))
    return found


def _object(value: Any, file: str, where: str) -> Body:
    """Return a Kubernetes object; refuse what has not even the form of one."""
    if not isinstance(value, dict) or not all(
        isinstance(value.get(field), str) for field in ("apiVersion", "kind")
    ):
        raise ConfigError(
            file,
            f"{where} is no Kubernetes object: it has no apiVersion and kind",
            "Give rendered manifests, or a folder with a kustomization.yaml.",
        )
    body = cast("Body", value)
    for path in (("metadata",), ("metadata", "labels"), ("metadata", "annotations"), ("spec",)):
        if not isinstance(at(body, *path) or {}, dict):
            raise ConfigError(file, f"{where}: {'.'.join(path)} is no mapping")
    return body


def cluster_spec(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return (path, RayClusterSpec) of a RayJob or RayCluster, None for other kinds."""
    if body["kind"] == "RayCluster":
        return "spec", body.get("spec") or {}
    if body["kind"] == "RayJob":
        return "spec.rayClusterSpec", at(body, "spec", "rayClusterSpec") or {}
    return None


def worker_groups(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (path, group) of the worker groups of a RayJob or RayCluster; none of other kinds."""
    path, spec = cluster_spec(body) or ("", {})
    for index, group in enumerate(spec.get("workerGroupSpecs") or ()):
        yield f"{path}.workerGroupSpecs[{index}]", group


def pod_templates(body: Mapping[str, Any]) -> list[PodTemplate]:
    """Return every pod template of an object, the submitter's included where there is one."""
    kind, spec = body["kind"], body.get("spec") or {}
    found: list[PodTemplate] = []
    if kind == "Pod":
        return [PodTemplate(role="pod", path="$", template=body)]
    if kind == "CronJob":
        template = at(spec, "jobTemplate", "spec", "template") or {}
        return [PodTemplate(role="pod", path="spec.jobTemplate.spec.template", template=template)]
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"):
        return [PodTemplate(role="pod", path="spec.template", template=spec.get("template") or {})]
    cluster = cluster_spec(body)
    if cluster is None:
        return found
    path, inner = cluster
    head = at(inner, "headGroupSpec", "template")
    found.append(
        PodTemplate(role="head", path=f"{path}.headGroupSpec.template", template=head or {})
    )
    found += [
        PodTemplate(role="worker", path=f"{where}.template", template=group.get("template") or {})
        for where, group in worker_groups(body)
    ]
    submitter = spec.get("submitterPodTemplate")
    if submitter is not None:
        found.append(
            PodTemplate(role="submitter", path="spec.submitterPodTemplate", template=submitter)
        )
    return found
