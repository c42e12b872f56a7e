"""Scores and gains with their intervals."""

from __future__ import annotations

import numpy as np

from tests.report.results import result
from xtransfer.config.judgement import Statistics
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import Evidence, Sample
from xtransfer.report.results import tabulate
from xtransfer.report.scores import gain_cells, score_cells


def test_no_interval_of_a_score_goes_beyond_0_and_100() -> None:
    """Student's t has no ends: of 97 and 99 after two seeds, the interval went to over 100."""
    runs = {BASELINE: (97.0, 99.0), "mnli": (0.5, 2.5)}
    table = tabulate(
        [
            result(after=after, value=value, seed=seed)
            for after, values in runs.items()
            for seed, value in enumerate(values, 1)
        ],
        {"xnli": ["en"]},
    )
    samples = {
        ("xnli", after): Sample(
            target="xnli",
            after=after,
            languages=("en",),
            seeds=(1, 2),
            values=np.array([[value] for value in values]),
            keys=(f"{after}-1", f"{after}-2"),
            draws=np.full((1, 500), np.mean(values)),
        )
        for after, values in runs.items()
    }
    evidence = Evidence(samples=samples, settings=Statistics(bootstrap=500))
    base, mnli = score_cells(evidence, table)
    assert (base.high, base.languages[0].high) == (100.0, 100.0)
    assert base.low is not None
    assert 80 < base.low < base.mean
    assert mnli.low == 0.0
    gain = mnli.languages[0]
    (whole,) = gain_cells(evidence, table, ["xnli"])
    assert (gain.low, gain.high) == (whole.low, whole.high)
    assert gain.low is not None
    assert gain.low < -100  # a gain has other ends
