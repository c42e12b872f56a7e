"""report.html: every number on it is that of the records, and says which."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import pytest

from tests.report.pages import Page, Shown
from tests.report.studies import Made, large_study, make_study, small_study
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import WITH
from xtransfer.report.numbers import NONE, exact, interval_text, number, p_text, signed
from xtransfer.report.page import render_page
from xtransfer.report.scores import OVERALL
from xtransfer.typology.distances import distance

POWER = ("power={cpu_watts: 10, gpu_watts: 400}",)


@pytest.fixture(scope="module")
def made() -> Made:
    return small_study(overrides=POWER)


@pytest.fixture(scope="module")
def text(made: Made) -> str:
    return render_page(made.answer, made.study, made.info)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def keys_of(made: Made, target: str, arm: str) -> tuple[str, ...]:
    return tuple(c.key for c in made.plan.cells if (c.target, c.intermediate) == (target, arm))


def score_of(made: Made, key: str, languages: Sequence[str] | None = None) -> float:
    """Return an evaluate step's score as its record has it."""
    record = made.records[key]
    found = record.result["languages"]
    return fmean(found[n]["metrics"][record.spec["metric"]] for n in languages or found)


def mean_score(made: Made, target: str, arm: str, languages: Sequence[str] | None = None) -> float:
    return fmean(score_of(made, key, languages) for key in keys_of(made, target, arm))


def both(made: Made, target: str, arm: str) -> set[str]:
    return {*keys_of(made, target, arm), *keys_of(made, target, BASELINE)}


def test_the_main_table_is_that_of_the_records(made: Made, page: Page) -> None:
    table = page.tables["main"]
    targets = made.experiment.target.tasks
    assert {label.text for label, _ in table.rows} == {*targets, OVERALL}
    for label, cells in table.rows:
        own = targets if label.text == OVERALL else (label.text,)
        base = fmean(mean_score(made, target, BASELINE) for target in own)
        for arm, cell in cells.items():
            mean = fmean(mean_score(made, target, arm) for target in own)
            assert cell.text.split(" ")[0] == number(mean)
            assert cell.gain == ("" if arm == BASELINE else signed(mean - base))
            assert set(cell.keys) == {key for t in own for key in both(made, t, arm)}


def test_what_is_significant_is_said_in_words(made: Made, text: str) -> None:
    marked = sum(bool(gain.significant) for gain in made.answer.gains)
    assert marked
    (table,) = re.findall(r'<table id="main".*?</table>', text, re.DOTALL)
    assert table.count('<span class="heard"> significant</span>') == marked


def test_languages_are_those_of_the_records(made: Made, page: Page) -> None:
    for target in made.experiment.target.tasks:
        table = page.tables[f"languages-{target}"]
        assert len(table.rows) == 3
        for label, cells in table.rows:
            assert list(cells)[1:] == sorted(made.experiment.target.languages[target])
            for name, cell in cells.items():
                languages = None if name == "mean" else [name]
                mean = mean_score(made, target, label.text, languages)
                base = mean_score(made, target, BASELINE, languages)
                alone = label.text == BASELINE
                assert cell.text == (number(mean) if alone else signed(mean - base))
                assert set(cell.keys) == both(made, target, label.text)
                if not alone and languages:
                    assert cell.attributes["data-note"].startswith(f"score {number(mean)}, gain ")


