from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import pytest

from tests.report.results import result
from xtransfer.report.results import ReportInfo, Result
from xtransfer.report.tables import render

INFO = ReportInfo(
    name="example",
    encoder="a tiny XLM-R (2 layers)",
    plan_key="0123456789ab",
    encoder_notes=("The encoder saw the target languages' text.",),
    cuts=("xnli test: 200 of 5,010 rows per language, seed 0",),
    missing=("train/qqp-lr1e-05-seed1-aaaaaaaaaaaa: failed",),
    notes=("3 of 400 inputs of xquad were longer than 384 tokens | cut into windows",),
    languages={"xnli": ("en", "de", "sw"), "tatoeba": ("de", "sw"), "xquad": ("en", "de")},
    chance={"xnli": 100 / 3, "tatoeba": None},
    single_split=("tatoeba", "xquad"),
)


def one(
    target: str, after: str, seed: int | None, language: str, value: float, **more: float
) -> Result:
    metric = {"xnli": "accuracy", "xquad": "f1", "tatoeba": "accuracy"}[target]
    group = {"xnli": "classification", "xquad": "qa", "tatoeba": "retrieval"}[target]
    source = {"xnli": "mnli dev en", "xquad": "squad_v1 dev en", "tatoeba": f"{after} dev en"}
    return result(
        target,
        after=after,
        language=language,
        value=value,
        seed=seed,
        metric=metric,
        metrics={metric: value, **more},
        n=1000 if target == "tatoeba" else 200,
        selected_on="none" if (target, after) == ("tatoeba", "baseline") else source[target],
        key=f"{target[:3]}{after[:3]}{seed or 0:06d}",
        group=group,
    )


RESULTS = [
    *(
        one("xnli", after, seed, language, base + gain + seed * step)
        for after, gain in (("baseline", 0.0), ("mnli", 4.5))
        for seed in (1, 2)
        for language, base, step in (("en", 60.0, 0.5), ("de", 50.0, 1.0), ("sw", 34.0, -0.5))
    ),
    *(
        one("tatoeba", after, None, language, value)
        for after, language, value in (
            ("baseline", "de", 12.5),
            ("baseline", "sw", 0.1),
            ("mnli", "de", 40.0),
            ("mnli", "sw", 6.2),
        )
    ),
    one("xquad", "baseline", 1, "en", 71.25, exact_match=60.5),
    one("xquad", "baseline", 1, "de", 51.75, exact_match=40.5),
    one("xquad", "mnli", 1, "en", 72.0, exact_match=61.0),
]


@pytest.mark.parametrize("name", ["report.md", "scores.csv", "table.csv"])
def test_report_equals_the_golden_file(name: str, golden: Callable[[str, str], None]) -> None:
    golden(name, render(RESULTS, experiment=INFO)[name])


def test_the_order_of_results_leaves_every_byte_as_it_is() -> None:
    shuffled = list(RESULTS)
    random.Random(0).shuffle(shuffled)
    assert render(shuffled, experiment=INFO) == render(RESULTS, experiment=INFO)


def test_the_tenth_seed_comes_after_the_second() -> None:
    results = [one("xnli", "baseline", seed, "en", 50.0 + seed) for seed in (10, 2, 0, 1)]
    results += [
        replace(each, few_shot=count, key=f"{count:06d}{each.seed:06d}")
        for each in results
        for count in (100, 20)
    ]
    files = render(results, experiment=ReportInfo(name="example", encoder="e"))
    rows = [
        line.split(" | ") for line in files["report.md"].split("\n") if line.startswith("| xnli")
    ]
    places = [(row[2], row[3]) for row in rows if row[1] == "baseline"]
    shots = ("0", "en, 20", "en, 100")
    wanted = [(seed, few) for seed in ("0", "1", "2", "10") for few in shots]
    assert places[-len(wanted) :] == wanted
    scores = csv.DictReader(io.StringIO(files["scores.csv"]))
    assert [(row["seed"], row["few_shot"]) for row in scores] == [
        (seed, few.removeprefix("en, ")) for seed, few in wanted
    ]


