"""Averages of weights, from tensors to rows of the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.small import bench_of, write_small
from tests.train.workers import SPEC, train_tiny
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.errors import StepError
from xtransfer.execution.execute import run_step
from xtransfer.process.workbench import Workbench
from xtransfer.records.checkpoints import load_checkpoint, save_checkpoint
from xtransfer.records.record import Record
from xtransfer.report.build import answer_of, collect_results, describe_run
from xtransfer.report.markdown import report_page
from xtransfer.report.results import tabulate
from xtransfer.steps.assembly import WEIGHTS, gather_inputs, make_model, make_parts
from xtransfer.steps.averaging import average_step, mean_weights
from xtransfer.steps.outcome import OUTCOME
from xtransfer.steps.worker import trial_spec
from xtransfer.store import open_store
from xtransfer.train.context import Checkpoint, Context
from xtransfer.train.course import Outcome
from xtransfer.train.snapshots import Snapshots, snapshot_file
from xtransfer.train.weights import apply_weights, read_weights

KEY = "0" * 12
BASE = torch.arange(12, dtype=torch.float32).reshape(6, 2)


def written(folder: Path, number: int, ids: list[int], decay: float) -> tuple[Path, Tensor]:
    """Write exported weights drawn by `number`; return their file and their whole embedding."""
    random = torch.Generator().manual_seed(number)
    rows = torch.randn((len(ids), 2), generator=random)
    weights = {
        "encoder.w": torch.randn((3, 3), generator=random),
        "heads.0.bias": torch.randn(4, generator=random),
        "token_ids": torch.tensor(ids, dtype=torch.int32),
        "token_rows": rows,
        "token_decay": torch.tensor(decay, dtype=torch.float64),
    }
    save_file(weights, folder / f"{number}.safetensors")
    whole = BASE.double() * decay
    whole[ids] = rows.double()
    return folder / f"{number}.safetensors", whole


def never() -> Tensor:
    raise AssertionError("the base encoder is not needed")


def test_every_tensor_is_the_arithmetic_mean(tmp_path: Path) -> None:
    made = [written(tmp_path, at, [0, 2, 5], decay) for at, decay in ((1, 0.9), (2, 0.8), (3, 1.0))]
    found = mean_weights([path for path, _ in made], never)
    each = [load_file(path) for path, _ in made]
    assert found.keys() == each[0].keys()
    for name in ("encoder.w", "heads.0.bias", "token_rows"):
        exact = np.stack([part[name].numpy().astype(np.float64) for part in each]).mean(axis=0)
        assert np.array_equal(found[name].numpy(), exact.astype(np.float32)), name
    assert found["token_ids"].tolist() == [0, 2, 5]
    assert float(found["token_decay"]) == pytest.approx(0.9, abs=1e-15)


def test_the_sum_is_in_double_precision(tmp_path: Path) -> None:
    """In single precision 1e8 + 1 - 1e8 is 0, and the mean would be 0 instead of 1/3."""
    path, _ = written(tmp_path, 1, [0], 1.0)
    paths: list[Path] = []
    for at, value in enumerate((1e8, 1.0, -1e8)):
        weights = {**load_file(path), "heads.0.bias": torch.tensor([value])}
        paths.append(tmp_path / f"part{at}.safetensors")
        save_file(weights, paths[-1])
    assert float(mean_weights(paths, never)["heads.0.bias"]) == pytest.approx(1 / 3)


def test_rows_that_only_some_hold_are_averaged_with_what_the_others_imply(tmp_path: Path) -> None:
    made = [written(tmp_path, 1, [0, 2], 0.9), written(tmp_path, 2, [2, 4, 5], 0.5)]
    found = mean_weights([path for path, _ in made], lambda: BASE)
    whole = BASE.double() * float(found["token_decay"])
    whole[found["token_ids"].long()] = found["token_rows"].double()
    expected = (made[0][1] + made[1][1]) / 2
    assert torch.allclose(whole, expected, atol=1e-6)
    assert found["token_ids"].tolist() == [0, 2, 4, 5]


def test_weights_of_other_models_are_refused(tmp_path: Path) -> None:
    one, _ = written(tmp_path, 1, [0], 1.0)
    other = tmp_path / "other.safetensors"
    save_file({**load_file(one), "heads.1.bias": torch.zeros(2)}, other)
    with pytest.raises(StepError, match=r"other tensors than the first: heads\.1\.bias"):
        mean_weights([one, other], never)
    save_file({**load_file(one), "heads.0.bias": torch.zeros(2)}, other)
    with pytest.raises(StepError, match=r"heads\.0\.bias: has different shapes"):
        mean_weights([one, other], never)


# --- which checkpoints are kept ------------------------------------------------------------------


@pytest.mark.parametrize(("which", "kept"), [("last", [3, 4, 5]), ("best", [1, 2, 4])])
def test_the_last_or_the_best_evaluations_are_kept(which: str, kept: list[int]) -> None:
    snapshots = Snapshots({"count": 3, "which": which})
    for step, score in enumerate((30.0, 20.0, 10.0, 40.0, 20.0), start=1):
        if snapshots.wants(score):
            snapshots.add(step, score, {"w": torch.tensor(score)})
    assert list(snapshots.scores) == kept
    assert list(snapshots.weights) == kept


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_resumed_trial_keeps_the_same_checkpoints(which: str, tmp_path: Path) -> None:
    """From files, in which the best weights, a snapshot now and then, cannot stand twice."""
    spec = replace(SPEC, eval_every=2, snapshots={"count": 2, "which": which})
    scores = iter((20.0, 10.0, 5.0, 30.0, 1.0))  # the best is a snapshot, then none, then one

    def save(checkpoint: Checkpoint) -> None:
        store = open_store(f"file://{tmp_path}/{checkpoint.state['step']}")
        save_checkpoint(store, KEY, state=checkpoint.state, tensors=checkpoint.tensors)

    def train(**options: Any) -> Outcome:
        context = Context(pad_id=1, **options)
        return train_tiny(spec, context, dropout=0.2, score=lambda *_: {"accuracy": next(scores)})

    whole = train(save=save, save_every_s=0.0)
    assert list(whole.snapshots.scores) == ([8, 10] if which == "last" else [2, 8])
    for step, rest in ((3, (10.0, 5.0, 30.0, 1.0)), (7, (30.0, 1.0)), (9, (1.0,))):
        scores = iter(rest)
        found = load_checkpoint(open_store(f"file://{tmp_path}/{step}"), KEY)
        assert found is not None
        again = train(resume=lambda found=found: Checkpoint(state=found[0], tensors=found[1]))
        assert again.snapshots.scores == whole.snapshots.scores
        mine = {**again.snapshots.weights, 0: again.weights}
        for at, weights in {**whole.snapshots.weights, 0: whole.weights}.items():
            assert weights
            assert all(torch.equal(mine[at][name], value) for name, value in weights.items())


# --- a whole plan --------------------------------------------------------------------------------


def run_small(
    folder: Path, *, long: bool = False, **average: Any
) -> tuple[Experiment, Workbench, dict[str, Record]]:
    """Run the small experiment with two seeds and averages, in this process; `long`: until it learns."""
    path = write_small(folder, **({"eval_every": 8, "adam_epsilon": 1e-8} if long else {}))
    raw = json.loads(path.read_text())
    raw["target"] |= {"seeds": [1, 2], "average": average}
    if long:
        raw["target"]["overrides"] = {"reviews": {"epochs": 12}}
    path.write_text(json.dumps(raw))
    experiment = load_experiment(path)
    bench = bench_of(experiment, folder)
    return experiment, bench, {k: run_step(s, bench) for k, s in bench.plan.steps.items()}


def whole_weights(bench: Workbench, record: Record, name: str, folder: Path) -> dict[str, Tensor]:
    """Return every parameter of the encoder and the head that a record's file stands for."""
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(folder / "encoder", add_pooling_layer=False)
    weights = read_weights(bench.files(record, [name]) / name)
    apply_weights(encoder, weights)
    heads = {name: value for name, value in weights.items() if name.startswith("heads.")}
    return {**{n: p.detach().clone() for n, p in encoder.named_parameters()}, **heads}


