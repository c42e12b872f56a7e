"""Rules of access: what the roles among the manifests give, and to whom their bindings give it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xtransfer.cluster.manifests import Manifest, at
from xtransfer.cluster.rules import Hit, Rule, each

BINDINGS = ("RoleBinding", "ClusterRoleBinding")
# https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles: each reads secrets or makes pods.
POWERFUL = ("cluster-admin", "admin", "edit")
EVERYBODY = (
    "system:anonymous",
    "system:authenticated",
    "system:serviceaccounts",
    "system:unauthenticated",
)
# https://kubernetes.io/docs/concepts/security/rbac-good-practices/#privilege-escalation-risks
RAISING = ("bind", "escalate", "impersonate")
"""Verbs by which one gives oneself what one has not."""
MAKING_PODS = (
    "cronjobs",
    "daemonsets",
    "deployments",
    "jobs",
    "pods",
    "replicasets",
    "statefulsets",
)

Found = Iterator[tuple[str, str]]


def _role(manifest: Manifest) -> Found:
    for index, rule in enumerate(manifest.body.get("rules") or ()):
        resources, verbs = set(rule.get("resources") or ()), set(rule.get("verbs") or ())
        groups, urls = set(rule.get("apiGroups") or ()), set(rule.get("nonResourceURLs") or ())
        path = f"rules[{index}]"
        if "*" in resources | verbs | groups | urls:
            yield path, "grants everything by '*'"
        elif verbs & set(RAISING):
            yield path, f"grants {min(verbs & set(RAISING))}, and so whatever others have"
        elif "secrets" in resources:
            yield path, "grants secrets"
        elif resources & set(MAKING_PODS) and verbs & {"create", "update", "patch"}:
            yield path, "grants making pods, and so every secret that a pod can mount"
        elif resources & {"pods/exec", "pods/attach"}:
            yield path, "grants running commands in pods"


def _bound(manifest: Manifest) -> Found:
    role = at(manifest.body, "roleRef", "name")
    if at(manifest.body, "roleRef", "kind") == "ClusterRole" and role in POWERFUL:
        yield "roleRef.name", f"is {role}, which reads secrets and makes any pod"
    for index, subject in enumerate(manifest.body.get("subjects") or ()):
        kind, name = subject.get("kind"), str(subject.get("name"))
        if kind in ("Group", "User") and (
            name in EVERYBODY or name.startswith("system:serviceaccounts:")
        ):
            yield f"subjects[{index}].name", f"is {name}, so more than those who submit have it"
        elif kind == "ServiceAccount" and name == "default":
            yield f"subjects[{index}].name", "is the default account, so every pod has it"


def _subjects(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    """Find accounts that a binding names in another namespace than these manifests make them in."""
    accounts: dict[str, set[str]] = {}
    for manifest in manifests:
        if manifest.kind == "ServiceAccount":
            accounts.setdefault(manifest.name, set()).add(_space(manifest))
    for binding in (manifest for manifest in manifests if manifest.kind in BINDINGS):
        for index, subject in enumerate(binding.body.get("subjects") or ()):
            made = accounts.get(subject.get("name"), set())
            named = str(subject.get("namespace") or "")
            if subject.get("kind") == "ServiceAccount" and made and named not in made:
                yield (
                    binding,
                    f"subjects[{index}].namespace",
                    f"is '{named}', and the account is made in '{min(made)}'",
                )


def _space(manifest: Manifest) -> str:
    return str(at(manifest.body, "metadata", "namespace") or "")


RULES = (
    Rule(
        name="role",
        look=each(_role, "Role", "ClusterRole"),
        remedy="Grant what submitting needs: see base/rbac.yaml.",
    ),
    Rule(
        name="binding",
        look=each(_bound, *BINDINGS),
        remedy="Bind those who submit, by name or group, to the role xtransfer-submitter (base/rbac.yaml).",
    ),
    Rule(
        name="binding-subject",
        look=_subjects,
        remedy="Leave it out where kustomize's `namespace` fills it in: else nobody has the role.",
    ),
)
