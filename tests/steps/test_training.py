"""Trials from their specification to their record: what is left out, and what does not fit."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import small_bench, write_small
from tests.train.faults import astray
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.errors import (
    DataError,
    Diverged,
    OutOfMemory,
    StepBusy,
    StepError,
    StepLeft,
    StoreError,
)
from xtransfer.execution.execute import run_step
from xtransfer.plan import Step
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.checkpoints import newest_checkpoint, save_checkpoint
from xtransfer.records.leases import claim
from xtransfer.records.record import Record
from xtransfer.steps import memory
from xtransfer.steps.assembly import WEIGHTS
from xtransfer.steps.worker import run_worker
from xtransfer.store import open_store
from xtransfer.train import loop
from xtransfer.train.saving import BackgroundSaver
from xtransfer.train.weights import read_weights

SAVE = {"resume_every_s": 1e-9}
STEPS = 8  # 2 epochs of 30 rows in batches of 8


def weights_of(bench: Workbench, record: Record) -> dict[str, torch.Tensor]:
    return read_weights(bench.files(record, [WEIGHTS]) / WEIGHTS)


def saved_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every checkpoint that is due wait for the one before, instead of being left out."""
    monkeypatch.setattr(BackgroundSaver, "busy", lambda saver: False)


class Small:
    """Memory in which `most` rows have room; the allocation that fails is a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, *, after: int = 0) -> None:
        self.most, self.after = most, after
        self.rows: list[tuple[int, int]] = []
        whole = loop._Run._loss

        def loss(run: Any, batch: Any) -> torch.Tensor:
            rows = len(batch.inputs["input_ids"])
            self.rows.append((run.state.step, rows))
            if rows > self.most and run.state.step >= self.after:
                torch.empty(2**50)
            return whole(run, batch)

        monkeypatch.setattr(loop._Run, "_loss", loss)


def test_a_trial_that_slept_leaves_the_checkpoints_of_who_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pause its own is due at once, before the thread that renews its lease has looked."""
    bench, trial = small_bench(tmp_path, SAVE)
    saved_every_time(monkeypatch)
    now, store = [time.time()], bench.store

    def clock() -> float:
        return now[0]

    def saves(step: int) -> None:
        save_checkpoint(store, trial.key, state={"step": step}, tensors={})

    def sleep(facts: Mapping[str, Any]) -> None:
        if facts["step"] == 3:
            while newest_checkpoint(store, trial.key) != f"resume/{trial.key}/000000002":
                time.sleep(0.01)  # it is on its way
            now[0] += 61
            claim(store, trial.key, seconds=60, clock=clock)
            saves(880)
            saves(900)

    with pytest.raises(StepBusy, match="attempt 1 was silent too long"):
        run_step(trial, replace(bench, clock=clock, tell=sleep))
    found = {item.name.split("/")[2] for item in store.list(f"resume/{trial.key}/")}
    assert found == {f"{step:09d}" for step in (880, 900)}


@pytest.mark.parametrize("before", [True, False])
def test_a_checkpoint_of_another_vocabulary_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, before: bool
) -> None:
    bench, trial = small_bench(tmp_path, {"compact_vocabulary": before, **SAVE})
    saved_every_time(monkeypatch)
    with pytest.raises(StepLeft):
        run_step(trial, replace(bench, leaving=lambda: "its node is going"))
    assert newest_checkpoint(bench.store, trial.key)
    train = bench.placement.train.model_copy(update={"compact_vocabulary": not before})
    placement = bench.placement.model_copy(update={"train": train})
    with caplog.at_level(logging.WARNING):
        record = run_step(trial, replace(bench, placement=placement))
    assert record.result["steps"] == STEPS
    assert "passed over a checkpoint whose embedding has other rows" in caplog.text


# --- what is not finite --------------------------------------------------------------------------


