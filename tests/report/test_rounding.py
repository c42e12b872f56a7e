"""Numbers that stand in several places of a report have the same digits in all of them."""

from __future__ import annotations

import random

import pytest

from tests.report.results import result
from xtransfer.config.judgement import Statistics
from xtransfer.plan import BASELINE, Plan
from xtransfer.report.draws import gather
from xtransfer.report.evidence import mean_of
from xtransfer.report.results import Result, plain_mean, tabulate
from xtransfer.report.scores import OVERALL, gain_cells, score_cells
from xtransfer.tasks import TASKS

TARGETS = ("pawsx", "xcopa", "xnli")
CODES = ("ar", "de", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi")


def results_of(chance: random.Random) -> list[Result]:
    """Return shares of small test sets, whose means often end in a 5 that is to be rounded."""
    examples = chance.choice((40, 200, 500))
    languages = CODES[: chance.randint(1, len(CODES))]
    return [
        result(
            target,
            after=after,
            language=language,
            value=100 * chance.randint(0, examples) / examples,
            seed=seed,
            n=examples,
            key=f"{target}-{after}-{seed}",
        )
        for target in TARGETS
        for after in (BASELINE, "mnli")
        for seed in range(1, chance.choice((2, 3, 4, 6)))
        for language in languages
    ]


@pytest.mark.parametrize("seed", range(40))
def test_scores_and_gains_are_those_of_the_tables_to_the_last_bit(seed: int) -> None:
    results = results_of(random.Random(seed))
    table = tabulate(results, {})
    plan = Plan(experiment="small", steps={}, cells=(), tasks=TASKS)
    evidence = gather(plan, results, Statistics(bootstrap=0), {})
    gains = {gain.target: gain.value for gain in gain_cells(evidence, table, TARGETS)}
    assert gains == {
        **{target: table.difference(table.entries[target, "mnli"]) for target in TARGETS},
        OVERALL: table.average_difference("mnli"),
    }
    for cell in score_cells(evidence, table):
        entry = table.entries[cell.target, cell.after]
        figure = evidence.score(cell.target, cell.after)
        assert figure is not None
        assert (figure.value, cell.mean) == (entry.score().mean, entry.score().mean)
        assert [run.value for run in cell.runs] == [
            plain_mean([run[code] for code in entry.languages]) for run in entry.runs
        ]
        for each in cell.languages:
            assert each.value == entry.score([each.language]).mean


@pytest.mark.parametrize("seed", range(5))
def test_a_mean_over_targets_does_not_depend_on_their_order(seed: int) -> None:
    """Claims take targets in the experiment's order, tables by group and name."""
    results = results_of(random.Random(seed))
    plan = Plan(experiment="small", steps={}, cells=(), tasks=TASKS)
    evidence = gather(plan, results, Statistics(bootstrap=0), {})
    figures = [evidence.gain(target, "mnli") for target in TARGETS]
    known = [figure for figure in figures if figure is not None]
    assert mean_of(known).value == mean_of(known[::-1]).value


def test_the_difference_of_averages_needs_every_target() -> None:
    results = results_of(random.Random(0))
    assert tabulate(results, {}).average_difference(BASELINE) is None
    fewer = [each for each in results if (each.target, each.intermediate) != ("xcopa", "mnli")]
    assert tabulate(fewer, {}).average_difference("mnli") is None
