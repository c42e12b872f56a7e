"""A rendered overlay and an experiment become the objects of one job."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.needs import need_kustomize
from xtransfer.cluster.jobs import (
    JobObjects,
    assemble,
    job_name,
    resolved_text,
    store_of,
    surroundings,
    with_namespace,
)
from xtransfer.cluster.kinds import path_of, path_of_body
from xtransfer.cluster.manifests import Manifest, at, pod_templates
from xtransfer.cluster.policy import check
from xtransfer.cluster.render import render
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.logs import JOB_VARIABLE
from xtransfer.settings import check_name

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = "0123456789ab"


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,29}", fullmatch=True))
def test_every_experiment_has_a_name_that_the_operator_takes(experiment: str) -> None:
    name = job_name(check_name(experiment), KEY)
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}}
    found = {finding.rule for finding in check([Manifest(file="f", body=job)])}
    assert not found & {"name-length", "name-form"}
    assert name.startswith("xt-")
    assert name.endswith(f"-{KEY}")


def test_the_longest_name_is_still_short_enough() -> None:
    assert len(job_name("x" * 30, KEY)) == 46


def test_labels_have_values_that_kubernetes_takes(manifests: list[Manifest]) -> None:
    made = assemble(manifests, experiment="ends_with-", plan_key=KEY, text="")
    for value in made.job["metadata"]["labels"].values():
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", value)


def test_all_pods_carry_the_jobs_labels(objects: JobObjects) -> None:
    templates = pod_templates(objects.job)
    assert len(templates) == 3
    for template in templates:
        assert template.labels["xtransfer/job"] == objects.name
        assert template.labels["xtransfer/plan"] == KEY
        assert template.labels["xtransfer/role"] == template.role


def test_the_head_mounts_this_jobs_experiment(objects: JobObjects) -> None:
    volumes = at(objects.job, *"spec rayClusterSpec headGroupSpec template spec volumes".split())
    mounted = {
        volume["name"]: volume["configMap"]["name"] for volume in volumes if "configMap" in volume
    }
    assert mounted["experiment"] == objects.config["metadata"]["name"]
    assert mounted["placement"] == objects.shared[0]["metadata"]["name"]
    assert objects.config["immutable"] is True


def test_the_head_tells_the_driver_its_jobs_name(objects: JobObjects) -> None:
    for template in pod_templates(objects.job):
        for _, container in template.containers():
            told = [each["value"] for each in container["env"] if each["name"] == JOB_VARIABLE]
            assert told == ([objects.name] if template.role == "head" else [])


def test_configs_that_a_users_overlay_adds_are_sent_along(manifests: list[Manifest]) -> None:
    (template,) = [manifest for manifest in manifests if manifest.kind == "RayJob"]
    (group,) = template.body["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    pod = group["template"]["spec"]
    pod["containers"][0]["envFrom"] = [{"configMapRef": {"name": "proxy"}}]
    pod["containers"][0]["env"].append(
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "a"}}}
    )
    pod["volumes"] += [
        {"name": "ca", "configMap": {"name": "ca"}},
        {"name": "more", "projected": {"sources": [{"configMap": {"name": "part"}}]}},
    ]
    for name in ("proxy", "one", "ca", "part", "unused"):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}}
        manifests.append(Manifest(file="f", body=body))
    made = assemble(manifests, experiment="a", plan_key=KEY, text="")
    names = {body["metadata"]["name"] for body in made.shared}
    assert {"proxy", "one", "ca", "part"} < names
    assert "unused" not in names


def test_an_experiment_that_no_config_holds_is_refused(manifests: list[Manifest]) -> None:
    text = "é" * 2**19
    assert assemble(manifests, experiment="a", plan_key=KEY, text=text).config["data"]
    with pytest.raises(ConfigError, match=r"1,048,577 bytes .* a ConfigMap holds 1,048,576"):
        assemble(manifests, experiment="a", plan_key=KEY, text=f"{text}x")


def test_another_experiment_is_another_config(manifests: list[Manifest]) -> None:
    made = [
        assemble(manifests, experiment="a", plan_key=KEY, text=text).config["metadata"]["name"]
        for text in ("a: 1\n", "a: 2\n", "a: 1\n")
    ]
    assert made[0] == made[2] != made[1]
    assert all(len(name) <= 63 for name in made)


def test_the_template_is_left_as_it_is(manifests: list[Manifest]) -> None:
    before = copy.deepcopy(manifests)
    assemble(manifests, experiment="a", plan_key=KEY, text="", image="other:1")
    assert manifests == before


def test_an_image_of_the_users_runs_everywhere(manifests: list[Manifest]) -> None:
    made = assemble(manifests, experiment="a", plan_key=KEY, text="", image="mine:1")
    images = [c["image"] for t in pod_templates(made.job) for _, c in t.containers()]
    assert images == ["mine:1"] * 3


def test_an_image_of_the_users_leaves_what_is_beside_it(manifests: list[Manifest]) -> None:
    (template,) = [manifest for manifest in manifests if manifest.kind == "RayJob"]
    cluster = template.body["spec"]["rayClusterSpec"]
    pod = cluster["headGroupSpec"]["template"]["spec"]
    pod["containers"].append({**pod["containers"][0], "name": "logs", "image": "logs:1"})
    pod["initContainers"] = [{**pod["containers"][0], "name": "warm"}]
    cluster["autoscalerOptions"]["image"] = pod["containers"][0]["image"]
    made = assemble(manifests, experiment="a", plan_key=KEY, text="", image="mine:2")
    images = {
        container["name"]: container["image"]
        for each in pod_templates(made.job)
        for _, container in each.containers()
    }
    assert images == {
        **dict.fromkeys(("ray-head", "ray-worker", "ray-job-submitter", "warm"), "mine:2"),
        "logs": "logs:1",
    }
    assert made.job["spec"]["rayClusterSpec"]["autoscalerOptions"]["image"] == "mine:2"


def test_the_jobs_objects_keep_every_rule(manifests: list[Manifest], objects: JobObjects) -> None:
    assert [str(finding) for finding in check(objects.manifests(manifests))] == []


def test_the_store_is_the_placements(objects: JobObjects) -> None:
    assert store_of(objects) == "s3://xtransfer/study"


def test_another_namespace_than_the_overlays_is_refused(objects: JobObjects) -> None:
    assert with_namespace(objects, "xtransfer") == objects
    with pytest.raises(ConfigError, match="the overlay is for the namespace 'xtransfer'"):
        with_namespace(objects, "mine")


def test_namespaces_come_before_what_lies_in_them(manifests: list[Manifest]) -> None:
    kinds = [body["kind"] for body in surroundings(manifests)]
    assert kinds[0] == "Namespace"
    assert kinds.index("Role") < kinds.index("RoleBinding")
    assert not {"RayJob", "PodDisruptionBudget"} & set(kinds)


@pytest.mark.parametrize("name", ["eks-spot", "kueue"])
def test_a_namespace_is_closed_before_anything_that_may_fail(name: str) -> None:
    need_kustomize()
    kinds = [b["kind"] for b in surroundings(render(CHECKOUT / "k8s" / "overlays" / name))]
    policies = kinds.count("NetworkPolicy")
    assert kinds[: 1 + policies] == ["Namespace", *["NetworkPolicy"] * policies]
    others = {"PodMonitor", "PrometheusRule", "ClusterQueue", "LocalQueue", "ResourceFlavor"}
    rest = kinds[next(i for i, kind in enumerate(kinds) if kind in others) :]
    assert set(rest) <= others
    assert rest


def test_no_job_and_two_jobs_are_refused(manifests: list[Manifest]) -> None:
    job = next(manifest for manifest in manifests if manifest.kind == "RayJob")
    without = [manifest for manifest in manifests if manifest is not job]
    for wrong, count in ((without, 0), ([*manifests, job], 2)):
        with pytest.raises(ConfigError, match=f"holds {count} RayJobs"):
            assemble(wrong, experiment="a", plan_key=KEY, text="")


def test_a_job_that_mounts_no_experiment_is_refused(manifests: list[Manifest]) -> None:
    job = next(manifest for manifest in manifests if manifest.kind == "RayJob")
    volumes = job.body["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    volumes[:] = [volume for volume in volumes if volume["name"] != "experiment"]
    with pytest.raises(ConfigError, match="mounts no ConfigMap"):
        assemble(manifests, experiment="a", plan_key=KEY, text="")


@pytest.mark.parametrize("name", ["paper", "quickstart", "real_small", "typology", "xtreme_r"])
def test_what_the_cluster_reads_is_the_same_plan(name: str, tmp_path: Path) -> None:
    experiment = load_experiment(
        CHECKOUT / "configs" / f"{name}.yaml", ["training.weight_decay=0.02"]
    )
    copied = tmp_path / "experiment.yaml"
    copied.write_text(resolved_text(experiment), encoding="utf-8")
    read = load_experiment(copied)
    assert read == experiment
    keys = [build_plan(e, Fingerprints(e, lenient=True)).key for e in (experiment, read)]
    assert keys[0] == keys[1]
    assert yaml.safe_load(copied.read_text(encoding="utf-8"))["training"]["weight_decay"] == 0.02


def test_a_kind_that_is_not_applied_is_named_with_what_applies_it() -> None:
    with pytest.raises(ConfigError, match="kubectl apply --server-side"):
        path_of("CustomResourceDefinition", "", version="apiextensions.k8s.io/v1")


def test_paths_of_objects_are_the_servers() -> None:
    assert path_of("Pod", "a", name="b") == "/api/v1/namespaces/a/pods/b"
    assert path_of("RayJob", "a") == "/apis/ray.io/v1/namespaces/a/rayjobs"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    assert path_of_body(space, "other", named=True) == "/api/v1/namespaces/a"
