from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.tiny import tiny_encoder, tiny_model, tiny_pairs
from tests.train.faults import BAD_STEPS, SKIPPING, astray, train_astray
from tests.train.workers import (
    SPEC,
    run_two,
    train_alone,
    train_and_leave,
    train_apart,
    train_on_altered,
    train_tiny,
)
from xtransfer.errors import Diverged, StepLeft
from xtransfer.forms import FORMS
from xtransfer.train import loop
from xtransfer.train.context import Checkpoint, Context, Progress
from xtransfer.train.prediction import predict
from xtransfer.train.randomness import build_head, stream

STEPS = 10  # 2 epochs of 27 rows in batches of 6


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_learns() -> None:
    outcome = train_tiny(replace(SPEC, epochs=12, adam_epsilon=1e-8), Context(pad_id=1))
    losses = [entry["loss"] for entry in outcome.history]
    assert losses[0] > 0.6
    assert losses[-1] < 0.2
    assert outcome.best_score > 90
    assert outcome.steps == outcome.total_steps == 60


def test_a_trial_follows_from_its_specification() -> None:
    first, second = (train_tiny(SPEC, Context(pad_id=1), dropout=0.2) for _ in range(2))
    assert same(first.weights, second.weights)
    assert first.history == second.history
    other = train_tiny(replace(SPEC, seed=2), Context(pad_id=1), dropout=0.2)
    assert not same(first.weights, other.weights)


def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit() -> None:
    kept: list[Checkpoint] = []
    context = Context(pad_id=1, save=kept.append, save_every_s=0.0)
    undisturbed = train_tiny(SPEC, context, dropout=0.2)
    assert [each.state["step"] for each in kept] == list(range(1, STEPS + 1))
    for checkpoint in kept:
        resumed = train_tiny(SPEC, Context(pad_id=1, resume=[checkpoint].pop), dropout=0.2)
        assert same(resumed.weights, undisturbed.weights), checkpoint.state["step"]
        assert resumed.history == undisturbed.history
        assert (resumed.best_step, resumed.steps) == (undisturbed.best_step, undisturbed.steps)


def test_micro_batches_draw_masks_of_their_own() -> None:
    one, other, again = (
        train_tiny(SPEC, Context(pad_id=1, micro_batch=size), dropout=0.2) for size in (4, 2, 2)
    )
    assert same(other.weights, again.weights)
    assert not all(torch.allclose(one.weights[n], other.weights[n], atol=1e-5) for n in one.weights)


