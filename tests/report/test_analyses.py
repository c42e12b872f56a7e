"""Forgetting, alignment, layers and few-shot stages, from a small run to both reports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import pytest
from transformers import AutoModel

from tests.report.analysed import Ran, run_analysed
from tests.report.pages import Page
from xtransfer.forms import FORMS
from xtransfer.records.record import Record
from xtransfer.report.analyses import analyse
from xtransfer.report.answer import answer_json
from xtransfer.report.build import answer_of, collect_results, describe_run
from xtransfer.report.study import study_of
from xtransfer.report.tables import render
from xtransfer.steps.assembly import WEIGHTS, make_head
from xtransfer.steps.prepared import read_data_set
from xtransfer.train.context import Context
from xtransfer.train.model import TransferModel
from xtransfer.train.prediction import predict
from xtransfer.train.weights import apply_weights, head_weights, read_weights


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_analysed(tmp_path_factory.mktemp("analyses"))


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


def test_every_number_of_the_analyses_is_in_the_records_that_it_names(
    ran: Ran, files: dict[str, str]
) -> None:
    page = Page(files["report.html"])
    walked = 0
    for name in ("forgetting", "alignment", "alignment-languages", "layers", "few-shot"):
        for label, cells in page.tables[name].rows:
            for column, cell in cells.items():
                if "n" not in cell.attributes.get("class", "").split() or cell.text == "–":
                    continue
                assert cell.keys, (name, label.text, column)
                assert set(cell.keys) <= set(ran.records)
                if column in ("seeds", "highest in"):
                    continue
                shown = float(cell.text.split(" ")[0].replace("−", "-"))
                found = list(values_of(ran, name, column, cells, cell.keys))
                assert any(abs(shown - value) < 0.051 for value in found), (name, column, found)
                walked += 1
    assert walked > 30


def values_of(
    ran: Ran, table: str, column: str, cells: dict[str, Any], keys: tuple[str, ...]
) -> Iterator[float]:
    """Yield what the records that a cell names can say: a mean over them, or of one of them."""
    records = [ran.records[key] for key in keys]
    if table == "forgetting":
        later = [
            each["metrics"]["accuracy"]
            for record in records
            if record.kind == "evaluate"
            for each in record.result["languages"].values()
        ]
        before = {record.result["score"] for record in records if record.kind != "evaluate"}
        yield from {"before": before, "after the target": [fmean(later)]}.get(
            column, [fmean(later) - each for each in before]
        )
    elif table == "few-shot":
        for shots in {0, int(column)}:
            own = [
                record.result["languages"]["en"]["metrics"]["accuracy"]
                for record in records
                if next(c for c in ran.plan.cells if c.key == record.key).few_shot == shots
            ]
            if own:
                yield fmean(own)
    else:
        what = "gap" if table.startswith("alignment") else "accuracy"
        languages = [cells["language"].text] if "language" in cells else None
        for_each = [
            [
                found["layers"][column][what]
                if what == "gap"
                else found["layers"][column]["metrics"][what]
                for language, found in record.result["languages"].items()
                if languages is None or language in languages
            ]
            for record in records
        ]
        yield fmean(value for values in for_each for value in values)


def test_the_page_names_no_key_that_is_no_record(ran: Ran, files: dict[str, str]) -> None:
    page = Page(files["report.html"])
    assert {key for each in page.elements for key in each.keys} <= set(ran.records)
    for table in page.tables.values():
        for _, cells in table.rows:
            for cell in cells.values():
                if "n" in cell.attributes.get("class", "").split() and re.search(r"\d", cell.text):
                    assert cell.keys or cell.attributes.get("data-source"), (table.caption, cell)


def test_what_is_not_measured_yet_is_named(ran: Ran) -> None:
    keys = {probe.key for probe in ran.plan.probes}
    some = {key: record for key, record in ran.records.items() if key not in keys}
    assert analyse(ran.plan, some).forgotten == ()
    missing = describe_run(ran.experiment, ran.plan, some).missing
    assert "forgetting (moods) after reviews: not measured yet" in missing
