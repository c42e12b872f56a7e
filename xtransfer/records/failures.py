"""What failed, how often it was tried, where its log is, and what waits for it.

    failures/{step key}.json    the last failure of a step

A note stands until the step's next run begins or its record exists.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from xtransfer.errors import NotFound
from xtransfer.plan import Plan, Step, gates_of, lost_need
from xtransfer.records.layout import FAILURES, LOGS
from xtransfer.records.leases import attempts
from xtransfer.store import Store
from xtransfer.store.parallel import at_once

DIED = "its process died"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A step that failed and has no record."""

    step: Step
    error: str
    """Its first line."""
    tries: int
    """Attempts that ended without a record, over all runs."""
    log: str
    """Name of the log of its last attempt in the store; "" where there is none."""
    blocked: tuple[Step, ...]
    """The steps that cannot run before it has."""


def note_failure(store: Store, step: Step, text: str, details: str) -> None:
    """Leave a failed step's error and traceback in the store, beside where its record would be."""
    note = {
        "key": step.key,
        "step": step.folder,
        "error": text,
        "traceback": details,
        "host": socket.gethostname(),
        "time": time.time(),
    }
    store.write(_name(step.key), json.dumps(note, indent=1).encode())


def noted(store: Store) -> dict[str, str]:
    """Return key -> error of all steps that a note says failed."""
    names = [item.name for item in store.list(f"{FAILURES}/")]
    texts = at_once(lambda name: _read(store, name), names)
    keys = [name.rpartition("/")[2].removesuffix(".json") for name in names]
    return {key: text for key, text in zip(keys, texts, strict=True) if text}


def note_of(store: Store, key: str) -> str:
    """Return the error of a step that has failed, "" without a note."""
    return _read(store, _name(key))


def reason(text: str) -> str:
    """Return in words why an attempt ended, of which Ray says `text`."""
    if "low on memory" in text:
        return (
            "Ray ended its process because the node was low on memory. Let fewer steps run at once "
            "(concurrent, train.cpus), or give a trial more memory"
        )
    last = text.strip().rpartition("\n")[2]
    own = re.fullmatch(r"xtransfer\.errors\.\w+: (.*)", last)
    return own[1] if own else DIED


def forget(store: Store, keys: Iterable[str]) -> None:
    """Drop the notes of steps that are tried again."""
    there = {item.name for item in store.list(f"{FAILURES}/")}
    for name in there & {_name(key) for key in keys}:
        store.delete(name)


def failures(
    plan: Plan, store: Store, failed: Mapping[str, str], *, recorded: Collection[str]
) -> list[Failure]:
    """Return all there is to know of the steps `failed` (key -> error), in the order of the plan.

    `recorded`: keys of the steps that wait for nothing, those that are pruned included.
    """
    waiting = blocked_by(plan, failed, recorded=recorded)

    def look(key: str) -> Failure:
        tried = [each for each in attempts(store, key) if each.state in ("working", "failed")]
        logs = [item.name for item in store.list(f"{LOGS}/{key}/")]
        return Failure(
            step=plan.steps[key],
            error=failed[key].strip().partition("\n")[0],
            tries=max(1, len(tried)),  # one that died at its very start has left no lease
            log=max(logs, key=lambda name: name.rpartition("/")[2], default=""),
            blocked=tuple(plan.steps[each] for each in waiting[key]),
        )

    return at_once(look, [key for key in plan.steps if key in failed])


def blocked_by(
    plan: Plan, failed: Collection[str], *, recorded: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return, for each failed step, the keys of those that wait for it; each key is under one step.

    Args:
        plan: the whole plan.
        failed: keys.
        recorded: keys of the steps that wait for nothing, those that are pruned included.
    """
    gates = gates_of(plan.gates)
    needs = {
        key: (*step.inputs.values(), *(gate.prune for gate in gates.get(key, ())))
        for key, step in plan.steps.items()
        if key not in recorded
    }
    culprits = {key: key for key in failed}
    before = -1
    while len(culprits) > before:  # parents come first, but for what prunes a step
        before = len(culprits)
        for key, needed in needs.items():
            need = lost_need(plan.steps[key], needed, culprits)
            if need is not None:
                culprits.setdefault(key, culprits[need])
    found: dict[str, list[str]] = {key: [] for key in failed}
    for key in needs:
        if key in culprits and key not in failed:
            found[culprits[key]].append(key)
    return found


def _read(store: Store, name: str) -> str:
    try:
        return str(json.loads(store.read(name))["error"])
    except (ValueError, KeyError, TypeError, RecursionError, NotFound):  # damaged, or gone
        return ""


def _name(key: str) -> str:
    return f"{FAILURES}/{key}.json"
