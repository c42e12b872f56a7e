"""Each rule finds the one thing that it is about, in manifests that are sound but for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.k8s.breaking import (
    Overlay,
    binding,
    cluster,
    container,
    find,
    job,
    many_groups,
    placed,
    template,
    worker_group,
)
from tests.k8s.cases import CASES
from xtransfer.cluster.manifests import Manifest, pod_templates
from xtransfer.cluster.policy import RULES, check

# One cause, two rules: the operator's and Kueue's, or one that follows from the other.
ALSO = {
    "kueue-shutdown": {"shutdown"},
    "image-pin": {"one-image"},
    "kueue-elastic": set(),
}
UNTESTED_HERE = {"whole-groups", "one-image"}
"""Tested in test_overlays.py with kustomize itself, and along with image-pin."""


@pytest.mark.parametrize("name", ["kind", "gpu", "eks-spot", "kueue"])
def test_the_overlays_keep_every_rule(overlay: Overlay, name: str) -> None:
    assert [str(finding) for finding in check(overlay(name))] == []


@pytest.mark.parametrize(
    ("rule", "where", "change", "path"),
    [pytest.param(r, o, c, p, id=f"{r}: {called}") for r, called, o, c, p in CASES],
)
def test_a_broken_rule_is_found_where_it_is_broken(
    overlay: Overlay,
    rule: str,
    where: str,
    change: Callable[[list[Manifest]], object],
    path: str,
) -> None:
    manifests = overlay(where)
    change(manifests)
    found = check(manifests)
    assert {finding.rule for finding in found} - ALSO.get(rule, set()) == {rule}
    (first,) = [finding for finding in found if finding.rule == rule]
    assert first.path.startswith(path)
    assert first.remedy.endswith(".")
    assert str(first).startswith(f"{first.file}: {first.object}: {first.path}: ")


def test_every_rule_has_a_case() -> None:
    cases = {rule for rule, *_ in CASES}
    assert cases | UNTESTED_HERE == {rule.name for rule in RULES}


def test_a_rule_that_stumbles_over_a_value_is_broken_by_its_object(overlay: Overlay) -> None:
    manifests = overlay("gpu")
    cluster(manifests)["workerGroupSpecs"] = ["word"]
    found = [finding for finding in check(manifests) if "another kind" in finding.what]
    assert found
    assert {finding.object for finding in found} == {f"RayJob/{job(manifests)['metadata']['name']}"}
    assert all(finding.path == "$" and finding.rule and finding.remedy for finding in found)


def test_one_image_is_found_too(overlay: Overlay) -> None:
    manifests = overlay("gpu")
    container(manifests, "submitter")["image"] = "other:1"
    assert [finding.rule for finding in check(manifests)] == ["one-image"]


def test_shared_memory_without_a_limit_and_a_store_of_a_given_size_pass(overlay: Overlay) -> None:
    manifests = overlay("gpu")
    del template(manifests, "head")["spec"]["volumes"][1]["emptyDir"]["sizeLimit"]
    group = worker_group(manifests)
    group["rayStartParams"]["object-store-memory"] = str(2**30)
    template(manifests, "worker")["spec"]["volumes"][1]["emptyDir"]["sizeLimit"] = "1Gi"
    assert check(manifests) == []


def test_a_url_without_a_password_is_no_secret(overlay: Overlay) -> None:
    manifests = overlay("kind")
    for manifest in manifests:
        if manifest.name.startswith("xtransfer-placement-"):
            manifest.body["data"]["more.yaml"] = (
                "a: http://host:5000/x@y\nb: s3://bucket/a@b\nc: registry:5000/x@sha256:0\n"
            )
    assert check(manifests) == []


def test_a_head_with_another_prestop_may_wait_as_it_does(overlay: Overlay) -> None:
    manifests = overlay("kind")
    placed("retries: 2", "retries: 2\ngrace_s: 300")(manifests)
    for command in (["/bin/mine", "1"], ["/opt/prestop", "60s"], ["/opt/prestop", "$(GRACE)"]):
        container(manifests, "head")["lifecycle"]["preStop"]["exec"]["command"] = command
        assert check(manifests) == []


def test_names_of_47_characters_pass(overlay: Overlay) -> None:
    manifests = overlay("kueue")
    job(manifests)["metadata"]["name"] = "x" * 47
    assert check(manifests) == []


def test_seventeen_groups_pass(overlay: Overlay) -> None:
    manifests = overlay("kueue")
    many_groups(manifests)
    cluster(manifests)["workerGroupSpecs"].pop()
    assert check(manifests) == []


@pytest.mark.parametrize("read_only", [True, False])
def test_a_store_on_a_claim_that_all_pods_write_to_passes(
    overlay: Overlay, read_only: bool
) -> None:
    manifests = overlay("kind")
    placed("store: s3://xtransfer/study", "store: file:///data/study")(manifests)
    claim = {"claimName": "shared", **({"readOnly": True} if read_only else {})}
    for each in pod_templates(job(manifests)):
        for volume in each.spec["volumes"]:
            if volume["name"] == "data":
                volume.pop("emptyDir")
                volume["persistentVolumeClaim"] = claim
    assert {finding.rule for finding in check(manifests)} == (
        {"store-shared"} if read_only else set()
    )


def test_equal_quantities_in_other_words_pass(overlay: Overlay) -> None:
    manifests = overlay("kind")
    container(manifests, "head")["resources"]["limits"]["memory"] = "3072Mi"
    assert check(manifests) == []


def test_an_elastic_trial_needs_room_for_its_fewest_workers(overlay: Overlay) -> None:
    manifests = overlay("kind")
    placed("train: {cpus: 1", "train: {cpus: 1, workers: [2, 8]")(manifests)
    assert check(manifests) == []


@pytest.mark.parametrize("cpus", ["1e0", "1000m", "1000000u", "1."])
def test_a_quantity_in_any_form_of_kubernetes_makes_room(overlay: Overlay, cpus: str) -> None:
    manifests = overlay("kind")
    (worker,) = cluster(manifests)["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    worker["resources"]["limits"]["cpu"] = worker["resources"]["requests"]["cpu"] = cpus
    assert check(manifests) == []


def test_a_head_whose_memory_is_in_exponents_is_compared(overlay: Overlay) -> None:
    manifests = overlay("kind")
    resources = container(manifests, "head")["resources"]
    resources["requests"]["memory"], resources["limits"]["memory"] = "3e9", "4e9"
    assert "head-memory" in {finding.rule for finding in check(manifests)}


def test_a_group_without_a_most_has_the_schemas(overlay: Overlay) -> None:
    manifests = overlay("kind")
    placed("train: {cpus: 1", "train: {cpus: 1, workers: 3")(manifests)
    del cluster(manifests)["workerGroupSpecs"][0]["maxReplicas"]
    assert check(manifests) == []


def test_a_group_of_several_hosts_has_that_many_workers(overlay: Overlay) -> None:
    manifests = overlay("kind")
    placed("train: {cpus: 1", "train: {cpus: 1, workers: 4")(manifests)
    cluster(manifests)["workerGroupSpecs"][0]["numOfHosts"] = 2
    assert check(manifests) == []


def test_a_group_that_reads_all_or_submits_may_be_bound(overlay: Overlay) -> None:
    manifests = overlay("kind")
    binding("ClusterRoleBinding", "view", "auditors")(manifests)
    binding("RoleBinding", "xtransfer-submitter", "researchers")(manifests)
    assert check(manifests) == []


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "Group", "name": "system:serviceaccounts:monitoring"},
        {"kind": "ServiceAccount", "name": "default", "namespace": "monitoring"},
    ],
)
def test_accounts_of_another_namespace_may_be_bound(
    overlay: Overlay, subject: dict[str, str]
) -> None:
    manifests = overlay("kind")
    binding("ClusterRoleBinding", "view", "auditors")(manifests)
    find(manifests, "ClusterRoleBinding")["subjects"] = [subject]
    assert check(manifests) == []
