"""An experiment as a plan: a DAG of content-addressed steps, known whole before anything runs.

    prepare ──────────────┐
    (pretrain ─┐)         v
               └──> train (intermediate sweep) ──> select ──> train (target sweep) ──> select ──> evaluate

With pruning, the plan still has the steps of every pair of intermediate and target task, so that it is known
whole and a pair's keys do not depend on the others. A `Gate` says which steps a pair alone needs: they wait for
the target's prune step, and are left out where it drops the pair.

A step's key hashes what is computed: its kind and version, its specification and its parents' keys.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from xtransfer.identity import key_of
from xtransfer.tasks.task import Task

Kind = Literal["pretrain", "prepare", "train", "select", "average", "estimate", "prune", "evaluate"]
PhaseName = Literal["data", "encoder", "intermediate", "target", "evaluation"]

VERSIONS: Mapping[Kind, int] = {
    "pretrain": 1,
    "prepare": 2,
    "train": 6,
    "select": 1,
    "average": 1,
    "estimate": 1,
    "prune": 1,
    "evaluate": 4,
}
"""Raised when a step of this kind would compute something else from the same specification."""

INLINE: tuple[Kind, ...] = ("select", "prune")
"""Kinds of step that only choose: they take no time and no resources, and the driver does them itself."""

BASELINE = "baseline"
EARLIER = "earlier-"
"""How the roles of the trials begin from which a trial's learning rate is suggested."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One unit of work whose result is recorded once and for all."""

    kind: Kind
    name: str
    """Readable part of the store path; a function of the identity, not hashed by itself."""
    spec: Mapping[str, Any]
    """What is computed, as JSON."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Role -> key of the parent step in that role."""
    where: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Locations of outside inputs (data root, encoder folder); not hashed: their digests are."""
    phase: PhaseName
    """For progress and reports; not hashed."""
    sweep: str = ""
    """The sweep that a trial belongs to; for progress and reports, not hashed."""

    @property
    def key(self) -> str:
        """12 hex digits that stand for what the step computes."""
        cached = self.__dict__.get("_key")
        if cached is None:
            cached = key_of(
                {
                    "kind": self.kind,
                    "version": VERSIONS[self.kind],
                    "spec": self.spec,
                    "inputs": self.inputs,
                }
            )
            self.__dict__["_key"] = cached
        return cached

    @property
    def folder(self) -> str:
        """Where the step's record and files are in the store."""
        return f"{self.kind}/{self.name}-{self.key}"

    @property
    def arm(self) -> str:
        """Of an intermediate trial whose name is not that of its arm, as on text, " (ARM)"; empty of others."""
        told = self.name.startswith(f"{self.sweep}-")
        own = self.kind == "train" and self.phase == "intermediate" and self.sweep and not told
        return f" ({self.sweep})" if own else ""


def alternatives(step: Step) -> list[set[str]]:
    """Return the trials of which any one will do for a step that takes a sweep as it is; else nothing.

    Such a step is a selection, or a trial whose learning rate is suggested from earlier ones. Each of the trials
    is its key and that of the step that judges it, which is the trial itself unless an evaluation on the target's
    dev sets does.
    """
    if step.kind == "train" and step.spec.get("tpe", {}).get("incomplete") == "allow":
        return [{key} for role, key in step.inputs.items() if role.startswith(EARLIER)]
    if step.kind != "select" or step.spec.get("incomplete") != "allow":
        return []
    return [
        {key, step.inputs.get(role.replace("trial-", "dev-"), key)}
        for role, key in step.inputs.items()
        if role.startswith("trial-")
    ]


def few_shot_data(step: Step) -> tuple[str, ...]:
    """Return the keys of the training data of a few-shot trial; none of any other step.

    Of them there must be as many examples as their limit says, by which the scores are named.
    """
    if step.kind != "train" or step.spec["keep"] != "last":  # no other trial goes without a dev set
        return ()
    return tuple(key for role, key in step.inputs.items() if role.startswith("train "))


