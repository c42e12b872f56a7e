"""The overlays hold what they are to hold, by the schemas and by what components promise."""

from __future__ import annotations

import copy
import importlib.util
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.needs import needed
from xtransfer.cluster.jobs import JobObjects, assemble
from xtransfer.cluster.kinds import is_namespaced
from xtransfer.cluster.manifests import Manifest, at, pod_templates
from xtransfer.cluster.policy import check
from xtransfer.cluster.render import render
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import load_placement

CHECKOUT = Path(__file__).resolve().parents[2]
TREE = CHECKOUT / "k8s"
OVERLAYS = sorted(path.name for path in (TREE / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (TREE / "components").iterdir())
CUSTOM = {
    "RayJob",
    "PodMonitor",
    "PrometheusRule",
    "ClusterQueue",
    "LocalQueue",
    "ResourceFlavor",
}
KUBERNETES = "1.35.0"
Overlay = Callable[[str], list[Manifest]]


def the_job(manifests: list[Manifest]) -> dict[str, Any]:
    (found,) = [manifest.body for manifest in manifests if manifest.kind == "RayJob"]
    return found


def as_job(manifests: list[Manifest]) -> JobObjects:
    """Return what `submit` makes of an overlay."""
    return assemble(manifests, experiment="small", plan_key="0123456789ab", text="name: small\n")


def with_components(folder: Path, *names: str, patches: str = "") -> list[Manifest]:
    """Render the base with some components, from a copy of the tree's own folder."""
    inner = os.path.relpath(TREE, folder)
    text = {
        "namespace": "xtransfer",
        "resources": [f"{inner}/base"],
        "components": [f"{inner}/components/{name}" for name in names],
        "images": [{"name": "xtransfer", "newName": "xtransfer", "newTag": "1"}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text) + patches, encoding="utf-8")
    return render(folder)


@pytest.mark.parametrize("name", OVERLAYS)
def test_core_objects_fit_their_schemas(overlay: Overlay, name: str) -> None:
    validate = needed("kubernetes_validate")
    core = [manifest for manifest in overlay(name) if manifest.kind not in CUSTOM]
    assert len(core) > 15
    for manifest in core:
        validate.validate(manifest.body, KUBERNETES, strict=True)


def test_the_validator_refuses_an_unknown_field(overlay: Overlay) -> None:
    validate = needed("kubernetes_validate")
    (space,) = [m.body for m in overlay("kind") if m.kind == "Namespace"]
    space["metadata"]["lables"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(space, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_rays_ports_ask_for_a_token(overlay: Overlay, name: str) -> None:
    jobs = [manifest.body for manifest in overlay(name) if manifest.kind == "RayJob"]
    assert [job["spec"]["rayClusterSpec"]["authOptions"]["mode"] for job in jobs] == ["token"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_pod_templates_are_pods(overlay: Overlay, name: str) -> None:
    validate = needed("kubernetes_validate")
    templates = pod_templates(the_job(overlay(name)))
    assert {template.role for template in templates} == {"head", "worker", "submitter"}
    for template in templates:
        labels = {"name": "a", **template.template["metadata"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": template.spec}
        validate.validate(pod, KUBERNETES, strict=True)


@pytest.fixture
def rayjob_schema() -> dict[str, Any]:
    path = CHECKOUT.parent / "shared" / "crds" / "rayjobs.ray.io_v1.schema.json"
    if not path.is_file():
        pytest.skip("no ../shared/crds beside the checkout")
    return json.loads(path.read_text(encoding="utf-8"))


def strict(schema: Any) -> Any:
    """Close every object of an OpenAPI v3 schema, as the API server's strict validation does."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(value) for name, value in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict):
        closed["properties"] = {name: strict(v) for name, v in schema["properties"].items()}
        if schema.get("type") == "object":
            closed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


def fill(value: Any, schema: Mapping[str, Any]) -> Any:
    """Set the schema's defaults, as the API server does before it validates."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                fill(value[name], inner)
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            fill(item, schema["items"])
    return value


def complaints(job: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    jsonschema = needed("jsonschema")
    whole = strict(schema)
    whole["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    for error in jsonschema.Draft202012Validator(whole).iter_errors(fill(job, schema)):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_job_fits_the_operators_schema(
    overlay: Overlay, rayjob_schema: dict[str, Any], name: str
) -> None:
    assert list(complaints(the_job(overlay(name)), rayjob_schema)) == []


@pytest.mark.parametrize("name", ["gcs-ft-redis", "volcano"])
def test_the_job_fits_it_with_components_that_no_overlay_has(
    overlay: Overlay, rayjob_schema: dict[str, Any], name: str, tmp_path: Path
) -> None:
    assert overlay("kind")
    manifests = with_components(tmp_path, "auth-token", name)
    assert list(complaints(the_job(manifests), rayjob_schema)) == []
    assert check(manifests) == []


def test_the_schema_finds_a_wrong_field_and_a_wrong_type(
    overlay: Overlay, rayjob_schema: dict[str, Any]
) -> None:
    job = the_job(overlay("kind"))
    job["spec"]["rayClusterSpec"]["autoscalerOptions"]["versoin"] = "v2"
    job["spec"]["backoffLimit"] = "three"
    found = "\n".join(complaints(job, rayjob_schema))
    assert "versoin" in found
    assert "spec.backoffLimit" in found


def test_every_component_is_used_or_tested_here() -> None:
    used = {
        Path(item).name
        for name in OVERLAYS
        for item in yaml.safe_load((TREE / "overlays" / name / "kustomization.yaml").read_text())[
            "components"
        ]
    }
    assert used | {"gcs-ft-redis", "volcano"} == set(COMPONENTS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_hash_suffixes_reach_the_job(overlay: Overlay, name: str) -> None:
    manifests = overlay(name)
    made = {manifest.name for manifest in manifests if manifest.kind == "ConfigMap"}
    volumes = at(the_job(manifests), *"spec rayClusterSpec headGroupSpec template spec".split())
    named = {volume["configMap"]["name"] for volume in volumes["volumes"] if "configMap" in volume}
    assert len(named) == 2
    assert named <= made
    assert all(re.search(r"-[a-z0-9]{10}$", name) for name in named)


def test_images_reach_all_four_containers(overlay: Overlay) -> None:
    images = {
        container["image"]
        for template in pod_templates(the_job(overlay("gpu")))
        for _, container in template.containers()
    }
    (image,) = images
    assert re.fullmatch(r"registry\.example\.com/xtransfer@sha256:[0-9a-f]{64}", image)


def test_spot_nodes_come_first_and_the_head_stays_off_them(overlay: Overlay) -> None:
    cluster = the_job(overlay("eks-spot"))["spec"]["rayClusterSpec"]
    spot, steady = cluster["workerGroupSpecs"]
    capacity = "karpenter.sh/capacity-type"
    assert (spot["groupName"], spot["priority"]) == ("spot", 10)
    assert (steady["groupName"], steady["priority"]) == ("on-demand", 0)
    assert spot["template"]["spec"]["nodeSelector"][capacity] == "spot"
    assert steady["template"]["spec"]["nodeSelector"][capacity] == "on-demand"
    head = cluster["headGroupSpec"]["template"]["spec"]
    assert head["nodeSelector"][capacity] == "on-demand"


def test_where_spot_nodes_are_asked_for_the_autoscaler_gives_up_on_them_in_time(
    overlay: Overlay,
) -> None:
    waits = "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S"
    with_spot = set()
    for name in OVERLAYS:
        cluster = the_job(overlay(name))["spec"]["rayClusterSpec"]
        env = {each["name"]: each["value"] for each in cluster["autoscalerOptions"]["env"]}
        assert env["HOME"] == "/tmp"
        pinned = [
            at(group, "template", "spec", "nodeSelector") for group in cluster["workerGroupSpecs"]
        ]
        if {"karpenter.sh/capacity-type": "spot"} in pinned:
            with_spot.add(name)
            assert 600 <= int(env[waits]) <= 1800, name
    assert with_spot == {"eks-spot"}


def test_that_wait_is_one_that_ray_reads() -> None:
    spec = importlib.util.find_spec("ray")
    assert spec
    assert spec.origin
    file = Path(spec.origin).parent / "autoscaler" / "v2" / "instance_manager" / "config.py"
    assert '"RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S"' in file.read_text(
        encoding="utf-8"
    )


def test_the_head_announces_nothing_that_a_step_could_take(overlay: Overlay) -> None:
    # What `ray start --memory=0 --num-cpus=0` tells of the head, by the code that it runs.
    specs = needed("ray._private.resource_and_label_spec")
    for name in OVERLAYS:
        params = the_job(overlay(name))["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]
        head = specs.ResourceAndLabelSpec(
            num_cpus=int(params["num-cpus"]),
            num_gpus=0,
            memory=int(params["memory"]),
            object_store_memory=10**9,
            resources={},
            labels={},
        )
        head._is_resolved = True
        told = head.to_resource_dict()
        assert not {"CPU", "GPU", "memory"} & told.keys(), name


def test_static_keys_are_in_the_kind_overlay_only(overlay: Overlay) -> None:
    users = {
        name
        for name in OVERLAYS
        for template in pod_templates(the_job(overlay(name)))
        for _, container in template.containers()
        if container.get("envFrom")
    }
    assert users == {"kind"}


@pytest.mark.parametrize("name", ["gpu", "eks-spot", "kueue"])
def test_the_others_use_web_identity(overlay: Overlay, name: str) -> None:
    accounts = {
        m.name: m.annotations.get("eks.amazonaws.com/role-arn", "")
        for m in overlay(name)
        if m.kind == "ServiceAccount"
    }
    assert accounts["xtransfer-head"].startswith("arn:aws:iam::")
    assert accounts["xtransfer-worker"] == accounts["xtransfer-head"]
    assert accounts["xtransfer-submitter"] == ""


def test_only_the_autoscaler_holds_a_token_of_the_api(overlay: Overlay) -> None:
    cluster = the_job(overlay("kind"))["spec"]["rayClusterSpec"]
    mounts = [mount["name"] for mount in cluster["autoscalerOptions"]["volumeMounts"]]
    assert "api-token" in mounts
    for template in pod_templates(the_job(overlay("kind"))):
        for _, container in template.containers():
            assert "api-token" not in [mount["name"] for mount in container["volumeMounts"]]


# What KubeRay puts on its operator's pod: helm-chart/kuberay-operator, and ray-operator/config/manager.
OPERATORS = {
    "helm": {
        "app.kubernetes.io/name": "kuberay-operator",
        "app.kubernetes.io/instance": "kuberay-operator",
        "app.kubernetes.io/component": "kuberay-operator",
    },
    "kustomize": {
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/component": "kuberay-operator",
    },
}


def dashboard_peers(manifests: list[Manifest]) -> list[dict[str, str]]:
    """Return the labels of pods that reach port 8265."""
    policies = [m.body["spec"] for m in manifests if m.kind == "NetworkPolicy"]
    return [
        peer["podSelector"]["matchLabels"]
        for policy in policies
        for rule in policy.get("ingress") or ()
        for peer in rule["from"]
        if any(port["port"] == 8265 for port in rule.get("ports") or ())
    ]


def test_the_dashboard_is_open_to_submitter_and_operator_only(overlay: Overlay) -> None:
    assert dashboard_peers(overlay("eks-spot")) == [
        {"xtransfer/role": "submitter"},
        {"app.kubernetes.io/component": "kuberay-operator"},
    ]


@pytest.mark.parametrize("way", OPERATORS)
def test_the_operator_reaches_the_dashboard_however_it_is_installed(
    overlay: Overlay, way: str
) -> None:
    for name in OVERLAYS:
        reached = [
            peer.items() <= OPERATORS[way].items() for peer in dashboard_peers(overlay(name))
        ]
        assert any(reached), name


def test_the_autoscaler_reaches_the_api_server_of_kind_and_of_minikube(overlay: Overlay) -> None:
    ports = {
        name: [
            port["port"]
            for m in overlay(name)
            if m.name == "xtransfer-autoscaler"
            for rule in m.body["spec"]["egress"]
            for port in rule["ports"]
        ]
        for name in OVERLAYS
    }
    assert ports.pop("kind") == [6443, 8443]
    assert set(map(tuple, ports.values())) == {(6443,)}


@pytest.mark.parametrize("address", ["52.216.0.1", "2600:1fa0::1"])
@pytest.mark.parametrize("metadata", ["169.254.169.254", "fd00:ec2::254"])
def test_the_outside_is_reached_by_both_families_and_the_nodes_metadata_by_none(
    overlay: Overlay, address: str, metadata: str
) -> None:
    blocks = {
        m.name: [
            at(peer, "ipBlock")
            for rule in m.body["spec"].get("egress") or ()
            for peer in rule.get("to") or ()
            if "ipBlock" in peer
        ]
        for m in overlay("gpu")
        if m.kind == "NetworkPolicy"
    }
    for name in ("xtransfer-https", "xtransfer-autoscaler"):
        assert any(_holds(block, address) for block in blocks[name])
        assert not any(_holds(block, metadata) for block in blocks[name])


def _holds(block: Mapping[str, Any], address: str) -> bool:
    at_address = ipaddress.ip_address(address)
    left_out = [ipaddress.ip_network(cidr) for cidr in block.get("except") or ()]
    inside = ipaddress.ip_network(block["cidr"])
    # The API server takes no exception that is not part of the block.
    assert all(each.version == inside.version and each.subnet_of(inside) for each in left_out)  # type: ignore[arg-type]
    return at_address in inside and not any(at_address in each for each in left_out)


def test_the_submitters_rights_are_these(overlay: Overlay) -> None:
    (role,) = [m.body for m in overlay("gpu") if m.kind == "Role"]
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    read = {"get", "list", "watch"}
    applied = {"create", "get", "patch"}
    assert rights == {
        ("ray.io", "rayjobs"): read | {"create", "patch", "delete"},
        ("ray.io", "rayclusters"): read,
        ("", "pods"): read,
        ("", "pods/log"): read,
        # What `k8s status` and the runbook advise to look at: describe lists events beside the object.
        ("", "events"): read,
        ("events.k8s.io", "events"): read,
        ("batch", "jobs"): read,
        ("", "configmaps"): applied,
        ("policy", "poddisruptionbudgets"): applied,
    }


def test_kueue_queues_the_job_and_has_the_queue(overlay: Overlay) -> None:
    manifests = overlay("kueue")
    queues = {m.name for m in manifests if m.kind == "LocalQueue"}
    assert as_job(manifests).job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] in queues
    versions = {m.body["apiVersion"] for m in manifests if "kueue" in m.body["apiVersion"]}
    assert versions == {"kueue.x-k8s.io/v1beta2"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_applied_overlay_starts_nothing(overlay: Overlay, name: str) -> None:
    template = the_job(overlay(name))
    assert template["spec"]["suspend"] is True
    assert "kueue.x-k8s.io/queue-name" not in template["metadata"]["labels"]
    job = as_job(overlay(name)).job
    assert "suspend" not in job["spec"]
    assert "xtransfer/queue" not in job["metadata"].get("annotations", {})


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_applied_overlays_budget_and_a_jobs_own_select_no_pod_together(
    overlay: Overlay, name: str
) -> None:
    manifests = overlay(name)
    applied = [m for m in manifests if m.kind == "PodDisruptionBudget"]
    assert len(applied) == 1
    assert check([*as_job(manifests).manifests(manifests), *applied]) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_another_namespace_is_one_line_of_the_overlay(
    overlay: Overlay, name: str, tmp_path: Path
) -> None:
    before = [(m.kind, m.name.rpartition("-")[0]) for m in overlay(name)]
    shutil.copytree(TREE, tmp_path / "k8s")
    file = tmp_path / "k8s" / "overlays" / name / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("namespace: xtransfer ") == 1
    file.write_text(text.replace("namespace: xtransfer ", "namespace: mine "), encoding="utf-8")
    manifests = render(file.parent)
    assert check(manifests) == []
    assert sorted((m.kind, m.name.rpartition("-")[0]) for m in manifests) == sorted(before)
    spaces = {
        kind: {at(m.body, "metadata", "namespace") for m in manifests if m.kind == kind}
        for kind in {m.kind for m in manifests}
    }
    for kind, found in spaces.items():
        assert found == ({"mine"} if is_namespaced(kind) else {None}), kind
    assert [m.name for m in manifests if m.kind == "Namespace"] == ["mine"]
    (binding,) = [m.body for m in manifests if m.kind == "RoleBinding"]
    assert [subject["namespace"] for subject in binding["subjects"]] == ["mine"]
    for queue in [m.body for m in manifests if m.kind == "ClusterQueue"]:
        selected = queue["spec"]["namespaceSelector"]["matchLabels"]
        assert selected == {"kubernetes.io/metadata.name": "mine"}


def test_a_strategic_merge_patch_on_worker_groups_is_found(
    overlay: Overlay, tmp_path: Path
) -> None:
    assert overlay("kind")
    patch = """patches:
  - patch: |-
      apiVersion: ray.io/v1
      kind: RayJob
      metadata: {name: xt-template}
      spec:
        rayClusterSpec:
          workerGroupSpecs:
            - {groupName: spot, maxReplicas: 100, idleTimeoutSeconds: 300}
"""
    found = {f.rule for f in check(with_components(tmp_path, "auth-token", patches=patch))}
    assert "whole-groups" in found


@pytest.mark.parametrize("name", [*OVERLAYS, ""])
def test_placements_and_the_demos_experiment_are_valid(name: str) -> None:
    folder = TREE / "overlays" / name if name else TREE / "base"
    assert load_placement(folder / "placement.yaml").ray.address == "auto"
    demo = TREE / "base" / "experiment.yaml"
    assert load_experiment(demo) == load_experiment(CHECKOUT / "configs" / "quickstart.yaml")


def test_workers_hold_what_the_placement_asks_for(overlay: Overlay) -> None:
    for name in OVERLAYS:
        placed = load_placement(TREE / "overlays" / name / "placement.yaml")
        groups = the_job(overlay(name))["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        for group in groups:
            limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
            for asked in (placed.train, placed.prepare, placed.evaluate):
                assert float(limits["cpu"]) >= asked.cpus
                assert float(limits.get("nvidia.com/gpu", 0)) >= asked.gpus


def test_the_dashboard_and_the_alerts_use_metrics_that_exist() -> None:
    own = set(
        re.findall(r'"(xtransfer_\w+)"', (CHECKOUT / "xtransfer/driver/gauges.py").read_text())
    )
    folder = TREE / "components" / "monitoring"
    texts = [(folder / name).read_text() for name in ("dashboard.json", "alerts.yaml")]
    for text in texts:
        used = set(re.findall(r"\bray_(xtransfer_\w+)", text))
        assert used
        assert used <= own
    board = json.loads(texts[0])
    titles = [panel["title"] for panel in board["panels"]]
    assert {"Grid progress", "GPU-hours used", "GPU-hours lost"} <= set(titles)
    assert len({panel["id"] for panel in board["panels"]}) == len(titles)


# --- the image ------------------------------------------------------------------------------------


def instructions() -> list[str]:
    text = (TREE / "image" / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line.strip() for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines() if line]


def test_the_image_runs_as_a_user_from_pinned_packages() -> None:
    lines = instructions()
    last = lines.index("FROM ${BASE}")
    assert "USER 1000:1000" in lines[last:]
    assert not any("pip install" in line for line in lines[last:])
    installs = [line for line in lines if "pip install" in line]
    assert any("-c constraints.txt -r requirements.txt" in line for line in installs)
    copied = [part for line in lines if line.startswith("COPY") for part in line.split()[1:-1]]
    sources = [part for part in copied if not part.startswith(("--", "/"))]
    assert sources
    assert [name for name in sources if not (CHECKOUT / name).exists()] == []


def test_the_image_lists_the_projects_dependencies() -> None:
    script, project = TREE / "image" / "dependencies.py", CHECKOUT / "pyproject.toml"
    done = subprocess.run(
        ["python3", str(script), str(project)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("deepspeed==")]
    # What trials, searches and tracking import only where they are asked to.
    assert {"peft", "optuna", "mlflow-skinny", "sqlalchemy"} <= {
        line.partition(">")[0] for line in lines
    }


def test_the_smoke_test_imports_what_settings_may_ask_for() -> None:
    text = (TREE / "image" / "smoke.sh").read_text(encoding="utf-8")
    imported = {
        name.strip().partition(".")[0]
        for names in re.findall(r'python -c "import ([^;"]+)', text)
        for name in names.split(",")
    }
    assert {"torch", "ray", "boto3", "peft", "optuna", "mlflow"} <= imported


def prestop(folder: Path, *commands: str, first: int = 1) -> list[str]:
    """Run prestop for at most 2 s among processes of these names, numbered from `first`; return what it ran."""
    for number, command in enumerate(commands, first):
        (folder / "proc" / str(number)).mkdir(parents=True)
        (folder / "proc" / str(number) / "cmdline").write_bytes(command.encode() + b"\0")
    tools = folder / "tools"
    tools.mkdir()
    for name in ("ray", "sleep"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >>"{folder}/calls"\n', encoding="utf-8")
        tool.chmod(0o755)
    subprocess.run(
        ["sh", str(TREE / "image" / "prestop.sh"), "2"],
        env={"PATH": f"{tools}:{os.environ['PATH']}", "PROC": str(folder / "proc")},
        check=True,
    )
    return (folder / "calls").read_text(encoding="utf-8").splitlines()


def test_an_idle_node_stops_at_once(tmp_path: Path) -> None:
    assert prestop(tmp_path, "ray::IDLE", "/bin/sh") == ["ray stop --grace-period 20"]


def test_a_head_does_not_wait_for_the_end_of_its_grace(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as start:
        calls = prestop(tmp_path, "/opt/venv/bin/ray start --head --block", first=start.pid)
        assert start.wait(timeout=50) == -signal.SIGINT
    assert calls == ["ray stop --grace-period 20"]


def test_a_busy_node_is_drained_and_waits_for_the_trial_to_leave(tmp_path: Path) -> None:
    drain, *waits, end = prestop(tmp_path, "ray::IDLE", "ray::ImplicitFunc.train()")
    assert drain == (
        "ray drain-node --address auto --reason DRAIN_NODE_REASON_PREEMPTION "
        "--reason-message the pod is being stopped --deadline-remaining-seconds 2"
    )
    assert waits == ["sleep 1"] * 2
    assert end == "ray stop --grace-period 20"


def test_where_the_driver_runs_it_is_told_to_end(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as driver:
        calls = prestop(tmp_path, "python -m ray_jobs.experiment x.yaml", first=driver.pid)
        assert driver.wait(timeout=50) == -signal.SIGTERM
    assert calls == ["sleep 1", "sleep 1", "ray stop --grace-period 20"]


def test_waiting_and_stopping_fit_into_the_grace(overlay: Overlay) -> None:
    for name in OVERLAYS:
        for template in pod_templates(the_job(overlay(name))):
            hook = at(template.spec, "containers", 0, "lifecycle", "preStop", "exec", "command")
            if hook:
                assert int(hook[1]) + 20 < template.spec["terminationGracePeriodSeconds"]


def test_the_runbook_names_every_component_and_overlay() -> None:
    text = (TREE / "README.md").read_text(encoding="utf-8")
    rows = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`([^`]+)`", rows)) == COMPONENTS
    assert all(name in text for name in OVERLAYS)


def test_the_rayjobs_ray_is_the_images(overlay: Overlay) -> None:
    pinned = dict(
        line.split("==")
        for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    for name in OVERLAYS:
        assert the_job(overlay(name))["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
