"""What a rule on manifests is.

access       what roles give, and to whom bindings give it
jobs         a RayJob's name, how it is submitted, its deadlines and retries
kueue        jobs with Kueue's label
nodes        what Ray announces and takes of a node, and what containers ask for
placement    that a job's placement is one, that all pods see its store, and that the head waits for its trials
pods         Pod Security's "restricted" level, and secrets, on every pod template
ray          KubeRay, Ray's autoscaler, and training that must survive both
room         whether any worker that the job may have holds what a step takes
space        what surrounds a job: namespace, disruption budgets, network, configuration
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from xtransfer.cluster.manifests import Manifest

Hit = tuple[Manifest, str, str]
"""The object, where in it, and what is wrong."""
Look = Callable[[Sequence[Manifest]], Iterable[Hit]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that manifests must keep."""

    name: str
    look: Look
    remedy: str
    """What to write instead, as a sentence."""
    level: Literal["error", "warning"] = "error"


def each(look: Callable[[Manifest], Iterable[tuple[str, str]]], *kinds: str) -> Look:
    """Return a look at the objects of some kinds, one at a time (no kind: at all)."""

    def all_of(manifests: Sequence[Manifest]) -> Iterator[Hit]:
        for manifest in manifests:
            if not kinds or manifest.kind in kinds:
                for path, what in look(manifest):
                    yield manifest, path, what

    return all_of
