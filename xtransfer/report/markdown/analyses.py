"""The parts of report.md that say what analyses found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xtransfer.report.analyses import (
    ALIGNMENT_NOTE,
    FORGETTING_NOTE,
    RETRIEVAL_NOTE,
    Analysed,
    Layers,
    all_layers,
    means,
    model_name,
)
from xtransfer.report.markdown.grid import grid
from xtransfer.report.numbers import exact, number, signed


def analysis_sections(found: Analysed) -> list[str]:
    """Return a section for each kind of analysis that found anything."""
    return [
        section for section in (_forgetting(found), _alignment(found), _retrieval(found)) if section
    ]


def _forgetting(found: Analysed) -> str:
    if not found.forgotten:
        return ""
    head = ["after", "task", "metric", "target", "before", "after the target", "n", "change"]
    rows = [
        [
            each.after,
            each.task,
            each.metric,
            each.target,
            number(each.before),
            number(each.later) + ("" if each.sd is None else f" ± {number(each.sd)}"),
            str(each.runs),
            signed(each.change),
        ]
        for each in found.forgotten
    ]
    table = grid(head, rows, text={"after", "task", "metric", "target"})
    return "\n".join(["## Forgetting", "", FORGETTING_NOTE, "", *table])


def _alignment(found: Analysed) -> str:
    rows = {(model_name(each),): each for each in means(found.alignment)}
    title = f"## Alignment of translations ({found.alignment_task}), by layer"
    return _by_layer(title, ALIGNMENT_NOTE, ["model"], rows, exact)


def _retrieval(found: Analysed) -> str:
    rows = {(each.target, each.after): each for each in means(found.retrieval)}
    return _by_layer("## Retrieval by layer", RETRIEVAL_NOTE, ["target", "after"], rows, number)


def _by_layer(
    title: str,
    note: str,
    labels: list[str],
    rows: Mapping[tuple[str, ...], Layers],
    text: Callable[[float | None], str],
) -> str:
    if not rows:
        return ""
    numbers = all_layers(rows.values())
    head = [*labels, *map(str, numbers), "highest in"]
    cells = [
        [*names, *(text(each.values.get(layer)) for layer in numbers), str(each.best)]
        for names, each in rows.items()
    ]
    return "\n".join([title, "", note, "", *grid(head, cells, text=set(labels))])
