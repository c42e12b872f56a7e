from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import yaml

from tests.report.evidence import evidence
from xtransfer.config.claims import Claim
from xtransfer.report.evidence import Evidence
from xtransfer.report.quantities import Question
from xtransfer.report.verdicts import ClaimResult, judge
from xtransfer.settings import _listify

# Standard errors of these gains are about 0.3: clear at a point, open at a tenth of one.
SCORES = {
    ("xnli", "baseline"): [50.0],
    ("xnli", "clear"): [55.0],
    ("xnli", "open"): [50.1],
    ("xnli", "worse"): [45.0],
    ("tatoeba", "baseline"): [20.0],
    ("tatoeba", "clear"): [40.0],
    ("tatoeba", "open"): [20.1],
    ("tatoeba", "worse"): [15.0],
}
GROUPS = {"xnli": "classification", "tatoeba": "retrieval", "udpos": "tagging"}


def asked(
    holds: str, found: Evidence | None = None, targets: tuple[str, ...] = ("xnli", "tatoeba"),
    languages: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    awaited: Sequence[tuple[str, str]] = (),
    **more: Any,
) -> ClaimResult:  # fmt: skip
    claim = Claim.model_validate(
        {"name": "c", "says": "so", "holds": _listify(yaml.safe_load(holds)), **more}
    )
    question = Question(
        evidence=found or evidence(SCORES),
        targets=targets,
        groups=GROUPS,
        low_resource=("sw",),
        languages=languages,
        awaited=awaited,
    )
    return judge(claim, question)


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ("{gain: {after: clear}, greater_than: 0}", "supported"),
        ("{gain: {after: clear}, at_least: 12.5}", "not decidable"),
        ("{gain: {after: clear}, at_least: 14}", "refuted"),
        ("{gain: {after: clear}, less_than: 14}", "supported"),
        ("{gain: {after: worse}, greater_than: 0}", "refuted"),
        ("{gain: {after: worse}, at_most: 0}", "supported"),
        ("{gain: {after: open}, greater_than: 0}", "not decidable"),
        ("{gain: {after: open}, at_most: 0}", "not decidable"),
        ("{gain: {after: clear, over: worse, targets: [xnli]}, at_least: 9}", "supported"),
        ("{gain: {after: clear, targets: {group: retrieval}}, at_least: 19}", "supported"),
        ("{gain: {after: clear, targets: {but: [tatoeba]}}, at_least: 6}", "refuted"),
        ("{gain: {after: clear, languages: low_resource}, greater_than: 0}", "supported"),
        ("{gain: {after: clear, languages: zero_shot}, greater_than: 0}", "supported"),
        ("{gain: {after: clear, languages: [th]}, greater_than: 0}", "not decidable"),
        ("{score: {after: baseline, targets: [xnli]}, at_least: 49}", "supported"),
        ("{best: {after: clear}}", "supported"),
        ("{best: {after: worse}}", "refuted"),
        ("{best: {after: clear, among: [worse]}}", "supported"),
        ("{best: {after: open}}", "refuted"),
        ("{best: {after: open, among: [worse]}}", "not decidable"),
        ("{best_gain: {among: all}, at_least: 12}", "supported"),
        ("{best_gain: {among: [worse]}, greater_than: 0}", "refuted"),
        (
            (
                "best_gain: {targets: [tatoeba]}\n"
                "greater_than: {best_gain: {targets: {but: [tatoeba]}}}"
            ),
            "supported",
        ),
        ("{arms_that_gain: {}, at_least: 1}", "supported"),
        ("{arms_that_gain: {}, at_least: 2}", "not decidable"),
        ("{arms_that_gain: {}, at_least: 3}", "refuted"),
        ("{arms_that_gain: {}, by: 20, at_least: 1}", "refuted"),
        ("{arms_that_gain: {}, less_than: 3}", "supported"),
    ],
)
def test_the_verdict(holds: str, verdict: str) -> None:
    assert asked(holds).verdict == verdict


