"""A rendered overlay and an experiment as the objects of one job.

The job's name holds the plan's key, so that the same plan is the same job, whoever submits it and how
often. Its experiment is an immutable ConfigMap, named by its content.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xtransfer.cluster.manifests import Body, Manifest, at, pod_templates
from xtransfer.cluster.placements import store_in
from xtransfer.cluster.rules.jobs import LONGEST_NAME
from xtransfer.cluster.rules.kueue import QUEUE, TEMPLATE_QUEUE
from xtransfer.errors import ConfigError
from xtransfer.identity import key_of
from xtransfer.records.logs import JOB_VARIABLE

EXPERIMENT_FILE = "experiment.yaml"
EXPERIMENT_VOLUME = "experiment"
JOB_LABEL = "xtransfer/job"
PLAN_LABEL = "xtransfer/plan"
EXPERIMENT_LABEL = "xtransfer/experiment"
MOST_BYTES = 2**20
"""Of a ConfigMap's data; the API server takes no more."""
# What `submit` makes itself or leaves to `k8s setup`.
OF_A_JOB = ("RayJob", "PodDisruptionBudget", "ConfigMap")


@dataclass(frozen=True, kw_only=True)
class JobObjects:
    """What one job consists of."""

    name: str
    namespace: str
    job: Body
    config: Body
    """The experiment's ConfigMap."""
    shared: tuple[Body, ...]
    """ConfigMaps of the overlay that the job's pods need: its placement, and what a user's overlay adds."""
    budget: Body | None

    def manifests(self, surroundings: Sequence[Manifest]) -> list[Manifest]:
        """Return the job's objects among what surrounds them, for the rules to look at."""
        kept = [m for m in surroundings if m.kind not in ("RayJob", "PodDisruptionBudget")]
        file = next(m.file for m in surroundings if m.kind == "RayJob")
        own = [self.job, self.config, *([self.budget] if self.budget else [])]
        return [*kept, *(Manifest(file=file, body=body) for body in own)]


def job_name(experiment: str, plan_key: str) -> str:
    """Return the name of the job of a plan: `xt-<experiment>-<plan key>`, 47 characters at most."""
    room = LONGEST_NAME - len(f"xt--{plan_key}")
    readable = experiment.replace("_", "-")[:room].strip("-")
    return f"xt-{readable}-{plan_key}"


def assemble(
    manifests: Sequence[Manifest],
    *,
    experiment: str,
    plan_key: str,
    text: str,
    image: str | None = None,
) -> JobObjects:
    """Return the objects of a plan's job.

    Args:
        manifests: the rendered overlay, with one RayJob as a template.
        experiment: the experiment's name.
        plan_key: the plan's key.
        text: the experiment, resolved, as YAML.
        image: runs in place of the overlay's own in all pods, not of what is beside it there; None: the overlay's.

    Raises:
        ConfigError: no RayJob, more than one, or one that mounts no experiment; a text that no ConfigMap holds.
    """
    if (size := len(text.encode())) > MOST_BYTES:
        raise ConfigError(
            f"experiment {experiment}",
            f"has {size:,} bytes when written out, and a ConfigMap holds {MOST_BYTES:,}",
            "Shorten what is long in it: notes, claims, lists of its own tasks.",
        )
    template = _the_job(manifests)
    name = job_name(experiment, plan_key)
    labels = {JOB_LABEL: name, PLAN_LABEL: plan_key, EXPERIMENT_LABEL: experiment.strip("-_")}
    namespace = str(at(template.body, "metadata", "namespace") or "")
    job = copy.deepcopy(template.body)
    job["metadata"]["name"] = name
    job["metadata"].setdefault("labels", {}).update(labels)
    # Kueue suspends by itself; what is applied without the field leaves it to Kueue.
    job["spec"].pop("suspend", None)
    queue = (job["metadata"].get("annotations") or {}).pop(TEMPLATE_QUEUE, None)
    if queue:
        job["metadata"]["labels"][QUEUE] = queue
    config = _config(f"{name}-{key_of(text)[:10]}", namespace, labels, text)
    if image:
        _replace_image(job, image)
    mounted = False
    for each in pod_templates(job):
        _in_place(each.template).setdefault("metadata", {}).setdefault("labels", {}).update(labels)
        for volume in each.spec.get("volumes") or ():
            if volume["name"] == EXPERIMENT_VOLUME and "configMap" in volume:
                volume["configMap"]["name"] = config["metadata"]["name"]
                mounted = True
        for _, container in each.containers():
            if each.role == "head":
                _set_variable(container, JOB_VARIABLE, name)
    if not mounted:
        raise ConfigError(
            template.file,
            f"{template.name} mounts no ConfigMap as volume '{EXPERIMENT_VOLUME}'",
            "Start from k8s/base/rayjob.yaml.",
        )
    return JobObjects(
        name=name,
        namespace=namespace,
        job=job,
        config=config,
        shared=_needed(manifests, job),
        budget=_budget(manifests, name, labels),
    )


