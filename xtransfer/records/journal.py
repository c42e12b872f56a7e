"""What a store holds beside records and resume state: plans, attempts, rulings and suggestions, each by its rules.

    plans/{experiment}-{key of the plan}-{digest of its text}.json

A plan's key says what is computed; its text says where the data are, too, which two drivers may have in
different places.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from xtransfer.errors import IntegrityError
from xtransfer.plan import Plan
from xtransfer.records.layout import LEASES, PLANS, RUNGS, SUGGESTIONS
from xtransfer.records.leases import parse_attempt
from xtransfer.records.notes import parse_note
from xtransfer.store import Store


def leave_plan(store: Store, plan: Plan) -> str:
    """Write a plan for the processes of its steps, and return the name of its object.

    Whoever writes another text writes another object.
    """
    data = json.dumps(plan.to_json()).encode()
    name = f"{_stem(plan)}-{_digest(data)}.json"
    store.write(name, data)
    return name


def read_plan(store: Store, name: str) -> Plan:
    """Return the plan that `leave_plan` left under a name.

    Raises:
        IntegrityError: when it is not that one any more.
    """
    data = store.read(name)
    if not name.endswith(f"-{_digest(data)}.json"):
        raise IntegrityError(f"{store.url}/{name}", "is damaged", "Start the run again.")
    return Plan.from_json(json.loads(data))


def is_checked(name: str) -> bool:
    """Say whether `fault` knows what an object of this name is to hold."""
    return name.partition("/")[0] in _CHECKS


def is_spare(name: str) -> bool:
    """Say whether nothing is lost with an object once it is damaged.

    A run writes its plan anew, and what was ruled or suggested is in the record of its trial, or is found anew.
    A damaged attempt holds no step, but its number is taken: it stays until `store gc` removes the attempts at a
    step that is recorded.
    """
    return name.partition("/")[0] in (PLANS, RUNGS, SUGGESTIONS)


def fault(data: bytes, name: str) -> str:
    """Return what is wrong with the data of a plan, attempt, ruling or suggestion, "" for nothing."""
    try:
        _CHECKS[name.partition("/")[0]](data, name)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _check_plan(data: bytes, name: str) -> None:
    plan = Plan.from_json(json.loads(data))
    # Stores that were begun earlier hold plans without a digest in their names.
    if name not in (f"{_stem(plan)}.json", f"{_stem(plan)}-{_digest(data)}.json"):
        raise ValueError(f"holds the plan {plan.experiment}-{plan.key}, or another text of it")


def _stem(plan: Plan) -> str:
    return f"{PLANS}/{plan.experiment}-{plan.key}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


_CHECKS: Mapping[str, Callable[[bytes, str], object]] = {
    PLANS: _check_plan,
    LEASES: parse_attempt,
    RUNGS: parse_note,
    SUGGESTIONS: parse_note,
}