class Reads(TorchDispatchMode):
    """Counts how often a value leaves its device for Python, which on a GPU waits for all work before it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket is torch.ops.aten._local_scalar_dense
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_no_step_reads_what_the_device_computes(micro_batch: int | None) -> None:
    model = tiny_model(tiny_encoder())
    passes: list[bool] = []
    model.register_forward_pre_hook(
        lambda _, args, inputs: passes.append("attention_mask" in inputs), with_kwargs=True
    )
    spec = replace(SPEC, keep="last", epochs=1)
    with Reads() as reads:
        outcome = train_tiny(spec, Context(pad_id=1, micro_batch=micro_batch), model=model)
    assert len(passes) == (outcome.steps if micro_batch is None else 14)
    # On the processor, transformers looks whether a mask hides anything.
    assert reads.count == sum(passes)


@pytest.mark.parametrize("snapshots", [None, {"count": 2, "which": "last"}])
def test_the_tensors_of_a_checkpoint_go_once_they_are_taken_up(
    snapshots: dict[str, Any] | None,
) -> None:
    spec = replace(SPEC, snapshots=snapshots)
    kept: list[Checkpoint] = []
    train_tiny(spec, Context(pad_id=1, save=kept.append, save_every_s=0.0), dropout=0.2)
    checkpoint = kept[6]
    kept.clear()
    tensors = [weakref.ref(tensor) for tensor in checkpoint.tensors.values()]
    beside = "snapshot/" if snapshots else "best/"
    assert any(name.startswith(beside) for name in checkpoint.tensors)
    given = [checkpoint]
    del checkpoint
    left: list[int] = []

    def look(_: Progress) -> None:
        left.append(sum(tensor() is not None for tensor in tensors))

    train_tiny(spec, Context(pad_id=1, resume=given.pop, report=look), dropout=0.2)
    assert left[0] == 0


def test_micro_batches_without_dropout_change_nothing_but_rounding() -> None:
    whole = train_tiny(SPEC, Context(pad_id=1))
    parts = train_tiny(SPEC, Context(pad_id=1, micro_batch=2))
    for name, value in whole.weights.items():
        assert torch.allclose(value, parts.weights[name], atol=1e-5), name


def test_the_dev_set_is_scored_as_often_as_asked_and_at_the_end() -> None:
    outcome = train_tiny(SPEC, Context(pad_id=1))
    assert [entry["step"] for entry in outcome.history] == [4, 8, 10]
    once = train_tiny(replace(SPEC, eval_every=None), Context(pad_id=1))
    assert [entry["step"] for entry in once.history] == [STEPS]
    assert once.best_step == STEPS


class Script:
    """Scores dev evaluations as written down beforehand."""

    def __init__(self, *scores: float) -> None:
        self.scores: Iterator[float] = iter(scores)

    def __call__(self, data: Any, predictions: list[Any]) -> dict[str, float]:
        assert len(data.examples) == len(predictions)
        return {"accuracy": next(self.scores)}


def test_a_trial_stops_when_dev_scores_no_longer_rise() -> None:
    spec = replace(SPEC, eval_every=1, patience=3)
    outcome = train_tiny(spec, Context(pad_id=1), score=Script(10, 30, 30, 20, 29, 99))
    assert outcome.stopped_early
    assert (outcome.best_step, outcome.best_score, outcome.steps) == (2, 30, 5)
    assert outcome.total_steps == STEPS
    two_steps: list[Checkpoint] = []
    context = Context(pad_id=1, save=two_steps.append, save_every_s=0.0)
    train_tiny(spec, context, score=Script(*range(10, 20)))
    expected = two_steps[1].tensors
    assert all(
        torch.equal(value, expected[f"weights/{name}"]) for name, value in outcome.weights.items()
    )


@pytest.mark.parametrize(("scores", "stopped"), [(9, True), (10, False)])
def test_a_trial_that_took_its_last_step_was_not_stopped(scores: int, stopped: bool) -> None:
    spec = replace(SPEC, eval_every=1, patience=scores - 1)
    outcome = train_tiny(spec, Context(pad_id=1), score=Script(*range(scores, 0, -1)))
    assert (outcome.steps, outcome.total_steps) == (scores, STEPS)
    assert outcome.stopped_early == stopped


def test_a_stop_is_remembered_over_a_resumption() -> None:
    spec = replace(SPEC, eval_every=1, patience=3)
    kept: list[Checkpoint] = []
    context = Context(pad_id=1, save=kept.append, save_every_s=0.0)
    train_tiny(spec, context, score=Script(10, 30, 30, 20, 29))
    assert kept[-1].state["evaluations_since_best"] == 2
    resumed = train_tiny(spec, replace(context, resume=[kept[-1]].pop), score=Script(29))
    assert (resumed.stopped_early, resumed.steps, resumed.best_step) == (True, 5, 2)


def test_a_loss_that_is_not_a_number_is_an_error() -> None:
    model = tiny_model(tiny_encoder())
    with torch.no_grad():
        model.heads[0].project.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="optimizer step 0: the training loss is nan") as caught:
        train_tiny(SPEC, Context(pad_id=1), model=model)
    assert "There was no dev evaluation before. Try a lower learning rate" in str(caught.value)


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Return what is added to the losses of which steps."""
    steps = dict(BAD_STEPS)
    monkeypatch.setattr(loop._Run, "_loss", astray(loop._Run._loss, steps))
    return steps


def test_a_bad_step_fails_a_trial_that_says_nothing_else(bad: dict[int, float]) -> None:
    del bad[2]
    with pytest.raises(Diverged) as caught:
        train_tiny(SPEC, Context(pad_id=1), score=Script(50))
    assert str(caught.value).startswith(
        "optimizer step 5: the training loss is inf. "
        "The best dev evaluation before was at step 4 (50.0)."
    )


