"""report.html: the whole answer as one file that needs no network, and opens the records behind it.

The same answer and records give the same bytes. Scripts and styles stand in the page; its policy lets
nothing else run, and lets nothing be fetched.

tables       the tables of scores; `findings`: of what follows from them; `analyses`: of what analyses found
cells        tables as the page shows them: every number says where it is from
charts       spread over seeds, gain against distance, learning curves
svg          an area with axes, and marks in it
embedded     the records behind the page, as JSON within it
progress     how a run stands, on a page that is served while it goes on
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xtransfer.report.analyses import ALIGNMENT_NOTE, FORGETTING_NOTE, RETRIEVAL_NOTE
from xtransfer.report.answer import Answer
from xtransfer.report.contamination import contamination_text
from xtransfer.report.page import analyses, charts, findings, svg, tables
from xtransfer.report.page.embedded import records_json
from xtransfer.report.page.progress import progress_table
from xtransfer.report.results import ReportInfo
from xtransfer.report.scatter import dots_of
from xtransfer.report.series import series_of
from xtransfer.report.study import Study
from xtransfer.watching import Sight, time_left

_FOLDER = Path(__file__).parent
SHOWN_MISSING = 12
"""Missing things that are named at once; more are folded away."""

SHOWN_NOTES = 20
"""The same, of remarks on what was run."""

LONGEST_TABLE = 40
"""Rows of a table that is shown at once; a longer one is folded away."""

FIXED_HEAD = 15
"""Rows of a table that is read without scrolling; a longer one scrolls under a head that stays."""


def render_page(
    answer: Answer, study: Study, info: ReportInfo, *, sight: Sight | None = None
) -> str:
    """Return report.html.

    Args:
        answer: what the experiment answers.
        study: what was done for it, with the records.
        info: chances of guessing, and targets with a single labelled split.
        sight: how the run stands, on a page that is served while it goes on.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest(style)}",
            f"script-src {_digest(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return _environment().get_template("page.html.jinja").render(
        answer=answer,
        study=study,
        info=info,
        sight=sight,
        time_left=time_left(sight) if sight else "",
        progress=progress_table(sight) if sight else None,
        policy=policy,
        style=Markup(style),  # noqa: S704 (a file of ours)
        script=Markup(script),  # noqa: S704 (a file of ours)
        records=Markup(records_json(study.records)),  # noqa: S704 (has no "<")
        shown_missing=SHOWN_MISSING,
        shown_notes=SHOWN_NOTES,
        longest=LONGEST_TABLE,
        fixed=FIXED_HEAD,
        uneven=bool(tables.uneven_targets(answer)),
        most_points=charts.MOST_POINTS,
        contamination=contamination_text,
        notes={
            "forgetting": FORGETTING_NOTE,
            "alignment": ALIGNMENT_NOTE,
            "retrieval": RETRIEVAL_NOTE,
        },
        **_parts(answer, study),
    )  # fmt: skip


def _parts(answer: Answer, study: Study) -> dict[str, Any]:
    """Return tables and drawings by the names that the template has for them."""
    dots = dots_of(answer, study.train_languages)
    series = series_of(answer, study)
    analysed = answer.analysed
    return {
        "definitions": Markup(svg.definitions()),  # noqa: S704 (constant)
        "sample": svg.sample,
        "drawn": {
            name: [(arm, at) for arm, at in series.items() if arm in set(arms)]
            for name, arms in {
                "distance": [dot.after for dot in dots],
                "shots": [each.after for each in analysed.shots],
                "alignment": [each.after for each in analysed.alignment],
                "curves": [curve.arm for curve in study.curves],
            }.items()
        },
        "main": tables.main_table(answer),
        "metrics": tables.metrics_of(answer),
        "main_legend": tables.main_scale(answer).legend(),
        "gains": tables.gain_table(answer),
        "power": tables.power_table(answer),
        "language_tables": tables.language_tables(answer, study),
        "language_legend": tables.language_scale(answer).legend(),
        "steps": tables.step_table(answer),
        "claims": [findings.claim_table(claim, at) for at, claim in enumerate(answer.claims)],
        "groups": findings.group_table(answer),
        "regressions": findings.regression_table(answer),
        "dots": findings.dot_table(answer, dots),
        "choices": findings.choice_tables(study),
        "costs": findings.cost_table(study),
        "published": findings.published_table(answer, study),
        "forgetting": analyses.forgetting_table(analysed),
        "alignment": analyses.alignment_tables(analysed),
        "layers": analyses.retrieval_table(analysed),
        "shots": analyses.shot_table(analysed),
        "alignment_charts": _drawn(analyses.alignment_charts(analysed, series)),
        "shot_charts": _drawn(analyses.shot_charts(analysed, series)),
        "seed_charts": _drawn(charts.seed_charts(answer, series)),
        "distance_charts": _drawn(charts.distance_charts(answer, dots, series)),
        "curve_charts": [
            (learned, what, Markup(drawing))  # noqa: S704 (escaped where it is drawn)
            for learned, what, drawing in charts.curve_charts(study, series)
        ],
    }


def _drawn(found: list[tuple[str, str]]) -> list[tuple[str, Markup]]:
    return [(name, Markup(drawing)) for name, drawing in found]  # noqa: S704 (escaped where it is drawn)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
