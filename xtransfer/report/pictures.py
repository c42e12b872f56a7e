"""The report's tables and drawings as PNG files, for papers and slides; drawn with matplotlib.

The same answer gives the same bytes with the same matplotlib and fonts: no time and no version is kept.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

from xtransfer.report.answer import Answer
from xtransfer.report.numbers import number, signed
from xtransfer.report.page.cells import Scale
from xtransfer.report.page.tables import language_scale, main_scale
from xtransfer.report.scatter import dots_of, kinds_of, line_of
from xtransfer.report.study import Study

DPI = 150
_COLOURS = (
    "#1b1f24", "#0072b2", "#b8500a", "#007a59", "#a14b86", "#8a6d00", "#2f8fc4", "#7a3e12", "#5c5c9e",
)  # fmt: skip
_MARKERS = "osD^vP*Xh"
_DASHES = ("-", "--", "-.", ":")
_MAP = ("#ea9351", "#f3f3f3", "#6aaed6")
"""Orange below zero, blue above: told apart in every common kind of colour blindness."""


def draw_pictures(answer: Answer, study: Study) -> dict[str, bytes]:
    """Return file name -> PNG, for what there is to draw.

    main.png            targets by intermediate task, gains over the baseline
    languages-T.png     intermediate task by language, for every target T
    seeds.png           the score of every run
    distance.png        gain against distance, with the regressions' slopes
    curves.png          dev score and training loss of the trials that went on
    """
    drawings: dict[str, Callable[[], Any]] = {}
    if answer.gains:
        drawings["main.png"] = lambda: _main(answer)
        for target in answer.targets:
            if any(cell.target == target and cell.after != "baseline" for cell in answer.scores):
                drawings[f"languages-{target}.png"] = lambda target=target: _languages(
                    answer, target
                )
    if answer.scores:
        drawings["seeds.png"] = lambda: _seeds(answer)
    if kinds_of(answer, dots_of(answer, study.train_languages)):
        drawings["distance.png"] = lambda: _distance(answer, study)
    if study.curves:
        drawings["curves.png"] = lambda: _curves(answer, study)
    return {name: _png(draw) for name, draw in drawings.items()}


def _png(draw: Callable[[], Any]) -> bytes:
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "font.size": 9,
        "font.family": "DejaVu Sans",
        "axes.grid": False,
        "svg.hashsalt": "0",
    }
    with mpl.rc_context(style):  # pyright: ignore[reportUnknownMemberType]
        figure = draw()
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def _figure(width: float, height: float) -> Any:
    """Return a figure that belongs to no window; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _heat(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    scale: Scale,
    title: str,
    *,
    width: float = 0.85,
) -> Any:
    """Return a heat map around zero; `values` None: no colour."""
    from matplotlib.colors import LinearSegmentedColormap

    figure = _figure(max(5.0, 1.8 + width * len(columns)), 1.3 + 0.34 * len(rows))
    axes = figure.subplots()
    shown = [[math.nan if v is None else v for v in row] for row in values]
    shades = LinearSegmentedColormap.from_list("gains", _MAP)
    axes.imshow(shown, cmap=shades, vmin=-scale.most, vmax=scale.most, aspect="auto")
    for y, row in enumerate(texts):
        for x, text in enumerate(row):
            axes.text(x, y, text, ha="center", va="center", fontsize=8 if width > 0.5 else 6)
    axes.set_xticks(range(len(columns)), columns, rotation=90 if width < 0.5 else 30)
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(title, loc="left")
    return figure


def _main(answer: Answer) -> Any:
    values: list[list[float | None]] = []
    texts: list[list[str]] = []
    means = {(cell.target, cell.after): cell.mean for cell in answer.scores}
    for target in answer.targets:
        gains = [answer.gain(target, arm) for arm in answer.arms]
        values.append([None if gain is None else gain.value for gain in gains])
        texts.append(
            [
                number(means.get((target, arm)))
                + (f"\n{signed(gain.value)}{'*' if gain.significant else ''}" if gain else "")
                for arm, gain in zip(answer.arms, gains, strict=True)
            ]
        )
    title = "Score and gain over the baseline" + (" (* significant)" if answer.tested else "")
    return _heat(answer.targets, answer.arms, values, texts, main_scale(answer), title)