def test_a_gradient_counts_as_the_loss_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: Any, _: Any) -> None:
        model.heads[0].project.weight.grad[0, 0] = float("inf")

    step = loop.make_engine

    def spoiled(module: Any, **options: Any) -> Any:
        engine = step(module, **options)
        take = engine.step

        def once(rate: float) -> bool:
            spoil(engine.module, rate)
            return take(rate)

        engine.step = once
        return engine

    monkeypatch.setattr(loop, "make_engine", spoiled)
    with pytest.raises(Diverged, match="step 0: the norm of the gradient is not finite"):
        train_tiny(SPEC, Context(pad_id=1))


def test_bad_steps_are_left_out_and_noted(bad: dict[int, float]) -> None:
    outcome = train_tiny(SKIPPING, Context(pad_id=1))
    assert outcome.skipped_steps == sorted(bad)
    assert outcome.steps == STEPS
    assert all(np.isfinite(list(entry.values())).all() for entry in outcome.history)
    kept: list[Checkpoint] = []
    train_tiny(SKIPPING, Context(pad_id=1, save=kept.append, save_every_s=0.0))
    for at in range(1, STEPS):
        before, after = kept[at - 1].tensors, kept[at].tensors
        assert same(before, after) == (at in bad), at


def test_a_resumed_run_with_steps_left_out_equals_an_undisturbed_one(
    bad: dict[int, float],
) -> None:
    kept: list[Checkpoint] = []
    context = Context(pad_id=1, save=kept.append, save_every_s=0.0)
    undisturbed = train_tiny(SKIPPING, context, dropout=0.2)
    for checkpoint in kept:
        resumed = train_tiny(SKIPPING, Context(pad_id=1, resume=[checkpoint].pop), dropout=0.2)
        assert same(resumed.weights, undisturbed.weights), checkpoint.state["step"]
        assert resumed.skipped_steps == sorted(bad)
        assert resumed.history == undisturbed.history


def test_a_trial_whose_steps_are_sound_does_not_depend_on_the_policy() -> None:
    one, other = (train_tiny(spec, Context(pad_id=1)) for spec in (SPEC, SKIPPING))
    assert same(one.weights, other.weights)
    assert one.history == other.history


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"skips_in_a_row": 1}, "step 6: .* and 1 steps before it in a row and 2 in all were left"),
        ({"skips_in_all": 1}, "step 5: .* and 0 steps before it in a row and 1 in all were left"),
        ({"skips_in_all": 0}, "step 2: "),
        ({"skips_in_a_row": 2, "skips_in_all": 3}, ""),
    ],
)
@pytest.mark.usefixtures("bad")
def test_only_so_many_steps_are_left_out(limits: dict[str, int], message: str) -> None:
    context = Context(pad_id=1, **limits)  # type: ignore[arg-type]
    if not message:
        assert train_tiny(SKIPPING, context).skipped_steps == [2, 5, 6]
        return
    with pytest.raises(Diverged, match=message):
        train_tiny(SKIPPING, context)


def test_a_dev_score_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(Diverged, match="optimizer step 4: the dev score is nan"):
        train_tiny(SKIPPING, Context(pad_id=1), score=Script(float("nan")))


def test_progress_is_reported_after_every_step_and_evaluation() -> None:
    told: list[Progress] = []
    train_tiny(SPEC, Context(pad_id=1, report=told.append))
    assert [each.step for each in told if each.dev is None] == list(range(1, STEPS + 1))
    assert [each.step for each in told if each.dev is not None] == [4, 8, 10]
    assert {each.total for each in told} == {STEPS}
    assert all(each.examples_per_s > 0 for each in told)


def test_predictions_are_in_the_order_of_rows() -> None:
    model = tiny_model(tiny_encoder()).eval()
    data = tiny_pairs(11, tokens=tuple(range(10, 40)))
    found = predict(model, "classification", data, Context(pad_id=1))
    assert found is not None
    for row in range(11):
        ids = torch.tensor(np.array(data.rows["input_ids"][row]))[None].long()  # type: ignore[index]
        with torch.inference_mode():
            expected = model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        assert torch.allclose(found[row], expected, atol=1e-5)


