"""The parts of report.md that say what analyses found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from xtransfer.plan import BASELINE
from xtransfer.report.analyses import Analysed, Layers
from xtransfer.report.grid import exact, grid, number, signed

FORGETTING_NOTE = (
    "Dev set of the intermediate task. Before: the arm's selected model. After: the encoder as the target's "
    "training left it, under the head that the arm had; mean ± standard deviation over n seeds of the target. "
    "The selected model was chosen on this very dev set, so some of a loss is regression to the mean."
)
ALIGNMENT_NOTE = (
    "Mean cosine of translation pairs less that of all other pairs of an English and a foreign sentence, of "
    "states averaged over positions; mean over languages, and over seeds of a target. Layer 0 is the embeddings."
)
RETRIEVAL_NOTE = (
    "Test score by layer, mean over languages; for information: the target's score is that of the layer that "
    "was configured, and none may be chosen here."
)


def analysis_sections(found: Analysed) -> list[str]:
    """Return a section for each kind of analysis that found anything."""
    return [
        section for section in (_forgetting(found), _alignment(found), _retrieval(found)) if section
    ]


def model_name(layers: Layers) -> str:
    """Return what a model is called in tables: the arm, and the target trained after it."""
    arm = "the encoder" if layers.after == BASELINE else layers.after
    return f"{arm}, then {layers.target}" if layers.target else arm


def means(layers: Sequence[Layers]) -> list[Layers]:
    """Return those that are means over languages."""
    return [each for each in layers if not each.language]


def all_layers(layers: Iterable[Layers]) -> list[int]:
    """Return every layer that occurs: a target may be swept over some of them only."""
    return sorted({layer for each in layers for layer in each.values})


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
