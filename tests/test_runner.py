"""What a driver finds when it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small import small_bench
from xtransfer.runner import recorded


def test_damage_is_told_from_what_is_not_done_without_a_look_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, {})
    store, plan = bench.store, bench.plan
    done = {key for key in plan.steps if store.exists(f"{plan.steps[key].folder}/record.json")}
    assert done >= set(trial.inputs.values())
    assert recorded(plan, store) == (done, set())
    damaged = next(iter(trial.inputs.values()))
    name = f"{plan.steps[damaged].folder}/record.json"
    store.write(name, store.read(name)[:-9])
    asked: list[str] = []
    monkeypatch.setattr(type(store), "exists", lambda _, name: asked.append(name))
    assert recorded(plan, store) == (done - {damaged}, {damaged})
    assert asked == []
