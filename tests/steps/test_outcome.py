"""What a trial leaves for its record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from xtransfer.steps.evaluation import threshold_of
from xtransfer.steps.outcome import parts_json
from xtransfer.train.mixture import Mixture


def outcome_of(*names: str) -> Any:
    """Return an outcome whose best evaluation was the one at step 20."""
    history = [
        {"step": step, **{f"dev {name}null_threshold": step + at for at, name in enumerate(names)}}
        for step in (10, 20, 30)
    ]
    return SimpleNamespace(history=history, best_step=20, draws=[5] * 2)


def part(name: str) -> Any:
    return SimpleNamespace(name=name, rows=3, examples=2)


def test_each_of_several_parts_has_the_odds_that_its_own_dev_set_chose() -> None:
    parts = [part("choices"), part("squad_v2")]
    found = parts_json(parts, Mixture(steps=10, shares=(0.5, 0.5)), outcome_of("squad_v2 "))
    assert "null_threshold" not in found[0]
    assert found[1]["null_threshold"] == 20
    # A few-shot stage goes on with a head and so with its odds; of several heads each has its own.
    record: Any = SimpleNamespace(result={"parts": found}, spec={"head": "fresh"}, inputs={})
    assert threshold_of(record, None, head=1) == 20  # type: ignore[arg-type]
    assert threshold_of(record, None, head=0) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [("",), ()])
def test_a_single_part_has_them_by_the_plain_name(names: tuple[str, ...]) -> None:
    outcome = outcome_of(*names)
    outcome.draws = [5]
    (found,) = parts_json([part("squad_v2")], Mixture(steps=10, shares=(1.0,)), outcome)
    assert found.get("null_threshold") == (20 if names else None)
