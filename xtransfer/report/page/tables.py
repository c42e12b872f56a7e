"""The page's tables of scores: targets by intermediate task, and language by language."""

from __future__ import annotations

from collections.abc import Mapping

from xtransfer.plan import BASELINE
from xtransfer.report.answer import Answer
from xtransfer.report.evidence import WITH
from xtransfer.report.numbers import MARK, NONE, exact, interval_text, number, p_text, signed
from xtransfer.report.page.cells import Grid, Number, Row, Scale, cell, scale_of
from xtransfer.report.results import plain_mean
from xtransfer.report.scores import OVERALL, GainCell, LanguageScore, ScoreCell
from xtransfer.report.study import Study


def main_table(answer: Answer) -> Grid:
    """Return targets by arms: score, and gain over the baseline."""
    by_place = {(each.target, each.after): each for each in answer.scores}
    scale = main_scale(answer)
    uneven = uneven_targets(answer)
    rows = [
        Row(
            label=target + (" (oracle)" if _oracle(answer, target) else ""),
            cells=tuple(
                _main_cell(
                    by_place.get((target, arm)),
                    answer.gain(target, arm),
                    scale,
                    counted=target in uneven,
                )
                for arm in answer.arms
            ),
        )
        for target in answer.targets
    ]
    if len(answer.targets) + len(answer.unscored) > 1:
        rows.append(_average(answer, by_place, scale))
    return Grid(
        name="main",
        caption="Test score by target and intermediate task"
        + (", and points above the baseline" if answer.gains else ""),
        head=("target", *answer.arms),
        rows=tuple(rows),
        most=12,
    )


def uneven_targets(answer: Answer) -> set[str]:
    """Return the targets with more seeds after one arm than after another, as an unfinished run has them."""
    counts = {(each.target, len(each.runs)) for each in answer.scores}
    return {target for target in answer.targets if sum(own == target for own, _ in counts) > 1}


def metrics_of(answer: Answer) -> list[tuple[str, list[str]]]:
    """Return (metric, the targets whose score it is)."""
    found: dict[str, list[str]] = {}
    for target, metric in dict.fromkeys((each.target, each.metric) for each in answer.scores):
        found.setdefault(metric, []).append(target)
    return list(found.items())


def main_scale(answer: Answer) -> Scale:
    """Return the colours of the main table."""
    return scale_of(gain.value for gain in answer.gains)


def gain_table(answer: Answer) -> Grid | None:
    """Return every gain with its interval and p-values; None where nothing was tested."""
    if not answer.tested:
        return None
    percent = f"{100 * answer.settings.confidence:g} %"
    return Grid(
        name="gains",
        caption="Gains over the baseline, with intervals and tests",
        head=("target", "after", "gain", percent, "with", "p", "Holm", "significant"),
        text=frozenset({"after", "with", "significant"}),
        rows=tuple(
            Row(
                label=gain.target,
                kind="total" if gain.target == OVERALL else "",
                keys=gain.keys,
                cells=(
                    gain.after,
                    cell(exact(gain.value)),
                    cell(interval_text(gain.low, gain.high)),
                    NONE if gain.low is None else WITH[gain.with_seeds],
                    cell(p_text(gain.p)),
                    cell(p_text(gain.p_holm)),
                    NONE if gain.significant is None else ("yes" if gain.significant else "no"),
                ),
            )
            for gain in answer.gains
        ),
    )


def power_table(answer: Answer) -> Grid | None:
    """Return how many seeds it takes to see a gain; None where there is one seed."""
    if not answer.powers:
        return None
    gain, level = answer.powers[0].gain, 1 - answer.settings.confidence
    return Grid(
        name="power",
        caption=f"Seeds on either side that see a gain of {gain:g} with power 0.8 at level {level:g}",
        head=("target", "sd over seeds", "degrees of freedom", "seeds needed"),
        rows=tuple(
            Row(
                label=note.target,
                keys=note.keys,
                cells=(
                    cell(f"{note.sd:.2f}"),
                    cell(str(note.freedom)),
                    cell("more than 10,000" if note.seeds is None else f"{note.seeds:,}"),
                ),
            )
            for note in answer.powers
        ),
    )


def language_scale(answer: Answer) -> Scale:
    """Return the colours of the tables by language: one scale for all targets."""
    return scale_of(each.gain for score in answer.scores for each in score.languages)


