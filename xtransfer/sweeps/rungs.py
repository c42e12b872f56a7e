"""The rungs that a trial climbs under ASHA, and what was ruled at each.

A ruling is an object of the store, written once and before the trial acts on it:

    rungs/{sweep}/{key of the trial}-{percent}.json

It holds the trial's score and the scores that it was compared with. So a trial that is started again goes
the way it went, a driver that is started again knows what its sweeps have seen, and anybody can rule again
by hand. Rulings depend on the order in which trials came to a rung; that order is what they keep.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from xtransfer.errors import NotFound
from xtransfer.identity import key_of
from xtransfer.plan import VERSIONS, Step
from xtransfer.records.layout import RUNGS
from xtransfer.records.notes import note_text, parse_note
from xtransfer.store import Store
from xtransfer.store.parallel import at_once

TOP = 100
"""Percent of a training; nothing is ruled there."""

log = logging.getLogger(__name__)


class Ruling(BaseModel):
    """What was ruled of one trial at one rung."""

    # What a newer version adds is left out, and the ruling holds.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    key: str
    """Of the trial."""
    rung: int
    """Percent of the training."""
    score: float
    """Best dev score of the trial until then."""
    others: Mapping[str, float]
    """Key -> score of the trials that had come to this rung before."""
    cutoff: float | None
    """What the score had to reach; None for the first one at the rung."""
    goes_on: bool


def rungs_of(step: Step) -> tuple[int, ...]:
    """Return the rungs of a trial, rising, in percent of its training; empty without ASHA."""
    asha: Mapping[str, Any] | None = step.spec.get("asha")
    found: list[int] = []
    rung = asha["grace"] if asha else TOP
    while asha and rung < TOP:
        found.append(rung)
        rung *= asha["reduction"]
    return tuple(found)


def sweep_key(step: Step) -> str:
    """Return what the trials that compete with each other have in common, as 12 hex digits."""
    spec = {
        name: value for name, value in step.spec.items() if name not in ("learning_rate", "seed")
    }
    return key_of({"version": VERSIONS[step.kind], "spec": spec, "inputs": step.inputs})


def read_ruling(store: Store, step: Step, rung: int) -> Ruling | None:
    """Return what was ruled of a trial at a rung, None for nothing yet or nothing readable."""
    return _read(store, _name(step, rung))


def read_rulings(
    store: Store,
    step: Step,
    *,
    rung: int | None = None,
    known: MutableMapping[str, Ruling] | None = None,
) -> list[Ruling]:
    """Return what was ruled in a trial's sweep, by trial and rung.

    Args:
        store: where rulings are.
        step: the trial.
        rung: the only one that is wanted; None: all.
        known: object -> ruling of those that were read before, which are not read again and to which
            the others are added: one that could be read once is never written anew.
    """
    known = {} if known is None else known
    names = [info.name for info in store.list(f"{RUNGS}/{sweep_key(step)}/")]
    names = [name for name in names if rung is None or name.endswith(f"-{rung}.json")]
    unread = [name for name in names if name not in known]
    read = at_once(lambda name: _read(store, name), unread)
    known.update({name: each for name, each in zip(unread, read, strict=True) if each is not None})
    found = [known[name] for name in names if name in known]
    return sorted(found, key=lambda each: (each.key, each.rung))


def rulings_of(store: Store, step: Step) -> list[Ruling]:
    """Return what was ruled of one trial, by rung."""
    found = (read_ruling(store, step, rung) for rung in rungs_of(step))
    return [ruling for ruling in found if ruling is not None]


def leave_ruling(store: Store, step: Step, ruling: Ruling) -> Ruling:
    """Write a ruling down, and return the one that holds: another driver's, if it was there before."""
    name = _name(step, ruling.rung)
    data = note_text(name, ruling.model_dump())
    if store.create(name, data):
        return ruling
    found = _read(store, name)
    if found is None:
        log.warning("%s is of no use, and is replaced", name)
        store.write(name, data)
    return found or ruling


def _read(store: Store, name: str) -> Ruling | None:
    try:
        return Ruling.model_validate_json(json.dumps(parse_note(store.read(name), name)))
    except NotFound:
        return None
    except ValidationError as error:
        log.warning("%s cannot be read: %s", name, error.errors(include_url=False)[0]["msg"])
        return None
    except ValueError as error:
        log.warning("%s is not believed: it %s", name, error)
        return None


def _name(step: Step, rung: int) -> str:
    return f"{RUNGS}/{sweep_key(step)}/{step.key}-{rung}.json"