YES = "{gain: {after: clear}, greater_than: 0}"
NO = "{gain: {after: worse}, greater_than: 0}"
OPEN = "{gain: {after: open}, greater_than: 0}"


@pytest.mark.parametrize(
    ("parts", "all_", "any_"),
    [
        ((YES, YES), "supported", "supported"),
        ((YES, NO), "refuted", "supported"),
        ((NO, NO), "refuted", "refuted"),
        ((YES, OPEN), "not decidable", "supported"),
        ((OPEN, NO), "refuted", "not decidable"),
        ((OPEN, OPEN), "not decidable", "not decidable"),
    ],
)
def test_parts_are_joined(parts: tuple[str, ...], all_: str, any_: str) -> None:
    assert asked(f"{{all: [{', '.join(parts)}]}}").verdict == all_
    assert asked(f"{{any: [{', '.join(parts)}]}}").verdict == any_


# Gains that one comparison decides at 95 %, and the third part of the level does not: 2.1 standard errors.
EDGES = {
    ("xnli", "baseline"): [50.0],
    ("xnli", "clear"): [55.0],
    ("xnli", "up"): [50.62],
    ("xnli", "down"): [49.38],
    ("xnli", "open"): [50.0],
}


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ("any: [{gain: {after: up}, greater_than: 0}]", "supported"),
        ("any: [{up}, {open}, {open}]", "not decidable"),
        ("any: [{clear}, {open}, {open}]", "supported"),
        ("all: [{clear}, {up}, {up}]", "supported"),  # all must hold: nothing is divided
        ("all: [{down}, {clear}, {clear}]", "not decidable"),
        ("any: [{down}, {down}, {down}]", "refuted"),
        ("any: [{all: [{down}, {clear}, {clear}]}, {down}]", "not decidable"),
        ("{best: {after: clear}}", "supported"),
        ("{best: {after: up, among: [down]}}", "supported"),
        ("{best: {after: baseline, among: [up, down, open]}}", "not decidable"),
        ("{arms_that_gain: {among: [up, open, down]}, at_least: 1}", "not decidable"),
        ("{arms_that_gain: {among: [up, open, down]}, greater_than: 0}", "not decidable"),
        ("{arms_that_gain: {among: [up, up-too, clear]}, at_least: 3}", "supported"),
        ("{arms_that_gain: {among: [clear, up, down]}, at_least: 3}", "not decidable"),
        ("{arms_that_gain: {among: [clear, up, down]}, less_than: 3}", "not decidable"),
        ("{arms_that_gain: {among: [down, down-too, open]}, at_least: 1}", "not decidable"),
        ("{arms_that_gain: {among: [down, down-too, down-more]}, less_than: 1}", "supported"),
    ],
)
def test_where_one_of_several_comparisons_is_enough_the_level_is_divided(
    holds: str, verdict: str
) -> None:
    for arm in ("clear", "up", "down", "open"):
        holds = holds.replace(f"{{{arm}}}", f"{{gain: {{after: {arm}}}, greater_than: 0}}")
    more = {"up-too": "up", "down-too": "down", "down-more": "down"}
    scores = {**EDGES, **{("xnli", name): EDGES["xnli", like] for name, like in more.items()}}
    found = asked(holds, evidence(scores), targets=("xnli",))
    assert found.verdict == verdict


def test_a_comparison_that_decides_only_by_itself_says_so() -> None:
    parts = ", ".join([YES.replace("clear", "up"), OPEN, OPEN])
    found = asked(f"any: [{parts}]", evidence(EDGES), targets=("xnli",))
    one = found.comparisons[0]
    assert one.low is not None
    assert one.low > 0
    assert "; at 98.3333 %, as one of several: -" in one.reason
    few = evidence(EDGES)
    samples = {
        place: replace(each, draws=None if each.draws is None else each.draws[:, :100])
        for place, each in few.samples.items()
    }
    found = asked(f"any: [{parts}]", replace(few, samples=samples), targets=("xnli",))
    assert found.verdict == "not decidable"
    assert "100 resamples are too few for one of 98.3333 %" in found.comparisons[0].reason


