from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.prints import FakePrints
from tests.report.evidence import evidence
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.config.judgement import Typology
from xtransfer.planner.planner import build_plan
from xtransfer.report.evidence import Evidence, Sample, train_languages
from xtransfer.report.regressions import RESOURCE
from xtransfer.report.typology import relate
from xtransfer.settings import read_settings
from xtransfer.statistics.resampling import number_of
from xtransfer.typology.distances import KINDS, distance
from xtransfer.typology.resources import CC100, low_resource

LANGUAGES = tuple(sorted(CC100))
SLOPE, PER_TENFOLD = -8.0, 1.5


def renamed(found: Evidence, **names: str) -> Evidence:
    """Return evidence whose arms have other names."""
    samples = {
        (target, names.get(arm, arm)): replace(each, after=names.get(arm, arm))
        for (target, arm), each in found.samples.items()
    }
    return replace(found, samples=samples)


def experiment(*overrides: str) -> Experiment:
    return read_settings(
        Experiment,
        None,
        [
            "name=small",
            "encoder=encoder",
            "target.tasks=[xnli, udpos]",
            (
                "intermediate.tasks=[{name: mnli-sw, task: mnli, languages: [sw]}, "
                "{name: wide, task: mnli, languages: [en, sw], spread: true}, "
                "{name: more-mlm, text: {languages: [sw]}}]"
            ),
            *overrides,
        ],
        "test",
    )


def graded(noise: float = 0.1, languages: tuple[str, ...] = LANGUAGES) -> Evidence:
    """Return scores whose gain falls with syntactic distance from Swahili, and rises with text."""
    found = evidence(
        {
            (target, after): [50.0]
            for target in ("xnli", "udpos")
            for after in ("baseline", "mnli-sw", "wide", "more-mlm")
        },
        languages=languages,
    )
    samples: dict[tuple[str, str], Sample] = {}
    for (target, after), each in found.samples.items():
        chance = np.random.default_rng(number_of(target, after))
        values = each.values.copy()
        for at, language in enumerate(languages):
            away = distance("syntactic", "sw", language)
            if after == "mnli-sw" and away is not None:
                size = np.log10(CC100.get(language) or 1.0)
                level = 10.0 if target == "xnli" else 2.0
                values[:, at] += level + SLOPE * away + PER_TENFOLD * size
                values[:, at] += noise * chance.normal()
        samples[target, after] = Sample(
            target=target,
            after=after,
            languages=each.languages,
            seeds=each.seeds,
            values=values,
            keys=each.keys,
            draws=None if each.draws is None else each.draws + (values - each.values).T,
        )
    return Evidence(samples=samples, settings=found.settings, train_languages=found.train_languages)


def alone(found: Evidence, *arms: str) -> Evidence:
    samples = {k: v for k, v in found.samples.items() if k[1] in ("baseline", *arms)}
    return Evidence(samples=samples, settings=found.settings, train_languages=found.train_languages)


def test_the_slopes_are_found_again_within_their_intervals() -> None:
    found = relate(experiment(), alone(graded(), "mnli-sw"), low_resource(LANGUAGES, 5.0))
    assert found is not None
    regressions = {each.kind: each for each in found.regressions}
    assert set(regressions) == set(KINDS)
    syntactic = {each.predictor: each for each in regressions["syntactic"].relations}
    away, size = syntactic["syntactic distance"], syntactic[RESOURCE]
    assert away.value == pytest.approx(SLOPE, abs=0.3)
    assert size.value == pytest.approx(PER_TENFOLD, abs=0.1)
    assert away.low < away.value < away.high < 0 < size.low
    # English and Swahili were trained in, four have no text in CC-100; there are two targets.
    assert regressions["syntactic"].languages == len(LANGUAGES) - 6
    assert regressions["syntactic"].rows == 2 * (len(LANGUAGES) - 6)
    assert regressions["syntactic"].cells == 2
    assert regressions["genetic"].languages == len(LANGUAGES) - 7  # Basque; Quechua has no text
    assert len(syntactic["syntactic distance"].keys) == 4


def test_what_is_left_out_is_said() -> None:
    found = relate(experiment(), graded(), low_resource(LANGUAGES, 5.0))
    assert found is not None
    assert "ht qu wo yo: no text in CC-100, so no logarithm of it" in found.left_out
    assert "more-mlm: trained on text alone" in found.left_out
    assert "eu after mnli-sw, wide: no genetic distance in URIEL" in found.left_out
    assert len(found.left_out) == 3
    assert {each.after for each in found.distances} == {"mnli-sw", "wide"}


def test_an_arm_in_a_language_without_a_distance_is_named_with_all_that_it_lacks() -> None:
    asked = experiment(
        "intermediate.tasks=[{name: mnli-eu, task: mnli, languages: [eu]}, "
        "{name: mnli-sw, task: mnli, languages: [sw]}]"
    )
    found = relate(asked, renamed(graded(), wide="mnli-eu"), ())
    assert found is not None
    genetic = [text for text in found.left_out if "genetic" in text]
    others = [name for name, size in CC100.items() if size and name not in ("en", "eu")]
    assert genetic == [
        "eu after mnli-sw: no genetic distance in URIEL",
        f"{' '.join(sorted(others))} after mnli-eu: no genetic distance in URIEL",
    ]


def test_an_arm_of_several_languages_is_as_near_as_its_nearest() -> None:
    for how in ("nearest", "mean"):
        asked = experiment(f"typology.several_sources={how}")
        found = relate(asked, graded(), ())
        assert found is not None
        row = next(e for e in found.distances if (e.after, e.language) == ("wide", "de"))
        both = [distance("syntactic", code, "de") or 0 for code in ("en", "sw")]
        wanted = min(both) if how == "nearest" else sum(both) / 2
        assert row.values["syntactic"] == pytest.approx(wanted)
        assert row.trained_in == ("en", "sw")


def test_groups_are_means_over_targets_of_their_languages() -> None:
    few = low_resource(LANGUAGES, 5.0)
    scores = graded()
    found = relate(experiment(), scores, few)
    assert found is not None
    group = next(e for e in found.groups if e.after == "mnli-sw" and e.low_resource)
    unseen = [name for name in few if name != "sw"]  # what the arm was trained in is no transfer
    assert list(group.languages) == unseen
    wanted = [
        np.mean([gain.value for c in unseen if (gain := scores.gain(target, "mnli-sw", [c]))])
        for target in ("xnli", "udpos")
    ]
    assert group.value == pytest.approx(np.mean(wanted))
    assert group.low is not None
    assert group.high is not None
    assert group.low < group.value < group.high
    others = next(e for e in found.groups if e.after == "mnli-sw" and not e.low_resource)
    assert set(others.languages) == set(LANGUAGES) - set(few) - {"en"}


def test_every_language_that_some_stage_of_a_target_is_trained_in_has_been_seen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "two.yaml"
    stage = "{task: %s, epochs: 1, batch_size: 2, max_length: 16}"
    path.write_text(
        "name: two\nencoder: encoder\ntarget: {tasks: [own]}\ntasks:\n"
        "  - {name: nli-de, like: mnli, train_language: de, source: {files: {train: [t.de], dev: [d.de]}}}\n"
        f"  - {{name: own, like: xnli, stages: [{stage % 'nli-de'}, {stage % 'mnli'}]}}\n"
    )
    trained = train_languages(build_plan(load_experiment(path), FakePrints()))
    assert trained == {"own": ("de", "en")}
    scores = graded()
    seen = dict.fromkeys(("xnli", "udpos"), trained["own"])
    found = relate(experiment(), replace(scores, train_languages=seen), [])
    assert found is not None
    (group,) = (each for each in found.groups if each.after == "mnli-sw")
    assert set(group.languages) == set(LANGUAGES) - {"de", "en", "sw"}


@pytest.mark.parametrize("languages", [("de", "ckb", "am"), ("am", "ckb")])
def test_named_languages_are_low_resource_whatever_the_tables_have(
    languages: tuple[str, ...],
) -> None:
    """Tasks of one's own may be in languages whose texts nobody has counted."""
    asked = experiment().model_copy(update={"typology": Typology(low_resource=("ckb",))})
    found = relate(asked, graded(languages=languages), low_resource(languages, ("ckb",)))
    assert found is not None
    groups = {e.low_resource: e.languages for e in found.groups if e.after == "mnli-sw"}
    assert groups == {True: ("ckb",), False: tuple(sorted({*languages} - {"ckb"}))}
    sized = relate(experiment(), graded(languages=languages), low_resource(languages, 5.0))
    shown = [each.languages for each in sized.groups] if sized else []
    assert set(shown) == ({("de",)} if "de" in languages else set())


@pytest.mark.parametrize("languages", [("en", "sw", "de", "zh")])
def test_too_few_languages_give_no_regression(languages: tuple[str, ...]) -> None:
    found = relate(experiment(), graded(languages=languages), ())
    assert found is not None
    for each in found.regressions:
        assert each.relations == ()
        assert "too few" in each.why_not


def test_artificial_languages_have_no_typology() -> None:
    made_up: Any = evidence(
        {("xnli", "baseline"): [50.0], ("xnli", "mnli-sw"): [51.0]}, languages=("en", "qa", "qb")
    )
    assert relate(experiment(), made_up, ()) is None
