"""Rules of what surrounds a job: namespace, disruption budgets, network, configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from xtransfer.cluster.manifests import Manifest, at, pod_templates
from xtransfer.cluster.rules import Hit, Rule, each

ENFORCE = "pod-security.kubernetes.io/enforce"
DENY_ALL = ("Ingress", "Egress")

Found = Iterator[tuple[str, str]]


def _budget_form(manifest: Manifest) -> Found:
    spec = manifest.body.get("spec") or {}
    if "maxUnavailable" in spec:
        yield (
            "spec.maxUnavailable",
            "is set: Ray's pods have no scale, so every eviction is blocked",
        )
    elif not isinstance(spec.get("minAvailable"), int):
        yield "spec.minAvailable", f"is {spec.get('minAvailable')!r}, not an integer"


def _budget_workers(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    workers = [
        each_.labels
        for manifest in manifests
        for each_ in pod_templates(manifest.body)
        if each_.role == "worker"
    ]
    for budget in _of(manifests, "PodDisruptionBudget"):
        if any(_selects(budget, labels, "worker") for labels in workers):
            yield budget, "spec.selector", "selects workers"


def _budget_head(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    budgets = _of(manifests, "PodDisruptionBudget")
    for manifest in _of(manifests, "RayJob"):
        for each_ in pod_templates(manifest.body):
            if each_.role == "head" and not any(_selects(b, each_.labels, "head") for b in budgets):
                yield manifest, each_.path, "no PodDisruptionBudget selects the head"


def _budget_once(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    budgets = _of(manifests, "PodDisruptionBudget")
    for manifest in _of(manifests, "RayJob"):
        for each_ in pod_templates(manifest.body):
            found = [b.name for b in budgets if _selects(b, each_.labels, "head")]
            if each_.role == "head" and len(found) > 1:
                yield manifest, each_.path, f"budgets {', '.join(found)} all select the head"


def _selects(budget: Manifest, labels: Mapping[str, str], node: str) -> bool:
    """Return whether a budget selects pods of these labels and those that the operator adds."""
    selector = at(budget.body, "spec", "selector") or {}
    all_labels = {"ray.io/node-type": node, "ray.io/is-ray-node": "yes", **labels}
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(all_labels.get(name) != value for name, value in wanted.items()):
        return False
    for term in selector.get("matchExpressions") or ():
        value = all_labels.get(term["key"])
        meets = {
            "In": value in (term.get("values") or ()),
            "NotIn": value not in (term.get("values") or ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not meets[term["operator"]]:
            return False
    return True


def _enforced(manifest: Manifest) -> Found:
    if manifest.labels.get(ENFORCE) != "restricted":
        yield f"metadata.labels.{ENFORCE}", "is not restricted"


def _closed(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    closed = {
        at(policy.body, "metadata", "namespace")
        for policy in _of(manifests, "NetworkPolicy")
        if at(policy.body, "spec", "podSelector") == {}
        and set(at(policy.body, "spec", "policyTypes") or ()) == set(DENY_ALL)
        and not at(policy.body, "spec", "ingress")
        and not at(policy.body, "spec", "egress")
    }
    for space in _of(manifests, "Namespace"):
        if space.name not in closed:
            yield space, "metadata.name", "no NetworkPolicy closes the namespace by default"


def _references(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    """Find ConfigMaps that a job names by what they are called before the hash suffix."""
    names = {manifest.name for manifest in _of(manifests, "ConfigMap")}
    for manifest in _of(manifests, "RayJob"):
        for each_ in pod_templates(manifest.body):
            for path, name in each_.configs():
                hashed = re.compile(rf"{re.escape(name)}-[a-z0-9]{{10}}")
                if name not in names and any(hashed.fullmatch(known) for known in names):
                    yield manifest, path, f"'{name}' is not what the rendered ConfigMap is called"


def _immutable(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    used = {
        name
        for manifest in _of(manifests, "RayJob")
        for each_ in pod_templates(manifest.body)
        for _, name in each_.configs()
    }
    for manifest in _of(manifests, "ConfigMap"):
        if manifest.name in used and manifest.body.get("immutable") is not True:
            yield manifest, "immutable", "is not true, so a running job's configuration can change"


def _of(manifests: Sequence[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest.kind == kind]


RULES = (
    Rule(
        name="budget-form",
        look=each(_budget_form, "PodDisruptionBudget"),
        remedy="Use an integer minAvailable: 1.",
    ),
    Rule(
        name="budget-workers",
        look=_budget_workers,
        remedy="Select the head only: a budget on workers blocks every drain.",
    ),
    Rule(
        name="budget-head",
        look=_budget_head,
        remedy="Add one with minAvailable: 1 for it.",
    ),
    Rule(
        name="budget-once",
        look=_budget_once,
        remedy="Keep one: the API server evicts no pod of two budgets, it answers 500.",
    ),
    Rule(
        name="namespace-security",
        look=each(_enforced, "Namespace"),
        remedy="Set the label to restricted.",
    ),
    Rule(
        name="network-closed",
        look=_closed,
        remedy="Add one with an empty podSelector, both policyTypes and no rules.",
    ),
    Rule(
        name="config-reference",
        look=_references,
        remedy="Add the RayJob's path to nameReference: see base/kustomizeconfig.yaml.",
    ),
    Rule(
        name="config-immutable",
        look=_immutable,
        remedy="Set options: {immutable: true} on the generator.",
    ),
)