def test_the_interval_that_kept_it_open_is_shown() -> None:
    clear = ", ".join([YES] * 5)
    up = YES.replace("clear", "up")
    found = asked(f"any: [{{all: [{up}, {clear}]}}, {OPEN}]", evidence(EDGES), targets=("xnli",))
    assert found.verdict == "not decidable"
    assert "; at 97.5 %, as one of several: -" in found.comparisons[0].reason
    assert "99.1667" not in found.reason
    down = YES.replace("clear", "down")
    found = asked(f"any: [{{all: [{down}, {clear}]}}, {OPEN}]", evidence(EDGES), targets=("xnli",))
    assert "; at 99.1667 %, as one of several: -" in found.comparisons[0].reason


def many(score: float, count: int) -> Evidence:
    """Return a thousand resamples of a baseline, two clear arms and `count` more arms of one score."""
    scores = {
        ("xnli", "baseline"): [50.0],
        ("xnli", "clear"): [60.0],
        ("xnli", "worse"): [40.0],
        **{("xnli", f"arm-{at}"): [score] for at in range(count)},
    }
    return few_draws(evidence(scores), 1000)


def few_draws(found: Evidence, count: int) -> Evidence:
    samples = {
        place: replace(each, draws=None if each.draws is None else each.draws[:, :count])
        for place, each in found.samples.items()
    }
    return replace(found, samples=samples)


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ("{best: {after: clear}}", "supported"),
        (f"{{all: [{', '.join([YES] * 30)}]}}", "supported"),
        (f"{{any: [{', '.join([NO] * 30)}]}}", "refuted"),
        ("{arms_that_gain: {}, at_least: 32}", "not decidable"),
    ],
)
def test_a_verdict_that_needs_no_divided_level_takes_no_more_resamples(
    holds: str, verdict: str, confidence: float
) -> None:
    found = asked(holds, many(50.0, 30), targets=("xnli",), confidence=confidence)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    "holds",
    [
        "{best: {after: worse}}",
        f"{{any: [{', '.join([YES] * 32)}]}}",
        f"{{all: [{', '.join([NO] * 32)}]}}",
        "{arms_that_gain: {}, at_least: 1}",
        "{arms_that_gain: {}, less_than: 1}",
    ],
)
def test_a_verdict_that_more_resamples_would_give_says_how_many(holds: str) -> None:
    found = asked(holds, many(50.0, 30), targets=("xnli",))
    assert found.verdict == "not decidable"
    too_few = (
        "1,000 resamples are too few for one of 99.8438 %, which takes 1,279 (statistics.bootstrap)"
    )
    assert too_few in found.reason
    one = next(each for each in found.comparisons if "too few" in each.reason)
    assert "without an interval" not in one.reason
    assert one.low is not None
    assert "too few" not in asked(holds, evidence(SCORES)).reason


def test_resamples_that_would_not_decide_it_are_not_asked_for() -> None:
    found = asked("{best: {after: arm-0}}", many(50.1, 30), targets=("xnli",))
    for each in found.comparisons:
        assert ("too few" in each.reason) == ("over clear" in each.text)


