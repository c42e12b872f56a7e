from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xtransfer.execution.work import WORK
from xtransfer.plan import Step

SCORES = {(1e-5, 1): 76.0, (1e-5, 2): 77.0, (1e-5, 3): 78.0, (2e-5, 1): 90.0, (2e-5, 2): 80.0}


@pytest.mark.parametrize("rule", ["mean_over_seeds", "tied_over_seeds"])
def test_a_selection_over_seeds_records_the_interval_of_each_rate(
    rule: str, tmp_path: Path
) -> None:
    records = {
        f"{rate:g}-{seed}": SimpleNamespace(
            spec={"learning_rate": rate, "seed": seed},
            result={"score": score, "best_step": 1},
        )
        for (rate, seed), score in (SCORES | {(2e-5, 3): 88.0}).items()
    }
    bench: Any = SimpleNamespace(record=records.__getitem__)
    step = Step(
        kind="select",
        name="x",
        spec={"rule": rule, "split": "dev en"},
        inputs={f"trial-{at}": key for at, key in enumerate(records)},
        phase="target",
    )
    found = WORK["select"](step, bench, tmp_path).result
    assert found["means"] == {"1e-05": (77.0, 3), "2e-05": (86.0, 3)}
    low, high = found["intervals"]["1e-05"]["low"], found["intervals"]["1e-05"]["high"]
    assert (low, high) == pytest.approx((74.516, 79.484), abs=1e-3)
    assert found["intervals"]["2e-05"]["sd"] == pytest.approx(5.2915, abs=1e-4)
    # The mean of the other rate, 77, is in the interval of the best, 72.9 to 99.1.
    assert found["chosen"] == ("1e-05-3" if rule == "tied_over_seeds" else "2e-05-1")
