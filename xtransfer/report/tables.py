"""A report as files: report.html and report.md to read; report.json, scores.csv and table.csv to compute with.

The same results give the same bytes: everything is sorted, numbers have a fixed form, and no time
or place of writing is kept.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from xtransfer.report.answer import Answer, answer_json
from xtransfer.report.markdown import report_page
from xtransfer.report.page import render_page
from xtransfer.report.results import ReportInfo, Result, Table, selection_text, tabulate
from xtransfer.report.study import Study


def render(
    results: Sequence[Result],
    *,
    experiment: ReportInfo,
    answer: Answer | None = None,
    study: Study | None = None,
) -> dict[str, str]:
    """Return the report's files: name -> text.

    report.md   for reading; one decimal
    scores.csv  every result with every metric, one number a row
    table.csv   target x intermediate task: mean over languages then seeds, sd, difference
    report.json the answer with everything, where there is one
    report.html all of it as one page, where it is known what was done

    Raises:
        XtransferError: the results contradict each other, see `tabulate`.
    """
    zero_shot = [result for result in results if not result.few_shot]
    table = tabulate(zero_shot, experiment.languages)
    files = {
        "report.md": report_page(table, experiment, results, answer),
        "scores.csv": _scores_csv(results),
        "table.csv": _table_csv(table),
    }
    if answer is None:
        return files
    files["report.json"] = answer_json(answer)
    if study is not None:
        files["report.html"] = render_page(answer, study, experiment)
    return files


def _scores_csv(results: Sequence[Result]) -> str:
    head = (
        "target", "intermediate", "seed", "few_shot", "language", "group", "metric", "main", "value",
        "n", "selected_on", "key",
    )  # fmt: skip
    rows = [
        (
            result.target,
            result.intermediate,
            "" if result.seed is None else str(result.seed),
            str(result.few_shot),
            result.language,
            result.group,
            metric,
            "yes" if metric == result.metric else "no",
            f"{value:.6f}",
            str(result.n),
            result.selected_on,
            result.key,
        )
        for result in results
        for metric, value in {**result.metrics, result.metric: result.value}.items()
    ]
    return _csv(head, sorted(rows, key=_by_number))


def _by_number(row: Sequence[str]) -> tuple[Any, ...]:
    """Return what a row is sorted by: seeds and numbers of examples as numbers, 2 before 10."""
    target, intermediate, seed, shots, *others = row
    return target, intermediate, int(seed or -1), int(shots), *others


def _table_csv(table: Table) -> str:
    head = (
        "target", "intermediate", "group", "metric", "languages", "score", "sd", "seeds",
        "above_baseline", "selected_on",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for target in table.targets:
        for entry in table.of_target(target):
            score = entry.score()
            rows.append(
                (
                    target,
                    entry.intermediate,
                    entry.group,
                    entry.metric,
                    " ".join(entry.languages),
                    f"{score.mean:.6f}",
                    _exact(score.sd),
                    str(score.runs),
                    _exact(table.difference(entry)),
                    selection_text([entry]),
                )
            )
    return _csv(head, rows)


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _csv(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
