from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.train.alone import answer_of
from xtransfer.train import torch_engine
from xtransfer.train.deepspeed_engine import import_deepspeed
from xtransfer.train.engine import Engine, make_engine
from xtransfer.train.parameters import parameter_groups

pytestmark = pytest.mark.usefixtures("process_group")

STAGES = [pytest.param(stage, marks=pytest.mark.slow) for stage in (0, 1, 2, 3)]


class Net(nn.Module):
    """Weights of two dimensions, which decay, and of one, which do not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def engine_of(kind: str, *, zero_stage: int = 0, clip: float = 1.0) -> Engine:
    return make_engine(
        Net(),
        kind=kind,
        world_size=1,
        weight_decay=0.1,
        epsilon=1e-8,
        betas=(0.9, 0.98),
        clip=clip,
        zero_stage=zero_stage,
    )


def take_steps(engine: Engine, first: int, last: int) -> None:
    """Take optimizer steps, each on two micro-batches that follow from the step's number."""
    engine.module.train()
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        x, y = (torch.randn(8, size, generator=generator) for size in (6, 3))
        for at, rows in enumerate((slice(0, 5), slice(5, 8))):
            loss = ((engine.forward(x=x[rows]) - y[rows]) ** 2).sum()
            engine.backward(loss, last=at == 1)
        engine.step(0.01 * (step + 1))


def take_spoiled_step(engine: Engine, number: int, spoiled: float) -> bool:
    """Take step `number` with `spoiled` in one example of its first micro-batch."""
    engine.module.train()
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(number))
    x[1, 2] = spoiled
    for at, rows in enumerate((slice(0, 5), slice(5, 8))):
        engine.backward((engine.forward(x=x[rows]) ** 2).sum(), last=at == 1)
    return engine.step(0.01)


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_the_torch_engine_is_adamw_on_the_whole_batch() -> None:
    engine = engine_of("torch")
    take_steps(engine, 0, 5)
    net = Net()
    optimizer = torch.optim.AdamW(parameter_groups(net, 0.1), lr=0.0, betas=(0.9, 0.98))
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        x, y = (torch.randn(8, size, generator=generator) for size in (6, 3))
        optimizer.zero_grad()
        ((net(x) - y) ** 2).sum().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (step + 1)
        optimizer.step()
    expected = {name: value.detach() for name, value in net.named_parameters()}
    assert largest_difference(engine.weights(), expected) < 1e-6


def test_only_matrices_decay() -> None:
    decayed, kept = parameter_groups(Net(), 0.1)
    assert [p.shape for p in decayed["params"]] == [(8, 6), (3, 8)]
    assert decayed["weight_decay"] == 0.1
    assert all(p.ndim == 1 for p in kept["params"])
    assert (len(kept["params"]), kept["weight_decay"]) == (4, 0.0)


def test_frozen_weights_are_left_out() -> None:
    net = Net()
    net.layers[0].requires_grad_(requires_grad=False)
    assert sum(len(group["params"]) for group in parameter_groups(net, 0.1)) == 4


@pytest.mark.parametrize("zero_stage", STAGES)
def test_deepspeed_agrees_with_torch(zero_stage: int) -> None:
    reference, engine = engine_of("torch"), engine_of("deepspeed", zero_stage=zero_stage)
    assert largest_difference(reference.weights(), engine.weights()) == 0
    assert not any(value.any() for value in engine.moments().values())
    for each in (reference, engine):
        take_steps(each, 0, 5)
    # Weights are about 0.3, and moved by about 0.1.
    assert largest_difference(reference.weights(), engine.weights()) < 1e-6
    assert largest_difference(reference.moments(), engine.moments()) < 1e-6
    engine.close()


@pytest.mark.parametrize(
    ("kind", "zero_stage"),
    [("torch", 0), *(pytest.param("deepspeed", n, marks=pytest.mark.slow) for n in range(4))],
)
def test_a_run_goes_on_from_weights_and_moments(kind: str, zero_stage: int) -> None:
    undisturbed = engine_of("torch")
    take_steps(undisturbed, 0, 3)
    weights, moments = undisturbed.weights(), undisturbed.moments()
    take_steps(undisturbed, 3, 6)

    net = Net()
    net.load_state_dict(weights)
    resumed = make_engine(
        net,
        kind=kind,
        world_size=1,
        weight_decay=0.1,
        epsilon=1e-8,
        betas=(0.9, 0.98),
        clip=1.0,
        zero_stage=zero_stage,
    )
    resumed.load_moments(moments, steps=3)
    assert largest_difference(resumed.moments(), moments) == 0
    take_steps(resumed, 3, 6)
    tolerance = 0 if kind == "torch" else 1e-6
    assert largest_difference(resumed.weights(), undisturbed.weights()) <= tolerance
    resumed.close()


