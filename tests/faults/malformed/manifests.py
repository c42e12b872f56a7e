"""Malformed Kubernetes manifests, given to `k8s check` and `k8s setup`."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.faults.malformed.oracle import Case
from tests.faults.malformed.settings import LAUGHS
from xtransfer.cluster.render import render

CHECKOUT = Path(__file__).resolve().parents[3]
ODD: tuple[Any, ...] = (
    *(None, 0, -1, 10**30, 1.5, True, "", "x", "é", "a" * 300, [], {}, [None], [[]], {"a": {}}),
    *({"junk": [{}]}, ["x"], "1e3", "500m", "-5Gi", "2026-01-01", "9" * 400),
)


def manifest(draw: Random, folder: Path, _: int) -> Case:
    """The objects of an overlay with another value in one or two places: most of them break a rule."""
    bodies = copy.deepcopy(_bodies(draw.choice(("gpu", "kueue"))))
    places: list[str] = []
    for _ in range(draw.choice((1, 1, 2))):
        body = draw.choice([each for each in bodies if each.get("kind") == "RayJob"] + bodies)
        places.append(_change(body, draw))
    (folder / "job.yaml").write_text(
        yaml.safe_dump_all(bodies, allow_unicode=True), encoding="utf-8"
    )
    return Case(
        what=f"manifests with other values at {', '.join(places)}",
        arguments=("k8s", "check", "job.yaml"),
        places=("job.yaml",),
        certain=False,
    )


def no_manifest(draw: Random, folder: Path, _: int) -> Case:
    """A file or folder that holds no manifests at all."""
    what, text = draw.choice(list(_NONE.items()))
    path = folder / "job.yaml"
    place = "job.yaml"
    if text is None:
        path.mkdir()
        if what == "a folder with a broken overlay":
            (path / "kustomization.yaml").write_text("resources: [absent.yaml]\n")
        if what == "a folder with a folder of that name":
            (path / "inner.yaml").mkdir()
            place = "inner.yaml"
    elif what != "absent":
        path.write_bytes(text)
    command = draw.choice((("k8s", "check"), ("k8s", "setup")))
    return Case(what=f"{what} for manifests", arguments=(*command, "job.yaml"), places=(place,))


def _change(body: Any, draw: Random) -> str:
    """Change one value of an object, any but its top; return where."""
    at, path = body, ""
    while True:
        step = draw.choice(list(at) if isinstance(at, dict) else range(len(at)))
        path = f"{path}.{step}"
        inner = at[step]
        if not isinstance(inner, dict | list) or not inner or draw.random() < 0.15:
            if isinstance(at, dict) and draw.random() < 0.2:
                del at[step]
            else:
                at[step] = copy.deepcopy(draw.choice(ODD))
            return path
        at = inner


@cache
def _bodies(overlay: str) -> list[Any]:
    return [each.body for each in render(CHECKOUT / "k8s" / "overlays" / overlay)]


_NONE: dict[str, bytes | None] = {
    "absent": b"",
    "a folder without files": None,
    "a folder with a broken overlay": None,
    "a folder with a folder of that name": None,
    "no object": b"a: 1\n",
    "a list": b"- apiVersion: v1\n  kind: Pod\n",
    "a word": b"pod\n",
    "no kind": b"apiVersion: v1\nmetadata: {name: x}\n",
    "a kind that is a list": b"apiVersion: v1\nkind: [a]\n",
    "a List without items": b"apiVersion: v1\nkind: List\n",
    "a List of words": b"apiVersion: v1\nkind: List\nitems: [a, b]\n",
    "a List of lists": b"apiVersion: v1\nkind: List\nitems: [[]]\n",
    "a List that is no list": b"apiVersion: v1\nkind: List\nitems: 5\n",
    "Latin-1": "apiVersion: v1\nkind: Pod\nmetadata: {name: é}\n".encode("latin-1"),
    "NUL bytes": b"apiVersion: v1\0\nkind: Pod\n",
    "noise": b"\xff\x00\x80" * 50,
    "a tab": b"apiVersion: v1\n\tkind: Pod\n",
    "a bad date": b"apiVersion: v1\nkind: Pod\nmetadata: {name: 2024-99-99}\n",
    "an object of Python": b"apiVersion: v1\nkind: !!python/name:os.system x\n",
    "a billion laughs": LAUGHS.encode() + b"apiVersion: v1\nkind: Pod\n",
    "itself inside": b"apiVersion: v1\nkind: Pod\nspec: &a {b: *a}\n",
    "deep": b"apiVersion: v1\nkind: Pod\nspec: " + b"[" * 5000,
    "half a list": b"apiVersion: v1\nkind: Pod\nspec: [1, 2\n",
    "a key that is a list": b"apiVersion: v1\nkind: Pod\n? [a]\n: b\n",
}