def language_tables(answer: Answer, study: Study) -> list[tuple[str, Grid]]:
    """Return (target, arms by languages): the baseline's scores, and the gains over them."""
    scale = language_scale(answer)
    found: list[tuple[str, Grid]] = []
    for target in answer.targets:
        own = [each for each in answer.scores if each.target == target]
        trained = study.train_languages.get(target)
        compared = any(each.after == BASELINE for each in own)
        caption = f"{target}, {own[0].metric}: " + (
            "score of the baseline, gains after the others" if compared else "scores"
        )
        grid = Grid(
            name=f"languages-{target}",
            caption=caption + (f"; trained in {' '.join(trained)}" if trained else ""),
            head=("after", "mean", *(each.language for each in own[0].languages)),
            wide=True,
            rows=tuple(_language_row(each, answer, scale) for each in own),
        )
        found.append((target, grid))
    return found


def step_table(answer: Answer) -> Grid:
    """Return every run behind the scores, with the key of its evaluate step."""
    return Grid(
        name="steps",
        caption="Every run behind the scores",
        head=("target", "after", "seed", "score", "selected on", "evaluate step"),
        text=frozenset({"after", "selected on", "evaluate step"}),
        rows=tuple(
            Row(
                label=each.target,
                keys=run.keys,
                cells=(
                    each.after,
                    cell(NONE if run.seed is None else str(run.seed)),
                    cell(number(run.value)),
                    ", ".join(each.selected_on),
                    " ".join(run.keys),
                ),
            )
            for each in answer.scores
            for run in each.runs
        ),
    )


def _main_cell(
    score: ScoreCell | None, gain: GainCell | None, scale: Scale, *, counted: bool
) -> Number | str:
    if score is None:
        return NONE
    text = number(score.mean) + ("" if score.sd is None else f" ± {score.sd:.1f}")
    text += f", n={len(score.runs)}" if counted else ""
    if gain is None:
        return Number(text=text, keys=score.keys)
    return _with_gain(text, gain, scale)


def _with_gain(text: str, gain: GainCell, scale: Scale) -> Number:
    return Number(
        text=text,
        keys=gain.keys,
        gain=signed(gain.value),
        shade=scale.shade(gain.value),
        mark=_mark(gain),
    )


def _mark(gain: GainCell) -> str:
    return MARK if gain.significant else ""


def _average(answer: Answer, by_place: Mapping[tuple[str, str], ScoreCell], scale: Scale) -> Row:
    """Return the unweighted mean over targets of every arm that has all of them."""
    cells: list[Number | str] = []
    for arm in answer.arms:
        own = [by_place[target, arm] for target in answer.targets if (target, arm) in by_place]
        if answer.unscored or len(own) < len(answer.targets):
            cells.append(NONE)
            continue
        text = number(plain_mean([each.mean for each in own]))
        gain = answer.gain(OVERALL, arm)
        if gain is None:
            cells.append(cell(text, [key for each in own for key in each.keys]))
        else:
            cells.append(_with_gain(text, gain, scale))
    return Row(label=OVERALL, cells=tuple(cells), kind="total")


def _language_row(score: ScoreCell, answer: Answer, scale: Scale) -> Row:
    gain = answer.gain(score.target, score.after)
    mean = cell(number(score.mean))
    if gain is not None:
        mean = Number(text=signed(gain.value), shade=scale.shade(gain.value), mark=_mark(gain))
    return Row(
        label=score.after,
        keys=score.keys if gain is None else gain.keys,
        cells=(mean, *(_language_cell(each, scale) for each in score.languages)),
    )


def _language_cell(each: LanguageScore, scale: Scale) -> Number:
    if each.gain is None:
        return Number(text=number(each.value), note=_bounds("score", each.low, each.high))
    return Number(
        text=signed(each.gain),
        shade=scale.shade(each.gain),
        note=f"score {number(each.value)}{_bounds(', gain', each.low, each.high)}",
    )


def _bounds(what: str, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    if what == "score":
        return f"score {number(low)} to {number(high)}"
    return f"{what} {exact(low)} to {exact(high)}"


def _oracle(answer: Answer, target: str) -> bool:
    return any(each.oracle for each in answer.scores if each.target == target)