# An arm that is the best of three by chance: 2.1 standard errors above zero, or two below a bound.
@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ("{best_gain: {among: [up]}, greater_than: 0}", "supported"),
        ("{best_gain: {among: [up, open, open-too]}, greater_than: 0}", "not decidable"),
        ("{best_gain: {among: [up, open, open-too]}, at_most: 0}", "not decidable"),
        ("{best_gain: {among: [up, far]}, greater_than: 0}", "supported"),
        ("{best_gain: {among: [clear, open, up]}, greater_than: 4}", "supported"),
        ("{best_gain: {among: [down]}, less_than: 0}", "supported"),
        ("{best_gain: {among: [down, wide]}, less_than: 0}", "not decidable"),
        ("{best_gain: {among: [down, far]}, less_than: 0}", "supported"),
        (
            "best_gain: {among: [up, open, open-too]}\ngreater_than: {gain: {after: none}}",
            "not decidable",
        ),
        ("gain: {after: none}\nless_than: {best_gain: {among: [up]}}", "supported"),
        ("gain: {after: none}\nless_than: {best_gain: {among: [up, open]}}", "not decidable"),
    ],
)
def test_an_arm_that_is_the_best_by_chance_decides_nothing(holds: str, verdict: str) -> None:
    more = {"open-too": [50.0], "far": [30.0], "wide": [49.3], "none": [50.0]}
    scores = {**EDGES, **{("xnli", name): score for name, score in more.items()}}
    found = evidence(scores)
    samples = dict(found.samples)
    wide, none = samples["xnli", "wide"], samples["xnli", "none"]
    assert wide.draws is not None
    samples["xnli", "wide"] = replace(wide, draws=49.3 + 9 * (wide.draws - 49.3))
    samples["xnli", "none"] = replace(none, draws=samples["xnli", "baseline"].draws)
    found = replace(found, samples=samples)
    assert asked(holds, found, targets=("xnli",)).verdict == verdict


def test_the_best_of_arms_without_any_effect_is_seldom_a_gain() -> None:
    holds = "{best_gain: {among: [one, two, three]}, greater_than: 0}"
    chance, wrong, trials = np.random.default_rng(0), 0, 200
    for _ in range(trials):
        scores = {
            (target, arm): [50 + chance.normal(scale=0.3 / np.sqrt(2))]
            for target in ("xnli", "tatoeba")
            for arm in ("one", "two", "three")
        }
        scores |= {(target, "baseline"): [50.0] for target in ("xnli", "tatoeba")}
        found = evidence(scores)
        samples = {
            place: replace(each, draws=np.full_like(each.draws, 50.0)) if place[1] == "baseline" else each
            for place, each in found.samples.items()
        }  # fmt: skip
        wrong += asked(holds, replace(found, samples=samples)).verdict == "supported"
    # 0.025 is meant; the best arm's own interval makes it one in eight.
    assert wrong <= 0.05 * trials


def test_the_numbers_and_what_they_are_from_stand_beside_it() -> None:
    (comparison,) = asked(YES).comparisons
    assert comparison.text == "gain of clear greater than 0"
    assert comparison.value == pytest.approx(12.5)
    assert comparison.low is not None
    assert comparison.high is not None
    assert 11.5 < comparison.low < 12.5 < comparison.high < 13.5
    assert set(comparison.keys) == {
        key
        for (_, after), sample in evidence(SCORES).samples.items()
        if after in ("clear", "baseline")
        for key in sample.keys
    }


@pytest.mark.parametrize(
    ("holds", "reason"),
    [
        ("{gain: {after: mnli}, greater_than: 0}", "this experiment has no scores after mnli"),
        ("{gain: {after: clear, over: more-mlm}, at_least: 0}", "no scores after more-mlm"),
        ("{gain: {after: clear, targets: [udpos]}, at_least: 0}", "no target udpos"),
        ("{gain: {after: clear, targets: {group: qa}}, at_least: 0}", "no target has a score"),
    ],
)
def test_what_is_not_there_is_not_decidable(holds: str, reason: str) -> None:
    found = asked(holds)
    assert found.verdict == "not decidable"
    assert reason in found.reason
    assert found.comparisons[0].value is None


def test_a_mean_over_all_targets_needs_all_of_them() -> None:
    found = asked(YES, targets=("xnli", "tatoeba", "udpos"))
    assert (found.verdict, found.reason) == ("not decidable", "udpos after clear has no score")


