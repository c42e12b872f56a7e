"""CUDA graphs on a simulated device: the same numbers as without, and a pass that cannot be one is noticed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.train.alone import answer_of
from xtransfer.config.placement import Packing, TrainResources
from xtransfer.train.engine import make_engine

REFUSED = {"waits": "would have to wait", "mixes": "reads the memory"}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return answer_of("tests.train.graphed")


@pytest.mark.parametrize(
    "work",
    [
        *("classification", "choice", "tagging", "span", "retrieval", "mixture with text"),
        *("dropout", "micro-batches", "resumption", "left out"),
    ],
)
def test_replayed_passes_train_the_same_weights(work: str, found: dict[str, Any]) -> None:
    assert found[work]["difference"] == 0.0
    assert found[work]["replays"] >= 5
    assert [said for said in found[work]["warned"] if "cuda_graphs" in said] == []


@pytest.mark.parametrize(("work", "why"), REFUSED.items())
def test_a_pass_that_cannot_be_captured_ends_the_trial(
    work: str, why: str, found: dict[str, Any]
) -> None:
    assert "train.cuda_graphs: a pass cannot be captured" in found[work]["error"]
    assert why in found[work]["error"]
    assert "Set it to false" in found[work]["error"]


def test_a_graph_that_gives_something_else_is_not_used(found: dict[str, Any]) -> None:
    (said,) = found["stale"]["warned"]
    assert "train.cuda_graphs: a pass gives" in said
    assert "instead of" in said
    assert found["stale"]["replays"] == 1  # which was compared
    assert found["stale"]["difference"] == 0.0


def test_they_need_an_engine_that_keeps_gradients() -> None:
    with pytest.raises(ValueError, match="engine torch"):
        TrainResources(cuda_graphs=True, workers=2)
    with pytest.raises(ValueError, match="engine torch"):
        TrainResources(cuda_graphs=True, engine="deepspeed")
    with pytest.raises(ValueError, match="leave one of them out"):
        TrainResources(cuda_graphs=True, gpus=1, packing=Packing(gpu_memory_gb=80))
    assert TrainResources(cuda_graphs=True).chosen_engine == "torch"
    settings = {
        "world_size": 1, "weight_decay": 0.0, "epsilon": 1e-8, "betas": (0.9, 0.999), "clip": 1.0,
        "zero_stage": 0, "keeps_gradients": True,
    }  # fmt: skip
    module = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="engine torch"):
        make_engine(module, kind="deepspeed", **settings)  # type: ignore[arg-type]
    engine = make_engine(module, kind="torch", **settings)  # type: ignore[arg-type]
    engine.backward(module(torch.ones(1, 2)).sum(), last=True)
    assert module.weight.grad is not None
    place = module.weight.grad.data_ptr()
    assert engine.step(0.1)
    assert module.weight.grad.data_ptr() == place
    assert not module.weight.grad.any()