def lost_need(step: Step, needs: Iterable[str], lost: Container[str]) -> str | None:
    """Return a lost step for want of which `step` can never run, None while it can.

    Args:
        step: that waits.
        needs: keys of the steps that it waits for.
        lost: keys of the steps that have failed or are blocked.
    """
    gone_needs = [need for need in needs if need in lost]
    if not gone_needs:
        return None
    trials = alternatives(step)
    spared = set[str]().union(*trials)
    for need in gone_needs:
        if need not in spared:
            return need
    gone = [next((key for key in sorted(each) if key in lost), None) for each in trials]
    return gone[0] if gone and all(gone) else None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One pair that may be pruned."""

    target: str
    intermediate: str
    estimate: str
    """Key of the pair's estimate step."""
    prune: str
    """Key of the target's prune step."""
    steps: tuple[str, ...]
    """Keys of the steps that only this pair and others with a gate need."""

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Gate:
        """Rebuild a gate."""
        fields: dict[str, Any] = {**value, "steps": tuple(value["steps"])}
        return Gate(**fields)


def gates_of(gates: Iterable[Gate]) -> dict[str, list[Gate]]:
    """Return key of a step -> the gates that it stands behind."""
    found: dict[str, list[Gate]] = {}
    for gate in gates:
        for key in gate.steps:
            found.setdefault(key, []).append(gate)
    return found


def is_dropped(gates: Collection[Gate], kept: Mapping[str, Collection[str]]) -> bool:
    """Say whether a step is left out: every pair that needs it is dropped.

    Args:
        gates: that the step stands behind; none: it is never left out.
        kept: key of each prune step that is done -> keys of the estimates that it keeps.
    """
    return bool(gates) and all(
        gate.prune in kept and gate.estimate not in kept[gate.prune] for gate in gates
    )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the result table before it is known: what is scored, and where it will be."""

    target: str
    intermediate: str
    """Name of the intermediate task, or `baseline`."""
    seed: int | None
    """Seed of the target trial; None for a target without training."""
    key: str
    """Key of the evaluate step."""
    selected_on: str
    """Data set, split and language that chose the model: "mnli dev en", "none"."""
    few_shot: int = 0
    """Examples of the scored language that the model was trained on last; 0: zero-shot."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A measurement of a model that is no score of a target (`xtransfer.config.analyses`)."""

    kind: Literal["forgetting", "alignment"]
    key: str
    """Key of the evaluate step."""
    task: str
    """The task whose data are used."""
    after: str
    """The arm that the model was trained in, or `baseline`."""
    target: str
    """The target that it was trained for then; empty: none."""
    seed: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps of an experiment, parents before children, and the table they fill."""

    experiment: str
    steps: Mapping[str, Step]
    """Key -> step, in an order in which every parent precedes its children."""
    cells: tuple[Cell, ...]
    tasks: Mapping[str, Task]
    """Every task that the plan uses, the user's own included, by name."""
    gates: tuple[Gate, ...] = ()
    """Which steps wait for what a prune step keeps."""
    probes: tuple[Probe, ...] = ()

    @property
    def key(self) -> str:
        """12 hex digits that stand for the whole plan."""
        return key_of(sorted(self.steps))

    def counts(self) -> dict[str, int]:
        """Return the number of steps of each kind and phase, as `kind` or `kind (phase)`."""
        counts: dict[str, int] = {}
        for step in self.steps.values():
            label = f"{step.kind} ({step.phase})" if step.kind in ("train", "select") else step.kind
            counts[label] = counts.get(label, 0) + 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON; `from_json` reads it back."""
        return {
            "experiment": self.experiment,
            "key": self.key,
            "steps": [{**asdict(step), "key": step.key} for step in self.steps.values()],
            "cells": [asdict(cell) for cell in self.cells],
            "tasks": [task.model_dump(mode="json") for task in self.tasks.values()],
            **({"gates": [asdict(gate) for gate in self.gates]} if self.gates else {}),
            "probes": [asdict(probe) for probe in self.probes],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """Rebuild a plan; step keys are computed anew, so a doctored file cannot pass."""
        steps = [
            Step(**{name: item for name, item in raw.items() if name != "key"})
            for raw in value["steps"]
        ]
        return Plan(
            experiment=value["experiment"],
            steps={step.key: step for step in steps},
            cells=tuple(Cell(**raw) for raw in value["cells"]),
            tasks={raw["name"]: Task.model_validate(raw) for raw in value["tasks"]},
            gates=tuple(Gate.from_json(raw) for raw in value.get("gates", ())),
            probes=tuple(Probe(**raw) for raw in value.get("probes", ())),
        )
