"""Where the API server has each kind of object that this project applies, and what it calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtransfer.errors import ConfigError

_NAMESPACED = {
    "ConfigMap": "configmaps",
    "LimitRange": "limitranges",
    "LocalQueue": "localqueues",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PodMonitor": "podmonitors",
    "PrometheusRule": "prometheusrules",
    "RayCluster": "rayclusters",
    "RayJob": "rayjobs",
    "ResourceQuota": "resourcequotas",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
_WHOLE_CLUSTER = {
    "ClusterQueue": "clusterqueues",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Namespace": "namespaces",
    "PriorityClass": "priorityclasses",
    "ResourceFlavor": "resourceflavors",
}
VERSIONS = {
    "ConfigMap": "v1",
    "Pod": "v1",
    "PodDisruptionBudget": "policy/v1",
    "RayCluster": "ray.io/v1",
    "RayJob": "ray.io/v1",
}
"""API versions of the kinds that are asked for by name."""


def is_namespaced(kind: str) -> bool:
    """Return whether objects of a kind lie in a namespace."""
    return kind not in _WHOLE_CLUSTER


def path_of(kind: str, namespace: str, *, version: str = "", name: str = "") -> str:
    """Return the URL path of a kind's objects, or of one of them.

    Raises:
        ConfigError: for a kind that is not in the table above.
    """
    plural = _NAMESPACED.get(kind) or _WHOLE_CLUSTER.get(kind)
    if plural is None:
        raise ConfigError(
            kind,
            "is a kind that xtransfer does not apply",
            "Leave it out, and apply it yourself: kubectl apply --server-side -f FILE",
        )
    version = version or VERSIONS[kind]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = f"/namespaces/{namespace}" if is_namespaced(kind) else ""
    return f"{prefix}{space}/{plural}" + (f"/{name}" if name else "")


def path_of_body(body: Mapping[str, Any], namespace: str, *, named: bool) -> str:
    """Return the URL path of an object that one holds, in its own namespace if it says one."""
    metadata = body["metadata"]
    return path_of(
        body["kind"],
        metadata.get("namespace") or namespace,
        version=body["apiVersion"],
        name=metadata["name"] if named else "",
    )
