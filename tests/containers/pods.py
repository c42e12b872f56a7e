"""Pods of a rendered RayJob as containers: what the KubeRay operator adds, and what a kubelet makes of it.

Read from the manifests: image, environment, secrets, user, capabilities, root file system, limits of memory and
CPU, volumes, mounts, preStop. Added as the operator (v1.7 line) does: `ray start` and its parameters, the wait for
the head, the submitter's command, the token. Not here: node selectors, priorities, affinities, probes, network
policies, the autoscaler's container (it needs an API server).
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from xtransfer.cluster.manifests import Body, at
from xtransfer.cluster.quantities import quantity

HEAD_SERVICE = "xt-head-svc.xtransfer.svc.cluster.local"
GCS_PORT, DASHBOARD_PORT = 6379, 8265
DEFAULTS = {"block": "true", "dashboard-agent-listen-port": "52365", "metrics-export-port": "8080"}
"""Parameters of `ray start` that the operator gives where the manifest does not."""
DASHBOARD = f"http://{HEAD_SERVICE}:{DASHBOARD_PORT}"


@dataclass(frozen=True, kw_only=True)
class Around:
    """What is there besides the pods."""

    network: str
    """Podman's."""
    folder: Path
    """For what is on disk in volumes."""
    token: str
    secrets: Mapping[str, Mapping[str, str]]
    """Secret -> its data."""
    configs: Mapping[str, Mapping[str, str]]
    """ConfigMap -> its files."""
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name -> address: what the cluster's DNS would know."""
    runtime: str = "runc"