def test_averages_are_recorded_scored_and_rows_of_the_table(tmp_path: Path) -> None:
    experiment, bench, records = run_small(tmp_path, checkpoints=2, seeds=True)
    plan = bench.plan
    averaged = [key for key, step in plan.steps.items() if step.kind == "average"]
    assert len(averaged) == 3
    for key in averaged[:2]:
        record = records[key]
        trial = bench.trained(next(iter(record.inputs.values())))
        assert [each["step"] for each in record.result["averaged"]] == [6, 8]
        files = sorted(file.name for file in trial.files if file.name != WEIGHTS)
        assert files == ["weights-000000006.safetensors", "weights-000000008.safetensors"]
        parts = [whole_weights(bench, trial, name, tmp_path) for name in files]
        mean = whole_weights(bench, record, WEIGHTS, tmp_path)
        for name, value in mean.items():
            expected = (parts[0][name].double() + parts[1][name].double()) / 2
            assert torch.allclose(value.double(), expected, atol=1e-7), name
    rows = {(each.intermediate, each.seed) for each in collect_results(plan, records)}
    assert rows == {
        ("baseline", 1),
        ("baseline", 2),
        ("baseline, mean of last 2", 1),
        ("baseline, mean of last 2", 2),
        ("baseline, mean of last 2 over seeds", None),
    }
    info = describe_run(experiment, plan, records)
    results = collect_results(plan, records)
    answer = answer_of(experiment, plan, results, info, store=bench.store, records=records)
    page = report_page(tabulate(results, info.languages), info, results, answer)
    assert "| baseline, mean of last 2 over seeds |" in page
    assert "weights: mean of last 2 over seeds" in page
    assert not answer.partial
    assert "the heads of all seeds start from one draw, of seed 0" in page


