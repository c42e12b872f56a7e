"""Rules of Pod Security's "restricted" level, and of secrets, on every pod template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from xtransfer.cluster.manifests import Manifest, PodTemplate, at, cluster_spec, pod_templates
from xtransfer.cluster.rules import Rule, each

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
SELINUX_TYPES = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|CREDENTIAL|ACCESS_KEY|API_KEY|PRIVATE_KEY", re.IGNORECASE
)
# An access key of AWS, a token of the Hugging Face hub, a private key, a URL with a password.
SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bhf_[A-Za-z]{30,}|-----BEGIN [A-Z ]*PRIVATE"
    r"|://[^\s/:@]*:[^\s/@]+@"
)

Found = Iterator[tuple[str, str]]


def _context(each_: PodTemplate, container: Mapping[str, Any], field: str) -> Any:
    """Return a field of the container's security context, or of the pod's where it has none."""
    own = at(container, "securityContext") or {}
    return own[field] if field in own else at(each_.spec, "securityContext", field)


def _non_root(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        found: list[tuple[str, str]] = []
        for path, container in each_.containers():
            if _context(each_, container, "runAsNonRoot") is not True:
                found.append((f"{path}.securityContext.runAsNonRoot", "is not true"))
            elif _context(each_, container, "runAsUser") == 0:
                found.append((f"{path}.securityContext.runAsUser", "is 0"))
        pod = at(each_.spec, "securityContext") or {}
        if not found and (pod.get("runAsNonRoot") is False or pod.get("runAsUser") == 0):
            found.append(
                (f"{each_.path}.spec.securityContext", "is root's, whatever its containers say")
            )
        yield from found


def _seccomp(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            profile = _context(each_, container, "seccompProfile")
            if at(profile, "type") not in ("RuntimeDefault", "Localhost"):
                yield f"{path}.securityContext.seccompProfile", "is not RuntimeDefault"


def _escalation(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            if at(container, "securityContext", "allowPrivilegeEscalation") is not False:
                yield f"{path}.securityContext.allowPrivilegeEscalation", "is not false"


def _capabilities(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            capabilities = at(container, "securityContext", "capabilities") or {}
            added = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
            if "ALL" not in (capabilities.get("drop") or ()) or added:
                yield f"{path}.securityContext.capabilities", "does not drop ALL"


def _host(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if each_.spec.get(field):
                yield f"{each_.path}.spec.{field}", "is true"
        for path, container in each_.containers():
            if at(container, "securityContext", "privileged"):
                yield f"{path}.securityContext.privileged", "is true"
            for index, port in enumerate(container.get("ports") or ()):
                if port.get("hostPort"):
                    yield f"{path}.ports[{index}].hostPort", "is set"


def _linux(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        pod = at(each_.spec, "securityContext") or {}
        path = f"{each_.path}.spec.securityContext"
        for index, sysctl in enumerate(pod.get("sysctls") or ()):
            if sysctl.get("name") not in SYSCTLS:
                yield f"{path}.sysctls[{index}]", f"{sysctl.get('name')} is not among the safe ones"
        contexts = [(path, pod)]
        contexts += [
            (f"{where}.securityContext", at(container, "securityContext") or {})
            for where, container in each_.containers()
        ]
        for where, context in contexts:
            yield from _context_faults(where, context)


def _context_faults(where: str, context: Mapping[str, Any]) -> Found:
    selinux = context.get("seLinuxOptions") or {}
    if (selinux.get("type") or "") not in SELINUX_TYPES:
        yield f"{where}.seLinuxOptions.type", f"is {selinux['type']}"
    for field in ("user", "role"):
        if selinux.get(field):
            yield f"{where}.seLinuxOptions.{field}", "is set"
    if context.get("procMount") not in (None, "Default"):
        yield f"{where}.procMount", f"is {context['procMount']}"
    if at(context, "appArmorProfile", "type") not in (None, "RuntimeDefault", "Localhost"):
        yield f"{where}.appArmorProfile", "is not RuntimeDefault"
    if at(context, "windowsOptions", "hostProcess"):
        yield f"{where}.windowsOptions.hostProcess", "is true"


def _volumes(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for index, volume in enumerate(each_.spec.get("volumes") or ()):
            for source in set(volume) - {"name"} - VOLUMES:
                yield f"{each_.path}.spec.volumes[{index}]", f"a {source} volume"


def _autoscaler(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    if not spec.get("enableInTreeAutoscaling"):
        return
    context = at(spec, "autoscalerOptions", "securityContext") or {}
    where = f"{path}.autoscalerOptions.securityContext"
    if context.get("allowPrivilegeEscalation") is not False:
        yield where, "allowPrivilegeEscalation is not false"
    elif "ALL" not in (at(context, "capabilities", "drop") or ()):
        yield where, "capabilities do not drop ALL"


def _read_only(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            if at(container, "securityContext", "readOnlyRootFilesystem") is not True:
                yield f"{path}.securityContext.readOnlyRootFilesystem", "is not true"


def _limits(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            for field in ("requests", "limits"):
                if not at(container, "resources", field, "memory"):
                    yield f"{path}.resources.{field}.memory", "is absent"


def _api_token(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        if (
            each_.role in ("worker", "submitter")
            and each_.spec.get("automountServiceAccountToken") is not False
        ):
            yield f"{each_.path}.spec.automountServiceAccountToken", "is not false"


def _own_account(manifest: Manifest) -> Found:
    for each_ in pod_templates(manifest.body):
        if each_.spec.get("serviceAccountName") in (None, "default"):
            yield f"{each_.path}.spec.serviceAccountName", "is the default account"


def _literals(manifest: Manifest) -> Found:
    """Find secrets written out: in variables, start commands, runtime environments, ConfigMaps."""
    for each_ in pod_templates(manifest.body):
        for path, container in each_.containers():
            yield from _variables(path, container)
    _, spec = cluster_spec(manifest.body) or ("", {})
    yield from _variables(
        "spec.rayClusterSpec.autoscalerOptions", spec.get("autoscalerOptions") or {}
    )
    texts = {
        f"spec.{field}": at(manifest.body, "spec", field)
        for field in ("entrypoint", "runtimeEnvYAML")
    }
    if manifest.kind == "ConfigMap":
        texts |= {f"data.{key}": text for key, text in (manifest.body.get("data") or {}).items()}
    for path, text in texts.items():
        if isinstance(text, str) and SECRET_VALUE.search(text):
            yield path, "holds a secret in plain text"


def _variables(path: str, container: Mapping[str, Any]) -> Found:
    for index, variable in enumerate(container.get("env") or ()):
        name, value = str(variable.get("name", "")), str(variable.get("value") or "")
        if value and (SECRET_NAME.search(name) or SECRET_VALUE.search(value)):
            yield f"{path}.env[{index}]", f"{name} is a secret in plain text"


def _secret_objects(manifest: Manifest) -> Found:
    if manifest.body.get("data") or manifest.body.get("stringData"):
        yield "data", "a secret's value is among the manifests"


RESTRICTED = "Pod Security 'restricted' refuses the pod otherwise."
RULES = (
    Rule(
        name="pod-non-root",
        look=each(_non_root),
        remedy=f"Set runAsNonRoot: true, and no runAsUser of 0. {RESTRICTED}",
    ),
    Rule(name="pod-seccomp", look=each(_seccomp), remedy=f"Set type RuntimeDefault. {RESTRICTED}"),
    Rule(name="pod-escalation", look=each(_escalation), remedy=f"Set it to false. {RESTRICTED}"),
    Rule(
        name="pod-capabilities",
        look=each(_capabilities),
        remedy=f"Drop ALL and add none. {RESTRICTED}",
    ),
    Rule(name="pod-host", look=each(_host), remedy=f"Remove it. {RESTRICTED}"),
    Rule(
        name="pod-linux",
        look=each(_linux),
        remedy=f"Leave it out. {RESTRICTED}",
    ),
    Rule(
        name="pod-volumes",
        look=each(_volumes),
        remedy=f"Use emptyDir, a claim, configMap, projected or secret. {RESTRICTED}",
    ),
    Rule(
        name="autoscaler-security",
        look=each(_autoscaler, "RayJob", "RayCluster"),
        remedy="Set it as for any container: without it Pod Security refuses the head's pod, and none"
        " appears.",
    ),
    Rule(
        name="read-only-root",
        look=each(_read_only),
        remedy="Set it to true, and mount an emptyDir where the container writes.",
        level="warning",
    ),
    Rule(name="memory", look=each(_limits), remedy="Set request and limit."),
    Rule(
        name="api-token",
        look=each(_api_token, "RayJob", "RayCluster"),
        remedy="Set it to false: trials need no Kubernetes API.",
    ),
    Rule(
        name="own-account",
        look=each(_own_account),
        remedy="Name an account of its own: rights given to the default one are given to every pod.",
    ),
    Rule(
        name="secret-literal",
        look=each(_literals),
        remedy="Use web identity (components/s3-irsa), or a secretKeyRef.",
    ),
    Rule(
        name="secret-object",
        look=each(_secret_objects, "Secret"),
        remedy="Create it with kubectl, or by an operator for secrets.",
    ),
)