def test_gains_claims_and_typology_are_those_of_the_answer(made: Made, page: Page) -> None:
    answer = made.answer
    expected = {
        "gains": [
            ([exact(g.value), interval_text(g.low, g.high), p_text(g.p), p_text(g.p_holm)], g.keys)
            for g in answer.gains
        ],
        "power": [([f"{n.sd:.2f}", str(n.freedom), f"{n.seeds:,}"], n.keys) for n in answer.powers],
        **{
            f"claim-{at}": [
                (
                    [
                        exact(c.value),
                        interval_text(c.low, c.high),
                        *([] if c.with_seeds else [NONE]),
                    ],
                    c.keys,
                )
                for c in claim.comparisons
            ]
            for at, claim in enumerate(answer.claims)
        },
    }
    assert answer.typology is not None
    expected["groups"] = [
        ([exact(g.value), interval_text(g.low, g.high), str(len(g.targets))], g.keys)
        for g in answer.typology.groups
    ]
    expected["regressions"] = [
        (
            [
                exact(r.value),
                interval_text(r.low, r.high),
                p_text(r.p),
                f"{each.rows} / {each.languages} / {each.cells}",
                f"{each.r2:.2f}",
            ],
            r.keys,
        )
        for each in answer.typology.regressions
        for r in each.relations
    ]
    assert expected["regressions"]
    for at, claim in enumerate(answer.claims):
        shown_with = [cells["with"].text for _, cells in page.tables[f"claim-{at}"].rows]
        assert shown_with == [
            WITH[c.with_seeds] if c.with_seeds else NONE for c in claim.comparisons
        ]
    for name, rows in expected.items():
        shown = [
            (
                [c.text for c in cells.values() if is_number(c) or c.text == NONE],
                list(cells.values()),
            )
            for _, cells in page.tables[name].rows
        ]
        assert [texts for texts, _ in shown] == [texts for texts, _ in rows], name
        for (_, cells), (_, keys) in zip(shown, rows, strict=True):
            assert all(cell.keys == keys for cell in cells if is_number(cell)), name


def test_distances_and_gains_by_language_are_true(made: Made, page: Page) -> None:
    table = page.tables["dots"]
    assert table.rows
    for label, cells in table.rows:
        language = cells["language"].text
        own = [
            target
            for target in made.experiment.target.tasks
            if language in made.experiment.target.languages[target]
            and language not in made.study.train_languages.get(target, ())
        ]
        gains = [
            mean_score(made, target, label.text, [language])
            - mean_score(made, target, BASELINE, [language])
            for target in own
        ]
        assert cells["gain"].text == exact(fmean(gains))
        assert set(cells["gain"].keys) == {key for t in own for key in both(made, t, label.text)}
        assert cells["targets"].text == str(len(own))
        assert cells["syntactic"].text == f"{distance('syntactic', 'en', language):.2f}"
        assert cells["syntactic"].attributes["data-source"] == "URIEL"


def test_the_choice_of_every_model_is_that_of_its_record(made: Made, page: Page) -> None:
    steps = made.plan.steps
    selects = {(s.phase, s.name): k for k, s in steps.items() if s.kind == "select"}
    rows = [
        (made.records[selects[phase, cells["model"].text]], label, cells)
        for phase in ("intermediate", "target")
        for label, cells in page.tables[f"choices-{phase}"].rows
    ]
    assert {record.key for record, _, _ in rows} == set(selects.values())
    for record, label, cells in rows:
        assert label.text == steps[record.result["chosen"]].sweep
        (chosen,) = [c for c in record.result["candidates"] if c["key"] == record.result["chosen"]]
        assert cells["selected on"].text == record.spec["split"]
        assert cells["candidates"].text == str(len(record.result["candidates"]))
        assert cells["candidates"].keys == (record.key,)
        assert cells["dev score"].text == f"{chosen['score']:.2f}"
        assert cells["dev score"].keys == (chosen["key"],)
        for each in record.result["candidates"]:
            assert f"{each['learning_rate']:g} seed {each['seed']}: {each['score']:.2f}" in (
                cells["all candidates"].text
            )
            assert each["key"] in cells["all candidates"].keys


def test_costs_are_the_sum_of_the_records(made: Made, page: Page) -> None:
    table = page.tables["costs"]
    for label, cells in table.rows:
        own = [
            record
            for key, record in made.records.items()
            if label.text in ("all", made.plan.steps[key].phase)
        ]
        hours = [record.timing["seconds"] / 3600 for record in own]
        gpus = [
            h if r.kind in ("train", "evaluate") else 0.0 for r, h in zip(own, hours, strict=True)
        ]
        cpus = [
            h * {"train": 4, "evaluate": 4, "prepare": 2, "select": 0}[r.kind]
            for r, h in zip(own, hours, strict=True)
        ]
        assert cells["steps"].text == f"{len(own):,}"
        assert set(cells["steps"].keys) == {record.key for record in own}
        for name, value in (
            ("hours", sum(hours)),
            ("CPU-hours", sum(cpus)),
            ("GPU-hours", sum(gpus)),
            ("kWh", (10 * sum(cpus) + 400 * sum(gpus)) / 1000),
        ):
            shown = float(cells[name].text.replace(",", ""))
            assert shown == pytest.approx(value, abs=0.051 if value >= 10 else 0.00051)
        assert cells["lost hours"].attributes["data-source"].startswith("log of attempts")