@pytest.mark.parametrize(
    ("holds", "others"),
    [
        ("{gain: {after: clear, languages: low_resource}, greater_than: 0}", ("en", "th")),
        ("{gain: {after: clear, languages: zero_shot}, greater_than: 0}", ()),
        ("{gain: {after: clear, languages: [sw]}, greater_than: 0}", ("en", "th")),
        ("{best_gain: {languages: low_resource}, greater_than: 0}", ("en", "th")),
    ],
)
def test_a_mean_over_some_languages_waits_for_every_target_that_has_them(
    holds: str, others: tuple[str, ...]
) -> None:
    every = ("xnli", "tatoeba", "udpos")
    assert asked(holds).verdict == "supported"
    waiting = asked(holds, targets=every, languages={"udpos": ("en", "sw")})
    assert waiting.verdict == "not decidable"
    assert waiting.reason.startswith("udpos ")
    assert asked(holds, targets=every, languages={"udpos": others}).verdict == "supported"


@pytest.mark.parametrize(
    ("holds", "verdict", "waiting"),
    [
        ("{best: {after: clear}}", "supported", "not decidable"),
        ("{best: {after: worse}}", "refuted", "refuted"),
        ("{best: {after: clear, among: [worse]}}", "supported", "supported"),
        ("{best_gain: {}, greater_than: 0}", "supported", "not decidable"),
        ("{best_gain: {targets: [tatoeba]}, greater_than: 0}", "supported", "supported"),
        ("{best_gain: {among: [clear]}, greater_than: 0}", "supported", "supported"),
        ("{arms_that_gain: {}, less_than: 3}", "supported", "not decidable"),
        ("{arms_that_gain: {}, at_least: 1}", "supported", "supported"),
    ],
)
def test_what_all_arms_are_asked_waits_for_all_of_them(
    holds: str, verdict: str, waiting: str
) -> None:
    assert asked(holds).verdict == verdict
    found = asked(holds, awaited=[("xnli", "late"), ("xnli", "clear, mean of last 2")])
    assert found.verdict == waiting
    if waiting == "not decidable":
        assert any(
            each.reason == "xnli after late has no score yet" or "tatoeba after late" in each.reason
            for each in found.comparisons
        )


def test_an_arm_that_is_to_come_only_on_some_targets_is_waited_for_there() -> None:
    holds = "{best_gain: {targets: [xnli]}, less_than: 6}"
    scores = {**SCORES, ("tatoeba", "late"): [30.0]}
    pruned = asked(holds, evidence(scores))
    assert pruned.verdict == "supported"
    found = asked(holds, evidence(scores), awaited=[("xnli", "late")])
    assert (found.verdict, found.reason) == ("not decidable", "xnli after late has no score yet")


def test_the_best_of_arms_that_are_not_there_is_not_decidable() -> None:
    found = asked("{best_gain: {among: [clear, mnli]}, greater_than: 0}")
    assert (found.verdict, found.reason) == (
        "not decidable",
        "this experiment has no scores after mnli",
    )


def test_without_an_interval_nothing_is_decided_unless_the_claim_says_so() -> None:
    bare = evidence(SCORES, error=None)
    found = asked(YES, bare)
    assert found.verdict == "not decidable"
    assert "without an interval" in found.reason
    assert asked(YES, bare, decided_by="value").verdict == "supported"
    assert asked(OPEN, decided_by="value").verdict == "supported"


def test_seeds_that_disagree_leave_a_claim_open() -> None:
    close = {("xnli", "baseline"): [50.0, 50.4], ("xnli", "mnli"): [53.0, 53.4]}
    apart = {("xnli", "baseline"): [46.0, 54.0], ("xnli", "mnli"): [49.0, 57.4]}
    claim = "{gain: {after: mnli}, greater_than: 0}"
    assert asked(claim, evidence(close), targets=("xnli",)).verdict == "supported"
    assert asked(claim, evidence(apart), targets=("xnli",)).verdict == "not decidable"


