"""report.md: what was run, the scores, and what may be said of them.

sections     how sure the numbers are, and what follows from them
languages    one target by language
analyses     what analyses found
grid         tables in Markdown, and texts that mean nothing but themselves
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from xtransfer.report.answer import Answer
from xtransfer.report.contamination import contamination_text
from xtransfer.report.markdown.analyses import analysis_sections
from xtransfer.report.markdown.grid import grid, plain
from xtransfer.report.markdown.languages import language_section, spread
from xtransfer.report.markdown.sections import (
    caution_section,
    claims_section,
    gain_mark,
    statistics_section,
    typology_section,
)
from xtransfer.report.numbers import MARK, NONE, number, signed
from xtransfer.report.results import ReportInfo, Result, Table, selection_text

SCORES_NOTE = (
    "Test scores, 0 to 100: the unweighted mean over the target's languages, then over seeds. "
    "± is the sample standard deviation over n seeds; in brackets, points above the baseline (no "
    "intermediate task), from unrounded means."
)
NOT_TESTED = "No significance is tested."
TESTED = f"{MARK}: significant, see below."
NOT_TO_CHOOSE = "To pick a column by these numbers would be to select on test data."
FEW_SHOT_NOTE = (
    " of the same models before (0) and after a further stage on n examples of the language itself; "
    "the last weights of that stage are scored, nothing is selected."
)
SINGLE_SPLIT_NOTE = (
    "has a single labelled split. Its scores are on that split, so nothing (no layer, checkpoint "
    "or intermediate task) may be chosen by them."
)


def report_page(
    table: Table, info: ReportInfo, results: Sequence[Result], answer: Answer | None = None
) -> str:
    """Return report.md: head, scores by target, averages, what follows, languages, and the steps behind."""
    parts = [_head(table, info), _targets(table, info, answer)]
    if len(table.targets) + len(table.unscored) > 1:
        parts.append(_averages(table))
    if answer is not None:
        parts += [
            statistics_section(answer),
            claims_section(answer),
            typology_section(answer),
            *analysis_sections(answer.analysed),
        ]
    for target in table.targets:
        parts.append(language_section(table, info, target))
        parts.append(_few_shot(target, info, results))
    parts.append(_origin(results))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(table: Table, info: ReportInfo) -> str:
    lines = [f"# {info.name}", ""]
    unscored = [f"{target}: no score" for target in table.unscored]
    missing = [*info.missing, *table.incomplete, *unscored]
    if missing:
        lines += ["**This report is partial.** Not done, or left out of every mean:", ""]
        lines += [*_list(missing), ""]
    lines += ["What was run:", "", f"- Encoder: {plain(info.encoder)}"]
    lines += [f"- Plan: `{info.plan_key}`"] if info.plan_key else []
    lines += _list([*info.encoder_notes, *info.cuts, *info.notes])
    return "\n".join(lines)


def _targets(table: Table, info: ReportInfo, answer: Answer | None) -> str:
    if not table.entries:
        return "## Scores\n\nThere are no scores yet."
    rows = [
        [
            target,
            entry.group or NONE,
            entry.metric,
            str(len(entry.languages)),
            number(info.chance.get(target)),
            *(_summary(table, target, name, answer) for name in table.intermediates),
            selection_text(table.of_target(target)),
        ]
        for target in table.targets
        for entry in table.of_target(target)[:1]
    ]
    head = ["target", "group", "metric", "languages", "chance", *table.intermediates, "selected on"]
    tested = NOT_TESTED
    if answer is not None and answer.tested:
        tested = f"{TESTED} {answer.seeds_note}".rstrip()
    text = [
        "## Scores",
        "",
        " ".join((SCORES_NOTE, tested, NOT_TO_CHOOSE)),
        "",
        *grid(head, rows, text={"target", "group", "metric", "selected on"}),
    ]
    for target in sorted(set(info.single_split) & set(table.targets)):
        text += ["", f"**Caution:** {target} {SINGLE_SPLIT_NOTE}"]
    text += [
        f"\n**Caution:** Selected on test data: {contamination_text(target, languages)}"
        for target, languages in sorted(info.selected_on_test.items())
        if target in table.targets
    ]
    text += [
        f"\n**Caution:** Trained on test data: {contamination_text(target, languages, how='trained')}"
        for target, languages in sorted(info.trained_on_test.items())
        if target in table.targets
    ]
    text += [
        f"\n**Caution:** models of {target} were {why}."
        for target, whys in sorted(info.known_overlaps.items())
        for why in whys
        if target in table.targets
    ]
    oracle = "" if answer is None else caution_section(answer)
    text += ["", oracle] if oracle else []
    return "\n".join(text)


def _averages(table: Table) -> str:
    if table.unscored:
        have = "has" if len(table.unscored) == 1 else "have"
        return f"## Averages\n\nNone yet: {', '.join(table.unscored)} {have} no score."
    groups = {name: targets for name, targets in table.groups().items() if name}
    columns = [*groups.values(), table.targets]
    rows: list[list[str]] = []
    for name in table.intermediates:
        means = [table.average(name, targets) for targets in columns]
        rows.append([name, *map(number, means), signed(table.average_difference(name))])
    return "\n".join(
        [
            "## Averages",
            "",
            "Unweighted means over targets, shown only where every target concerned has a score.",
            "",
            *grid(["after", *groups, "overall", "above baseline"], rows, text={"after"}),
        ]
    )


def _few_shot(target: str, info: ReportInfo, results: Sequence[Result]) -> str:
    """Return zero-shot beside few-shot scores, by language; each the mean over seeds."""
    own = [each for each in results if each.target == target]
    shots = sorted({each.few_shot for each in own if each.few_shot})
    if not shots:
        return ""
    places = sorted({(each.intermediate, each.language) for each in own if each.few_shot})
    rows = [
        [name, language, *(_mean(own, name, language, count) for count in (0, *shots))]
        for name, language in places
    ]
    languages = info.few_shot_trained_on_test.get(target, ())
    caution = contamination_text(target, languages, how="few-shot") if languages else ""
    return "\n".join(
        [
            f"### {target}, few-shot",
            "",
            f"{own[0].metric}{FEW_SHOT_NOTE}",
            "",
            *grid(["after", "language", *map(str, (0, *shots))], rows, text={"after", "language"}),
            *(["", f"**Caution:** Trained on test data: {caution}"] if caution else []),
        ]
    )


def _mean(results: Sequence[Result], intermediate: str, language: str, shots: int) -> str:
    values = [
        each.value
        for each in results
        if (each.intermediate, each.language, each.few_shot) == (intermediate, language, shots)
    ]
    return number(fmean(values)) if values else NONE


def _origin(results: Sequence[Result]) -> str:
    runs = sorted(
        {
            (
                each.target,
                each.intermediate,
                -1 if each.seed is None else each.seed,  # seeds begin at 0
                each.language if each.few_shot else "",
                each.few_shot,
                each.key,
            )
            for each in results
        }
    )
    if not runs:
        return ""
    few = any(each.few_shot for each in results)
    rows = [
        [
            target,
            name,
            NONE if seed < 0 else str(seed),
            *([f"{language}, {shots}" if shots else "0"] if few else []),
            f"`{key}`",
        ]
        for target, name, seed, language, shots, key in runs
    ]
    head = ["target", "after", "seed", *(["few-shot"] if few else []), "evaluate step"]
    return "\n".join(["## Where the numbers come from", "", *grid(head, rows, text=set(head))])


def _summary(table: Table, target: str, intermediate: str, answer: Answer | None) -> str:
    entry = table.entries.get((target, intermediate))
    if entry is None:
        return NONE
    score, difference = entry.score(), table.difference(entry)
    runs = f", n={score.runs}" if score.runs > 1 else ""
    return f"{spread(score)}{runs}" + (
        f" ({signed(difference)}{gain_mark(answer, target, intermediate)})"
        if difference is not None
        else ""
    )


def _list(items: Iterable[str]) -> list[str]:
    return [f"- {plain(item)}" for item in items]
