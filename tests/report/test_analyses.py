"""Forgetting, alignment, layers and few-shot stages, from a small run to both reports."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest
from transformers import AutoModel

from tests.report.pages import Page
from tests.small import BAD, GOOD, TASK, write_small
from xtransfer.config import Experiment, load_experiment
from xtransfer.execute import run_step
from xtransfer.fingerprints import Fingerprints
from xtransfer.forms import FORMS
from xtransfer.placement import Placement
from xtransfer.plan import Plan
from xtransfer.planner import build_plan
from xtransfer.prepared import read_data_set
from xtransfer.records import Record
from xtransfer.report.analyses import Analysed, analyse
from xtransfer.report.answer import answer_json
from xtransfer.report.build import answer_of, collect_results, describe_run
from xtransfer.report.study import study_of
from xtransfer.report.tables import render
from xtransfer.store import open_store
from xtransfer.train.assembly import WEIGHTS, make_head
from xtransfer.train.context import Context
from xtransfer.train.model import TransferModel, apply_weights, head_weights, read_weights
from xtransfer.train.prediction import predict
from xtransfer.workbench import Workbench


@dataclass(frozen=True)
class Ran:
    """A finished small run."""

    folder: Path
    experiment: Experiment
    bench: Workbench
    records: dict[str, Record]

    @property
    def plan(self) -> Plan:
        return self.bench.plan

    @property
    def analysed(self) -> Analysed:
        return analyse(self.plan, self.records)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Train on moods, then on reviews, for which mood words are noise, then on few examples more."""
    folder = tmp_path_factory.mktemp("analyses")
    path = write_small(folder, eval_every=4, adam_epsilon=1e-8)
    files = {split: [f"mood-{split}.tsv"] for split in ("train", "dev")}
    for split, count in (("train", 30), ("dev", 14)):
        draw = random.Random(count + 1)
        rows = []
        for _ in range(count):
            mood = draw.choice(["glad", "sad"])
            rows.append(f"{' '.join(draw.choices(BAD if mood == 'glad' else GOOD, k=4))}\t{mood}\n")
        (folder / f"mood-{split}.tsv").write_text("".join(rows))
    for split, count in (("train", 60), ("dev", 12), ("test", 12)):
        draw = random.Random(count + 2)
        rows = []
        for at in range(count):
            words = [*draw.choices(GOOD + BAD, k=3), "tree" if at % 2 else "mat"]
            rows.append(f"{' '.join(words)}\t{'good' if at % 2 else 'bad'}\n")
        (folder / f"{split}.tsv").write_text("".join(rows))
    (folder / "pairs").mkdir()
    for language, text in (
        ("sw", "tree\nold dog\nred bird sat\n"),
        ("en", "mat\nold cat\nred tree\n"),
    ):
        (folder / "pairs" / f"sw-en.{language}").write_text(text)
    moods = {
        **{name: TASK[name] for name in ("form", "metric", "languages")},
        "name": "moods",
        "labels": ["sad", "glad"],
        "source": {**TASK["source"], "files": files},
        "as_intermediate": {"epochs": 6, "batch_size": 8, "max_length": 32},
    }
    raw = json.loads(path.read_text())
    raw["tasks"].append(moods)
    raw["data"]["files"] = {"tatoeba": {"test": ["pairs/{lang}-en.{lang}", "pairs/{lang}-en.en"]}}
    raw["intermediate"] = {"tasks": ["moods"], "learning_rates": [0.01]}
    raw["target"] |= {
        "tasks": ["reviews", "tatoeba"],
        "seeds": [1, 2],
        "languages": {"tatoeba": ["sw"]},
        "learning_rates": [0.05],  # high, so that it forgets
        "overrides": {"reviews": {"epochs": 6}, "all": {"max_length": 32}},
        "few_shot": {"reviews": {"examples": [2, 6], "languages": ["en"], "epochs": 2}},
    }
    raw["retrieval"] = {"layer": 1, "layers": "all"}
    raw["analyses"] = {"forgetting": True, "alignment": {"targets": ["reviews"]}}
    path.write_text(json.dumps(raw))
    experiment = load_experiment(path)
    bench = Workbench(
        plan=build_plan(experiment, Fingerprints(experiment)),
        store=open_store(f"file://{folder}/store"),
        placement=Placement.model_validate({"train": {"engine": "torch"}}),
        scratch=folder / "scratch",
    )
    records = {key: run_step(step, bench) for key, step in bench.plan.steps.items()}
    return Ran(folder, experiment, bench, records)


def score_with(ran: Ran, encoder_of: Record, head_of: Record) -> float:
    """Return the accuracy on the moods' dev set of one trial's encoder under another's head."""
    encoder = AutoModel.from_pretrained(ran.folder / "encoder", add_pooling_layer=False)
    apply_weights(encoder, read_weights(ran.bench.files(encoder_of, [WEIGHTS]) / WEIGHTS))
    head = make_head(encoder, "classification", 2)
    head.load_state_dict(head_weights(read_weights(ran.bench.files(head_of, [WEIGHTS]) / WEIGHTS)))
    dev = next(r for r in ran.records.values() if (r.kind, r.name) == ("prepare", "moods-dev"))
    data = read_data_set(ran.bench.files(dev), "en")
    model = TransferModel(encoder, [head], bf16=False)
    logits = predict(model, "classification", data, Context(pad_id=1))
    assert logits is not None
    found = FORMS["classification"].decode(logits, data.rows, data.examples, ("sad", "glad"))
    right = [each["gold"] == label for each, label in zip(data.examples, found, strict=True)]
    return 100 * fmean(right)


