"""The page's drawings: spread over seeds, gain against distance, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from xtransfer.report.answer import Answer
from xtransfer.report.numbers import exact, number
from xtransfer.report.page.svg import Area, line_class, mark, spread
from xtransfer.report.scatter import Dot, Line, kinds_of, line_of
from xtransfer.report.scores import ScoreCell
from xtransfer.report.study import Curve, Point, Study

ROW = 17
MOST_POINTS = 30
"""Evaluations of one curve that are drawn: the first, the last and evenly between."""


def seed_charts(answer: Answer, series: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return (target, drawing): the score of every run by arm, with means and intervals."""
    charts: list[tuple[str, str]] = []
    for target in answer.targets:
        cells = [cell for cell in answer.scores if cell.target == target]
        charts.append((target, _seed_chart(target, cells, series)))
    return charts


def _seed_chart(target: str, cells: Sequence[ScoreCell], series: Mapping[str, int]) -> str:
    values = [run.value for cell in cells for run in cell.runs]
    values += [bound for cell in cells for bound in (cell.low, cell.high) if bound is not None]
    area = Area(left=112, top=6, height=6 + ROW * len(cells) + 34, x=spread(values))
    area.axis_x("score")
    for at, cell in enumerate(cells):
        y = area.top + ROW * (at + 0.5)
        area.text(area.left - 6, y + 4, _cut(cell.after), "name end")
        if cell.low is not None and cell.high is not None:
            low, high = area.at_x(cell.low), area.at_x(cell.high)
            area.add(
                f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" class="interval">'
                f"<title>{escape(cell.after)}: {number(cell.low)} to {number(cell.high)}</title></path>"
            )
        middle = area.at_x(cell.mean)
        area.add(f'<path d="M{middle:.1f} {y - 6:.1f}V{y + 6:.1f}" class="mean"/>')
        for run in cell.runs:
            seed = "one run" if run.seed is None else f"seed {run.seed}"
            area.add(
                mark(
                    area.at_x(run.value),
                    y,
                    series[cell.after],
                    f"{cell.after}, {seed}: {number(run.value)}",
                    f' data-keys="{" ".join(run.keys)}"',
                )
            )
    return area.drawing(f"{target}: score of every run, by intermediate task")


def distance_charts(
    answer: Answer, dots: Sequence[Dot], series: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Return (what is drawn, drawing): mean gain of every language by its distance, of each kind."""
    charts: list[tuple[str, str]] = []
    for kind in kinds_of(answer, dots):
        own = [(dot, away) for dot in dots if (away := dot.distances.get(kind)) is not None]
        line = line_of(answer, kind, dots)
        area = Area(
            x=spread([away for _, away in own]), y=spread([0.0, *(dot.gain for dot, _ in own)])
        )
        area.axis_y()
        area.axis_x(f"{kind} distance")
        if line is not None:
            _draw_line(area, line)
        for dot, away in own:
            title = f"{dot.language} after {dot.after}: {away:.2f}, {exact(dot.gain)}"
            area.add(mark(area.at_x(away), area.at_y(dot.gain), series[dot.after], title))
        name = f"gain in points by {kind} distance"
        charts.append((name, area.drawing(name)))
    return charts


def _draw_line(area: Area, line: Line) -> None:
    left, right = area.x
    corners = [
        (left, line.at(left, line.low)), (left, line.at(left, line.high)), (line.x, line.y),
        (right, line.at(right, line.low)), (right, line.at(right, line.high)), (line.x, line.y),
    ]  # fmt: skip
    floor, roof = area.y
    points = " ".join(
        f"{area.at_x(x):.1f},{area.at_y(min(max(y, floor), roof)):.1f}" for x, y in corners
    )
    area.add(f'<polygon points="{points}" class="band"/>')
    ends = [(x, line.at(x)) for x in (left, right)]
    if all(floor <= y <= roof for _, y in ends):
        area.line(ends, "fit")
        return
    area.line([(x, min(max(y, floor), roof)) for x, y in _clipped(line, area)], "fit")


def _clipped(line: Line, area: Area) -> list[tuple[float, float]]:
    """Return the ends of the line's part inside the area."""
    (left, right), (floor, roof) = area.x, area.y
    cuts = sorted(line.x + (bound - line.y) / line.slope for bound in (floor, roof))
    ends = (max(left, cuts[0]), min(right, cuts[1]))
    return [(x, line.at(x)) for x in ends]


def curve_charts(study: Study, series: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """Return (what was learned, what is drawn, drawing): dev score and training loss by step."""
    charts: list[tuple[str, str, str]] = []
    for phase in ("intermediate", "target"):
        curves = [curve for curve in study.curves if curve.phase == phase]
        for learned in dict.fromkeys(curve.learned for curve in curves):
            own = [curve for curve in curves if curve.learned == learned]
            for what in ("dev score", "training loss"):
                drawing = _curve_chart(own, what, series)
                if drawing:
                    charts.append((f"{learned} ({phase})", what, drawing))
    return charts


def _curve_chart(curves: Sequence[Curve], what: str, series: Mapping[str, int]) -> str:
    lines = [(curve, _values(thinned(curve.points), what)) for curve in curves]
    lines = [(curve, points) for curve, points in lines if points]
    if not lines:
        return ""
    area = Area(
        height=180,
        x=(0, max(1, *(step for _, points in lines for step, _ in points))),
        y=spread([value for _, points in lines for _, value in points]),
    )
    area.axis_y()
    area.axis_x("optimizer steps", whole=True)
    for curve, points in lines:
        at = series[curve.arm]
        name = (
            f"{curve.sweep}, seed {curve.seed}, learning rate {curve.learning_rate:g}: "
            f"{points[-1][1]:.2f} at step {points[-1][0]:,}"
        )
        keys = " ".join(curve.keys)
        if len(points) == 1:
            x, y = points[0]
            own = f' data-keys="{keys}"'
            area.add(mark(area.at_x(x), area.at_y(y), at, name, own))
            continue
        places = " ".join(f"{area.at_x(x):.1f},{area.at_y(y):.1f}" for x, y in points)
        area.add(
            f'<g data-keys="{keys}"><title>{escape(name)}</title>'
            f'<polyline points="{places}" class="{line_class(at)}"/></g>'
        )
    return area.drawing(f"{curves[0].learned}: {what} by optimizer step")


def _values(points: Sequence[Point], what: str) -> list[tuple[int, float]]:
    found = [(p.step, p.dev if what == "dev score" else p.loss) for p in points]
    return [(step, value) for step, value in found if value is not None]


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most `MOST_POINTS` points, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    last = len(points) - 1
    places = sorted({round(at * last / (MOST_POINTS - 1)) for at in range(MOST_POINTS)})
    return [points[at] for at in places]


def _cut(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"
