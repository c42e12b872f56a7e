"""What preflight asks of registries and stores, and what it makes of their answers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from tests.cluster.conftest import CHECKOUT
from tests.needs import need_kustomize
from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.preflight import ask_image, ask_store, parts_of, placeholders, preflight
from xtransfer.cluster.render import render
from xtransfer.config.placement import Placement
from xtransfer.errors import ConfigError

DIGEST = "sha256:" + "0" * 64


class Registry(BaseHTTPRequestHandler):
    """Has one image, and another that asks for a login."""

    def do_HEAD(self) -> None:
        code = {f"/v2/team/xtransfer/manifests/{DIGEST}": 200, "/v2/secret/manifests/1": 401}
        self.send_response(code.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("xtransfer", ("", "xtransfer", "latest")),
        ("team/xtransfer:1", ("", "team/xtransfer", "1")),
        ("localhost/x:1", ("localhost", "x", "1")),
        ("r.example.com:5000/a/b:1", ("r.example.com:5000", "a/b", "1")),
        ("docker.io/team/xtransfer:1", ("docker.io", "team/xtransfer", "1")),
        ("docker.io/python:3.11", ("docker.io", "library/python", "3.11")),
        (f"r.example.com/a/b:1@{DIGEST}", ("r.example.com", "a/b", DIGEST)),
    ],
)
def test_an_images_name_is_taken_apart(image: str, parts: tuple[str, str, str]) -> None:
    assert parts_of(image) == parts


def test_a_registry_has_an_image_has_none_or_does_not_tell(registry: str) -> None:
    assert ask_image(f"{registry}/team/xtransfer@{DIGEST}").found == "there"
    missing = ask_image(f"{registry}/team/xtransfer:2")
    assert missing.found == "absent"
    assert "push it" in missing.text
    assert ask_image(f"{registry}/secret:1").found == "unknown"
    assert "401" in ask_image(f"{registry}/secret:1").text


def test_an_image_that_cannot_be_asked_for_is_unknown() -> None:
    assert "on the nodes" in ask_image("xtransfer:0.1.0-cpu").text
    silent = ask_image("127.0.0.1:1/x:1")
    assert silent.found == "unknown"
    assert "does not answer" in silent.text


def test_docker_hub_is_asked_where_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker.io` itself is a web site, which knows no image: each would be absent."""
    asked: list[str] = []

    def refuse(request: Request, **_: object) -> None:
        asked.append(request.full_url)
        raise HTTPError(request.full_url, 401, "", Message(), None)

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    answer = ask_image("docker.io/python:3.11")
    assert (answer.found, answer.text) == ("unknown", "docker.io answers 401 without a login")
    assert asked == ["https://registry-1.docker.io/v2/library/python/manifests/3.11"]


def placed(store: str, endpoint: str | None = None) -> Placement:
    return Placement.model_validate({"store": store, "s3": {"endpoint_url": endpoint}})


def test_a_store_that_does_not_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    answer = ask_store(placed("s3://bucket/x", "http://127.0.0.1:1"))
    assert answer.found == "unknown"
    assert "cannot be reached" in answer.text


@pytest.mark.slow
def test_a_bucket_is_there_or_is_not(s3_url: str) -> None:
    assert ask_store(placed(s3_url)).found == "there"
    answer = ask_store(placed("s3://no-such-bucket/x"))
    assert answer.found == "absent"
    assert "no such bucket" in answer.text


def test_what_was_never_filled_in_is_absent(manifests: list[Manifest]) -> None:
    bodies = [copy.deepcopy(manifest.body) for manifest in manifests]
    assert placeholders(manifests) == {}
    for body in bodies:
        if body["kind"] == "RayJob":
            head = body["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
            head["containers"][0]["image"] = f"registry.example.com/xtransfer@{DIGEST}"
        if (body["kind"], body["metadata"]["name"]) == ("ServiceAccount", "xtransfer-head"):
            role = "arn:aws:iam::000000000000:role/xtransfer"
            body["metadata"]["annotations"] = {"eks.amazonaws.com/role-arn": role}
    answers = preflight([Manifest(file="example", body=body) for body in bodies])
    absent = {answer.about: answer.text for answer in answers if answer.found == "absent"}
    assert sorted(absent) == [
        "ServiceAccount xtransfer-head",
        "image registry.example.com/xtransfer",
    ]
    assert "`images`" in absent["image registry.example.com/xtransfer"]


def test_preflight_asks_for_every_image_and_the_placements_store(manifests: list[Manifest]) -> None:
    about = [answer.about for answer in preflight(manifests)]
    assert about == ["image xtransfer:0.1.0-cpu", "store s3://xtransfer/study"]
    with pytest.raises(ConfigError, match="holds no RayJob"):
        preflight([m for m in manifests if m.kind != "RayJob"])


@pytest.mark.parametrize("name", ["gpu", "eks-spot", "kueue"])
def test_the_examples_store_is_not_filled_in_and_not_asked_for(name: str) -> None:
    need_kustomize()
    manifests = render(CHECKOUT / "k8s" / "overlays" / name)
    text = "is the example's: give your bucket in the overlay's placement.yaml"
    assert placeholders(manifests)["store s3://bucket/xtransfer"] == text
    answers = [each for each in preflight(manifests) if each.about.startswith("store ")]
    assert [each.found for each in answers] == ["absent"]