def owned(body: Body, job: Body) -> Body:
    """Return an object that goes when its job goes."""
    owner = {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
    }
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}}


def surroundings(manifests: Sequence[Manifest]) -> list[Body]:
    """Return what has to be there before the first job: all but jobs and what belongs to one.

    What closes and limits the namespace comes right after it, and what needs somebody else's CRDs last: where those are
    missing, nothing is left open.
    """
    first = (
        *("Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PriorityClass"),
        *(
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "PersistentVolumeClaim",
            "ConfigMap",
            "ResourceFlavor",
        ),
    )
    kept = [m.body for m in manifests if m.kind not in OF_A_JOB or _is_dashboard(m)]
    return sorted(
        kept,
        key=lambda body: first.index(body["kind"]) if body["kind"] in first else len(first),
    )


def store_of(objects: JobObjects) -> str:
    """Return the store's URL that the job's placement names, empty where none is found."""
    return store_in(objects.shared, objects.job)


def resolved_text(experiment: Any) -> str:
    """Return an experiment as YAML, defaults and overrides included."""
    import yaml

    return yaml.safe_dump(json.loads(experiment.model_dump_json()), sort_keys=False)


def with_namespace(objects: JobObjects, namespace: str) -> JobObjects:
    """Return the objects for the namespace that a command names.

    Raises:
        ConfigError: the overlay says another one.
    """
    if objects.namespace and objects.namespace != namespace:
        raise ConfigError(
            f"--namespace {namespace}",
            f"the overlay is for the namespace '{objects.namespace}'",
            "Change `namespace:` in the overlay, or leave the option out.",
        )
    return replace(objects, namespace=namespace)


def _the_job(manifests: Sequence[Manifest]) -> Manifest:
    found = [manifest for manifest in manifests if manifest.kind == "RayJob"]
    if len(found) != 1:
        where = manifests[0].file if manifests else ""
        raise ConfigError(
            where, f"holds {len(found)} RayJobs instead of one", "Give an overlay of k8s/base."
        )
    return found[0]


def _config(name: str, namespace: str, labels: dict[str, str], text: str) -> Body:
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {EXPERIMENT_FILE: text},
    }


def _needed(manifests: Sequence[Manifest], job: Body) -> tuple[Body, ...]:
    names = {name for each in pod_templates(job) for _, name in each.configs()}
    return tuple(m.body for m in manifests if m.kind == "ConfigMap" and m.name in names)


def _budget(manifests: Sequence[Manifest], name: str, labels: dict[str, str]) -> Body | None:
    """Return a budget of this job's head alone: one for all heads would count them together."""
    for manifest in manifests:
        if manifest.kind == "PodDisruptionBudget":
            body = copy.deepcopy(manifest.body)
            body["metadata"]["name"] = f"{name}-head"
            body["metadata"].setdefault("labels", {}).update(labels)
            body["spec"]["selector"] = {"matchLabels": {JOB_LABEL: name, "xtransfer/role": "head"}}
            return body
    return None


def _replace_image(job: Body, image: str) -> None:
    """Replace the image of Ray's and the submitter's containers, wherever it is; not those of a user's sidecars."""
    templates = pod_templates(job)
    old = {at(each.spec, "containers", 0, "image") for each in templates}
    containers = [container for each in templates for _, container in each.containers()]
    containers.append(at(job, "spec", "rayClusterSpec", "autoscalerOptions") or {})
    for container in containers:
        if "image" in container and container["image"] in old:
            _in_place(container)["image"] = image


def _set_variable(container: Mapping[str, Any], name: str, value: str) -> None:
    """Set a variable of a container: the head's go to the driver, which Ray starts there."""
    known = [each for each in container.get("env") or () if each.get("name") != name]
    _in_place(container)["env"] = [*known, {"name": name, "value": value}]


def _is_dashboard(manifest: Manifest) -> bool:
    return "grafana_dashboard" in manifest.labels


def _in_place(value: Any) -> dict[str, Any]:
    """Return a mapping as the mutable one that it is."""
    return value
