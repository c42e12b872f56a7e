"""What a step or a record is about, in words that let one be compared with the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from xtransfer.config.placement import section_of
from xtransfer.costs.devices import CPU, device_named
from xtransfer.identity import canonical_json

_PARENTS = ("start", "model", "trial-000", "encoder")
"""Roles by which a step descends from its encoder, as `xtransfer.steps.encoder.base_key` follows them."""

_SHOWN = 3
"""Most tasks that are named."""


class Node(Protocol):
    """What a step of a plan and a record have in common."""

    @property
    def key(self) -> str:
        """12 hex digits."""
        ...

    @property
    def kind(self) -> str:
        """Of the step."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """What is computed."""
        ...

    @property
    def inputs(self) -> Mapping[str, str]:
        """Role -> key of the parent."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What decides how fast a step is, its device apart."""

    kind: str
    encoder: str
    """Identity of the encoder, or of the tokenizer for a prepare step."""
    tasks: tuple[str, ...]
    """Tasks, and `text` for unlabelled text beside them or alone."""
    forms: tuple[str, ...]
    """The forms of the tasks, each once."""
    lengths: tuple[int, ...]
    """Longest input of each task, in tokens."""
    precision: str
    adapted: bool = False
    """Whether a trial trains adapters only, which is faster."""

    @property
    def about(self) -> str:
        """The subject in words: "train mnli (256 tokens)"."""
        lengths = "/".join(str(length) for length in dict.fromkeys(self.lengths))
        few = len(self.tasks) <= _SHOWN
        tasks = "+".join(self.tasks) if few else f"{len(self.tasks)} tasks"
        return f"{self.kind} {tasks} ({lengths} tokens{', adapters' if self.adapted else ''})"


def subject_of(node: Node, known: Mapping[str, Node]) -> Subject | None:
    """Return what a train, evaluate or prepare step is about.

    Args:
        node: a step or a record.
        known: key -> steps and records among which its parents are looked for.

    Returns:
        None for another kind of step, and where a parent is not known.
    """
    spec = node.spec
    encoder = _encoder(node, known)
    if encoder is None or node.kind not in ("train", "evaluate", "prepare"):
        return None
    if node.kind == "prepare":
        return Subject(
            kind="prepare",
            encoder=encoder,
            tasks=(spec["task"],),
            forms=(spec["form"],),
            lengths=(spec["max_length"],),
            precision="",
        )
    if node.kind == "evaluate":
        roles, tasks, forms = ["test"], (spec["task"],), (spec["form"],)
    else:
        parts = [(part["task"], part["form"]) for part in spec["parts"]]
        parts += [("text", "mlm")] if spec["text"] is not None else []
        tasks = tuple(task for task, _ in parts)
        forms = tuple(sorted({form for _, form in parts}))
        roles = [f"train {task}" for task in tasks]
    data = [known.get(node.inputs[role]) for role in roles]
    lengths = tuple(each.spec["max_length"] for each in data if each is not None)
    if len(lengths) < len(roles):
        return None
    return Subject(
        kind=node.kind,
        encoder=encoder,
        tasks=tasks,
        forms=forms,
        lengths=lengths,
        precision=spec["precision"],
        adapted=bool(spec.get("lora")),
    )


def device_of_record(kind: str, placement: Mapping[str, Any]) -> str | None:
    """Return the name of the device that a record's step ran on, None where it does not say."""
    section = section_of(kind)
    on_cpu = kind == "pretrain" or section == "prepare"
    if on_cpu or not (placement.get(section) or {}).get("gpus"):
        return CPU
    named = placement.get("device")
    return device_named(named) if named else None


def _encoder(node: Node, known: Mapping[str, Node]) -> str | None:
    """Return the identity of the encoder that a step descends from."""
    at: Node | None = node
    while at is not None and at.kind != "pretrain":
        for name in ("encoder", "tokenizer"):
            if at.spec.get(name) is not None:
                return canonical_json(at.spec[name])
        role = next((role for role in _PARENTS if role in at.inputs), None)
        if role is None:
            return None
        if known.get(at.inputs[role]) is None and role == "encoder":
            return at.inputs[role]
        at = known.get(at.inputs[role])
    return None if at is None else at.key