def test_every_run_has_its_row_and_its_mark(made: Made, page: Page) -> None:
    expected = {
        (
            cell.target,
            cell.intermediate,
            NONE if cell.seed is None else str(cell.seed),
            number(score_of(made, cell.key)),
            cell.key,
        )
        for cell in made.plan.cells
    }
    rows = {
        (
            label.text,
            *(cells[n].text for n in ("after", "seed", "score", "evaluate step")),
        )
        for label, cells in page.tables["steps"].rows
    }
    assert rows == expected
    titles = {each.keys: each.text for each in page.of("use") if each.keys}
    for cell in made.plan.cells:
        seed = "one run" if cell.seed is None else f"seed {cell.seed}"
        score = number(score_of(made, cell.key))
        assert titles[(cell.key,)] == f"{cell.intermediate}, {seed}: {score}"


def test_every_curve_ends_where_its_record_does(made: Made, page: Page) -> None:
    curves = [each for each in page.of("g") if each.keys]
    chosen = [r.result["chosen"] for r in made.records.values() if r.kind == "select"]
    assert {key for each in curves for key in each.keys} == set(chosen)
    assert len(curves) == 2 * len(set(chosen))
    for each in curves:
        (key,) = each.keys
        last = made.records[key].result["history"][-1]
        value = {f"{v:.2f} at step {last['step']:,}" for n, v in last.items() if n != "step"}
        assert any(each.text.endswith(end) for end in value)


def is_number(cell: Shown) -> bool:
    return "n" in cell.attributes.get("class", "").split()


def test_no_number_is_without_an_origin(made: Made, page: Page) -> None:
    cells = [cell for t in page.tables.values() for _, row in t.rows for cell in row.values()]
    assert sum(map(is_number, cells)) > 200
    for cell in cells:
        if is_number(cell):
            assert cell.keys or cell.attributes.get("data-source"), cell
        elif re.search(r"\d", cell.text):
            # Words with digits in them: names, splits and keys.
            assert re.search(r"[a-z]", cell.text) or cell.text in made.records, cell
    named = {key for each in page.elements for key in each.keys}
    assert named <= set(made.records)


def test_a_cell_opens_records_that_are_in_the_page(made: Made, page: Page) -> None:
    (script,) = [e for e in page.of("script") if e.attributes.get("id") == "records"]
    embedded = json.loads(script.text)
    assert set(embedded["records"]) == set(made.records)
    for key, shown in embedded["records"].items():
        record = made.records[key]
        assert (shown["kind"], shown["name"], shown["inputs"]) == (
            record.kind, record.name, dict(record.inputs),
        )  # fmt: skip
        assert sum(size for _, size, _ in shown["files"]) == sum(f.size for f in record.files)
        spec = embedded["specs"][shown["spec"]]
        assert spec.keys() == record.spec.keys()
        if record.kind == "train":
            assert spec["learning_rate"] == record.spec["learning_rate"]
        if record.kind == "evaluate":
            names = [name for name, _ in embedded["languages"][shown["result"]["tested"]]]
            for name, score in zip(names, shown["result"]["scores"], strict=True):
                assert score == pytest.approx(score_of(made, key, [name]), abs=0.0051)


def test_what_users_write_cannot_become_markup(made: Made, text: str) -> None:
    assert "a &lt;remark&gt; &amp; more" in text
    assert "mnli &amp; more &lt; gain" in text
    assert "<remark>" not in text
    assert 'a="<b>"' not in text
    bad = made.records[keys_of(made, "xnli", BASELINE)[0]]
    bad = bad.model_copy(update={"environment": {"python": "</script><script>alert(1)</script>"}})
    records = {**made.study.records, bad.key: bad}
    other = render_page(made.answer, replace(made.study, records=records), made.info)
    assert "<script>alert" not in other
    Page(other)