def start_parameters(group: Mapping[str, Any], *, head: bool) -> dict[str, str]:
    """Return the parameters of a group's `ray start`, as the operator completes them."""
    found = {**DEFAULTS, **(group.get("rayStartParams") or {})}
    limits = at(group, "template", "spec", "containers", 0, "resources", "limits") or {}
    if "cpu" in limits:
        found.setdefault("num-cpus", str(-int(-_number(limits["cpu"]) // 1)))
    if "memory" in limits:
        found.setdefault("memory", str(int(_number(limits["memory"]))))
    if head:
        found |= {"no-monitor": "true"}  # the autoscaler is a container of its own
        found.setdefault("dashboard-host", "0.0.0.0")
    else:
        found["address"] = f"{HEAD_SERVICE}:{GCS_PORT}"
    return found


def start_command(group: Mapping[str, Any], *, head: bool) -> list[str]:
    """Return what the operator has a group's container run."""
    parameters = sorted(start_parameters(group, head=head).items())
    flags = " ".join(f"--{k}" if v == "true" else f"--{k}={v}" for k, v in parameters)
    return [
        "/bin/bash",
        "-c",
        "--",
        f"ulimit -n 65536; ray start {'--head ' if head else ''}{flags}",
    ]


def wait_command() -> list[str]:
    """Return what the operator has a worker's init container run."""
    health = f"ray health-check --address {HEAD_SERVICE}:{GCS_PORT} > /dev/null 2>&1"
    return ["/bin/bash", "-c", "--", f"until {health}; do sleep 2; done"]


def submit_command(job: Body, submission: str) -> list[str]:
    """Return what the operator has the submitter run."""
    healthy = (
        "python -c \"import urllib.request as u; u.urlopen('"
        f"{DASHBOARD}/api/gcs_healthz', timeout=5)\" >/dev/null 2>&1"
    )
    name, entrypoint = submission, str(job["spec"]["entrypoint"]).strip()
    text = (
        f"until {healthy}; do sleep 2; done; "
        f"if ! ray job status --address {DASHBOARD} {name} >/dev/null 2>&1; then "
        f"ray job submit --address {DASHBOARD} --no-wait --submission-id {name} -- {entrypoint}; fi; "
        f"ray job logs --address {DASHBOARD} --follow {name}"
    )
    return ["/bin/bash", "-ce", "--", text]


def container(
    template: Mapping[str, Any],
    *,
    name: str,
    command: list[str],
    around: Around,
    env: Mapping[str, str] | None = None,
    memory: str | None = None,
) -> list[str]:
    """Return the command that runs a pod's first container.

    Args:
        template: the pod template.
        name: of the container.
        command: what it runs.
        around: networks, secrets, volumes.
        env: what the operator adds.
        memory: a limit in the place of the template's.
    """
    spec: Mapping[str, Any] = template["spec"]
    (one,) = spec["containers"]
    context = {**(spec.get("securityContext") or {}), **(one.get("securityContext") or {})}
    limits = at(one, "resources", "limits") or {}
    options = ["--name", name, "--hostname", name, "--network", around.network, "--detach"]
    options += ["--http-proxy=false"]
    options += ["--user", f"{context['runAsUser']}:{context['runAsGroup']}"]
    options += [
        f"--read-only={str(context['readOnlyRootFilesystem']).lower()}",
        "--read-only-tmpfs=false",
    ]
    options += [f"--cap-drop={name}" for name in context["capabilities"]["drop"]]
    if not context["allowPrivilegeEscalation"]:
        options += ["--security-opt", "no-new-privileges"]
    options += ["--memory", str(int(_number(memory or limits["memory"]))) + "b"]
    options += ["--cpus", str(float(_number(limits["cpu"])))]
    options += _process_limits()
    for host, address in around.hosts.items():
        options += ["--add-host", f"{host}:{address}"]
    for key, value in (_environment(one, around) | dict(env or {})).items():
        options += ["--env", f"{key}={value}"]
    options += _mounts(spec, one, around, name)
    return [*podman(around), "run", *options, str(one["image"]), *command]


def podman(around: Around) -> list[str]:
    """Return how podman is called."""
    return ["podman", "--runtime", around.runtime, "--cgroup-manager", "cgroupfs"]


def _process_limits() -> list[str]:
    """Return limits that this machine may give: podman's own defaults may be above its."""
    options: list[str] = []
    for what, limit, most in (
        ("nofile", resource.RLIMIT_NOFILE, 1_048_576),
        ("nproc", resource.RLIMIT_NPROC, 32_768),
    ):
        hard = resource.getrlimit(limit)[1]
        given = most if hard == resource.RLIM_INFINITY else min(hard, most)
        options += ["--ulimit", f"{what}={given}:{given}"]
    return options


def _number(text: object) -> Fraction:
    found = quantity(text)
    assert found is not None, f"no quantity: {text}"
    return found


def _environment(one: Mapping[str, Any], around: Around) -> dict[str, str]:
    found = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": around.token}
    for source in one.get("envFrom") or ():
        found |= around.secrets[source["secretRef"]["name"]]
    return found | {each["name"]: each["value"] for each in one.get("env") or ()}


def _mounts(
    spec: Mapping[str, Any], one: Mapping[str, Any], around: Around, name: str
) -> list[str]:
    volumes = {volume["name"]: volume for volume in spec.get("volumes") or ()}
    options: list[str] = []
    for mount in one.get("volumeMounts") or ():
        volume, path = volumes[mount["name"]], mount["mountPath"]
        if "configMap" in volume:
            folder = _files(around.folder / volume["configMap"]["name"], around.configs, volume)
            options += ["--volume", f"{folder}:{path}:ro"]
            continue
        empty = volume["emptyDir"]
        size = int(_number(empty["sizeLimit"]))
        if path == "/dev/shm":
            options += ["--shm-size", f"{size}b"]
        elif empty.get("medium") == "Memory":
            options += ["--tmpfs", f"{path}:rw,mode=1777,size={size}"]
        else:
            folder = around.folder / name / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)  # as kubelet makes it, whoever the pod's user is
            options += ["--volume", f"{folder}:{path}:rw"]
    return options


def _files(folder: Path, configs: Mapping[str, Mapping[str, str]], volume: Body) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in configs[volume["configMap"]["name"]].items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder
