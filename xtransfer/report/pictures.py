"""The report's tables and drawings as PNG files, for papers and slides; drawn with matplotlib.

The same answer gives the same bytes with the same matplotlib and fonts: no time and no version is kept.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xtransfer.plan import BASELINE
from xtransfer.report.answer import Answer
from xtransfer.report.numbers import number, signed
from xtransfer.report.page.cells import Scale
from xtransfer.report.page.tables import language_scale, main_scale
from xtransfer.report.scatter import dots_of, kinds_of, line_of
from xtransfer.report.series import colour, pattern, series_of
from xtransfer.report.study import Study

DPI = 150
SIZE = 9.0
"""Of the text, in points."""
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
            if any(cell.target == target and cell.after != BASELINE for cell in answer.scores):
                drawings[f"languages-{target}.png"] = lambda target=target: _languages(
                    answer, target
                )
    if answer.scores:
        drawings["seeds.png"] = lambda: _seeds(answer, study)
    if kinds_of(answer, dots_of(answer, study.train_languages)):
        drawings["distance.png"] = lambda: _distance(answer, study)
    if study.curves:
        drawings["curves.png"] = lambda: _curves(answer, study)
    return {name: _png(draw) for name, draw in drawings.items()}


def _png(draw: Callable[[], Any]) -> bytes:
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "font.size": SIZE,
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


def _long(texts: Iterable[str], size: float = SIZE) -> float:
    """Return how long the longest of these texts is, in inches; `size` in points."""
    from matplotlib.textpath import TextPath

    paths = [TextPath((0, 0), each, size=size) for each in texts]
    return max((path.get_extents().width / 72 for path in paths), default=0.0)  # pyright: ignore[reportUnknownMemberType]


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

    steep = 90 if width < 0.5 else 30
    labels = _long(columns)
    # Room for the labels beside and below the cells: a row holds two lines.
    wide = 0.4 + width * len(columns) + max(_long(rows), labels * math.cos(math.radians(steep)))
    high = 0.8 + 0.34 * len(rows) + labels * math.sin(math.radians(steep))
    figure = _figure(max(wide, 0.3 + _long([title], 1.2 * SIZE)), high)
    axes = figure.subplots()
    shown = [[math.nan if v is None else v for v in row] for row in values]
    shades = LinearSegmentedColormap.from_list("gains", _MAP)
    axes.imshow(shown, cmap=shades, vmin=-scale.most, vmax=scale.most, aspect="auto")
    for y, row in enumerate(texts):
        for x, text in enumerate(row):
            axes.text(x, y, text, ha="center", va="center", fontsize=8 if width > 0.5 else 6)
    ends = {} if steep == 90 else {"ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), columns, rotation=steep, **ends)
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.suptitle(title, x=0.1 / figure.get_figwidth(), ha="left", fontsize=1.2 * SIZE)
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


def _panels(
    count: int,
    *,
    height: float,
    width: float = 4.0,
    columns: int = 3,
    legend: Sequence[Any] = (),
) -> tuple[Any, list[Any]]:
    """Return a figure and its panels, each of a size in inches, with a legend above them all."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    across = width * columns
    abreast = max(1, int(across / (0.6 + _long((each.get_label() for each in legend), 8))))
    lines = math.ceil(len(legend) / abreast)
    figure = _figure(across, height * rows + 0.18 * lines)
    if legend:
        figure.legend(
            handles=legend, loc="outside upper left", ncols=abreast, fontsize=8, frameon=False
        )
    grid = figure.subplots(rows, columns, squeeze=False)
    panels = list(grid.flat)
    for spare in panels[count:]:
        spare.set_visible(False)
    return figure, panels[:count]


def _seeds(answer: Answer, study: Study) -> Any:
    series = series_of(answer, study)
    figure, panels = _panels(
        len(answer.targets),
        height=1.0 + 0.24 * len(answer.arms),
        width=3.0 + _long(answer.arms),
    )
    for axes, target in zip(panels, answer.targets, strict=True):
        own = [cell for cell in answer.scores if cell.target == target]
        for y, cell in enumerate(own):
            if cell.low is not None and cell.high is not None:
                axes.plot([cell.low, cell.high], [y, y], color="#57606a", alpha=0.35, linewidth=5)
            axes.plot(
                [run.value for run in cell.runs],
                [y] * len(cell.runs),
                alpha=0.8,
                **_mark(series[cell.after]),
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
    drawn = {dot.after for dot in dots}
    series = {arm: at for arm, at in series_of(answer, study).items() if arm in drawn}
    legend = _legend({arm: _mark(at) for arm, at in series.items()})
    figure, panels = _panels(len(kinds), height=3.0, legend=legend)
    for axes, kind in zip(panels, kinds, strict=True):
        for arm, at in series.items():
            own = [dot for dot in dots if dot.after == arm and dot.distances.get(kind) is not None]
            if own:
                axes.plot(
                    [dot.distances[kind] for dot in own],
                    [dot.gain for dot in own],
                    alpha=0.7,
                    **_mark(at),
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
    return figure


def _curves(answer: Answer, study: Study) -> Any:
    learned = list(dict.fromkeys((each.phase, each.learned) for each in study.curves))
    drawn = {curve.arm for curve in study.curves}
    series = {arm: at for arm, at in series_of(answer, study).items() if arm in drawn}
    legend = _legend({arm: _line(at) for arm, at in series.items()})
    figure, panels = _panels(2 * len(learned), height=2.4, columns=2, legend=legend)
    for at, (phase, name) in enumerate(learned):
        own = [each for each in study.curves if (each.phase, each.learned) == (phase, name)]
        for axes, what in zip(
            panels[2 * at : 2 * at + 2], ("dev score", "training loss"), strict=True
        ):
            for curve in own:
                points = [(p.step, p.dev if what == "dev score" else p.loss) for p in curve.points]
                found = [(step, value) for step, value in points if value is not None]
                place = series[curve.arm]
                axes.plot(
                    [step for step, _ in found],
                    [value for _, value in found],
                    # A single evaluation is no line.
                    **(_mark(place) if len(found) == 1 else _line(place)),
                )
            axes.set_title(f"{name} ({phase}): {what}", loc="left", fontsize=8)
            axes.set_xlabel("optimizer steps")
    return figure


def _mark(series: int) -> dict[str, Any]:
    marker = _MARKERS[pattern(series, len(_MARKERS))]
    return {"linestyle": "", "marker": marker, "color": _COLOURS[colour(series)]}


def _line(series: int) -> dict[str, Any]:
    return {"linestyle": _DASHES[pattern(series, len(_DASHES))], "color": _COLOURS[colour(series)]}


def _legend(looks: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return a line for a legend, without data, for every name."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=name, **look) for name, look in looks.items()]