def test_the_tables_can_be_recomputed_from_the_scores() -> None:
    files = render(RESULTS, experiment=INFO)
    scores = list(csv.DictReader(io.StringIO(files["scores.csv"])))
    table = list(csv.DictReader(io.StringIO(files["table.csv"])))
    row = next(row for row in table if (row["target"], row["intermediate"]) == ("xnli", "mnli"))
    values = [
        float(score["value"])
        for score in scores
        if (score["target"], score["intermediate"], score["main"]) == ("xnli", "mnli", "yes")
    ]
    assert float(row["score"]) == pytest.approx(fmean(values), abs=1e-6)
    assert float(row["above_baseline"]) == pytest.approx(4.5)
    assert {score["metric"] for score in scores if score["target"] == "xquad"} == {
        "f1",
        "exact_match",
    }


def test_a_run_that_lacks_a_language_makes_the_report_partial() -> None:
    page = render(RESULTS, experiment=INFO)["report.md"]
    assert "**This report is partial.**" in page
    assert "- xquad after mnli, seed 1: 1 of 2 languages" in page
    complete = [each for each in RESULTS if (each.target, each.intermediate) != ("xquad", "mnli")]
    whole = ReportInfo(name="example", encoder="e", languages=INFO.languages)
    assert "partial" not in render(complete, experiment=whole)["report.md"]


def test_there_is_no_average_while_a_target_has_no_score() -> None:
    info = ReportInfo(name="example", encoder="e", languages={**INFO.languages, "pawsx": ("en",)})
    page = render(RESULTS, experiment=info)["report.md"]
    assert "- pawsx: no score" in page
    assert "None yet: pawsx has no score." in page
    assert "| overall |" not in page


def test_intervals_stand_beside_accuracies_only() -> None:
    page = render(RESULTS, experiment=INFO)["report.md"]
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ")}
    assert "| language | n | baseline | 95 % | mnli | 95 % |" in sections["tatoeba"]
    assert "| language | n | baseline | 95 % | mnli | 95 % |" in sections["xnli"]
    assert "No interval: f1 is not a proportion" in sections["xquad"]


def test_words_of_sentences_are_no_independent_examples() -> None:
    """A tagging task of one's own has no benchmark group, and its n counts sentences."""
    results = [
        replace(one("xnli", "baseline", 1, "en", 60.0), group="", form=form, target="places")
        for form in ("tagging", "classification")
    ]
    info = ReportInfo(name="example", encoder="e")
    tagged, classified = (render([each], experiment=info)["report.md"] for each in results)
    assert "No interval: accuracy is not a proportion of n independent examples." in tagged
    assert "95 %" not in tagged
    assert "| language | n | baseline | 95 % |" in classified


def test_intervals_that_include_chance_are_named() -> None:
    results = [one("xnli", "baseline", 1, "en", 60.0), one("xnli", "baseline", 1, "sw", 36.0)]
    info = ReportInfo(name="example", encoder="e", chance={"xnli": 100 / 3})
    page = render(results, experiment=info)["report.md"]
    assert "Intervals that include chance (33.3): baseline: sw." in page
    page = render(results[:1], experiment=info)["report.md"]
    assert "Every interval excludes chance (33.3)." in page


def test_guessing_among_few_sentences_is_more_often_right() -> None:
    results = [one("tatoeba", "baseline", 1, name, 2.0) for name in ("de", "jv")]
    info = ReportInfo(
        name="example", encoder="e", chance={"tatoeba": 10.0}, chance_in={"tatoeba": {"jv": 19.0}}
    )
    page = render(results, experiment=info)["report.md"]
    assert "Every interval excludes chance (in the mean 10.0)." in page
    near = replace(info, chance_in={"tatoeba": {"jv": 2.0}})
    page = render(results, experiment=near)["report.md"]
    assert "Intervals that include chance (in the mean 10.0): baseline: jv." in page


def test_a_difference_that_rounds_to_zero_has_no_minus() -> None:
    results = [one("xnli", "baseline", 1, "en", 60.0), one("xnli", "mnli", 1, "en", 59.99)]
    page = render(results, experiment=ReportInfo(name="example", encoder="e"))["report.md"]
    assert "60.0 (+0.0)" in page
    assert "-0.0" not in page


def test_no_results_are_a_report_too() -> None:
    files = render(
        [], experiment=ReportInfo(name="example", encoder="e", missing=("all: blocked",))
    )
    assert "There are no scores yet." in files["report.md"]
    assert files["table.csv"].count("\n") == 1
