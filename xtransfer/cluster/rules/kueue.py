"""Rules of Kueue (v1beta2), for jobs with its label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xtransfer.cluster.manifests import Manifest, at, cluster_spec
from xtransfer.cluster.rules import Hit, Rule, each

QUEUE = "kueue.x-k8s.io/queue-name"
TEMPLATE_QUEUE = "xtransfer/queue"
"""Annotation of a template: the queue of the jobs that are made of it. Kueue does not know it."""
ELASTIC = "kueue.x-k8s.io/elastic-job"
MOST_GROUPS = 17
"""Worker groups: a workload has at most 18 pod sets, and the head is one."""

Found = Iterator[tuple[str, str]]


def _queued(manifest: Manifest) -> bool:
    return QUEUE in manifest.labels or TEMPLATE_QUEUE in manifest.annotations


def _template(manifest: Manifest) -> Found:
    # `submit` takes `suspend` away, so what has it is a template.
    if QUEUE in manifest.labels and at(manifest.body, "spec", "suspend"):
        yield (
            f"metadata.labels.{QUEUE}",
            "is on a suspended template, which Kueue starts as soon as it is applied",
        )


def _misplaced(manifest: Manifest) -> Found:
    if QUEUE in manifest.annotations:
        yield f"metadata.annotations.{QUEUE}", "is an annotation, which Kueue does not read"


def _shutdown(manifest: Manifest) -> Found:
    if _queued(manifest) and at(manifest.body, "spec", "shutdownAfterJobFinishes") is not True:
        yield "spec.shutdownAfterJobFinishes", "is not true, so Kueue refuses the job"


def _selector(manifest: Manifest) -> Found:
    if _queued(manifest) and at(manifest.body, "spec", "clusterSelector"):
        yield "spec.clusterSelector", "is set, and Kueue does not queue jobs on existing clusters"


def _groups(manifest: Manifest) -> Found:
    path, spec = cluster_spec(manifest.body) or ("", {})
    count = len(spec.get("workerGroupSpecs") or ())
    if _queued(manifest) and count > MOST_GROUPS:
        yield f"{path}.workerGroupSpecs", f"has {count} groups"


def _elastic(manifest: Manifest) -> Found:
    _, spec = cluster_spec(manifest.body) or ("", {})
    if (
        _queued(manifest)
        and spec.get("enableInTreeAutoscaling")
        and manifest.annotations.get(ELASTIC) != "true"
    ):
        yield f"metadata.annotations.{ELASTIC}", 'is not "true", but the cluster autoscales'


def _spaces(manifests: Sequence[Manifest]) -> Iterator[Hit]:
    name = "kubernetes.io/metadata.name"
    selected = {
        m.name: at(m.body, "spec", "namespaceSelector", "matchLabels", name)
        for m in manifests
        if m.kind == "ClusterQueue"
    }
    for manifest in manifests:
        wanted = selected.get(str(at(manifest.body, "spec", "clusterQueue")))
        space = at(manifest.body, "metadata", "namespace")
        if manifest.kind == "LocalQueue" and wanted and wanted != space:
            yield (
                manifest,
                "metadata.namespace",
                f"is '{space}', and its ClusterQueue takes jobs of '{wanted}' only",
            )


def _two_queues(manifest: Manifest) -> Found:
    if _queued(manifest) and "volcano.sh/queue-name" in manifest.labels:
        yield "metadata.labels", "names a queue of Kueue and one of Volcano"


RAY = ("RayJob", "RayCluster")
RULES = (
    Rule(name="kueue-label", look=each(_misplaced, *RAY), remedy="Make it a label."),
    Rule(
        name="kueue-template",
        look=each(_template, "RayJob"),
        remedy=f"Name the queue by the annotation {TEMPLATE_QUEUE}: `submit` makes the label of it.",
    ),
    Rule(
        name="kueue-shutdown",
        look=each(_shutdown, "RayJob"),
        remedy="Set it to true.",
    ),
    Rule(name="kueue-selector", look=each(_selector, "RayJob"), remedy="Remove it."),
    Rule(
        name="kueue-groups",
        look=each(_groups, *RAY),
        remedy=f"Use {MOST_GROUPS} at most: Kueue takes no more.",
    ),
    Rule(
        name="kueue-elastic",
        look=each(_elastic, *RAY),
        remedy="Set it, or turn enableInTreeAutoscaling off.",
    ),
    Rule(
        name="kueue-namespace",
        look=_spaces,
        remedy="Select the queue's own namespace, or no job is ever admitted.",
    ),
    Rule(name="two-queues", look=each(_two_queues, *RAY), remedy="Remove one."),
)
