from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from tests.small import small_bench, write_small
from tests.tiny import tiny_encoder, tiny_model
from tests.train.workers import SPEC, train_tiny
from xtransfer.card import Card, model_card
from xtransfer.config.adapters import Lora
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError, StepError
from xtransfer.execution.execute import run_step
from xtransfer.report.build import describe_run
from xtransfer.steps.assembly import WEIGHTS
from xtransfer.train.adapters import add_adapters, frozen_weights, merged
from xtransfer.train.context import Checkpoint, Context
from xtransfer.train.specification import TrialSpec
from xtransfer.train.weights import apply_weights, read_weights

LORA = Lora(rank=2, alpha=6.0, dropout=0.1, targets=("query", "value")).model_dump(mode="json")
WITH = replace(SPEC, lora=LORA, epochs=3)


def adapted(spec: TrialSpec = WITH) -> Any:
    """Return the tiny model with adapters."""
    model = tiny_model(tiny_encoder())
    add_adapters(model.encoder, spec.lora or {}, seed=5)
    return model


def stirred(model: Any) -> Any:
    """Give every trained weight another value: B is zero at the start."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_the_product_is_added_as_peft_adds_it() -> None:
    model = stirred(adapted())
    found = merged({name: p.detach() for name, p in model.named_parameters()}, LORA)
    other = copy.deepcopy(model)
    for module in list(other.modules()):
        if hasattr(module, "lora_A"):
            module.merge()
    expected = {
        name.replace(".base_layer", ""): value
        for name, value in other.named_parameters()
        if "lora_" not in name
    }
    plain = dict(tiny_model(tiny_encoder()).named_parameters())
    assert found.keys() == expected.keys() == plain.keys()
    changed = set()
    for name, value in found.items():
        assert torch.allclose(value, expected[name], atol=1e-7), name
        if name.startswith("encoder.") and not torch.equal(value, plain[name]):
            changed.add(name.rpartition(".")[0].rpartition(".")[2])
    assert changed == {"query", "value"}


def test_a_merged_model_predicts_what_the_adapted_one_does() -> None:
    model = stirred(adapted()).eval()
    plain = tiny_model(tiny_encoder()).eval()
    plain.load_state_dict(merged({n: p.detach() for n, p in model.named_parameters()}, LORA))
    inputs = {
        "input_ids": torch.tensor([[0, 11, 12, 13, 2], [0, 25, 2, 1, 1]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    }
    with torch.no_grad():
        assert torch.allclose(model(**inputs), plain(**inputs), atol=1e-6)


def test_only_adapters_and_heads_are_trained_and_saved() -> None:
    saved: list[Checkpoint] = []
    model = adapted()
    frozen = {name: value.clone() for name, value in frozen_weights(model).items()}
    context = Context(pad_id=1, save=saved.append, save_every_s=0.0)
    outcome = train_tiny(WITH, context, model=model)
    assert all(torch.equal(value, frozen[name]) for name, value in frozen_weights(model).items())
    assert all("lora_" in name or name.startswith("heads.") for name in outcome.weights)
    assert not any("base_layer" in name for name in saved[-1].tensors)
    losses = [entry["loss"] for entry in outcome.history]
    assert losses[-1] < losses[0]


def test_a_resumed_trial_with_adapters_equals_an_undisturbed_one() -> None:
    saved: list[Checkpoint] = []
    context = Context(pad_id=1, save=saved.append, save_every_s=0.0)
    whole = train_tiny(WITH, context, model=adapted())
    for checkpoint in (saved[0], saved[6]):
        again = train_tiny(WITH, Context(pad_id=1, resume=[checkpoint].pop), model=adapted())
        assert again.weights.keys() == whole.weights.keys()
        assert all(torch.equal(again.weights[n], value) for n, value in whole.weights.items())


@pytest.mark.slow
@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_deepspeed_trains_adapters_as_torch_does(stage: int) -> None:
    spec = replace(WITH, lora={**LORA, "dropout": 0.0})
    one = train_tiny(spec, Context(pad_id=1), model=adapted(spec))
    context = Context(pad_id=1, engine="deepspeed", zero_stage=stage)
    other = train_tiny(spec, context, model=adapted(spec))
    assert other.weights.keys() == one.weights.keys()
    for name, value in one.weights.items():
        assert torch.allclose(value, other.weights[name], atol=1e-5), name


# --- from the experiment to the record -----------------------------------------------------------


def test_a_recorded_trial_reads_as_any_other(tmp_path: Path) -> None:
    bench, trial = small_bench(
        tmp_path, {}, lora={"rank": 2, "targets": ["query", "dense"]}, weight_decay=0.5
    )
    record = run_step(trial, bench)
    assert trial.spec["lora"]["targets"] == ["query", "dense"]
    assert "peft" in record.environment
    weights = read_weights(bench.files(record, [WEIGHTS]) / WEIGHTS)
    assert float(weights["token_decay"]) == 1.0
    base = AutoModel.from_pretrained(tmp_path / "encoder", add_pooling_layer=False)
    mine = copy.deepcopy(base)
    apply_weights(mine, weights)
    changed = {
        name.rpartition(".")[0].rpartition(".")[2]
        for (name, value), (_, other) in zip(
            mine.named_parameters(), base.named_parameters(), strict=True
        )
        if not torch.equal(value, other)
    }
    assert changed == {"query", "dense"}
    records = {key: run_step(step, bench) for key, step in bench.plan.steps.items()}
    (scored,) = (each for each in records.values() if each.kind == "evaluate")
    assert scored.result["languages"]["en"]["examples"] == 12
    counts = record.result["trained_weights"]
    assert 0 < counts["trained"] < counts["all"] / 2
    experiment = load_experiment(tmp_path / "experiment.yaml")
    said = next(n for n in describe_run(experiment, bench.plan, records).notes if "LoRA" in n)
    assert said.startswith(
        "trained by LoRA of rank 2 and alpha 16 beside the layers query, dense: "
    )
    assert f"{100 * counts['trained'] / counts['all']:.2g} % of a trial's weights" in said
    card = model_card(Card(record=record, records=records))
    assert "By LoRA of rank 2 and alpha 16 beside the layers query, dense" in card


def test_without_adapters_a_trial_says_nothing_of_them(tmp_path: Path) -> None:
    bench, trial = small_bench(tmp_path, {})
    assert "lora" not in trial.spec
    assert "peft" not in run_step(trial, bench).environment


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["querry"], "no layer is named 'querry'"),
        (["word_embeddings"], r"'embeddings\.word_embeddings' is no linear layer"),
    ],
)
def test_layers_that_are_not_there_are_named(targets: list[str], message: str) -> None:
    with pytest.raises(StepError, match=message) as caught:
        add_adapters(tiny_encoder(), {**LORA, "targets": targets}, seed=1)
    assert "Linear are: dense, key, query, value." in str(caught.value)


def test_peft_is_asked_for_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(StepError, match=r"needs peft.*xtransfer\[adapters\]"):
        add_adapters(tiny_encoder(), LORA, seed=1)


def test_an_adapter_without_rank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.lora\.rank"):
        load_experiment(write_small(tmp_path, lora={"rank": 0}))
