from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.report.evidence import evidence
from tests.report.results import result
from xtransfer.config.claims import Claim
from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE, Plan
from xtransfer.report.answer import Answer, build_answer
from xtransfer.report.evidence import Sample
from xtransfer.report.markdown import NOT_TO_CHOOSE, TESTED, report_page
from xtransfer.report.markdown.sections import (
    caution_section,
    claims_section,
    gain_mark,
    statistics_section,
    typology_section,
)
from xtransfer.report.results import ReportInfo, tabulate
from xtransfer.report.scores import OVERALL
from xtransfer.settings import read_settings
from xtransfer.tasks import TASKS

RUNS = {
    ("xnli", BASELINE): [50.0, 50.5],
    ("xnli", "mnli"): [55.0, 55.4],
    ("xnli", "squad_v1"): [50.3, 50.1],
    ("tatoeba", BASELINE): [20.0],
    ("tatoeba", "mnli"): [20.2],
    ("tatoeba", "squad_v1"): [18.0],
}
LANGUAGES = ("de", "en", "et", "sw", "ta", "te", "tr")
HOLDS = {
    "yes": {"gain": {"after": "mnli"}, "greater_than": 0},
    "no": {"gain": {"after": "squad_v1"}, "at_least": 5},
    "open": {"best": {"after": "mnli", "targets": ("tatoeba",)}},
    "absent": {"gain": {"after": "hellaswag"}, "greater_than": 0},
}


def tilted(sample: Sample) -> Sample:
    """Return a sample whose scores differ between languages."""
    tilt = np.linspace(-1, 1, len(LANGUAGES))
    draws = None if sample.draws is None else sample.draws + tilt[:, None]
    return replace(sample, values=sample.values + tilt, draws=draws)


def answer(*, error: float | None = 0.2, selected_on: str = "mnli dev en") -> Answer:
    experiment = read_settings(
        Experiment,
        None,
        [
            "name=small",
            "encoder=encoder",
            "target.tasks=[xnli, tatoeba]",
            "intermediate.tasks=[mnli, squad_v1]",
            "statistics.bootstrap=2000",
        ],
        "test",
    ).model_copy(
        update={
            "claims": tuple(
                Claim.model_validate(
                    {
                        "name": name,
                        "says": f"says {name}",
                        "holds": holds,
                        "source": "someone",
                        "published": "+1.0",
                    }
                )
                for name, holds in HOLDS.items()
            )
        }
    )
    found = evidence(RUNS, languages=LANGUAGES, error=error)
    found = replace(
        found,
        samples={
            place: each if place[1] == BASELINE else tilted(each)
            for place, each in found.samples.items()
        },
    )
    results = [
        result(
            target,
            after=after,
            language=language,
            value=float(value),
            seed=seed,
            selected_on=selected_on,
            key=key,
            group=TASKS[target].group,
        )
        for (target, after), sample in found.samples.items()
        for seed, values, key in zip(sample.seeds, sample.values, sample.keys, strict=True)
        for language, value in zip(sample.languages, values, strict=True)
    ]
    plan = Plan(experiment="small", steps={}, cells=(), tasks=TASKS)
    info = ReportInfo(name="small", encoder="e", plan_key="0" * 12)
    return build_answer(experiment, plan, found, tabulate(results, {}), info)


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("statistics.md", statistics_section),
        ("claims.md", claims_section),
        ("typology.md", typology_section),
    ],
)
def test_a_section_equals_the_golden_file(
    name: str, section: Callable[[Answer], str], golden: Callable[[str, str], None]
) -> None:
    golden(name, section(answer()) + "\n")


def test_what_is_significant_from_single_runs_is_said() -> None:
    found = answer()
    assert [g.target for g in found.gains if g.significant and g.with_seeds == "none"] == [
        "tatoeba"
    ]
    assert found.seeds_note == (
        "On tatoeba there is one run on each side, so that significance is of the test examples alone: "
        "another seed may say otherwise."
    )
    info = ReportInfo(name="small", encoder="e")
    one = result("tatoeba", seed=None)
    page = report_page(tabulate([one], {}), info, [one], found)
    assert f"{TESTED} {found.seeds_note} {NOT_TO_CHOOSE}" in page
    several = replace(found, gains=tuple(replace(g, with_seeds="all") for g in found.gains))
    assert several.seeds_note == ""
    assert f"{TESTED} {NOT_TO_CHOOSE}" in report_page(tabulate([one], {}), info, [one], several)


def test_only_what_is_significant_has_a_mark() -> None:
    found = answer()
    marks = {(g.target, g.after): gain_mark(found, g.target, g.after) for g in found.gains}
    assert marks["xnli", "mnli"] == "*"
    assert marks["xnli", "squad_v1"] == ""
    assert marks[OVERALL, "mnli"] == "*"
    assert gain_mark(None, "xnli", "mnli") == ""


def test_the_correction_can_cost_a_mark() -> None:
    found = answer()
    gain = found.gain("tatoeba", "mnli")
    assert gain is not None
    assert gain.p is not None
    assert gain.p_holm is not None
    other = found.gain("xnli", "mnli")
    assert other is not None
    assert other.p_holm == pytest.approx(2 * (other.p or 0))
    assert gain.p_holm == pytest.approx(max(gain.p, other.p_holm))


def test_a_claim_in_several_lines_stays_in_its_row() -> None:
    found = answer()
    (first, *_) = found.claims
    long = replace(first, says="says | this\nand\n\n# that\n", note="\n- so")
    section = claims_section(replace(found, claims=(long,)))
    assert f"| yes | says \\| this and # that | **{first.verdict}** |" in section
    assert "says | this and # that. Published" in section
    assert not any(line.startswith(("and", "# ", "- ")) for line in section.split("\n"))


def test_nothing_to_say_is_no_section() -> None:
    bare = replace(answer(error=None), claims=(), typology=None)
    assert statistics_section(bare) == ""
    assert claims_section(bare) == ""
    assert typology_section(bare) == ""
    assert caution_section(bare) == ""


def test_an_oracle_is_named_as_one() -> None:
    text = caution_section(answer(selected_on="oracle: xnli dev de sw"))
    assert "**Oracle:** the models of tatoeba, xnli were selected on dev sets" in text
