"""Rules of the KubeRay operator (v1.7), of Ray's autoscaler and of training that must survive both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from xtransfer.cluster.manifests import Manifest, at, cluster_spec, pod_templates, worker_groups
from xtransfer.cluster.rules import Rule, each

GRACE_S = 120
IDLE_S = (300, 600)
"""Seconds that an idle worker waits for work: less throws warm nodes away, more pays for idle ones."""

Found = Iterator[tuple[str, str]]
RAY = ("RayJob", "RayCluster")


def _token(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    if at(spec, "authOptions", "mode") != "token":
        yield f"{path}.authOptions.mode", "is not token: whoever reaches the dashboard runs code"


def _token_version(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    if at(spec, "authOptions", "mode") == "token" and not spec.get("rayVersion"):
        yield f"{path}.rayVersion", "is absent, and token authentication needs it"


def _autoscaler_version(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    if spec.get("enableInTreeAutoscaling") and at(spec, "autoscalerOptions", "version") != "v2":
        yield f"{path}.autoscalerOptions.version", "is not v2"


def _restart(manifest: Manifest) -> Found:
    _, spec = cluster_spec(manifest.body) or ("", {})
    if at(spec, "autoscalerOptions", "version") != "v2":
        return
    for each_ in pod_templates(manifest.body):
        if each_.role in ("head", "worker") and each_.spec.get("restartPolicy") != "Never":
            yield f"{each_.path}.spec.restartPolicy", "is not Never"


def _child(manifest: Manifest) -> Found:
    if at(manifest.body, "metadata", "ownerReferences") or any(
        label.startswith("ray.io/originated-from") for label in manifest.labels
    ):
        yield "metadata", "is the child of a RayJob, which the autoscaler changes by JSON patches"


def _head_eviction(manifest: Manifest) -> Found:
    name = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    for each_ in pod_templates(manifest.body):
        noted = at(each_.template, "metadata", "annotations") or {}
        if each_.role == "head" and noted.get(name) != "false":
            yield f"{each_.path}.metadata.annotations", f'{name} is not "false"'


def _prestop(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        if each_.role in ("head", "worker") and not at(
            each_.spec, "containers", 0, "lifecycle", "preStop", "exec", "command"
        ):
            yield f"{each_.path}.spec.containers[0].lifecycle.preStop", "is absent"


def _grace(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        grace = each_.spec.get("terminationGracePeriodSeconds") or 30
        if each_.role in ("head", "worker") and grace < GRACE_S:
            yield f"{each_.path}.spec.terminationGracePeriodSeconds", f"is {grace}"


def _replicas(manifest: Manifest) -> Found:
    for path, group in worker_groups(manifest.body):
        fewest, most = int(group.get("minReplicas", 0)), group.get("maxReplicas")
        if fewest < 0 or (most is not None and int(most) < fewest):
            yield path, f"has minReplicas {fewest} and maxReplicas {most}"


def _scale_to_zero(manifest: Manifest) -> Found:
    for path, group in worker_groups(manifest.body):
        if group.get("minReplicas", 0) != 0:
            yield f"{path}.minReplicas", f"is {group['minReplicas']}"


def _idle(manifest: Manifest) -> Found:
    for path, group in worker_groups(manifest.body):
        seconds = group.get("idleTimeoutSeconds")
        if not isinstance(seconds, int) or not IDLE_S[0] <= seconds <= IDLE_S[1]:
            yield f"{path}.idleTimeoutSeconds", f"is {seconds or 'absent'}"


def _group_order(manifest: Manifest) -> Found:
    priorities = [(path, group.get("priority", 0)) for path, group in worker_groups(manifest.body)]
    for (_, before), (path, after) in itertools.pairwise(priorities):
        if int(str(after)) > int(str(before)):
            yield f"{path}.priority", f"is {after}, more than the group's before it"


def _whole_groups(manifest: Manifest) -> Found:
    for path, group in worker_groups(manifest.body):
        if not at(group, "template", "spec", "containers"):
            yield path, "has no containers: a strategic-merge patch has replaced the list"


def _image_pin(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            image = str(container.get("image", ""))
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and tag in ("", "latest"):
                yield f"{path}.image", f"'{image}' may be another image tomorrow"


def _one_image(manifest: Manifest) -> Found:
    images = {
        str(container.get("image"))
        for each_ in pod_templates(manifest.body)
        for _, container in each_.containers()
    }
    if len(images) > 1:
        yield "spec", f"its pods run different images: {', '.join(sorted(images))}"


RULES = (
    Rule(
        name="auth-token",
        look=each(_token, *RAY),
        remedy="Set authOptions.mode: token (components/auth-token).",
    ),
    Rule(name="auth-version", look=each(_token_version, *RAY), remedy="Set rayVersion."),
    Rule(
        name="autoscaler-version",
        look=each(_autoscaler_version, *RAY),
        remedy="Set v2: group priorities and idle times of groups need it.",
    ),
    Rule(
        name="restart-policy",
        look=each(_restart, *RAY),
        remedy="Set Never: autoscaler v2 takes a restarted container for another node.",
    ),
    Rule(
        name="child-cluster",
        look=each(_child, "RayCluster"),
        remedy="Leave it out: applying it again undoes what the autoscaler did.",
    ),
    Rule(
        name="head-eviction",
        look=each(_head_eviction, *RAY),
        remedy="Set it: the cluster autoscaler would move the head, and the grid with it.",
    ),
    Rule(
        name="pre-stop",
        look=each(_prestop, *RAY),
        remedy="Run /opt/xtransfer/prestop there: it lets trials save their state before the pod goes.",
    ),
    Rule(
        name="grace",
        look=each(_grace, *RAY),
        remedy=f"Give {GRACE_S} s or more: less cuts preStop short of a checkpoint.",
    ),
    Rule(
        name="replicas",
        look=each(_replicas, *RAY),
        remedy="Let none be below 0, nor the least above the most: the operator refuses the job (ValidationFailed).",
    ),
    Rule(
        name="scale-to-zero",
        look=each(_scale_to_zero, *RAY),
        remedy="Let it be 0, or pay for nodes without work.",
        level="warning",
    ),
    Rule(
        name="idle-timeout",
        look=each(_idle, *RAY),
        remedy=f"Use {IDLE_S[0]} to {IDLE_S[1]} s.",
        level="warning",
    ),
    Rule(
        name="group-order",
        look=each(_group_order, *RAY),
        remedy="Order groups by falling priority, spot first.",
        level="warning",
    ),
    Rule(
        name="whole-groups",
        look=each(_whole_groups, *RAY),
        remedy="Patch custom resources by JSON 6902.",
    ),
    Rule(
        name="image-pin",
        look=each(_image_pin, *RAY),
        remedy="Pin it by digest, or by a tag of its own.",
    ),
    Rule(
        name="one-image",
        look=each(_one_image, *RAY),
        remedy="Use one: Ray refuses nodes of other versions.",
        level="warning",
    ),
)
