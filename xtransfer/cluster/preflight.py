"""What can be asked before a job is submitted: is the image in its registry, does the store answer?

Asked from where the command runs. A cluster may reach what this machine does not, and the other way round: only a
definite "there is none" is wrong, whatever is not answered is unknown.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from xtransfer.cluster.manifests import Manifest, at, pod_templates
from xtransfer.cluster.placements import placement_of
from xtransfer.config.placement import Placement
from xtransfer.errors import ConfigError, NotFound, StoreError, XtransferError

TIMEOUT_S = 10.0
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
"""What an image may be, as registries call it (OCI distribution specification, `GET /v2/…/manifests/…`)."""

ANSWERS_FOR = {"docker.io": "registry-1.docker.io"}
"""Registry as images name it -> host that answers for it. Official images lie below `library/` there."""

NO_DIGEST = "@sha256:" + "0" * 64
NO_ACCOUNT = "arn:aws:iam::000000000000:"
"""What the overlays of k8s/ have where an image's digest and a role of one's own belong."""
EXAMPLE_STORE = "s3://bucket/xtransfer"
"""What they have where the store's bucket belongs."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found out of one thing."""

    about: str
    found: Literal["there", "absent", "unknown"]
    text: str


def preflight(manifests: Sequence[Manifest]) -> list[Answer]:
    """Ask for the images and the store of every RayJob, and look for what was never filled in.

    Raises:
        ConfigError: there is no RayJob.
    """
    jobs = [manifest for manifest in manifests if manifest.kind == "RayJob"]
    if not jobs:
        where = manifests[0].file if manifests else ""
        raise ConfigError(where, "holds no RayJob", "Give an overlay of k8s/base.")
    containers = [
        c for job in jobs for each in pod_templates(job.body) for _, c in each.containers()
    ]
    images = dict.fromkeys(str(container.get("image", "")) for container in containers)
    placements = [found for job in jobs if (found := placement_of(manifests, job)) is not None]
    left = placeholders(manifests)
    return [
        *(Answer(about=about, found="absent", text=text) for about, text in left.items()),
        *(ask_image(image) for image in images if not image.endswith(NO_DIGEST)),
        *(ask_store(each) for each in placements if each.store != EXAMPLE_STORE),
    ]


def placeholders(manifests: Sequence[Manifest]) -> dict[str, str]:
    """Return what of an overlay is still the example's, which can work nowhere: name -> what to do."""
    found: dict[str, str] = {}
    for manifest in manifests:
        placement = placement_of(manifests, manifest) if manifest.kind == "RayJob" else None
        if placement is not None and placement.store == EXAMPLE_STORE:
            text = "is the example's: give your bucket in the overlay's placement.yaml"
            found[f"store {EXAMPLE_STORE}"] = text
        for each in pod_templates(manifest.body) if manifest.kind == "RayJob" else ():
            for _, container in each.containers():
                if (image := str(container.get("image", ""))).endswith(NO_DIGEST):
                    text = (
                        "is the example's: give your image and its digest in the overlay's `images`"
                    )
                    found[f"image {image.removesuffix(NO_DIGEST)}"] = text
        for name, value in (at(manifest.body, "metadata", "annotations") or {}).items():
            if str(value).startswith(NO_ACCOUNT):
                text = (
                    f"its {name} is the example's: patch in your role's, or leave its component out"
                )
                found[f"{manifest.kind} {manifest.name}"] = text
    return found


def ask_image(image: str) -> Answer:
    """Ask an image's registry, without credentials, whether it has it."""
    about = f"image {image}"
    registry, repository, reference = parts_of(image)
    if not registry:
        text = "its name holds no registry: it has to be on the nodes, or in the one they are set up with"
        return Answer(about=about, found="unknown", text=text)
    scheme = "http" if registry.split(":")[0] in ("localhost", "127.0.0.1") else "https"
    host = ANSWERS_FOR.get(registry, registry)
    url = f"{scheme}://{host}/v2/{repository}/manifests/{reference}"
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFESTS})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - https, or this machine
            return Answer(about=about, found="there", text=f"{registry} has it")
    except urllib.error.HTTPError as refusal:
        with refusal:
            if refusal.code == http.HTTPStatus.NOT_FOUND:
                text = f"{registry} has no such image: push it, or correct the overlay"
                return Answer(about=about, found="absent", text=text)
            return Answer(
                about=about,
                found="unknown",
                text=f"{registry} answers {refusal.code} without a login",
            )
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Answer(about=about, found="unknown", text=f"{registry} does not answer: {reason}")


def parts_of(image: str) -> tuple[str, str, str]:
    """Return (registry, repository, tag or digest) of an image's name; no registry where it names none."""
    name, _, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    registry = first if slash and ("." in first or ":" in first or first == "localhost") else ""
    path = rest if registry else name
    if registry in ANSWERS_FOR and "/" not in path:
        path = f"library/{path}"
    repository, _, tag = path.partition(":")
    return registry, repository, digest or tag or "latest"


def ask_store(placement: Placement) -> Answer:
    """Look into a store once, with the credentials that there are here, and see what S3 does where an object is created twice."""
    from xtransfer.records.probe import OVERWRITES, check_creation
    from xtransfer.store import StoreOptions, open_store

    about = f"store {placement.store}"
    settings = placement.s3.model_dump() | {
        "attempts": 1,
        "connect_timeout_s": TIMEOUT_S,
        "read_timeout_s": TIMEOUT_S,
    }
    try:
        store = open_store(placement.store, options=StoreOptions(**settings))
        with suppress(NotFound):
            store.read("plans/none.json")  # unlike a HEAD, its refusal tells bucket from object
        if placement.store.startswith("s3://"):  # a folder is one of the nodes'
            check_creation(store)
    except StoreError as error:
        definite = "no such bucket" in error.what or error.what == OVERWRITES
        return Answer(about=about, found="absent" if definite else "unknown", text=str(error))
    except XtransferError as error:
        return Answer(about=about, found="unknown", text=str(error))
    return Answer(about=about, found="there", text="it answers")
