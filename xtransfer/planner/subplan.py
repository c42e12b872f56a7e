"""Parts of a plan: its data, one sweep, the evaluation of one trained model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xtransfer.config.averaging import arm_of
from xtransfer.errors import ConfigError, did_you_mean
from xtransfer.plan import BASELINE, Plan, Step, gates_of


def part_named(plan: Plan, name: str | None) -> Plan:
    """Return a part by its name: data, intermediate:TASK, target:TASK, model:KEY; None for all.

    Raises:
        ConfigError: no part of that name.
    """
    kind, _, rest = (name or "").partition(":")
    if name is None:
        return plan
    if name == "data":
        return data_of(plan)
    if kind in ("intermediate", "target") and rest:
        return sweep_of(plan, kind, rest)
    if kind == "model" and rest:
        return evaluation_of(plan, rest)
    raise ConfigError(
        f"--only {name}",
        "is no part of a plan",
        "There are: data, intermediate:TASK, target:TASK, model:KEY.",
    )


def data_of(plan: Plan) -> Plan:
    """Return the plan's prepare steps, and what they need."""
    return part(plan, [key for key, step in plan.steps.items() if step.kind == "prepare"])


def sweep_of(plan: Plan, phase: str, name: str) -> Plan:
    """Return all trials of one phase and task with the selection among them, and what they need.

    Args:
        plan: the whole plan.
        phase: `intermediate` or `target`.
        name: the sweep: an intermediate task or arm, or a target such as `xnli after mnli`; a target's
            bare name stands for all its sweeps.

    Raises:
        ConfigError: no sweep of that name.
    """
    trials = [s for s in plan.steps.values() if s.kind == "train" and s.phase == phase]
    chosen = _chosen_for(plan) if phase == "target" else _starts(plan)
    names = sorted({step.sweep for step in trials} | set(chosen))
    keys = {step.key for step in trials if name in (step.sweep, step.sweep.split(" after ")[0])}
    shared = {
        key
        for sweep, found in chosen.items()
        if name in (sweep, sweep.split(" after ")[0])
        for key in found
    }
    if not keys | shared:
        near = did_you_mean(name, {n for full in names for n in (full, full.split(" after ")[0])})
        raise ConfigError(
            name,
            f"no {phase} sweep of that name",
            near or f"There are: {', '.join(names) or 'none'}.",
        )
    choices = [
        step.key
        for step in plan.steps.values()
        if step.kind == "select" and keys & set(step.inputs.values())
    ]
    return part(plan, [*keys, *choices, *shared])


def evaluation_of(plan: Plan, model: str) -> Plan:
    """Return the evaluations of one trained model in all languages, and what they need.

    Args:
        plan: the whole plan.
        model: key of a train, select or pretrain step, or its first digits.

    Raises:
        ConfigError: no such step, several, or one that nothing evaluates.
    """
    found = [key for key in plan.steps if key.startswith(model)]
    if len(found) != 1:
        raise ConfigError(
            model, f"{len(found)} steps have such a key", "See: xtransfer plan CONFIG --steps"
        )
    models = {found[0]} | {
        step.key
        for step in plan.steps.values()
        if step.kind == "select" and found[0] in step.inputs.values()
    }
    keys = [
        step.key
        for step in plan.steps.values()
        if step.kind == "evaluate" and models & set(step.inputs.values())
    ]
    if not keys:
        raise ConfigError(
            model,
            "nothing evaluates this step",
            "Give the key of a trial, a selection or the encoder.",
        )
    return part(plan, keys)


def _chosen_for(plan: Plan) -> dict[str, set[str]]:
    """Return target sweep -> keys of the selections that its target is scored with.

    A trial that is the same for two targets (MLQA and XQuAD both train on SQuAD), or in both phases, is one
    step, and that names the first sweep alone: the others are found by what they come to.
    """
    found: dict[str, set[str]] = {}
    for cell in plan.cells:
        model = plan.steps[cell.key].inputs.get("model", "")
        if plan.tasks[cell.target].stages and model and plan.steps[model].kind == "select":
            found.setdefault(f"{cell.target} after {cell.intermediate}", set()).add(model)
    return found


def _starts(plan: Plan) -> dict[str, set[str]]:
    """Return arm -> key of the selection that its targets start from.

    Arms of the same content under two names are one step, whose trials name the first sweep alone.
    """
    found: dict[str, set[str]] = {}
    for cell in plan.cells:
        arm = arm_of(cell.intermediate)
        if arm not in (BASELINE, *found):
            before = part(plan, [cell.key]).steps.values()
            found[arm] = {
                step.key
                for step in before
                if step.kind == "select" and step.phase == "intermediate"
            }
    return found


def part(plan: Plan, keys: Iterable[str]) -> Plan:
    """Return a plan of some steps and all that they come from, in the order of the whole plan."""
    needed: set[str] = set()
    gates = gates_of(plan.gates)
    left = list(keys)
    while left:
        key = left.pop()
        if key not in needed:
            needed.add(key)
            left += plan.steps[key].inputs.values()
            left += [gate.prune for gate in gates.get(key, ())]
    steps: dict[str, Step] = {key: step for key, step in plan.steps.items() if key in needed}
    return replace(
        plan,
        steps=steps,
        cells=tuple(cell for cell in plan.cells if cell.key in needed),
        gates=tuple(
            replace(gate, steps=tuple(key for key in gate.steps if key in needed))
            for gate in plan.gates
            if needed & set(gate.steps)
        ),
        probes=tuple(probe for probe in plan.probes if probe.key in needed),
    )