def _languages(answer: Answer, target: str) -> Any:
    own = [cell for cell in answer.scores if cell.target == target]
    values = [[each.gain for each in cell.languages] for cell in own]
    texts = [
        [number(each.value) if each.gain is None else signed(each.gain) for each in cell.languages]
        for cell in own
    ]
    return _heat(
        [cell.after for cell in own],
        [each.language for each in own[0].languages],
        values,
        texts,
        language_scale(answer),
        f"{target}, {own[0].metric}: baseline's scores, gains after others",
        width=0.42,
    )


def _panels(count: int, *, height: float, columns: int = 3) -> tuple[Any, list[Any]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = _figure(4.0 * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    panels = list(grid.flat)
    for spare in panels[count:]:
        spare.set_visible(False)
    return figure, panels[:count]


def _seeds(answer: Answer) -> Any:
    figure, panels = _panels(len(answer.targets), height=1.0 + 0.24 * len(answer.arms))
    for axes, target in zip(panels, answer.targets, strict=True):
        own = [cell for cell in answer.scores if cell.target == target]
        for y, cell in enumerate(own):
            if cell.low is not None and cell.high is not None:
                axes.plot([cell.low, cell.high], [y, y], color="#57606a", alpha=0.35, linewidth=5)
            at = answer.arms.index(cell.after)
            axes.plot(
                [run.value for run in cell.runs],
                [y] * len(cell.runs),
                linestyle="",
                marker=_MARKERS[at % len(_MARKERS)],
                color=_COLOURS[at % len(_COLOURS)],
                alpha=0.8,
            )
            axes.plot([cell.mean, cell.mean], [y - 0.35, y + 0.35], color="black")
        axes.set_yticks(range(len(own)), [cell.after for cell in own])
        axes.invert_yaxis()
        axes.set_title(target, loc="left")
        axes.set_xlabel("score")
    return figure


def _distance(answer: Answer, study: Study) -> Any:
    dots = dots_of(answer, study.train_languages)
    kinds = kinds_of(answer, dots)
    figure, panels = _panels(len(kinds), height=3.0)
    for axes, kind in zip(panels, kinds, strict=True):
        for at, arm in enumerate(answer.arms):
            own = [dot for dot in dots if dot.after == arm and dot.distances.get(kind) is not None]
            if own:
                axes.plot(
                    [dot.distances[kind] for dot in own],
                    [dot.gain for dot in own],
                    linestyle="",
                    marker=_MARKERS[at % len(_MARKERS)],
                    color=_COLOURS[at % len(_COLOURS)],
                    alpha=0.7,
                    label=arm,
                )
        axes.axhline(0, color="#57606a", linewidth=0.8)
        line = line_of(answer, kind, dots)
        if line is not None:
            ends = list(axes.get_xlim())
            height = axes.get_ylim()
            axes.fill_between(
                [ends[0], line.x, ends[1]],
                [line.at(ends[0], line.low), line.y, line.at(ends[1], line.low)],
                [line.at(ends[0], line.high), line.y, line.at(ends[1], line.high)],
                color="#57606a",
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(ends, [line.at(x) for x in ends], color="black")
            axes.set_xlim(ends)
            axes.set_ylim(height)
        axes.set_xlabel(f"{kind} distance")
        axes.set_ylabel("gain, points")
    panels[0].legend(fontsize=7)
    return figure


def _curves(answer: Answer, study: Study) -> Any:
    learned = list(dict.fromkeys((each.phase, each.learned) for each in study.curves))
    figure, panels = _panels(2 * len(learned), height=2.4, columns=2)
    for at, (phase, name) in enumerate(learned):
        own = [each for each in study.curves if (each.phase, each.learned) == (phase, name)]
        for axes, what in zip(
            panels[2 * at : 2 * at + 2], ("dev score", "training loss"), strict=True
        ):
            for curve in own:
                points = [(p.step, p.dev if what == "dev score" else p.loss) for p in curve.points]
                drawn = [(step, value) for step, value in points if value is not None]
                arm = curve.after or curve.learned
                place = answer.arms.index(arm) if arm in answer.arms else 0
                known = axes.get_legend_handles_labels()[1]
                axes.plot(
                    [step for step, _ in drawn],
                    [value for _, value in drawn],
                    color=_COLOURS[place % len(_COLOURS)],
                    linestyle=_DASHES[place % len(_DASHES)],
                    # A single evaluation is no line.
                    marker=_MARKERS[place % len(_MARKERS)] if len(drawn) == 1 else None,
                    label=None if arm in known else arm,
                )
            axes.set_title(f"{name} ({phase}): {what}", loc="left", fontsize=8)
            axes.set_xlabel("optimizer steps")
        panels[2 * at].legend(fontsize=6)
    return figure
