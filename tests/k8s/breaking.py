"""Ways to break an overlay's objects, each one rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from xtransfer.cluster.manifests import Manifest

Overlay = Callable[[str], list[Manifest]]
Body = dict[str, Any]
TEMPLATES = {
    "head": "spec.rayClusterSpec.headGroupSpec.template",
    "worker": "spec.rayClusterSpec.workerGroupSpecs[1].template",
    "submitter": "spec.submitterPodTemplate",
}


def find(manifests: list[Manifest], kind: str, name: str = "") -> Body:
    (found,) = [m.body for m in manifests if m.kind == kind and (not name or m.name == name)]
    return found


def job(manifests: list[Manifest]) -> Body:
    return find(manifests, "RayJob")


def cluster(manifests: list[Manifest]) -> Body:
    return job(manifests)["spec"]["rayClusterSpec"]


def template(manifests: list[Manifest], role: str) -> Body:
    if role == "submitter":
        return job(manifests)["spec"]["submitterPodTemplate"]
    if role == "head":
        return cluster(manifests)["headGroupSpec"]["template"]
    return cluster(manifests)["workerGroupSpecs"][1]["template"]


def container(manifests: list[Manifest], role: str) -> Body:
    return template(manifests, role)["spec"]["containers"][0]


def add(manifests: list[Manifest], body: Body) -> None:
    manifests.append(Manifest(file="added.yaml", body=body))


def put(where: Callable[[list[Manifest]], Body], **values: Any) -> Callable[[list[Manifest]], None]:
    def change(manifests: list[Manifest]) -> None:
        where(manifests).update(copy.deepcopy(values))

    return change


def drop(where: Callable[[list[Manifest]], Body], key: str) -> Callable[[list[Manifest]], None]:
    def change(manifests: list[Manifest]) -> None:
        del where(manifests)[key]

    return change


def spec(manifests: list[Manifest]) -> Body:
    return job(manifests)["spec"]


def budget(manifests: list[Manifest]) -> Body:
    return find(manifests, "PodDisruptionBudget")["spec"]


def worker_group(manifests: list[Manifest]) -> Body:
    return cluster(manifests)["workerGroupSpecs"][1]


def binding(kind: str, role: str, group: str) -> Callable[[list[Manifest]], None]:
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "more"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": role,
        },
        "subjects": [{"kind": "Group", "name": group}],
    }
    return lambda manifests: add(manifests, body)


def role_rule(**rule: Any) -> Callable[[list[Manifest]], None]:
    def change(manifests: list[Manifest]) -> None:
        find(manifests, "Role")["rules"].append({"apiGroups": [""], **rule})

    return change


def many_groups(manifests: list[Manifest]) -> None:
    groups = cluster(manifests)["workerGroupSpecs"]
    for number in range(16):
        groups.append({**copy.deepcopy(groups[1]), "groupName": f"more-{number}"})


def budget_on_workers(manifests: list[Manifest]) -> None:
    add(
        manifests,
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "workers"},
            "spec": {
                "minAvailable": 1,
                "selector": {"matchLabels": {"ray.io/node-type": "worker"}},
            },
        },
    )


def child(manifests: list[Manifest]) -> None:
    made = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": "xt-template-abcde",
            "labels": {"ray.io/originated-from-cr-name": "xt-template"},
        },
        "spec": copy.deepcopy(cluster(manifests)),
    }
    add(manifests, made)


def stale_variables(manifests: list[Manifest]) -> None:
    (group,) = cluster(manifests)["workerGroupSpecs"]
    group["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "proxy"}}]
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "proxy-0123456789"}}
    manifests.append(Manifest(file=manifests[0].file, body={**body, "data": {}}))


def stale_reference(manifests: list[Manifest]) -> None:
    for volume in template(manifests, "head")["spec"]["volumes"]:
        if volume["name"] == "placement":
            volume["configMap"]["name"] = "xtransfer-placement"


def no_budget(manifests: list[Manifest]) -> None:
    manifests[:] = [m for m in manifests if m.kind != "PodDisruptionBudget"]


def second_budget(manifests: list[Manifest]) -> None:
    made = copy.deepcopy(find(manifests, "PodDisruptionBudget"))
    made["metadata"]["name"] = "another"
    add(manifests, made)


def open_network(manifests: list[Manifest]) -> None:
    manifests[:] = [m for m in manifests if m.name != "xtransfer-deny-all"]


def mutable(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest.name.startswith("xtransfer-placement-"):
            del manifest.body["immutable"]


def key_in_config(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest.name.startswith("xtransfer-placement-"):
            manifest.body["data"]["more.yaml"] = "key: AKIA" + "A" * 16


def password_in_config(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest.name.startswith("xtransfer-placement-"):
            manifest.body["data"]["more.yaml"] = "tracking: {mlflow: 'http://me:word@host:5000'}"


def placed(old: str, new: str) -> Callable[[list[Manifest]], None]:
    def change(manifests: list[Manifest]) -> None:
        for manifest in manifests:
            if manifest.name.startswith("xtransfer-placement-"):
                text = manifest.body["data"]["placement.yaml"]
                assert old in text
                manifest.body["data"]["placement.yaml"] = text.replace(old, new)

    return change


SECRET = {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}


def env(role: str) -> Callable[[list[Manifest]], None]:
    return lambda manifests: container(manifests, role)["env"].append(dict(SECRET))
