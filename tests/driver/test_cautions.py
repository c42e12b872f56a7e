from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from tests.driver.test_room import BIG, Gives, driver, placement, plan
from xtransfer.driver import cautions as module
from xtransfer.driver.cautions import cautions
from xtransfer.plan import Plan

__all__ = ["plan"]


@pytest.fixture(autouse=True)
def torch_version(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make up which torch is installed: the last of the list."""
    versions = ["2.13.0+cpu"]
    monkeypatch.setattr(module, "version", lambda package: versions[-1])
    return versions


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"zero_stage": 1}, True),
        ({"zero_stage": 3, "gpus": 0.0, "workers": 1}, True),
        ({}, False),
        ({"zero_stage": 2, "workers": (1, 4)}, False),
        ({"zero_stage": 2, "engine": "deepspeed"}, False),
    ],
)
def test_a_stage_that_plain_torch_has_no_use_for_is_told(train: dict[str, Any], told: bool) -> None:
    found = cautions(placement(train=train))
    assert [line.startswith("placement: train.zero_stage: ") for line in found] == [True] * told


def test_a_gpu_for_a_torch_without_cuda_is_told(torch_version: list[str]) -> None:
    asked = {"train": {"gpus": 1}, "evaluate": {"gpus": 0.5}}
    train, evaluate = cautions(placement(**asked))
    assert train.startswith("placement: train.gpus: torch 2.13.0+cpu is built without CUDA")
    assert evaluate.endswith("or set evaluate.gpus=0")
    assert not cautions(placement())
    assert not cautions(placement("auto", **asked))  # of whose machines nothing is known
    torch_version.append("2.13.0")
    assert not cautions(placement(**asked))


def test_a_driver_says_it_once_before_the_first_step(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tune, "Tuner", Gives)
    monkeypatch.setattr(Gives, "kinds", [])
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [BIG])
    with caplog.at_level(logging.WARNING):
        driver(plan, placement(train={"zero_stage": 1}), tmp_path).work_off(set(), set())
    assert [text.startswith("placement: train.zero_stage") for text in caplog.messages] == [True]
    assert Gives.kinds