def test_predicting_leaves_the_model_in_its_mode() -> None:
    model = tiny_model(tiny_encoder(dropout=0.5), dropout=0.5)
    data = tiny_pairs(4, tokens=(10, 11))
    first, second = (predict(model, "classification", data, Context(pad_id=1)) for _ in range(2))
    assert model.training
    assert first is not None
    assert second is not None
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("form", ["classification", "choice", "tagging", "span", "retrieval"])
def test_a_head_follows_from_its_seed(form: str) -> None:
    def weights(seed: int) -> Tensor:
        head = build_head(form, 16, 3, dropout=0.1, seed=seed)
        assert isinstance(head, FORMS[form].Head)
        return head.project.weight

    torch.manual_seed(5)
    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))
    assert float(first.detach().std()) == pytest.approx(0.02, rel=0.5)


def test_no_two_draws_share_a_stream() -> None:
    seeds = {
        stream(seed, step, role, rank)
        for seed in (0, 1)
        for step in (0, 1)
        for role in ("step", "head")
        for rank in (0, 1)
    }
    assert len(seeds) == 16


@pytest.mark.slow
def test_two_workers_compute_what_one_does(tmp_path: Path) -> None:
    run_two(tmp_path, 2, train_alone)
    found = torch.load(tmp_path / "out", weights_only=True)
    alone = train_tiny(SPEC, Context(pad_id=1))
    # Weights moved by about 0.02; sums over workers round differently.
    assert found["weights"].keys() == alone.weights.keys()
    for name, value in alone.weights.items():
        assert torch.allclose(found["weights"][name], value, atol=1e-5), name
    assert [e["dev accuracy"] for e in found["history"]] == [
        e["dev accuracy"] for e in alone.history
    ]
    assert [e["loss"] for e in found["history"]] == pytest.approx(
        [e["loss"] for e in alone.history], abs=1e-5
    )


def test_a_trial_leaves_when_told_and_goes_on_as_if_it_had_not() -> None:
    undisturbed = train_tiny(SPEC, Context(pad_id=1), dropout=0.2)
    told: list[Progress] = []
    kept: list[Checkpoint] = []
    context = Context(
        pad_id=1,
        report=told.append,
        save=kept.append,
        leaving=lambda: "its node is going" if told[-1].step == 7 else "",
    )
    with pytest.raises(StepLeft, match="optimizer step 7 of 10: its node is going"):
        train_tiny(SPEC, context, dropout=0.2)
    assert [each.state["step"] for each in kept] == [7]
    resumed = train_tiny(SPEC, Context(pad_id=1, resume=[kept[0]].pop), dropout=0.2)
    assert same(resumed.weights, undisturbed.weights)


def test_a_trial_that_has_taken_its_last_step_does_not_leave() -> None:
    told: list[Progress] = []
    leaving = lambda: "now" if told[-1].step == STEPS else ""  # noqa: E731
    outcome = train_tiny(SPEC, Context(pad_id=1, report=told.append, leaving=leaving))
    assert outcome.steps == STEPS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "zero_stage"), [("torch", 0), ("deepspeed", 1), ("deepspeed", 3)]
)
def test_a_trial_of_two_workers_goes_on_with_one_and_then_with_two(
    tmp_path: Path, engine: str, zero_stage: int
) -> None:
    """With plain torch the same bit for bit: both have the same two shards, and a + b = b + a.

    As many threads, too: on how many a product is cut for its rounding.
    """

    def run(folder: Path, leave_at: int | None) -> Any:
        folder.mkdir(exist_ok=True)
        (folder / "rendezvous").unlink(missing_ok=True)
        run_two(folder, zero_stage, partial(train_and_leave, str(folder), leave_at), engine)
        return None if leave_at else torch.load(folder / "out", weights_only=True)

    undisturbed = run(tmp_path / "undisturbed", None)
    folder = tmp_path / "resized"
    run(folder, 10)
    alone = Context(pad_id=1, engine="torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert train_and_leave(str(folder), 20, alone) is None
    finally:
        torch.set_num_threads(threads)
    resized = run(folder, None)
    assert torch.load(folder / "checkpoint", weights_only=True)["state"]["step"] == 20
    tolerance = 0.0 if engine == "torch" else 1e-5
    for name, value in undisturbed["weights"].items():
        assert torch.allclose(resized["weights"][name], value, rtol=0, atol=tolerance), name
    if engine == "torch":
        assert resized["history"] == undisturbed["history"]


@pytest.mark.slow
def test_workers_with_different_checkpoints_do_not_train(tmp_path: Path) -> None:
    run_two(tmp_path, 0, partial(train_apart, str(tmp_path)), "torch")
    for rank in (0, 1):
        assert "different optimizer steps: 7, 5" in (tmp_path / f"said-{rank}").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["checkpoint", "ruling", "leaving", "outcome"])
