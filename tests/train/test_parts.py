from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import accuracy, rows_of, tiny_encoder, tiny_model, tiny_pairs, tiny_part
from tests.train.workers import SPEC, run_two, train_mixed
from xtransfer.forms.encoding import Encoded, Ragged
from xtransfer.train.context import Checkpoint, Context
from xtransfer.train.parts import TextPart
from xtransfer.train.prediction import DataSet
from xtransfer.train.scores import main_score

TOKENS = tuple(range(10, 40))


def text_part(**changes: Any) -> TextPart:
    """Return text of two languages, told apart by their tokens."""
    return TextPart(
        **{
            "train": {"en": text(30, range(10, 25)), "sw": text(10, range(25, 40))},
            "dev": {"en": text(6, range(10, 25), 1), "sw": text(6, range(25, 40), 1)},
            "exponent": 1.0,
            "mask": 0.15,
            "mask_token": 4,
            "special": (0, 1, 2, 3),
            "vocabulary": 60,
            "batch_size": 6,
            "seed": 1,
            **changes,
        }
    )


def text(count: int, tokens: range, seed: int = 0) -> DataSet:
    random = np.random.default_rng(seed)
    ids = [[0, *random.choice(tokens, 6).tolist(), 2] for _ in range(count)]
    columns = {"input_ids": ids, "example": list(range(count)), "weight": [1] * count}
    return DataSet(rows=rows_of(Encoded(columns=columns)), examples=[{}] * count)


def test_data_sets_are_joined_row_for_row() -> None:
    first, second = tiny_pairs(5, tokens=TOKENS), tiny_pairs(3, tokens=TOKENS, seed=1)
    joined = DataSet.joined([first, second])
    ids: Any = joined.rows["input_ids"]
    for row in range(8):
        source, at = (first, row) if row < 5 else (second, row - 5)
        assert ids[row].tolist() == source.rows["input_ids"][at].tolist()  # type: ignore[index]
        assert joined.examples[row] == source.examples[at]
    assert np.asarray(joined.rows["example"]).tolist() == list(range(8))
    assert DataSet.joined([first]) is first


def test_a_task_gives_every_row_once_an_epoch() -> None:
    part = tiny_part(tiny_pairs(27, tokens=TOKENS), tiny_pairs(4, tokens=TOKENS), SPEC)
    for epoch in range(3):
        rows = np.concatenate([part.draw(epoch * 5 + at).chosen for at in range(5)])
        assert sorted(rows.tolist()) == list(range(27))
    assert (part.draw(7).chosen == part.draw(7).chosen).all()


def test_dev_scores_are_means_over_languages() -> None:
    dev = {"en": tiny_pairs(10, tokens=TOKENS), "sw": tiny_pairs(10, tokens=TOKENS, seed=2)}
    by_language = {"en": 40.0, "sw": 60.0}
    part = replace(
        tiny_part(dev["en"], dev["en"], SPEC),
        dev=dev,
        score=lambda language, data, found: {"accuracy": by_language[language], "other": 1.0},
    )
    found = part.evaluate(tiny_model(tiny_encoder()), Context(pad_id=1), head=0)
    assert found == {"accuracy": 50.0, "other": 1.0, "accuracy en": 40.0, "accuracy sw": 60.0}


def test_text_is_drawn_by_language_and_masked_anew() -> None:
    part = text_part(exponent=0.0, batch_size=50)
    assert part.shares == {"en": 0.5, "sw": 0.5}
    first, again, other = part.draw(3), part.draw(3), part.draw(4)
    ids: Any = first.rows["input_ids"]
    assert ids.values.tolist() == again.rows["input_ids"].values.tolist()  # type: ignore[union-attr]
    assert ids.values.tolist() != other.rows["input_ids"].values.tolist()  # type: ignore[union-attr]
    gold: Any = first.rows["gold"]
    plain = np.where(gold.values == -100, ids.values, gold.values).reshape(50, 8)
    share = (plain[:, 1] < 25).mean()
    assert 0.25 < share < 0.75
    assert ((plain[:, 1:7] < 25).all(1) | (plain[:, 1:7] >= 25).all(1)).all()


def test_the_held_out_loss_is_the_same_whenever_it_is_asked_for() -> None:
    part, model = text_part(), text_model()
    found = part.evaluate(model, Context(pad_id=1), head=0)
    assert found == part.evaluate(model, Context(pad_id=1), head=0)
    assert found["loss"] == pytest.approx((found["loss en"] + found["loss sw"]) / 2)
    assert found["loss"] == pytest.approx(np.log(60), abs=0.3)  # nothing is known yet


