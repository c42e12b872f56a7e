"""Each rule broken in each way that it is about, and where that is to be found."""

from __future__ import annotations

from collections.abc import Callable

from tests.k8s.breaking import (
    SECRET,
    TEMPLATES,
    add,
    binding,
    budget,
    budget_on_workers,
    child,
    cluster,
    container,
    drop,
    env,
    find,
    job,
    key_in_config,
    many_groups,
    mutable,
    no_budget,
    open_network,
    password_in_config,
    placed,
    put,
    role_rule,
    second_budget,
    spec,
    stale_reference,
    stale_variables,
    template,
    worker_group,
)
from xtransfer.cluster.manifests import Manifest

# Rule, what it is called here, overlay, change, where it must be found.
CASES: list[tuple[str, str, str, Callable[[list[Manifest]], None], str]] = [
    (
        "room",
        "a trial of more CPUs than a worker has",
        "kind",
        placed("train: {cpus: 1", "train: {cpus: 2"),
        "spec.rayClusterSpec.workerGroupSpecs",
    ),
    (
        "room",
        "a trial with a GPU where none is",
        "kind",
        placed("train: {cpus: 1", "train: {cpus: 1, gpus: 1"),
        "spec.rayClusterSpec.workerGroupSpecs",
    ),
    (
        "room",
        "three workers where two are",
        "kind",
        placed("train: {cpus: 1", "train: {cpus: 1, workers: 3"),
        "spec.rayClusterSpec.workerGroupSpecs",
    ),
    *(
        ("placement", called, "kind", placed(old, new), "data.placement.yaml")
        for called, old, new in (
            ("an unknown key", "retries:", "retrys:"),
            ("a value out of range", "retries: 2", "retries: -1"),
            ("no YAML", "retries: 2", "retries: ["),
            ("no kind of store", "s3://xtransfer/study", "gs://xtransfer/study"),
            ("a list", "store: s3://xtransfer/study", "- a\n#"),
        )
    ),
    *(
        ("grace-head", called, "kind", placed("retries: 2", new), "data.placement.yaml")
        for called, new in (
            ("longer than the head waits", "retries: 2\ngrace_s: 300"),
            ("as long as the head waits", "retries: 2\ngrace_s: 60"),
        )
    ),
    (
        "grace-head",
        "a head that is not told how long",
        "kind",
        lambda m: (
            container(m, "head")["lifecycle"]["preStop"]["exec"]["command"].pop(),
            placed("retries: 2", "retries: 2\ngrace_s: 95")(m),
        ),
        "data.placement.yaml",
    ),
    *(
        ("store-shared", called, "kind", placed("store: s3://xtransfer/study", new), "data.p")
        for called, new in (
            ("none", ""),
            ("a relative folder", "store: file://runs"),
            ("a plain path", "store: /data/study"),
            ("a folder in memory", "store: file:///tmp/study"),
            ("a folder on an empty volume", "store: file:///data/study"),
        )
    ),
    (
        "name-length",
        "48 characters",
        "kind",
        lambda m: job(m)["metadata"].update(name="x" * 48),
        "metadata.name",
    ),
    (
        "name-length",
        "48 characters under Kueue",
        "kueue",
        lambda m: job(m)["metadata"].update(name="x" * 48),
        "metadata.name",
    ),
    (
        "name-form",
        "a digit first",
        "kind",
        lambda m: job(m)["metadata"].update(name="1-job"),
        "metadata.name",
    ),
    (
        "name-form",
        "a dot, which other kinds may have",
        "kind",
        lambda m: job(m)["metadata"].update(name="a.b"),
        "metadata.name",
    ),
    (
        "name-form",
        "a hyphen last",
        "kind",
        lambda m: job(m)["metadata"].update(name="job-"),
        "metadata.name",
    ),
    (
        "submission-mode",
        "HTTP",
        "kind",
        put(spec, submissionMode="HTTPMode"),
        "spec.submissionMode",
    ),
    (
        "submission-mode",
        "sidecar",
        "kind",
        put(spec, submissionMode="SidecarMode"),
        "spec.submissionMode",
    ),
    (
        "submitter-template",
        "none",
        "kind",
        drop(spec, "submitterPodTemplate"),
        "spec.submitterPodTemplate",
    ),
    ("job-id", "set", "kind", put(spec, jobId="mine"), "spec.jobId"),
    (
        "deadlines",
        "none while running",
        "kind",
        drop(spec, "activeDeadlineSeconds"),
        "spec.activeDeadlineSeconds",
    ),
    (
        "deadlines",
        "none before running",
        "kind",
        drop(spec, "preRunningDeadlineSeconds"),
        "spec.preRunningDeadlineSeconds",
    ),
    (
        "shutdown",
        "not",
        "kind",
        drop(spec, "shutdownAfterJobFinishes"),
        "spec.shutdownAfterJobFinishes",
    ),
    ("retries", "none", "kind", put(spec, backoffLimit=0), "spec.backoffLimit"),
    (
        "auth-token",
        "disabled",
        "kind",
        lambda m: cluster(m)["authOptions"].update(mode="disabled"),
        "spec.rayClusterSpec.authOptions.mode",
    ),
    (
        "auth-version",
        "none",
        "kind",
        drop(cluster, "rayVersion"),
        "spec.rayClusterSpec.rayVersion",
    ),
    (
        "autoscaler-version",
        "v1",
        "kind",
        lambda m: cluster(m)["autoscalerOptions"].update(version="v1"),
        "spec.rayClusterSpec.autoscalerOptions.version",
    ),
    (
        "restart-policy",
        "head",
        "kind",
        lambda m: template(m, "head")["spec"].update(restartPolicy="Always"),
        f"{TEMPLATES['head']}.spec.restartPolicy",
    ),
    (
        "restart-policy",
        "worker",
        "gpu",
        lambda m: template(m, "worker")["spec"].pop("restartPolicy"),
        f"{TEMPLATES['worker']}.spec.restartPolicy",
    ),
    ("child-cluster", "of a job", "kind", child, "metadata"),
    (
        "head-cpus",
        "one",
        "kind",
        lambda m: cluster(m)["headGroupSpec"]["rayStartParams"].update({"num-cpus": "1"}),
        "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus",
    ),
    (
        "head-room",
        "the container's limit",
        "kind",
        lambda m: cluster(m)["headGroupSpec"]["rayStartParams"].pop("memory"),
        "spec.rayClusterSpec.headGroupSpec.rayStartParams.memory",
    ),
    (
        "head-memory",
        "a limit above the request",
        "kind",
        lambda m: container(m, "head")["resources"]["limits"].update(memory="3200Mi"),
        f"{TEMPLATES['head']}.spec.containers[0].resources",
    ),
    (
        "head-eviction",
        "no annotation",
        "kind",
        lambda m: template(m, "head")["metadata"].pop("annotations"),
        f"{TEMPLATES['head']}.metadata.annotations",
    ),
    (
        "pre-stop",
        "none, on the head",
        "kind",
        lambda m: container(m, "head").pop("lifecycle"),
        f"{TEMPLATES['head']}.spec.containers[0].lifecycle.preStop",
    ),
    (
        "grace",
        "too short for preStop, on the head",
        "kind",
        lambda m: template(m, "head")["spec"].update(terminationGracePeriodSeconds=30),
        f"{TEMPLATES['head']}.spec.terminationGracePeriodSeconds",
    ),
    (
        "replicas",
        "the least above the most",
        "gpu",
        put(worker_group, minReplicas=0, maxReplicas=-1),
        "spec.rayClusterSpec.workerGroupSpecs[1]",
    ),
    (
        "requests",
        "more CPUs than the limit",
        "gpu",
        lambda m: container(m, "worker")["resources"]["requests"].update(cpu="64"),
        f"{TEMPLATES['worker']}.spec.containers[0].resources",
    ),
    (
        "requests",
        "fewer GPUs than the limit",
        "gpu",
        lambda m: container(m, "worker")["resources"]["limits"].update({"nvidia.com/gpu": "4"}),
        f"{TEMPLATES['worker']}.spec.containers[0].resources",
    ),
    (
        "pod-non-root",
        "the pod, though not its containers",
        "gpu",
        lambda m: (
            template(m, "worker")["spec"]["securityContext"].update(runAsUser=0),
            container(m, "worker")["securityContext"].update(runAsUser=1000),
        ),
        f"{TEMPLATES['worker']}.spec.securityContext",
    ),
    (
        "pre-stop",
        "none",
        "gpu",
        lambda m: container(m, "worker").pop("lifecycle"),
        f"{TEMPLATES['worker']}.spec.containers[0].lifecycle.preStop",
    ),
    (
        "grace",
        "the default of 30 s",
        "gpu",
        lambda m: template(m, "worker")["spec"].pop("terminationGracePeriodSeconds"),
        f"{TEMPLATES['worker']}.spec.terminationGracePeriodSeconds",
    ),
    (
        "shared-memory",
        "on disk",
        "gpu",
        lambda m: template(m, "worker")["spec"]["volumes"][1].update(emptyDir={}),
        f"{TEMPLATES['worker']}.spec.volumes",
    ),
    (
        "shared-memory",
        "too small, on the head",
        "gpu",
        lambda m: template(m, "head")["spec"]["volumes"][1]["emptyDir"].update(sizeLimit="2Gi"),
        f"{TEMPLATES['head']}.spec.volumes",
    ),
    (
        "shared-memory",
        "too small for the memory",
        "gpu",
        lambda m: template(m, "worker")["spec"]["volumes"][1]["emptyDir"].update(sizeLimit="9Gi"),
        f"{TEMPLATES['worker']}.spec.volumes",
    ),
    (
        "scale-to-zero",
        "one always",
        "gpu",
        put(worker_group, minReplicas=1),
        "spec.rayClusterSpec.workerGroupSpecs[1].minReplicas",
    ),
    (
        "idle-timeout",
        "an hour",
        "gpu",
        put(worker_group, idleTimeoutSeconds=3600),
        "spec.rayClusterSpec.workerGroupSpecs[1].idleTimeoutSeconds",
    ),
    (
        "group-order",
        "on-demand first",
        "gpu",
        put(worker_group, priority=20),
        "spec.rayClusterSpec.workerGroupSpecs[1].priority",
    ),
    (
        "image-pin",
        "latest",
        "gpu",
        lambda m: [container(m, r).update(image="a:5000/b:latest") for r in ("head",)],
        f"{TEMPLATES['head']}.spec.containers[0].image",
    ),
    (
        "kueue-shutdown",
        "not",
        "kueue",
        drop(spec, "shutdownAfterJobFinishes"),
        "spec.shutdownAfterJobFinishes",
    ),
    (
        "kueue-selector",
        "set",
        "kueue",
        put(spec, clusterSelector={"a": "b"}),
        "spec.clusterSelector",
    ),
    (
        "kueue-groups",
        "18 groups",
        "kueue",
        many_groups,
        "spec.rayClusterSpec.workerGroupSpecs",
    ),
    (
        "kueue-elastic",
        "no annotation",
        "kueue",
        lambda m: job(m)["metadata"]["annotations"].pop("kueue.x-k8s.io/elastic-job"),
        "metadata.annotations.kueue.x-k8s.io/elastic-job",
    ),
    (
        "kueue-label",
        "as an annotation",
        "kueue",
        lambda m: job(m)["metadata"]["annotations"].update({"kueue.x-k8s.io/queue-name": "a"}),
        "metadata.annotations.kueue.x-k8s.io/queue-name",
    ),
    (
        "kueue-template",
        "Kueue's own label",
        "kueue",
        lambda m: job(m)["metadata"]["labels"].update({"kueue.x-k8s.io/queue-name": "xtransfer"}),
        "metadata.labels.kueue.x-k8s.io/queue-name",
    ),
    (
        "kueue-namespace",
        "a queue for another",
        "kueue",
        lambda m: find(m, "LocalQueue")["metadata"].update(namespace="mine"),
        "metadata.namespace",
    ),
    (
        "two-queues",
        "Volcano too",
        "kueue",
        lambda m: job(m)["metadata"]["labels"].update({"volcano.sh/queue-name": "a"}),
        "metadata.labels",
    ),
    (
        "budget-form",
        "maxUnavailable",
        "kind",
        lambda m: budget(m).update(maxUnavailable=budget(m).pop("minAvailable")),
        "spec.maxUnavailable",
    ),
    ("budget-form", "a share", "kind", put(budget, minAvailable="50%"), "spec.minAvailable"),
    ("budget-workers", "by the operator's label", "gpu", budget_on_workers, "spec.selector"),
    (
        "budget-workers",
        "by a wide selector",
        "gpu",
        lambda m: budget(m)["selector"].update(
            matchLabels={"app.kubernetes.io/part-of": "xtransfer"}
        ),
        "spec.selector",
    ),
    ("budget-head", "none", "gpu", no_budget, TEMPLATES["head"]),
    ("budget-once", "a second one", "gpu", second_budget, TEMPLATES["head"]),
    (
        "namespace-security",
        "baseline",
        "kind",
        lambda m: find(m, "Namespace")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
        "metadata.labels.pod-security.kubernetes.io/enforce",
    ),
    (
        "binding-subject",
        "an account that is elsewhere",
        "kind",
        lambda m: find(m, "RoleBinding")["subjects"][0].update(namespace="mine"),
        "subjects[0].namespace",
    ),
    ("network-closed", "open", "kind", open_network, "metadata.name"),
    ("role", "secrets", "kind", role_rule(resources=["secrets"], verbs=["get"]), "rules[7]"),
    ("role", "pods", "kind", role_rule(resources=["pods"], verbs=["create"]), "rules[7]"),
    ("role", "exec", "kind", role_rule(resources=["pods/exec"], verbs=["create"]), "rules[7]"),
    ("role", "all", "kind", role_rule(resources=["*"], verbs=["get"]), "rules[7]"),
    ("role", "all verbs", "kind", role_rule(resources=["events"], verbs=["*"]), "rules[7]"),
    ("role", "all URLs", "kind", role_rule(nonResourceURLs=["*"], verbs=["get"]), "rules[7]"),
    ("role", "jobs", "kind", role_rule(resources=["jobs"], verbs=["create"]), "rules[7]"),
    ("role", "escalate", "kind", role_rule(resources=["roles"], verbs=["escalate"]), "rules[7]"),
    *(
        ("binding", f"{kind} to {role}", "kind", binding(kind, role, "researchers"), "roleRef.name")
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for role in ("cluster-admin", "admin", "edit")
    ),
    *(
        ("binding", f"of {who}", "kind", binding("RoleBinding", "view", who), "subjects[0].name")
        for who in ("system:authenticated", "system:serviceaccounts:xtransfer")
    ),
    (
        "binding",
        "of the default account",
        "kind",
        lambda m: find(m, "RoleBinding")["subjects"][0].update(name="default"),
        "subjects[0].name",
    ),
    (
        "binding-subject",
        "an account that is elsewhere, of a ClusterRoleBinding",
        "kind",
        lambda m: add(
            m,
            {
                **find(m, "RoleBinding"),
                "kind": "ClusterRoleBinding",
                "subjects": [
                    {"kind": "ServiceAccount", "name": "xtransfer-submitter", "namespace": "mine"}
                ],
            },
        ),
        "subjects[0].namespace",
    ),
    (
        "config-reference",
        "without the hash",
        "kind",
        stale_reference,
        f"{TEMPLATES['head']}.spec.volumes[5].configMap.name",
    ),
    (
        "config-reference",
        "without the hash, of a worker's variables",
        "kind",
        stale_variables,
        "spec.rayClusterSpec.workerGroupSpecs[0].template.spec.containers[0].envFrom[0].configMapRef.name",
    ),
    ("config-immutable", "not", "kind", mutable, "immutable"),
    ("secret-literal", "in a ConfigMap", "kind", key_in_config, "data.more.yaml"),
    (
        "secret-literal",
        "a password in a URL",
        "kind",
        password_in_config,
        "data.more.yaml",
    ),
    (
        "secret-literal",
        "in the entry point",
        "kind",
        put(spec, entrypoint="run --token hf_" + "a" * 34),
        "spec.entrypoint",
    ),
    (
        "secret-literal",
        "for the autoscaler",
        "kind",
        lambda m: cluster(m)["autoscalerOptions"]["env"].append(dict(SECRET)),
        "spec.rayClusterSpec.autoscalerOptions.env[1]",
    ),
    (
        "secret-object",
        "with a value",
        "kind",
        lambda m: add(
            m,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s"},
                "stringData": {"a": "b"},
            },
        ),
        "data",
    ),
    (
        "autoscaler-security",
        "none",
        "kind",
        lambda m: cluster(m)["autoscalerOptions"].pop("securityContext"),
        "spec.rayClusterSpec.autoscalerOptions.securityContext",
    ),
    (
        "autoscaler-security",
        "capabilities",
        "kind",
        lambda m: cluster(m)["autoscalerOptions"]["securityContext"].pop("capabilities"),
        "spec.rayClusterSpec.autoscalerOptions.securityContext",
    ),
    (
        "api-token",
        "for workers",
        "gpu",
        lambda m: template(m, "worker")["spec"].pop("automountServiceAccountToken"),
        f"{TEMPLATES['worker']}.spec.automountServiceAccountToken",
    ),
]
for role, path in TEMPLATES.items():
    at_container = f"{path}.spec.containers[0]"
    context = f"{at_container}.securityContext"
    CASES += [
        (
            "pod-non-root",
            f"{role}: not said",
            "gpu",
            lambda m, r=role: template(m, r)["spec"]["securityContext"].pop("runAsNonRoot"),
            f"{context}.runAsNonRoot",
        ),
        (
            "pod-non-root",
            f"{role}: uid 0",
            "gpu",
            lambda m, r=role: template(m, r)["spec"]["securityContext"].update(runAsUser=0),
            f"{context}.runAsUser",
        ),
        (
            "pod-seccomp",
            f"{role}: none",
            "gpu",
            lambda m, r=role: template(m, r)["spec"]["securityContext"].pop("seccompProfile"),
            f"{context}.seccompProfile",
        ),
        (
            "pod-escalation",
            f"{role}: not said",
            "gpu",
            lambda m, r=role: container(m, r)["securityContext"].pop("allowPrivilegeEscalation"),
            f"{context}.allowPrivilegeEscalation",
        ),
        (
            "pod-capabilities",
            f"{role}: kept",
            "gpu",
            lambda m, r=role: container(m, r)["securityContext"].pop("capabilities"),
            f"{context}.capabilities",
        ),
        (
            "pod-capabilities",
            f"{role}: added",
            "gpu",
            lambda m, r=role: container(m, r)["securityContext"]["capabilities"].update(
                add=["SYS_PTRACE"]
            ),
            f"{context}.capabilities",
        ),
        (
            "pod-host",
            f"{role}: network",
            "gpu",
            lambda m, r=role: template(m, r)["spec"].update(hostNetwork=True),
            f"{path}.spec.hostNetwork",
        ),
        *(
            (
                "pod-linux",
                f"{role}: {field} of the {whose}",
                "gpu",
                lambda m, r=role, f=field, v=value, o=owner: (
                    o(m, r).setdefault("securityContext", {}).update({f: v})
                ),
                f"{path}.spec.{where}securityContext.{field}",
            )
            for whose, owner, where in (
                ("pod", lambda m, r: template(m, r)["spec"], ""),
                ("container", container, "containers[0]."),
            )
            for field, value in (
                ("seLinuxOptions", {"type": "spc_t"}),
                ("seLinuxOptions", {"role": "sysadm_r"}),
                ("appArmorProfile", {"type": "Unconfined"}),
                *([("procMount", "Unmasked")] if where else []),
                *([] if where else [("sysctls", [{"name": "kernel.msgmax", "value": "1"}])]),
            )
        ),
        (
            "pod-volumes",
            f"{role}: hostPath",
            "gpu",
            lambda m, r=role: template(m, r)["spec"]["volumes"].append(
                {"name": "h", "hostPath": {"path": "/"}}
            ),
            f"{path}.spec.volumes",
        ),
        (
            "read-only-root",
            f"{role}: not",
            "gpu",
            lambda m, r=role: container(m, r)["securityContext"].pop("readOnlyRootFilesystem"),
            f"{context}.readOnlyRootFilesystem",
        ),
        (
            "own-account",
            f"{role}: none",
            "gpu",
            lambda m, r=role: template(m, r)["spec"].pop("serviceAccountName"),
            f"{path}.spec.serviceAccountName",
        ),
        ("secret-literal", f"{role}: a variable", "gpu", env(role), f"{at_container}.env"),
    ]
    if role != "head":
        CASES.append(
            (
                "memory",
                f"{role}: no limit",
                "gpu",
                lambda m, r=role: container(m, r)["resources"]["limits"].pop("memory"),
                f"{at_container}.resources.limits.memory",
            )
        )