def test_a_trial_that_went_astray_names_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, SAVE)
    saved_every_time(monkeypatch)
    monkeypatch.setattr(loop._Run, "_loss", astray(loop._Run._loss, {5: math.nan}))
    with pytest.raises(Diverged, match="optimizer step 5: the training loss is nan") as caught:
        run_step(trial, bench)
    kept = newest_checkpoint(bench.store, trial.key)
    assert kept == f"resume/{trial.key}/000000005"
    assert str(caught.value).endswith(f"The last checkpoint is {bench.store.url}/{kept}.")
    assert bench.store.exists(f"{kept}/manifest.json")


def test_steps_left_out_are_recorded_and_decay_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows outside of the compact vocabulary decay by a formula; it must know of the steps, too."""
    monkeypatch.setattr(loop._Run, "_loss", astray(loop._Run._loss, {1: math.inf}))
    found: list[dict[str, Any]] = []
    for compact in (True, False):
        folder = tmp_path / str(compact)
        folder.mkdir()
        bench, trial = small_bench(
            folder, {"compact_vocabulary": compact}, on_nan="skip", weight_decay=0.5, warmup=0.0
        )
        record = run_step(trial, bench)
        assert record.result["skipped_steps"] == [1]
        assert record.result["best_step"] > 1
        found.append(weights_of(bench, record))
    compacted, whole = found
    assert float(compacted["token_decay"]) < 0.999
    base = small_base(tmp_path / "True")
    rebuilt = base * float(compacted["token_decay"])
    rebuilt[compacted["token_ids"].long()] = compacted["token_rows"]
    expected = base * float(whole["token_decay"])
    expected[whole["token_ids"].long()] = whole["token_rows"]
    assert torch.allclose(rebuilt, expected, atol=1e-6)


def small_base(folder: Path) -> torch.Tensor:
    """Return the embedding of the encoder."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder / "encoder", add_pooling_layer=False)
    return model.get_input_embeddings().weight.detach().clone()


def test_a_sound_trial_says_nothing_of_steps_left_out(tmp_path: Path) -> None:
    bench, trial = small_bench(tmp_path, {})
    record = run_step(trial, bench)
    assert "skipped_steps" not in record.result
    assert "micro_batch" not in record.placement


# --- out of memory -------------------------------------------------------------------------------


def test_what_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert memory.ran_out(caught.value)
    with pytest.raises(MemoryError) as raised:
        bytearray(2**62)
    assert memory.ran_out(raised.value)
    assert memory.ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert memory.ran_out(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not memory.ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not memory.ran_out(ValueError("out of memory"))


@pytest.mark.parametrize(("asked", "used"), [(None, 8), (4, 4)])
def test_a_trial_goes_on_in_half_the_bites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, asked: int | None, used: int
) -> None:
    undisturbed, trial = small_bench(tmp_path / "a", {"micro_batch": asked})
    expected = run_step(trial, undisturbed)
    bench, trial = small_bench(tmp_path / "b", {"micro_batch": asked, **SAVE})
    saved_every_time(monkeypatch)
    small = Small(monkeypatch, used // 2, after=3)
    with caplog.at_level(logging.WARNING):
        record = run_step(trial, bench)
    note = record.placement["micro_batch"]
    assert (note["asked"], note["micro_batch"]) == (asked, used // 2)
    assert note["why"].startswith(f"out of memory with micro-batches of {used} (")
    assert "can't allocate memory" in note["why"]
    assert record.placement["train"]["micro_batch"] == asked
    assert "micro_batch" not in expected.placement  # what was asked for is what it ran with
    assert f"It goes on with micro-batches of {used // 2}." in caplog.text
    # From the checkpoint, not from the start; and nothing but the size of the bites is new.
    assert sorted({step for step, _ in small.rows}) == list(range(STEPS))
    again = small.rows[next(i for i, row in enumerate(small.rows) if row == (3, used)) + 1 :]
    assert again[0] == (3, used // 2)
    assert max(count for _, count in again) == used // 2
    mine, theirs = weights_of(bench, record), weights_of(undisturbed, expected)
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in theirs)
    assert not list(bench.store.list(f"resume/{trial.key}/"))


def test_a_second_time_it_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, SAVE)
    small = Small(monkeypatch, 2)
    with pytest.raises(StepError, match="out of memory with micro-batches of 4") as caught:
        run_step(trial, bench)
    assert not isinstance(caught.value, OutOfMemory)
    assert "Set train.micro_batch below 4, or give a trial more memory" in str(caught.value)
    assert [count for _, count in small.rows] == [6, 3]  # the first batch is the small one
    # The same command does not try the larger bites again, another setting starts anew.
    with pytest.raises(StepError, match="micro-batches of 4"):
        run_step(trial, bench)
    assert [count for _, count in small.rows] == [6, 3, 3]
    train = bench.placement.train.model_copy(update={"micro_batch": 6})
    other = bench.placement.model_copy(update={"train": train})
    small.rows.clear()
    small.most = 3
    record = run_step(trial, replace(bench, placement=other))
    assert record.placement["micro_batch"] == {
        "asked": 6,
        "micro_batch": 3,
        "why": record.placement["micro_batch"]["why"],
    }
    assert [count for _, count in small.rows[:3]] == [6, 3, 3]


def test_a_single_example_cannot_be_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, {"micro_batch": 1})
    Small(monkeypatch, 0)
    with pytest.raises(StepError, match=r"micro-batches of 1 .* Give a trial more memory"):
        run_step(trial, bench)


