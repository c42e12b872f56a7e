"""The page's tables and drawings of what analyses found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from xtransfer.report.analyses import Analysed, Layers, Shots, all_layers, means, model_name
from xtransfer.report.numbers import exact, number, signed
from xtransfer.report.page.cells import Grid, Row, cell
from xtransfer.report.page.svg import Area, line_class, spread


def forgetting_table(found: Analysed) -> Grid | None:
    """Return the intermediate tasks' dev scores before and after the targets; None without any."""
    if not found.forgotten:
        return None
    return Grid(
        name="forgetting",
        caption="Dev score of the intermediate task before and after a target was trained",
        head=("after", "task", "metric", "target", "before", "after the target", "seeds", "change"),
        text=frozenset({"task", "metric", "target"}),
        rows=tuple(
            Row(
                label=each.after,
                keys=each.keys,
                cells=(
                    each.task,
                    each.metric,
                    each.target,
                    cell(number(each.before)),
                    cell(number(each.later) + ("" if each.sd is None else f" ± {each.sd:.1f}")),
                    cell(str(each.runs)),
                    cell(signed(each.change)),
                ),
            )
            for each in found.forgotten
        ),
    )


def alignment_tables(found: Analysed) -> list[Grid]:
    """Return gaps of cosines by layer: means over languages, then language by language."""
    if not found.alignment:
        return []
    each = [one for one in found.alignment if one.language]
    return [
        _layer_table("alignment", "Gap of cosines, mean over languages", means(found.alignment), exact),
        _layer_table("alignment-languages", "Gap of cosines in each language", each, exact),
    ]  # fmt: skip


def retrieval_table(found: Analysed) -> Grid | None:
    """Return the scores of swept targets by layer; None without any."""
    own = means(found.retrieval)
    return _layer_table("layers", "Test score by layer", own, number, scored=True) if own else None


def shot_table(found: Analysed) -> Grid | None:
    """Return scores by number of examples; None without a few-shot stage."""
    if not found.shots:
        return None
    counts = sorted({count for each in found.shots for count in each.values})
    return Grid(
        name="few-shot",
        caption="Score by examples of the language, 0 for zero-shot: mean ± standard deviation over seeds",
        head=("target", "after", "language", "metric", *map(str, counts)),
        text=frozenset({"after", "language", "metric"}),
        rows=tuple(
            Row(
                label=each.target,
                keys=each.keys,
                cells=(
                    each.after,
                    each.language,
                    each.metric,
                    *(cell(_shot(each, count)) for count in counts),
                ),
            )
            for each in found.shots
        ),
    )


def alignment_charts(found: Analysed, series: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return (what is drawn, drawing): the gap by layer, a line for each arm; the arms' own models first."""
    charts: list[tuple[str, str]] = []
    own = means(found.alignment)
    for target in dict.fromkeys(each.target for each in own):
        lines = [
            (each.after, dict(each.values), each.keys) for each in own if each.target == target
        ]
        name = f"gap of cosines {f'after {target}' if target else 'before any target'}"
        charts.append((name, _lines(lines, series, "layer", name)))
    return charts


def shot_charts(found: Analysed, series: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return (what is drawn, drawing): the score by number of examples, a line for each arm."""
    charts: list[tuple[str, str]] = []
    for target, language in dict.fromkeys((each.target, each.language) for each in found.shots):
        own = [x for x in found.shots if (x.target, x.language) == (target, language)]
        lines = [(each.after, dict(each.values), each.keys) for each in own]
        what = f"{target}, {language}: {own[0].metric}"
        charts.append((what, _lines(lines, series, "examples", f"{what} by examples")))
    return charts


def _layer_table(
    name: str,
    caption: str,
    layers: Sequence[Layers],
    text: Callable[[float | None], str],
    *,
    scored: bool = False,
) -> Grid:
    numbers = all_layers(layers)
    by_language = any(each.language for each in layers)
    more = ["language"] if by_language else ["after"] if scored else []
    return Grid(
        name=name,
        caption=caption,
        head=("target" if scored else "model", *more, *map(str, numbers), "highest in"),
        text=frozenset(more),
        wide=True,
        rows=tuple(
            Row(
                label=each.target if scored else model_name(each),
                keys=each.keys,
                cells=(
                    *([each.language] if by_language else [each.after] if scored else []),
                    *(cell(text(each.values.get(layer))) for layer in numbers),
                    cell(str(each.best)),
                ),
            )
            for each in layers
        ),
    )


def _shot(each: Shots, count: int) -> str:
    sd = each.spreads.get(count)
    return number(each.values.get(count)) + ("" if sd is None else f" ± {sd:.1f}")


def _lines(
    lines: Sequence[tuple[str, dict[int, float], tuple[str, ...]]],
    series: Mapping[str, int],
    axis: str,
    title: str,
) -> str:
    values = [value for _, points, _ in lines for value in points.values()]
    area = Area(
        height=180,
        x=(0, max(1, *(place for _, points, _ in lines for place in points))),
        y=spread(values),
    )
    area.axis_y()
    area.axis_x(axis, whole=True)
    for arm, points, keys in lines:
        places = " ".join(f"{area.at_x(x):.1f},{area.at_y(y):.1f}" for x, y in points.items())
        says = f"{arm}: " + ", ".join(f"{x}: {y:.2f}" for x, y in points.items())
        area.add(
            f'<g data-keys="{" ".join(keys)}"><title>{escape(says)}</title>'
            f'<polyline points="{places}" class="{line_class(series[arm])}"/></g>'
        )
    return area.drawing(title)