def text_model(tasks: int = 0) -> Any:
    from xtransfer.train.model import TransferModel
    from xtransfer.train.randomness import build_head

    heads = [
        build_head("classification", 16, 2, dropout=0.0, seed=1, number=number)
        for number in range(tasks)
    ]
    heads.append(build_head("mlm", 16, 60, dropout=0.0, seed=1, number=tasks))
    return TransferModel(tiny_encoder(), heads, bf16=False)


def train_all(context: Context) -> Any:
    """Train on everything at once, in whatever process this is."""
    return mixed(context)


def mixed(context: Context | None = None, **changes: Any) -> Any:
    """Train on two tasks and text at once."""
    spec = replace(SPEC, **{"epochs": 3, **changes})
    tasks = [
        tiny_part(
            tiny_pairs(27, tokens=TOKENS, seed=at), tiny_pairs(9, tokens=TOKENS), spec, name=name
        )
        for at, name in enumerate(("one", "two"))
    ]
    parts = [*tasks, text_part()]
    return train_mixed(spec, context or Context(pad_id=1), text_model(tasks=2), parts)


def test_text_lowers_the_loss_on_held_out_text() -> None:
    outcome = mixed(epochs=10, adam_epsilon=1e-8)
    losses = [entry["dev text loss"] for entry in outcome.history]
    assert outcome.history[0]["step"] == 0
    assert losses[-1] < losses[0] - 0.3
    assert sum(outcome.draws) == outcome.steps
    assert min(outcome.draws) > 0


def test_the_main_score_is_the_mean_of_the_tasks() -> None:
    outcome = mixed()
    for entry in outcome.history[1:]:
        assert {"dev one accuracy", "dev two accuracy", "dev text loss"} <= set(entry)
    best = max(
        (entry["dev one accuracy"] + entry["dev two accuracy"]) / 2 for entry in outcome.history[1:]
    )
    assert outcome.best_score == best
    assert main_score([text_part()], {0: {"loss": 2.5}}) == -2.5


def test_a_mixed_run_resumes_bit_for_bit() -> None:
    kept: list[Checkpoint] = []
    undisturbed = mixed(Context(pad_id=1, save=kept.append, save_every_s=0.0))
    for checkpoint in kept[:: max(1, len(kept) // 6)]:
        resumed = mixed(Context(pad_id=1, resume=[checkpoint].pop))
        assert resumed.history == undisturbed.history
        assert all(
            torch.equal(resumed.weights[name], value) for name, value in undisturbed.weights.items()
        )


def test_a_head_without_a_turn_gets_a_gradient_of_zero() -> None:
    model = text_model(tasks=2).train()
    ids = torch.tensor([[0, 10, 11, 2]])
    model(head=1, input_ids=ids, attention_mask=torch.ones_like(ids)).sum().backward()
    used, *others = (model.heads[at] for at in (1, 0, 2))
    assert any(float(p.grad.abs().max()) > 0 for p in used.parameters())
    for head in others:
        assert all(float(p.grad.abs().max()) == 0 for p in head.parameters())


def test_the_last_weights_can_be_kept_without_any_dev_set() -> None:
    spec = replace(SPEC, keep="last")
    part = replace(
        tiny_part(tiny_pairs(27, tokens=TOKENS), tiny_pairs(4, tokens=TOKENS), spec), dev={}
    )
    kept: list[Checkpoint] = []
    context = Context(pad_id=1, save=kept.append, save_every_s=0.0)
    outcome = train_mixed(spec, context, tiny_model(tiny_encoder()), [part])
    assert (outcome.best_score, outcome.best_step, outcome.history) == (None, 10, [])
    last = kept[-1].tensors
    assert all(torch.equal(last[f"weights/{name}"], v) for name, v in outcome.weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_two_workers_agree_on_a_mixed_run(zero_stage: int, tmp_path: Path) -> None:
    run_two(tmp_path, zero_stage, train_all)
    found = torch.load(tmp_path / "out", weights_only=True)
    alone = train_all(Context(pad_id=1))
    for name, value in alone.weights.items():
        assert torch.allclose(found["weights"][name], value, atol=1e-5), name
    for one, two in zip(alone.history, found["history"], strict=True):
        assert one == pytest.approx(two, abs=1e-4)


def test_the_ids_of_a_part_are_those_of_all_its_data() -> None:
    train, dev = tiny_pairs(5, tokens=TOKENS), tiny_pairs(3, tokens=TOKENS, seed=1)
    part = tiny_part(train, dev, SPEC)
    found = [ids.values.tolist() for ids in part.input_ids]
    columns = [each.rows["input_ids"] for each in (train, dev)]
    assert found == [c.values.tolist() for c in columns if isinstance(c, Ragged)]
    assert accuracy(dev, [e["gold"] for e in dev.examples]) == {"accuracy": 100.0}
