"""A recorded model as others use it: loaded by transformers, with its head and its model card."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from tests.command import Run
from tests.config.test_arms import first, plan_of
from tests.recorded import record_steps
from tests.small import write_small
from tests.steps.test_averaging import run_small
from xtransfer import identity
from xtransfer.card import Card, Provenance, model_card
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.execution.execute import run_step
from xtransfer.export import export_model
from xtransfer.forms import classification
from xtransfer.identity import file_digest
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.predictions import read_predictions
from xtransfer.records.record import Record
from xtransfer.report.build import collect_results
from xtransfer.store import Store, open_store


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Workbench, dict[str, Record]]:
    folder = tmp_path_factory.mktemp("small")
    _, bench, records = run_small(folder, long=True, checkpoints=2, seeds=True)
    return folder, bench, records


def predicted(model: Path, texts: list[str]) -> list[str]:
    """Return the labels of texts by the exported files alone."""
    encoder = AutoModel.from_pretrained(model, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    head = classification.Head(encoder.config.hidden_size, 2, 0.0).eval()
    head.load_state_dict(load_file(model / "head.safetensors"))
    with torch.no_grad():
        states = encoder(**tokenizer(texts, return_tensors="pt", padding=True)).last_hidden_state
        return [["bad", "good"][int(row.argmax())] for row in head(states)]


@pytest.mark.parametrize("row", ["baseline", "baseline, mean of last 2 over seeds"])
def test_transformers_predicts_what_was_recorded(
    run: Run, small: tuple[Path, Workbench, dict[str, Record]], tmp_path: Path, row: str
) -> None:
    folder, bench, records = small
    out = tmp_path / "model"
    done = run(
        "export", "reviews", "--config", folder / "experiment.yaml", "--after", row, "--out", out,
        "--store", bench.store.url,
    )  # fmt: skip
    assert done.status == 0, done.err
    cell = next(cell for cell in bench.plan.cells if cell.intermediate == row)
    recorded = read_predictions(bench.store, records[cell.key], "en")
    texts = [line.split("\t")[0] for line in (folder / "test.tsv").read_text().splitlines()]
    assert len(texts) == len(recorded) == 12
    assert predicted(out, texts) == list(recorded.values())
    assert len(set(recorded.values())) == 2


def test_the_card_has_scores_keys_licences_and_the_command(
    run: Run, small: tuple[Path, Workbench, dict[str, Record]], tmp_path: Path
) -> None:
    folder, bench, records = small
    out, config = tmp_path / "model", folder / "experiment.yaml"
    done = run("export", "reviews", "--config", config, "--out", out, "--store", bench.store.url)
    assert done.status == 0, done.err
    card = (out / "README.md").read_text()
    values = [
        each.value
        for each in collect_results(bench.plan, records)
        if each.intermediate == "baseline"
    ]
    assert f"{fmean(values):.1f} ± {stdev(values):.1f}, n=2" in card
    about = json.loads((out / "xtransfer.json").read_text())
    assert f"key `{about['key']}`" in card
    assert [part["labels"] for part in about["heads"]] == [list(bench.plan.tasks["reviews"].labels)]
    assert done.out == f"{out}\n"
    cell = next(cell for cell in bench.plan.cells if cell.seed == 1)
    assert f"`{cell.key}`" in card
    assert "| reviews | trained on, selected on, scored on | unverified" in card
    assert f"Trained by: `xtransfer run {config} --store {bench.store.url}`" in card
    assert f"Exported by: `xtransfer export reviews --config {config} --out {out}" in card
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert 'language: ["en"]' in card


def test_without_an_experiment_the_card_has_this_models_scores_only(
    run: Run, small: tuple[Path, Workbench, dict[str, Record]], tmp_path: Path
) -> None:
    _, bench, records = small
    key = next(key for key, record in records.items() if record.kind == "select")
    done = run("export", key, "--out", tmp_path / "model", "--store", bench.store.url)
    assert done.status == 0, done.err
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| reviews | test | accuracy | en |" in card
    assert ", n=" not in card
    assert "Trained by" not in card


def test_a_row_that_is_not_there_is_named(
    run: Run, small: tuple[Path, Workbench, dict[str, Record]], tmp_path: Path
) -> None:
    folder, bench, _ = small
    done = run(
        "export", "reviews", "--config", folder / "experiment.yaml", "--after", "mnli",
        "--out", tmp_path / "model", "--store", bench.store.url,
    )  # fmt: skip
    assert done.status == 2
    assert "reviews after mnli: the experiment has no such row" in done.err
    assert "'baseline' seed 1" in done.err


def test_several_exports_read_the_base_encoder_once(
    small: tuple[Path, Workbench, dict[str, Record]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, bench, records = small
    key = next(key for key, record in records.items() if record.kind == "average")
    copy = shutil.copytree(folder / "encoder", tmp_path / "copy")
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return file_digest(path)

    monkeypatch.setattr(identity, "file_digest", noted)
    for name in ("one", "two"):
        export_model(bench.store, key, tmp_path / name, encoder=str(copy))
    assert copy / "model.safetensors" in read
    assert len(read) == len(set(read))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_another_base_encoder_than_the_trained_one_is_refused(
    run: Run,
    small: tuple[Path, Workbench, dict[str, Record]],
    tmp_path: Path,
    name: str,
    given: bool,
) -> None:
    """Its embedding would go into the model for each token that no trial saw."""
    folder, bench, records = small
    key = next(key for key, record in records.items() if record.kind == "average")
    shutil.copytree(folder / "encoder", tmp_path / "copy")
    changed = (tmp_path / "copy" if given else folder / "encoder") / name
    before = changed.read_bytes()
    at = ["export", key, "--out", tmp_path / "model", "--store", bench.store.url]
    at += ["--encoder", tmp_path / "copy"] if given else []
    changed.write_bytes(before[:-1] + b" ")
    try:
        done = run(*at)
    finally:
        changed.write_bytes(before)
    assert done.status == 2
    assert f"{changed}: is not the file that train/" in done.err
    assert not (tmp_path / "model").exists()
    assert run(*at).status == 0


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Bert", {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}),
        ("DistilBert", {"dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}),
    ],
)
def test_the_cards_code_loads_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, settings: dict[str, int]
) -> None:
    """Of a class with a pooling layer, and of one that knows no such option."""
    path = write_small(tmp_path)
    base = AutoTokenizer.from_pretrained(tmp_path / "encoder")
    base.model_max_length = 40
    base.save_pretrained(tmp_path / "encoder")
    size = len(base)
    config = getattr(transformers, f"{family}Config")(vocab_size=size, pad_token_id=1, **settings)
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path / "encoder")
    experiment = load_experiment(path)
    plan = build_plan(experiment, Fingerprints(experiment))
    store = open_store(f"file://{tmp_path}/store")
    placement = Placement.model_validate({"train": {"engine": "torch"}})
    bench = Workbench(plan=plan, store=store, placement=placement, scratch=tmp_path / "scratch")
    trial = next(step for step in plan.steps.values() if step.kind == "train")
    for key in (*trial.inputs.values(), trial.key):
        run_step(plan.steps[key], bench)
    out = tmp_path / "model"
    export_model(store, trial.key, out)
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(out)
    names: dict[str, Any] = {}
    exec(code, names)
    weights = load_file(out / "model.safetensors")
    loaded = dict(names["encoder"].named_parameters())
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())
    assert names["tokenizer"]("the cat")["input_ids"]
    # Cut where the base encoder's tokenizer cuts: no encoder has positions without end.
    assert len(names["tokenizer"]("the cat " * 99, truncation=True)["input_ids"]) == 40


@pytest.mark.parametrize(
    ("arm", "languages", "shown"),
    [
        ("{name: more, text: {languages: [ta, sw]}}", ["sw", "ta"], "| text | text: sw ta |"),
        (
            "{name: both, task: mnli, text: {languages: [sw]}}",
            ["en", "sw"],
            "| mnli + text | en; text: sw |",
        ),
    ],
)
def test_the_card_has_the_languages_of_unlabelled_text(
    store: Store, tmp_path: Path, arm: str, languages: list[str], shown: str
) -> None:
    plan = plan_of(tmp_path, arm)
    records = record_steps(store, plan, "train")
    trial = records[first(plan, "train", "intermediate").key]
    card = model_card(Card(record=trial, records=records))
    assert f"language: {json.dumps(languages)}" in card
    assert shown in card


@pytest.mark.parametrize(("rule", "oracle"), [("best_dev", False), ("target_dev", True)])
def test_the_card_says_what_chose_the_model(
    store: Store, tmp_path: Path, rule: str, oracle: bool
) -> None:
    target = {"tasks": ["xnli"], "languages": {"xnli": ["de"]}, "rule": rule}
    plan = plan_of(tmp_path, "mnli", target=target)
    records = record_steps(store, plan, "prepare", "train", "select", "evaluate")
    cell = next(cell for cell in plan.cells if cell.intermediate == "mnli")
    trial = records[records[plan.steps[cell.key].inputs["model"]].result["chosen"]]
    trial = trial.model_copy(update={"result": {**trial.result, "parts": []}})
    card = model_card(Card(record=trial, records=records, provenance=Provenance(plan=plan)))
    assert f"- xnli: selected on: {cell.selected_on}\n" in card
    assert ("oracle: zero-shot transfer has no dev sets" in card) == oracle
    bare = model_card(Card(record=trial, records=records))
    assert ("oracle: zero-shot transfer has no dev sets" in bare) == oracle