def test_every_worker_finds_the_note_that_one_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray Train starts all workers of a trial again when one has failed."""
    bench, trial = small_bench(tmp_path, {"micro_batch": 8})
    with monkeypatch.context() as patched:
        Small(patched, 4)
        with pytest.raises(OutOfMemory):
            run_worker(trial, bench, tmp_path, rank=0, world_size=1)
    note = json.loads(bench.store.read(f"resume/{trial.key}/memory.json"))
    assert note["micro_batch"] == 4
    small = Small(monkeypatch, 4)
    run_worker(trial, bench, tmp_path, rank=0, world_size=1)
    assert max(count for _, count in small.rows) == 4


def test_a_note_of_smaller_bites_that_was_altered_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, {"micro_batch": 8})
    with monkeypatch.context() as patched:
        Small(patched, 4)
        with pytest.raises(OutOfMemory):
            run_worker(trial, bench, tmp_path, rank=0, world_size=1)
    name = f"resume/{trial.key}/memory.json"
    for spoiled in (bench.store.read(name).replace(b'_batch": 4', b'_batch": 0'), b"[" * 100_000):
        bench.store.write(name, spoiled)
        assert memory.read_bites(bench.store, trial, 8) is None


@pytest.mark.parametrize("share", [1, 2])
def test_a_share_of_the_batch_is_what_is_halved(tmp_path: Path, share: int) -> None:
    bench, trial = small_bench(tmp_path, {})
    error = memory.out_of_memory(
        MemoryError(), bench.store, trial, asked=None, now=None, shards=share
    )
    assert isinstance(error, OutOfMemory)
    bites = memory.read_bites(bench.store, trial, None)
    assert bites is not None
    assert bites.micro_batch == 4 // share


def test_whole_batches_are_not_divided(tmp_path: Path) -> None:
    bench, trial = small_bench(tmp_path, {})
    parts = [{**trial.spec["parts"][0], "form": "retrieval"}]
    ranking = Step(kind="train", name="r", spec={**trial.spec, "parts": parts}, phase="target")
    error = memory.out_of_memory(
        MemoryError(), bench.store, ranking, asked=None, now=None, shards=1
    )
    assert "Its batches cannot be divided: lower batch_size or max_length" in str(error)
    assert not bench.store.exists(f"resume/{ranking.key}/memory.json")


def test_other_errors_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, trial = small_bench(tmp_path, {})

    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(loop._Run, "_loss", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_step(trial, bench)
    assert not bench.store.exists(f"resume/{trial.key}/memory.json")


@pytest.mark.parametrize(("shots", "refused"), [(12, False), (13, True)])
def test_a_few_shot_trial_has_the_examples_that_its_scores_are_named_by(
    tmp_path: Path, shots: int, refused: bool
) -> None:
    """The dev set has 12."""
    few = {"reviews": {"examples": [shots], "languages": ["en"], "epochs": 1}}
    bench, trial = small_bench(tmp_path, {}, target={"few_shot": few})
    run_step(trial, bench)
    steps = bench.plan.steps
    last = next(step for step in steps.values() if step.kind == "train" and step != trial)
    for key in last.inputs.values():
        run_step(steps[key], bench)
    if refused:
        with pytest.raises(DataError, match="reviews dev en: has 12 examples, and 13 are to be"):
            run_step(last, bench)
    else:
        assert run_step(last, bench).result["parts"][0]["examples"] == shots


@pytest.mark.parametrize("sampling", ["proportional", "uniform"])
def test_a_task_that_no_step_draws_from_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sampling: str
) -> None:
    """Of 31 examples one is of the rare task, and there are 8 steps."""
    path = write_small(tmp_path)
    raw = json.loads(path.read_text())
    stage = {"epochs": 2, "batch_size": 8, "max_length": 32}
    (own,) = raw["tasks"]
    files = {"train": ["rare.tsv"], "dev": ["dev.tsv"]}
    rare = {**own, "name": "rare", "source": {**own["source"], "files": files}}
    raw["tasks"] = [{**each, "as_intermediate": stage} for each in (own, rare)]
    arm = {"name": "both", "tasks": ["reviews", "rare"], "sampling": sampling}
    raw["intermediate"] = {"tasks": [arm], "overrides": {"both": stage}}
    path.write_text(json.dumps(raw))
    (tmp_path / "rare.tsv").write_text("cat dog\tgood\n")
    experiment = load_experiment(path)
    plan = build_plan(experiment, Fingerprints(experiment))
    placement = Placement.model_validate({"train": {"engine": "torch"}})
    store = open_store(f"file://{tmp_path}/store")
    bench = Workbench(plan=plan, store=store, placement=placement, scratch=tmp_path / "scratch")
    trial = next(step for step in plan.steps.values() if step.sweep == "both")
    for key in trial.inputs.values():
        run_step(plan.steps[key], bench)
    with caplog.at_level(logging.WARNING):
        draws = {each["name"]: each["draws"] for each in run_step(trial, bench).result["parts"]}
    told = "none of 8 steps draws from rare (share 0.032)" in caplog.text
    assert told is (draws["rare"] == 0) is (sampling == "proportional")


def test_a_trial_does_not_go_on_from_what_it_learnt_of_altered_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes to the fetched rows while they are mapped; the next try is as if nobody had."""
    undisturbed, trial = small_bench(tmp_path / "a", {})
    expected = run_step(trial, undisturbed)
    bench, trial = small_bench(tmp_path / "b", SAVE)
    saved_every_time(monkeypatch)

    def spoil(facts: Any) -> None:
        if facts.get("step") == 3 and not spoiled:
            (path,) = bench.scratch.glob("prepare/reviews-train-*/en.rows.arrow")
            data = bytearray(path.read_bytes())
            at = data.index(bytes([1, 0, 0, 0]))
            spoiled.append(path)
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes(4))

    spoiled: list[Path] = []
    with pytest.raises(StoreError, match=r"rows\.arrow: was altered while the step used it"):
        run_step(trial, replace(bench, tell=spoil))
    record = run_step(trial, bench)
    mine, theirs = weights_of(bench, record), weights_of(undisturbed, expected)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("leaves", [True, False])
def test_altered_rows_end_a_trial_where_it_would_save_and_not_as_one_that_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    bench, trial = small_bench(tmp_path, {} if leaves else SAVE)
    saved_every_time(monkeypatch)
    steps: list[int] = []

    def spoil(facts: Any) -> None:
        if "step" in facts:
            steps.append(facts["step"])
            if steps[-1] == 3:
                (path,) = bench.scratch.glob("prepare/reviews-train-*/en.rows.arrow")
                with path.open("ab") as file:
                    file.write(b"more")

    asked = replace(bench, tell=spoil, leaving=lambda: "told" if leaves and 3 in steps else "")
    with pytest.raises(StoreError, match=r"rows\.arrow: was altered while the step used it"):
        run_step(trial, asked)
    assert max(steps) == 3