def test_no_worker_keeps_what_one_has_learnt_from_altered_files(tmp_path: Path, kept: str) -> None:
    run_two(tmp_path, 0, partial(train_on_altered, str(tmp_path), kept), "torch")
    for rank in (0, 1):
        assert (tmp_path / f"said-{rank}").read_text() == "rows.arrow: was altered"
    assert list(tmp_path.glob("kept-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "zero_stage"), [("torch", 0), *(("deepspeed", stage) for stage in range(4))]
)
def test_workers_leave_out_the_same_steps(
    tmp_path: Path, bad: dict[int, float], engine: str, zero_stage: int
) -> None:
    """Only the last worker meets the bad losses."""
    run_two(tmp_path, zero_stage, train_astray, engine)
    found = torch.load(tmp_path / "out", weights_only=True)
    alone = train_tiny(SKIPPING, Context(pad_id=1))
    assert alone.skipped_steps == sorted(bad) == found["skipped_steps"]
    for name, value in alone.weights.items():
        assert torch.allclose(found["weights"][name], value, atol=1e-5), name


class Rungs:
    """Rules at rungs as told, and notes what it was asked."""

    def __init__(self, *stops: int) -> None:
        self.stops = stops
        self.asked: list[tuple[int, float]] = []

    def __call__(self, rung: int, best: float) -> bool:
        self.asked.append((rung, best))
        return rung not in self.stops


def test_a_trial_is_asked_about_at_each_rung_once() -> None:
    """Of 10 steps, those 3, 6, 9 and 10 are scored: 30, 60, 90 and 100 percent."""
    rule, told = Rungs(), list[Progress]()
    spec = replace(SPEC, eval_every=3)
    context = Context(pad_id=1, rungs=(10, 25, 50, 80), goes_on=rule, report=told.append)
    outcome = train_tiny(spec, context, score=Script(10, 30, 20, 40))
    assert rule.asked == [(25, 10), (50, 30), (80, 30)]
    assert [(each.rung, each.best) for each in told if each.rung] == rule.asked
    assert (outcome.steps, outcome.stopped_at, outcome.stopped_early) == (10, None, False)


def test_a_trial_that_is_stopped_keeps_its_best_weights() -> None:
    spec = replace(SPEC, eval_every=3)
    whole = train_tiny(replace(spec, patience=1), Context(pad_id=1), score=Script(30, 10))
    context = Context(pad_id=1, rungs=(25, 50), goes_on=Rungs(50))
    outcome = train_tiny(spec, context, score=Script(30, 10))
    assert (outcome.steps, outcome.total_steps) == (6, STEPS)
    assert (outcome.stopped_at, outcome.stopped_early) == (50, True)
    assert (outcome.best_score, outcome.best_step) == (30, 3)
    assert same(outcome.weights, whole.weights)


def test_a_resumed_trial_is_not_asked_about_a_rung_it_has_passed() -> None:
    spec = replace(SPEC, eval_every=3)
    kept: list[Checkpoint] = []
    context = Context(
        pad_id=1, save=kept.append, save_every_s=0.0, rungs=(25, 50), goes_on=Rungs(50)
    )
    undisturbed = train_tiny(spec, context, score=Script(30, 10))
    assert [each.state["step"] for each in kept] == [1, 2, 3, 4, 5]
    for checkpoint in kept:
        rule = Rungs(50)
        script = Script(10) if checkpoint.state["step"] >= 3 else Script(30, 10)
        context = Context(pad_id=1, resume=[checkpoint].pop, rungs=(25, 50), goes_on=rule)
        resumed = train_tiny(spec, context, score=script)
        assert [rung for rung, _ in rule.asked][-1:] == [50]
        assert len(rule.asked) == (1 if checkpoint.state["step"] >= 3 else 2)
        assert same(resumed.weights, undisturbed.weights)
        assert (resumed.steps, resumed.stopped_at) == (6, 50)