def test_forgetting_is_the_dev_score_of_one_encoder_under_the_others_head(ran: Ran) -> None:
    (row,) = ran.analysed.forgotten
    assert (row.after, row.task, row.target, row.runs) == ("moods", "moods", "reviews", 2)
    probes = [probe for probe in ran.plan.probes if probe.kind == "forgetting"]
    expected: list[float] = []
    for probe in probes:
        step = ran.plan.steps[probe.key]
        head = ran.bench.trained(step.inputs["head"])
        assert row.before == pytest.approx(score_with(ran, head, head))
        expected.append(score_with(ran, ran.bench.trained(step.inputs["model"]), head))
        scored = ran.records[probe.key].result["languages"]["en"]["metrics"]["accuracy"]
        assert scored == pytest.approx(expected[-1])
    assert row.later == pytest.approx(fmean(expected))
    assert row.before > 90  # it had learned its task, so that there is something to forget
    assert row.change < -10


def test_alignment_is_there_for_every_model_and_layer(ran: Ran) -> None:
    means = [each for each in ran.analysed.alignment if not each.language]
    assert {(each.after, each.target) for each in means} == {
        (arm, target) for arm in ("baseline", "moods") for target in ("", "reviews")
    }
    assert all(list(each.values) == [0, 1, 2] for each in means)
    (base,) = (each for each in means if (each.after, each.target) == ("baseline", ""))
    recorded = ran.records[base.keys[0]].result["languages"]["sw"]
    assert base.values[1] == pytest.approx(recorded["layers"]["1"]["gap"])
    assert recorded["examples"] == 3


def test_layers_and_shots_are_those_of_the_records(ran: Ran) -> None:
    (base,) = (x for x in ran.analysed.retrieval if (x.after, x.language) == ("baseline", "sw"))
    found = ran.records[base.keys[0]].result["languages"]["sw"]
    assert base.values[1] == found["metrics"]["accuracy"]
    assert base.values == {int(n): x["metrics"]["accuracy"] for n, x in found["layers"].items()}
    assert {(x.after, x.language, tuple(x.values)) for x in ran.analysed.shots} == {
        (arm, "en", (0, 2, 6)) for arm in ("baseline", "moods")
    }
    zero = [x.value for x in collect_results(ran.plan, ran.records) if not x.few_shot
            and (x.target, x.intermediate) == ("reviews", "moods")]  # fmt: skip
    (moods,) = (x for x in ran.analysed.shots if x.after == "moods")
    assert moods.values[0] == pytest.approx(fmean(zero))


@pytest.fixture(scope="module")
def files(ran: Ran) -> dict[str, str]:
    info = describe_run(ran.experiment, ran.plan, ran.records)
    results = collect_results(ran.plan, ran.records)
    answer = answer_of(
        ran.experiment, ran.plan, results, info, store=ran.bench.store, records=ran.records
    )
    assert not answer.partial
    assert json.loads(answer_json(answer))["analysed"]["alignment_task"] == "tatoeba"
    study = study_of(ran.experiment, ran.plan, ran.records)
    return render(results, experiment=info, answer=answer, study=study)


def test_report_md_has_a_section_for_each(ran: Ran, files: dict[str, str]) -> None:
    text = files["report.md"]
    (row,) = ran.analysed.forgotten
    assert f"| moods | moods | accuracy | reviews | {row.before:.1f} | {row.later:.1f} ± " in text
    assert "## Alignment of translations (tatoeba), by layer" in text
    assert "| the encoder, then reviews |" in text
    assert "## Retrieval by layer" in text
    assert "### reviews, few-shot" in text


def test_report_html_has_a_table_for_each(ran: Ran, files: dict[str, str]) -> None:
    page = Page(files["report.html"])
    (row,) = ran.analysed.forgotten
    (label, cells) = page.tables["forgetting"].rows[0]
    assert label.text == "moods"
    assert cells["before"].text == f"{row.before:.1f}"
    assert set(row.keys) == set(cells["change"].keys)
    gap = next(
        x for x in ran.analysed.alignment if (x.after, x.target, x.language) == ("moods", "", "")
    )
    shown = page.tables["alignment"].column("1")["moods"]
    assert shown.text == f"{gap.values[1]:+.2f}"
    assert shown.keys == gap.keys
    assert len(page.tables["alignment-languages"].rows) == 4
    assert len(page.tables["layers"].rows) == 2
    moods = next(x for x in ran.analysed.shots if x.after == "moods")
    few = next(c for label, c in page.tables["few-shot"].rows if c["after"].text == "moods")
    assert few["6"].text.startswith(f"{moods.values[6]:.1f}")


def test_what_is_not_measured_yet_is_named(ran: Ran) -> None:
    keys = {probe.key for probe in ran.plan.probes}
    some = {key: record for key, record in ran.records.items() if key not in keys}
    assert analyse(ran.plan, some).forgotten == ()
    missing = describe_run(ran.experiment, ran.plan, some).missing
    assert "forgetting (moods) after reviews: not measured yet" in missing
