"""What the operator, Pod Security and Kueue refuse, and no schema shows: rules on rendered manifests.

A rule looks at one object, or at all of them together, and yields (where, what). Its remedy says what to
write instead. `check` applies every rule; a user's own manifests pass through the same ones before
anything is submitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.rules import (
    Hit,
    Rule,
    access,
    jobs,
    kueue,
    nodes,
    placement,
    pods,
    ray,
    room,
    space,
)

RULES: tuple[Rule, ...] = (
    *jobs.RULES,
    *ray.RULES,
    *nodes.RULES,
    *pods.RULES,
    *kueue.RULES,
    *space.RULES,
    *access.RULES,
    *room.RULES,
    *placement.RULES,
)


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One place where a rule is broken."""

    file: str
    object: str
    """Kind and name."""
    path: str
    """Where in the object, as `spec.a[0].b`."""
    rule: str
    level: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """Return it as one line: where, what, what next."""
        return f"{self.file}: {self.object}: {self.path}: {self.what}. {self.remedy} [{self.rule}]"


def check(manifests: Sequence[Manifest]) -> list[Finding]:
    """Return everything that the rules find, in the order of objects and rules.

    A rule that cannot be applied, since something that it looks at is of another kind than Kubernetes
    has there, is broken by the object where that is.
    """
    found: list[Finding] = []
    for rule in RULES:
        for manifest, path, what in _hits(rule, manifests):
            found.append(
                Finding(
                    file=manifest.file,
                    object=f"{manifest.kind}/{manifest.name}",
                    path=path,
                    rule=rule.name,
                    level=rule.level,
                    what=what,
                    remedy=rule.remedy,
                )
            )
    return sorted(found)


def _hits(rule: Rule, manifests: Sequence[Manifest]) -> list[Hit]:
    try:
        return list(rule.look(manifests))
    except _MISFITS:
        return [
            (_culprit(rule, manifests), "$", "holds a value of another kind than belongs there")
        ]


def _culprit(rule: Rule, manifests: Sequence[Manifest]) -> Manifest:
    """Return the object that a rule stumbles over, the first where it takes several together."""
    for manifest in manifests:
        try:
            list(rule.look([manifest]))
        except _MISFITS:
            return manifest
    return manifests[0]


_MISFITS = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that keep a job from being submitted."""
    return [finding for finding in findings if finding.level == "error"]
