"""Rules of access: what the roles among the manifests give, and to whom their bindings give it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

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


def _bound(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    """Find bindings of roles that give too much, and of any role to every pod here or to everybody."""
    here = {_space(manifest) for manifest in manifests}
    for binding in (manifest for manifest in manifests if manifest.kind in BINDINGS):
        role = at(binding.body, "roleRef", "name")
        if at(binding.body, "roleRef", "kind") == "ClusterRole" and role in POWERFUL:
            yield binding, "roleRef.name", f"is {role}, which reads secrets and makes any pod"
        for index, subject in enumerate(binding.body.get("subjects") or ()):
            if wrong := _too_many(subject, here):
                yield binding, f"subjects[{index}].name", wrong


def _too_many(subject: Any, here: Collection[str]) -> str:
    """Say what is wrong with a subject, of whom there are too many; nothing where nothing is.

    Accounts of namespaces that these manifests do not fill, as a monitor's, are somebody's choice.
    """
    kind, name = subject.get("kind"), str(subject.get("name"))
    group, _, space = name.rpartition(":")
    if kind in ("Group", "User") and name in EVERYBODY:
        return f"is {name}, so more than those who submit have it"
    if kind == "Group" and group == "system:serviceaccounts" and space in here:
        return f"is {name}, so every pod has it"
    if (
        kind == "ServiceAccount"
        and name == "default"
        and (subject.get("namespace") or "") in {*here, ""}
    ):
        return "is the default account, so every pod has it"
    return ""


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
        look=_bound,
        remedy="Bind those who submit, by name or group, to the role xtransfer-submitter (base/rbac.yaml).",
    ),
    Rule(
        name="binding-subject",
        look=_subjects,
        remedy="Leave it out where kustomize's `namespace` fills it in: else nobody has the role.",
    ),
)
