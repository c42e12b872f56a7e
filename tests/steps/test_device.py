"""The device of a step, on a machine whose GPU is made up."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.conftest import CHECKOUT
from tests.costs.test_packing import plan_of, trial
from xtransfer.config.placement import Placement
from xtransfer.costs.packing import gpus_of
from xtransfer.errors import StepError
from xtransfer.plan import Plan, Step
from xtransfer.process.workbench import Workbench
from xtransfer.steps.device import ALLOCATOR, GROWING, take_device
from xtransfer.steps.worker import _context
from xtransfer.store import open_store


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make a GPU up, and return the shares of its memory that are asked for."""
    asked: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    for name in ALLOCATOR:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return asked


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of("xlm-roberta-base")


def bench_of(plan: Plan, folder: Path, **sections: Any) -> Workbench:
    return Workbench(
        plan=plan,
        store=open_store(f"file://{folder}/store"),
        placement=Placement.model_validate(sections),
        scratch=folder,
    )


def evaluation(plan: Plan) -> Step:
    return next(step for step in plan.steps.values() if step.kind == "evaluate")


@pytest.mark.parametrize(
    ("built", "what", "next_"),
    [
        (None, "built without CUDA, finds none", "VARIANT=cuda"),
        ("13.0", "built for CUDA 13.0, finds none", "nvidia-smi.*driver 580"),
    ],
)
def test_a_step_that_was_given_a_gpu_does_not_run_on_the_cpu(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: str, what: str, next_: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    bench = bench_of(plan, tmp_path, train={"gpus": 1}, evaluate={"gpus": 0.5})
    for step, setting in ((trial(plan, "mnli"), "train"), (evaluation(plan), "evaluate")):
        with pytest.raises(StepError, match=rf"{what}.*{next_}.*, or set {setting}.gpus=0") as told:
            take_device(step, bench)
        assert told.value.where == step.folder
    assert take_device(trial(plan, "mnli"), bench_of(plan, tmp_path)) == "cpu"


def test_a_step_without_a_gpu_lets_one_alone(plan: Plan, tmp_path: Path, gpu: list[float]) -> None:
    assert take_device(trial(plan, "mnli"), bench_of(plan, tmp_path)) == "cpu"
    assert not gpu
    assert not set(ALLOCATOR) & set(os.environ)


def test_a_share_of_a_gpu_is_a_share_of_its_memory(
    plan: Plan, tmp_path: Path, gpu: list[float]
) -> None:
    bench = bench_of(plan, tmp_path, train={"gpus": 0.25}, evaluate={"gpus": 0.5})
    assert take_device(trial(plan, "mnli"), bench) == "cuda"
    assert take_device(evaluation(plan), bench) == "cuda"
    assert gpu == [0.25, 0.5]
    whole = bench_of(plan, tmp_path, train={"gpus": 1}, evaluate={"gpus": 1})
    assert take_device(trial(plan, "mnli"), whole) == "cuda"
    assert gpu == [0.25, 0.5]


def test_packed_trials_and_what_their_processes_take_besides_fit_into_a_gpu(
    plan: Plan, tmp_path: Path, gpu: list[float]
) -> None:
    train = {"gpus": 1, "packing": {"gpu_memory_gb": 80, "beside_gb": 2}}
    bench = bench_of(plan, tmp_path, train=train, evaluate={"gpus": 0.5})
    step = trial(plan, "mnli")
    share = gpus_of(step, plan.steps, bench.placement)
    assert share < 1
    take_device(step, bench)
    take_device(evaluation(plan), bench)  # which is not packed
    assert gpu == [pytest.approx(share - 2 / 80), 0.5]


def test_segments_of_the_allocator_may_grow_unless_the_user_or_graphs_say_otherwise(
    plan: Plan, tmp_path: Path, gpu: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpu == []
    step = trial(plan, "mnli")
    take_device(step, bench_of(plan, tmp_path, train={"gpus": 1, "cuda_graphs": True}))
    assert not set(ALLOCATOR) & set(os.environ)
    whole = bench_of(plan, tmp_path, train={"gpus": 1})
    for name in ALLOCATOR:
        with monkeypatch.context() as users:
            users.setenv(name, "max_split_size_mb:64")
            take_device(step, whole)
            assert {os.environ.get(each) for each in ALLOCATOR} == {"max_split_size_mb:64", None}
    take_device(step, whole)
    assert os.environ[ALLOCATOR[0]] == GROWING


def test_pytorch_reads_what_the_allocator_is_set_to_after_its_import() -> None:
    program = (
        "import json, torch; from xtransfer.steps import device; device._let_segments_grow(graphs=False); "
        "print(json.dumps(torch._C._accelerator_getAllocatorSettings()))"
    )
    left = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=CHECKOUT, env=left, check=True
    )
    assert json.loads(done.stdout) == GROWING


def test_bf16_on_a_gpu_that_emulates_it_is_warned_of_once(
    plan: Plan,
    tmp_path: Path,
    gpu: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = bench_of(plan, tmp_path, train={"gpus": 1}, evaluate={"gpus": 1})
    step = replace(trial(plan, "mnli"), spec={**trial(plan, "mnli").spec, "precision": "bf16"})
    with caplog.at_level(logging.WARNING):
        take_device(step, bench)
        assert not caplog.messages
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **given: given == {})
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
        take_device(replace(step, spec={**step.spec, "precision": "fp32"}), bench)
        assert not caplog.messages
        take_device(step, bench)
    (line,) = caplog.messages
    assert line.startswith(f"{step.folder}: Tesla T4 (compute capability 7.5) has no bf16")
    assert gpu == []


@pytest.mark.parametrize(("workers", "stage"), [(1, 0), ((1, 2), 3)])
def test_plain_torch_is_told_of_no_stage(
    plan: Plan, tmp_path: Path, workers: Any, stage: int
) -> None:
    bench = bench_of(plan, tmp_path, train={"workers": workers, "zero_stage": 3})
    model: Any = SimpleNamespace(
        encoder=SimpleNamespace(config=SimpleNamespace(pad_token_id=1), named_modules=list)
    )
    context = _context(trial(plan, "mnli"), bench, model, None)
    assert context.zero_stage == stage
    assert context.engine == ("deepspeed" if stage else "torch")
