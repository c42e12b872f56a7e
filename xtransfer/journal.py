"""What a store holds beside records and resume state: plans and attempts, each read by its own rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from xtransfer.errors import NotFound
from xtransfer.leases import LEASES, parse_attempt
from xtransfer.plan import Plan
from xtransfer.store import Store

PLANS = "plans"


def faults(store: Store, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (object, what is wrong) of the plans and attempts among the objects `names`.

    Nothing is lost with one of them: a run writes its plan anew, and a damaged attempt holds no step.
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
    if name != f"{PLANS}/{plan.experiment}-{plan.key}.json":
        raise ValueError(f"holds the plan {plan.experiment}-{plan.key}")


def _check_attempt(data: bytes, name: str) -> None:
    parse_attempt(data, name)


_CHECKS: Mapping[str, Callable[[bytes, str], None]] = {
    PLANS: _check_plan,
    LEASES: _check_attempt,
}