def test_the_policy_lets_only_the_pages_own_script_and_style_run(page: Page) -> None:
    (policy,) = [e.attributes["content"] for e in page.of("meta") if "content" in e.attributes and
                 e.attributes.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    ours = [e for e in page.of("script") if e.attributes.get("type") != "application/json"]
    for each in (*ours, *page.of("style")):
        digest = base64.b64encode(hashlib.sha256(each.text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for each in page.elements:
        assert "style" not in each.attributes
        assert "src" not in each.attributes
        assert not any(name.startswith("on") for name in each.attributes)
        assert each.attributes.get("href", "#").startswith("#")


def test_tables_say_what_their_rows_and_columns_are(page: Page) -> None:
    for name, table in page.tables.items():
        assert table.caption, name
        assert all(each.attributes["scope"] == "col" for each in table.head)
        assert all(label.attributes["scope"] == "row" for label, _ in table.rows)
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    targets = [e.attributes["href"][1:] for e in page.elements if "href" in e.attributes]
    assert set(targets) <= set(ids)


def test_the_same_results_give_the_same_bytes(text: str) -> None:
    again = small_study(overrides=POWER)
    assert render_page(again.answer, again.study, again.info) == text


def test_a_partial_run_gives_a_partial_page(made: Made) -> None:
    part = small_study(without=("evaluate",))
    text = render_page(part.answer, part.study, part.info)
    page = Page(text)
    assert "This report is partial" in text
    assert "xnli after mnli, seed 1: not scored yet" in text
    assert "Nothing is scored yet." in text
    assert "main" not in page.tables
    assert "costs" in page.tables
    assert "This report is partial" not in render_page(made.answer, made.study, made.info)
    nothing = small_study(without=("evaluate", "train", "select", "prepare"))
    assert "0 of" in render_page(nothing.answer, nothing.study, nothing.info)


def test_what_is_significant_from_single_runs_is_said() -> None:
    made = make_study(targets={"xnli": ("de", "en")}, arms=["mnli"], seeds=1)
    (gain,) = made.answer.gains
    assert gain.with_seeds == "none"
    for significant in (True, False):
        own = replace(made.answer, gains=(replace(gain, significant=significant),))
        assert bool(own.seeds_note) == significant
        page = render_page(own, made.study, made.info)
        assert ("On xnli there is one run on each side" in page) == significant


def test_without_draws_nothing_is_called_significant() -> None:
    made = small_study(drawn=False)
    text = render_page(made.answer, made.study, made.info)
    assert "No significance is tested." in text
    assert "gains" not in Page(text).tables


def test_energy_is_estimated_only_at_stated_watts(text: str) -> None:
    assert "assumes 10 W for each CPU and 400 W for each GPU" in text
    made = small_study(drawn=False)
    other = render_page(made.answer, made.study, made.info)
    assert "Energy is not estimated" in other
    assert [e.text for e in Page(other).tables["costs"].head].count("kWh") == 0


def test_published_scores_are_labelled_so(made: Made, page: Page) -> None:
    table = page.tables["published"]
    assert all(label.text.startswith("published: ") for label, _ in table.rows)
    xnli = [cells for _, cells in table.rows if cells["target"].text == "xnli"]
    assert [cells["score"].text for cells in xnli] == ["79.2", "80.4"]
    for cells in xnli:
        assert cells["score"].attributes["data-source"]
        assert cells["baseline here"].text == number(mean_score(made, "xnli", BASELINE))
        assert cells["baseline here"].keys == keys_of(made, "xnli", BASELINE)
        assert "4 of 15 languages" in cells["source"].text


@pytest.mark.slow
def test_the_largest_study_stays_under_three_megabytes() -> None:
    made = large_study()
    text = render_page(made.answer, made.study, made.info)
    page = Page(text)
    assert len(page.tables["main"].rows) == 13
    assert all(len(page.tables[f"languages-target-{at}"].head) == 42 for at in range(1, 13))
    assert len(text.encode()) < 3_000_000


def test_there_is_no_mean_over_all_targets_while_one_has_no_score(made: Made) -> None:
    waiting = replace(made.answer, unscored=("pawsx",))
    shown = Page(render_page(waiting, made.study, made.info))
    (cells,) = [cells for label, cells in shown.tables["main"].rows if label.text == OVERALL]
    assert {cell.text for cell in cells.values()} == {NONE}


def test_what_was_run_and_by_what_it_is_scored_stand_by_the_scores(made: Made, text: str) -> None:
    """A reader of the first table must see that it is of a sample, or of made-up languages."""
    scores = text[text.index('<section id="scores"') :].partition("</section>")[0]
    assert made.answer.notes
    for note in ("a &lt;remark&gt; &amp; more", "target phase: seeds 1, 2", "mnli train"):
        assert note in scores
        assert text.count(note) == 1
    assert "Metric: accuracy on xnli, tatoeba; xtreme_f1 on udpos." in scores


def test_many_remarks_are_folded_away_after_the_first(made: Made) -> None:
    answer = replace(made.answer, notes=tuple(f"remark {at:02d}." for at in range(50)))
    text = render_page(answer, made.study, made.info)
    shown, _, folded = text.partition("<summary>30 more</summary>")
    assert all((f"remark {at:02d}." in shown) == (at < 20) for at in range(50))
    assert all((f"remark {at:02d}." in folded) == (at >= 20) for at in range(50))


def test_a_remark_has_the_direction_of_its_own_words(made: Made) -> None:
    text = render_page(replace(made.answer, notes=("مرحبا (1)",)), made.study, made.info)
    assert "<li><bdi>مرحبا (1)</bdi></li>" in text


def test_what_the_colours_are_is_there_to_be_read(page: Page) -> None:
    texts = {e.attributes["id"]: e.text for e in page.of("p") if "id" in e.attributes}
    scales = [e for e in page.of("ul") if e.attributes.get("class") == "scale"]
    assert len(scales) == 2
    for each in scales:
        assert "points above the baseline" in texts[each.attributes["aria-labelledby"]]


def test_drawings_say_what_their_axes_are(text: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert "gain in points by syntactic distance" in captions


def test_seeds_are_counted_where_arms_differ_in_them(made: Made, text: str) -> None:
    """A mean over two seeds beside one over three must be seen to be one."""
    note = "n how many seeds these are"
    assert note not in text
    first = made.answer.scores[0]
    fewer = replace(first, runs=first.runs[:1], sd=None)
    uneven = replace(made.answer, scores=(fewer, *made.answer.scores[1:]))
    other = render_page(uneven, made.study, made.info)
    assert note in other
    rows = {label.text: list(cells.values()) for label, cells in Page(other).tables["main"].rows}
    counted = [cell.text.partition(", n=")[2] for cell in rows[first.target]]
    assert counted == ["1", *["2"] * (len(made.answer.arms) - 1)]
    assert not any(
        ", n=" in c.text for name, row in rows.items() if name != first.target for c in row
    )


def test_nothing_is_said_of_gains_where_there_is_none() -> None:
    made = make_study(targets={"xnli": ("de", "en")}, arms=[], seeds=1)
    text = render_page(made.answer, made.study, made.info)
    assert "points above the baseline" not in text
    assert 'class="scale"' not in text


def test_what_is_missing_stands_where_numbers_do(made: Made) -> None:
    waiting = replace(made.answer, unscored=("pawsx",))
    shown = Page(render_page(waiting, made.study, made.info))
    (cells,) = [cells for label, cells in shown.tables["main"].rows if label.text == OVERALL]
    assert {cell.attributes.get("class") for cell in cells.values()} == {"none"}
    words = [cells["selected on"] for _, cells in shown.tables["steps"].rows]
    assert not any("class" in cell.attributes for cell in words)


def test_optimizer_steps_are_whole(made: Made) -> None:
    curves = tuple(
        replace(e, points=tuple(replace(p, step=at) for at, p in enumerate(e.points[:3], 1)))
        for e in made.study.curves
    )
    text = render_page(made.answer, replace(made.study, curves=curves), made.info)
    drawn = [e for e in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if ">optimizer steps<" in e]
    assert drawn
    for each in drawn:
        assert re.findall(r'class="tick middle">([^<]*)', each) == ["0", "1", "2", "3"]