@pytest.mark.parametrize(
    ("runs", "with_seeds", "said"),
    [
        ({"xnli": 1, "tatoeba": 1}, "none", "; examples)"),
        ({"xnli": 2, "tatoeba": 1}, "some", "; examples, seeds of some)"),
        ({"xnli": 2, "tatoeba": 2}, "all", ")"),
    ],
)
def test_a_verdict_says_whether_seeds_are_in_its_interval(
    runs: Mapping[str, int], with_seeds: str, said: str
) -> None:
    scores = {
        (target, arm): [score + 0.1 * at for at in range(count)]
        for target, count in runs.items()
        for arm, score in (("baseline", 50.0), ("clear", 55.0))
    }
    found = asked(YES, evidence(scores))
    assert found.verdict == "supported"
    (comparison,) = found.comparisons
    assert comparison.with_seeds == with_seeds
    assert comparison.reason == found.reason
    assert found.reason.endswith(f" to {comparison.high:+.2f}{said}")
    assert asked(YES, evidence(scores, error=None)).comparisons[0].with_seeds is None


def test_too_few_resamples_for_an_interval_decide_nothing() -> None:
    def drawn(count: int) -> Evidence:
        found = evidence(SCORES)
        samples = {
            place: replace(each, draws=None if each.draws is None else each.draws[:, :count])
            for place, each in found.samples.items()
        }
        return replace(found, samples=samples)

    assert asked(YES, drawn(39)).verdict == "supported"
    few = asked(YES, drawn(38))
    assert few.verdict == "not decidable"
    assert few.reason.endswith(
        "+12.50, without an interval: 38 resamples are too few for one of 95 % (statistics.bootstrap)"
    )
    assert few.comparisons[0].low is None
    assert asked(YES, drawn(38), confidence=0.9).verdict == "supported"
    assert asked(YES, drawn(38), decided_by="value").verdict == "supported"


def test_the_baseline_is_no_best_arm_where_there_is_no_other() -> None:
    alone = evidence({("xnli", "baseline"): [50.0]})
    assert asked("{best: {after: baseline}}", alone, targets=("xnli",)).verdict == "not decidable"


def test_a_wider_confidence_may_leave_it_open() -> None:
    edge = evidence({("xnli", "baseline"): [50.0], ("xnli", "mnli"): [50.8]})
    claim = "{gain: {after: mnli}, greater_than: 0}"
    assert asked(claim, edge, targets=("xnli",), confidence=0.9).verdict == "supported"
    assert asked(claim, edge, targets=("xnli",), confidence=0.999).verdict == "not decidable"


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        # Only in sw, in which it was trained, is `in-sw` above the others.
        ("{gain: {after: in-sw, languages: [sw]}, greater_than: 5}", "supported"),
        ("{gain: {after: in-sw, languages: low_resource}, greater_than: 0.5}", "refuted"),
        ("{gain: {after: in-sw, languages: zero_shot}, greater_than: 0.5}", "refuted"),
        ("{gain: {after: in-th, over: in-sw, languages: zero_shot}, less_than: -0.5}", "refuted"),
        ("{best_gain: {languages: zero_shot}, greater_than: 0.5}", "refuted"),
        (
            (
                "score: {after: in-sw, languages: low_resource}\n"
                "greater_than: {score: {after: in-th, languages: low_resource}}"
            ),
            "not decidable",
        ),
    ],
)
def test_what_an_arm_was_trained_in_is_not_zero_shot(holds: str, verdict: str) -> None:
    found = evidence(
        {("xnli", arm): [50.0] for arm in ("baseline", "in-sw", "in-th")},
        languages=("en", "sw", "th", "yo"),
        error=0.05,
    )
    sample = found.samples["xnli", "in-sw"]
    assert sample.draws is not None
    sample.values[:, 1] += 10.0
    sample.draws[1] += 10.0
    claim = Claim.model_validate(
        {"name": "c", "says": "so", "holds": _listify(yaml.safe_load(holds))}
    )
    question = Question(
        evidence=found,
        targets=("xnli",),
        groups=GROUPS,
        low_resource=("sw", "yo"),
        trained={"in-sw": ("sw",), "in-th": ("th",)},
    )
    assert judge(claim, question).verdict == verdict
