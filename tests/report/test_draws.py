"""Draws of scores in languages that share some of their test examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from tests.benchmark.runs import experiment as experiment_of
from tests.benchmark.runs import plan_of
from tests.recorded import record_of
from tests.report.studies import make_study
from xtransfer.config.judgement import Statistics
from xtransfer.metrics import score
from xtransfer.report.build import collect_results
from xtransfer.report.draws import gather, placed, pools_of
from xtransfer.report.evidence import Evidence

QUESTIONS = {
    "en": range(600),
    "de": range(300),
    "es": range(150, 450),
    "zh": [*range(150), *range(450, 600)],
}
"""As MLQA has them: English all, every other language half, any two of those some or none in common."""
POINTS = np.random.default_rng(0).integers(0, 2, size=600)
"""Whether the question is answered right, in whichever language it is asked."""


def evidence_of(
    root: Path, monkeypatch: pytest.MonkeyPatch, questions: Mapping[str, Sequence[int]]
) -> Evidence:
    """Return the evidence of a run on MLQA whose files hold these questions."""
    names = {code: [f"q{at}" for at in rows] for code, rows in questions.items()}
    gold = {code: {name: ["right"] for name in own} for code, own in names.items()}
    found = {
        code: {name: ("wrong", "right")[POINTS[int(name[1:])]] for name in own}
        for code, own in names.items()
    }
    monkeypatch.setattr("xtransfer.report.draws.read_gold", lambda *given: gold[given[-1]])
    monkeypatch.setattr(
        "xtransfer.report.draws.read_predictions", lambda *_, language: found[language]
    )
    codes = list(questions)
    experiment = experiment_of(
        root / "data", "target.tasks=[mlqa]", f"target.languages={{mlqa: {codes}}}"
    )
    plan = plan_of(experiment)
    records = {key: record_of(step) for key, step in plan.steps.items()}
    result: dict[str, Any] = {
        "languages": {
            code: {
                "metrics": score(
                    plan.tasks["mlqa"],
                    list(gold[code].values()),
                    list(found[code].values()),
                    language=code,
                ),
                "examples": len(gold[code]),
            }
            for code in codes
        }
    }
    for cell in plan.cells:
        records[cell.key] = records[cell.key].model_copy(update={"result": result})
    evidence = gather(
        plan,
        collect_results(plan, records),
        experiment.statistics,
        {"mlqa": codes},
        store=object(),  # type: ignore[arg-type]
        records=records,
    )
    assert evidence.problems == ()
    return evidence


def test_a_question_in_several_languages_is_drawn_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spread of the mean over languages has the covariances of those that share questions."""
    figure = evidence_of(tmp_path, monkeypatch, QUESTIONS).score("mlqa", "baseline")
    assert figure is not None
    assert figure.draws is not None
    own = {code: POINTS[list(rows)] for code, rows in QUESTIONS.items()}
    apart = sum(values.var() / len(values) for values in own.values())
    shared = 0.0
    for one, other in combinations(QUESTIONS, 2):
        both = POINTS[sorted({*QUESTIONS[one]} & {*QUESTIONS[other]})]
        products = (both - own[one].mean()) * (both - own[other].mean())
        shared += 2 * products.sum() / len(own[one]) / len(own[other])
    alone, expected = (100 / len(own) * np.sqrt(variance) for variance in (apart, apart + shared))
    assert expected > 1.5 * alone
    assert figure.draws.std() == pytest.approx(expected, rel=0.08)
    assert figure.draws.mean() == pytest.approx(figure.value, abs=0.2)


def test_languages_without_a_common_question_are_drawn_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = {"de": range(300), "es": range(300, 600)}
    sample = evidence_of(tmp_path, monkeypatch, apart).samples["mlqa", "baseline"]
    assert sample.draws is not None
    one, other = sample.draws
    assert abs(float(np.corrcoef(one, other).min())) < 0.1


def test_the_order_of_the_same_questions_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {"de": range(300), "es": range(299, -1, -1)}
    sample = evidence_of(tmp_path, monkeypatch, same).samples["mlqa", "baseline"]
    assert sample.draws is not None
    assert sample.draws[0] == pytest.approx(sample.draws[1])


def test_targets_that_are_scored_by_the_same_models_share_the_error_over_seeds() -> None:
    """XQuAD and MLQA are trained for on the same data, and so by the same trials; TyDiQA is not."""
    targets = ("xquad", "mlqa", "tydiqa")
    made = make_study(
        targets={**dict.fromkeys(targets, ("en", "sw")), "mlqa": ("en", "de")}, seeds=3
    )
    results = collect_results(made.plan, made.records)
    evidence = gather(made.plan, results, Statistics(), made.info.languages)
    # A run that is good on XQuAD is as good on MLQA.
    samples = {
        (target, arm): replace(
            each,
            values=evidence.samples["xquad" if target == "mlqa" else target, arm].values,
            draws=np.zeros((2, 1000)),
        )
        for (target, arm), each in evidence.samples.items()
    }
    evidence = replace(evidence, samples=samples)
    gains = {target: evidence.gain(target, "mnli") for target in targets}
    drawn = {name: each.draws for name, each in gains.items() if each and each.draws is not None}
    assert set(drawn) == set(targets)

    def spread(*names: str) -> float:
        """Of the gain in the mean of these targets, from the runs' own scores."""
        means = {
            arm: np.mean([samples[name, arm].values.mean(axis=1) for name in names], axis=0)
            for arm in ("baseline", *evidence.arms)
        }
        squares = sum(float(each.var()) * 3 for each in means.values())
        return np.sqrt(squares / (2 * len(means)) * 2 / 3)

    freedom = 2 * (1 + len(evidence.arms))
    both = (drawn["xquad"] + drawn["mlqa"]) / 2
    wide = np.percentile(both, 97.5) - np.percentile(both, 2.5)
    right = 2 * stats.t.ppf(0.975, freedom) * spread("xquad", "mlqa")
    assert wide == pytest.approx(right, rel=0.12)
    assert abs(np.corrcoef(drawn["xquad"], drawn["tydiqa"]).min()) < 0.1


def test_a_pool_is_the_union_of_languages_that_are_linked() -> None:
    many = [f"a{at}" for at in range(30)]
    more = [*many[20:], *(f"b{at}" for at in range(30))]
    last = [*more[30:], *(f"c{at}" for at in range(10))]
    lone = [f"d{at}" for at in range(25)]
    few = [*many[:3], "e"]
    pools = pools_of({"one": many, "lone": lone, "more": more, "last": last, "few": few})
    whole = list(dict.fromkeys([*many, *more, *last, *few]))
    assert sorted(pools["one"]) == sorted(whole)
    assert pools["one"] == pools["more"] == pools["last"]
    assert pools["lone"] == lone
    assert pools["few"] == few


def test_the_same_ids_are_their_own_pool_however_few() -> None:
    assert pools_of({"de": ["x", "y"], "zh": ["x", "y"]}) == {"de": ["x", "y"], "zh": ["x", "y"]}


def test_what_is_not_in_a_language_adds_nothing() -> None:
    values = np.array([[[1.0, 1.0]], [[0.5, 1.0]]])
    found = placed(values, ["b", "a"], ["a", "x", "b"])
    assert found[:, 0].tolist() == [[0.5, 1.0], [0.0, 0.0], [1.0, 1.0]]
