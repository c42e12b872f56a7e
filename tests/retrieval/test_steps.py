"""Retrieval targets from files to scores, through the steps of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.prints import FakePrints
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.execution.execute import run_step
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.store import open_store

EXPERIMENT = """
name: retrieval
encoder:
  pretrain:
    steps: 60
    options: {layers: 2, width: 32, heads: 2, vocabulary: 400, ranking_layer: 1}
data:
  synthetic:
    seed: 3
    options: {text: 60, parallel: 60, pair_train: 12, pair_dev: 6, pair_test: 6, span_train: 40,
              span_dev: 12, span_test: 12, tagging_train: 6, tagging_dev: 6, tagging_test: 6,
              choice_train: 6, choice_dev: 6, bitext: 30}
target:
  tasks: [bucc2018, lareqa]
  seeds: [1]
  learning_rates: [1e-3]
  overrides: {all: {epochs: 2, batch_size: 8, max_length: 64}}
  languages: {bucc2018: [qa, qb], lareqa: [en, qa]}
training: {eval_every: 5}
retrieval: {layer: 1, layers: all}
"""


@pytest.mark.slow
def test_mining_and_ranking_from_artificial_languages(tmp_path: Path) -> None:
    (tmp_path / "retrieval.yaml").write_text(EXPERIMENT, encoding="utf-8")
    plan = build_plan(load_experiment(tmp_path / "retrieval.yaml"), FakePrints())
    bench = Workbench(
        plan=plan,
        store=open_store(f"file://{tmp_path}/store"),
        placement=Placement.model_validate({"train": {"engine": "torch"}}),
        scratch=tmp_path / "scratch",
    )
    for step in plan.steps.values():
        run_step(step, bench)
    found: dict[str, Any] = {cell.target: bench.record(cell.key).result for cell in plan.cells}
    bucc = found["bucc2018"]
    assert bucc["layer"] == 1
    for scores in bucc["languages"].values():
        assert scores["threshold"] > 0
        assert list(scores["layers"]) == ["0", "1", "2"]
        assert scores["layers"]["1"]["metrics"] == scores["metrics"]
        assert scores["examples"] == 20
    lareqa = found["lareqa"]
    # Two languages of twelve paragraphs with two sentences each.
    assert lareqa["candidates"] == 48
    for scores in lareqa["languages"].values():
        assert scores["examples"] == 12
        assert 0 < scores["metrics"]["map20"] <= 100