def test_the_heads_of_averaged_seeds_start_alike(tmp_path: Path) -> None:
    for alike in (True, False):
        folder = tmp_path / str(alike)
        folder.mkdir()
        average: dict[str, Any] = {"seeds": True} if alike else {"checkpoints": 2}
        _, bench, records = run_small(folder, long=False, **average)
        heads: list[dict[str, Tensor]] = []
        for key, record in records.items():
            if record.kind == "train":
                inputs = gather_inputs(bench.plan.steps[key], bench)
                spec = trial_spec(record.spec)
                parts, _ = make_parts(record.spec, spec, inputs, bench.plan.tasks)
                start = make_model(inputs, spec, parts, compacted=True, kept=False)
                heads.append(start.model.heads.state_dict())
        assert len(heads) == 2
        weight = next(name for name in heads[0] if name.endswith("weight"))
        assert torch.equal(heads[0][weight], heads[1][weight]) is alike


def test_a_trial_with_too_few_evaluations_gives_what_it_has_and_the_report_says_so(
    tmp_path: Path,
) -> None:
    experiment, bench, records = run_small(tmp_path, checkpoints=5)
    averaged = [record for record in records.values() if record.kind == "average"]
    assert len(averaged) == 2
    for record in averaged:
        assert [each["step"] for each in record.result["averaged"]] == [2, 4, 6, 8]
        trial = bench.trained(next(iter(record.inputs.values())))
        files = [snapshot_file(step) for step in (2, 4, 6, 8)]
        parts = [whole_weights(bench, trial, name, tmp_path) for name in files]
        for name, value in whole_weights(bench, record, WEIGHTS, tmp_path).items():
            total = torch.stack([part[name].double() for part in parts]).mean(0)
            assert torch.allclose(value.double(), total, atol=1e-7), name
    notes = describe_run(experiment, bench.plan, records).notes
    short = [note for note in notes if "the mean of 4 checkpoints and not of 5" in note]
    assert [note.partition(":")[0] for note in short] == sorted(each.name for each in averaged)


def test_the_report_says_nothing_of_trials_with_enough_evaluations(tmp_path: Path) -> None:
    experiment, bench, records = run_small(tmp_path, checkpoints=4)
    assert not [
        note
        for note in describe_run(experiment, bench.plan, records).notes
        if "checkpoints and not of" in note
    ]


def test_a_trial_without_dev_scores_has_nothing_to_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bench, _ = run_small(tmp_path, checkpoints=2)
    average = next(step for step in bench.plan.steps.values() if step.kind == "average")
    trial = bench.trained(next(iter(average.inputs.values())))
    bare = trial.model_copy(update={"files": [f for f in trial.files if f.name == WEIGHTS]})
    monkeypatch.setattr(Workbench, "trained", lambda *_: bare)
    with pytest.raises(StepError, match="scored no dev set"):
        average_step(average, bench, tmp_path)


def test_workers_hand_all_checkpoints_over(tmp_path: Path) -> None:
    from xtransfer.steps.handover import fetch_outcome, hand_over

    store = open_store(f"file://{tmp_path}/store")
    for name in ("one", "other", "third"):
        (tmp_path / name).mkdir()
    names = [WEIGHTS, OUTCOME, snapshot_file(6), snapshot_file(8)]
    for name in names:
        (tmp_path / "one" / name).write_text(f"of {name}")
    hand_over(store, "0" * 12, tmp_path / "one")
    assert fetch_outcome(store, "0" * 12, tmp_path / "other")
    found = {path.name: path.read_text() for path in (tmp_path / "other").iterdir()}
    assert found == {name: f"of {name}" for name in names}
    store.write(f"resume/{'0' * 12}/outcome/{snapshot_file(6)}", b"damaged")
    assert not fetch_outcome(store, "0" * 12, tmp_path / "third")