@pytest.mark.parametrize("spoiled", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize(
    ("kind", "zero_stage"),
    [("torch", 0), *(pytest.param("deepspeed", n, marks=pytest.mark.slow) for n in range(4))],
)
def test_a_gradient_that_is_not_finite_changes_nothing(
    kind: str, zero_stage: int, spoiled: float
) -> None:
    reference, engine = engine_of("torch"), engine_of(kind, zero_stage=zero_stage)
    for each in (reference, engine):
        take_steps(each, 0, 2)
    weights, moments = engine.weights(), engine.moments()
    assert not take_spoiled_step(engine, 2, spoiled)
    assert largest_difference(engine.weights(), weights) == 0
    assert largest_difference(engine.moments(), moments) == 0
    for each in (reference, engine):
        take_steps(each, 3, 6)  # as if that step had never been, in Adam's count of steps, too
    assert largest_difference(reference.weights(), engine.weights()) < 1e-6
    assert largest_difference(reference.moments(), engine.moments()) < 1e-6
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [2, 3])
def test_a_closed_engine_leaves_nothing_behind(zero_stage: int) -> None:
    linear = nn.functional.linear
    engine = engine_of("deepspeed", zero_stage=zero_stage)
    take_steps(engine, 0, 1)
    assert (nn.functional.linear is linear) == (zero_stage < 3)
    parameters = list(engine.module.parameters())
    engine.close()
    assert nn.functional.linear is linear
    assert not any(hasattr(p, "_hp_mapping") or hasattr(p, "_zero_optimizer") for p in parameters)


@pytest.mark.slow
def test_deepspeed_needs_a_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    import_deepspeed("cpu")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    with pytest.raises(RuntimeError, match="a process group must exist"):
        engine_of("deepspeed")


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("bucket", [1, 5, 1000])
def test_gradients_are_summed_many_at_once(
    bucket: int, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums: list[int] = []

    def all_reduce(values: torch.Tensor) -> None:
        sums.append(values.numel())
        values.mul_(3)  # three workers that have the same

    monkeypatch.setattr(torch_engine, "BUCKET", bucket)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    parameters = [nn.Parameter(torch.ones(size)) for size in ((2, 3), (1,), (), (4,))]
    for number, parameter in enumerate(parameters):
        if number != 2:
            parameter.grad = torch.full_like(parameter, number + 1.0)
    places = [None if p.grad is None else p.grad.data_ptr() for p in parameters]
    torch_engine._add_up(parameters, in_place=in_place)
    kept = [
        p.grad is not None and p.grad.data_ptr() == at
        for p, at in zip(parameters, places, strict=True)
    ]
    assert kept == [in_place and at is not None for at in places]  # where captured passes write
    for number, parameter in enumerate(parameters):
        assert parameter.grad is not None
        wanted = torch.full_like(parameter, 0.0 if number == 2 else 3 * (number + 1.0))
        assert torch.equal(parameter.grad, wanted)
    assert sums == {1: [6, 1, 1, 4], 5: [6, 6], 1000: [12]}[bucket]


@pytest.mark.slow
def test_deepspeed_runs_no_compiler_to_learn_what_it_could_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deepspeed = import_deepspeed("cpu")
    monkeypatch.delitem(vars(deepspeed.ops), "__compatible_ops__")

    def probed() -> None:
        raise AssertionError("compilers were run")

    monkeypatch.setattr(deepspeed.ops, "_probe_compatible_ops", probed)
    import_deepspeed("cpu")
    assert not deepspeed.ops.__compatible_ops__.get("deepspeed_shm_comm", False)


@pytest.mark.slow
def test_without_a_stage_gradients_are_clipped_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, engine = engine_of("torch", clip=0.1), engine_of("deepspeed", clip=0.1)
    counted: list[int] = []
    whole = nn.utils.clip_grad_norm_

    def count(parameters: list[Tensor], most: float) -> Tensor:
        counted.append(len(parameters))
        return whole(parameters, most)

    take_steps(reference, 0, 3)
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", count)
    take_steps(engine, 0, 3)
    assert counted == [6, 6, 6]
    assert largest_difference(reference.weights(), engine.weights()) < 1e-6
    engine.close()


@pytest.mark.slow
def test_a_trial_on_the_cpu_stays_there_on_a_machine_with_gpus() -> None:
    """DeepSpeed chooses its device when it is imported, so this has a process of its own."""
    found = answer_of("tests.train.cpu_beside_gpus")
    assert found == {"accelerator": "cpu", "finite": True, "devices": ["cpu"]}
