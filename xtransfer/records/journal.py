"""What a store holds beside records and resume state: plans, attempts, rulings and suggestions, each by its rules.

    plans/{experiment}-{key of the plan}-{digest of its text}.json

A plan's key says what is computed; its text says where the data are, too, which two drivers may have in
different places.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from xtransfer.errors import IntegrityError, NotFound
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


def faults(store: Store, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (object, what is wrong) of the plans, attempts, rulings and suggestions among the objects `names`.

    Nothing is lost with one of them: a run writes its plan anew, a damaged attempt holds no step, and what was
    ruled or suggested is in the record of its trial, or is found anew.
    """
    for name in names:
        check = _CHECKS.get(name.partition("/")[0])
        if check is None:
            continue
        try:
            check(store.read(name), name)
        except NotFound:  # gone meanwhile
            continue
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            yield name, f"{type(error).__name__}: {error}"


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
