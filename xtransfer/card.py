"""README.md of an exported model: what it was trained on, how it scores, and what it may be used for.

Everything is taken from records, and licences from the tasks' own notes. What is not known is called
unverified.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from xtransfer.config.adapters import Lora
from xtransfer.plan import Plan
from xtransfer.records.record import Record
from xtransfer.records.results import learning_rate_of
from xtransfer.report.contamination import ORACLE, selection_notes
from xtransfer.report.markdown.grid import grid, plain
from xtransfer.report.numbers import NONE, number
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

UNVERIFIED = "unverified: ask its publishers"
_LICENCE = re.compile(r"CC BY|CC0|MIT|BSD|Apache|[Ll]icen[cs]e|terms|ODC")
"""A task's note that says so states a licence."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a model card says beyond the records."""

    plan: Plan | None = None
    """Of the experiment that the model belongs to, for means over seeds."""
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    trained_by: str = ""
    """The command that trained it; empty: not known."""
    exported_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model card is written from."""

    record: Record
    """Of the train, average or pretrain step that was exported."""
    records: Mapping[str, Record]
    """Key -> record: all that the model came from, and its evaluations."""
    provenance: Provenance = Provenance()
    pooling: bool = True
    """Whether the encoder's class has a pooling layer, which the model is without (DistilBERT's has none)."""


def model_card(card: Card) -> str:
    """Return README.md: front matter of the hub, then sections."""
    history = list(_history(card))
    parts = [
        _front(card, history),
        f"# {card.record.name}",
        _about(card),
        "## Trained on",
        _stages(history),
        *_scores(card),
        "## Data and licences",
        *_licences(card, history),
        "## Where it comes from",
        _origin(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _history(card: Card) -> Iterator[Record]:
    """Yield the trials that the model came through, the first first; of an average, of all its parts."""
    found: dict[str, Record] = {}

    def visit(record: Record) -> None:
        chosen = record.result.get("chosen") if record.kind == "select" else None
        roles = ("start", "trial-") if record.kind != "select" else ()
        parents = [key for role, key in record.inputs.items() if role.startswith(roles)]
        for key in [chosen] if chosen else parents:
            if key in card.records:
                visit(card.records[key])
        if record.kind == "train":
            found.setdefault(record.key, record)

    visit(card.record)
    yield from found.values()


def _front(card: Card, history: list[Record]) -> str:
    trained = [part for record in history for part in record.spec["parts"]]
    trained += [record.spec["text"] for record in history if record.spec["text"]]
    languages = {code for part in trained for code in part["languages"]}
    languages |= {code for each in _evaluations(card) for code in each.result["languages"]}
    lines = ["---", "library_name: transformers", "tags: [xtransfer, cross-lingual-transfer]"]
    lines.append(f"language: {json.dumps(sorted(languages))}")
    hub = _encoder(card).get("hub")
    lines += [f"base_model: {json.dumps(hub)}"] if hub else []
    return "\n".join([*lines, "license: other", "license_name: unverified", "---"])


def _about(card: Card) -> str:
    kind = {
        "pretrain": "A tiny encoder, pretrained on artificial languages.",
        "train": "A multilingual encoder after fine-tuning, and the head of its last task.",
        "average": "The arithmetic mean of the weights of several fine-tuned models.",
    }[card.record.kind]
    option = ", add_pooling_layer=False" if card.pooling else ""
    return "\n".join(
        [
            f"{kind} Written by xtransfer {card.record.environment.get('xtransfer', '')}".rstrip()
            + ".",
            "",
            "```python",
            "from transformers import AutoModel, AutoTokenizer",
            "",
            f'encoder = AutoModel.from_pretrained("."{option})',
            'tokenizer = AutoTokenizer.from_pretrained(".")',
            "```",
            "",
            "`head.safetensors`, where there is one, holds the head that reads the encoder's last",
            "hidden states, and `xtransfer.json` the specification of the step.",
        ]
    )


def _stages(history: list[Record]) -> str:
    if not history:
        return "Nothing but its pretraining."
    rows: list[list[str]] = []
    for record in history:
        spec, found = record.spec, record.result
        sizes = [f"{p['examples']:,}" for p in found.get("parts", ()) if "examples" in p]
        rows.append(
            [
                " + ".join([*(p["task"] for p in spec["parts"]), *(["text"] if spec["text"] else [])]),
                _languages(spec),
                " + ".join(sizes) or NONE,
                str(spec["epochs"]),
                str(spec["batch_size"]),
                f"{learning_rate_of(record):g}",
                str(spec["seed"]),
                NONE if found.get("score") is None else f"{found['score']:.2f}",
                f"`{record.folder}`",
            ]
        )  # fmt: skip
    numbers = ["examples", "epochs", "batch", "learning rate", "seed", "dev"]
    head = ["task", "languages", *numbers, "step"]
    table = grid(head, rows, text={"task", "languages", "step"})
    used = [
        Lora.model_validate(each.spec["lora"], strict=False)
        for each in history
        if each.spec.get("lora")
    ]
    notes = {f"By {lora.text()}; here its product is in the layers' own weights." for lora in used}
    return "\n".join([*table, *(["", *sorted(notes)] if notes else [])])


def _languages(spec: Mapping[str, Any]) -> str:
    """Return the languages that a trial learned in: those of its tasks, and of unlabelled text."""
    tasks = " ".join(sorted({code for part in spec["parts"] for code in part["languages"]}))
    text = f"text: {' '.join(sorted(spec['text']['languages']))}" if spec["text"] else ""
    return "; ".join(each for each in (tasks, text) if each)


def _evaluations(card: Card) -> list[Record]:
    """Return the evaluations of this very model, by whatever step names it; no analyses."""
    models = {card.record.key} | {
        key
        for key, each in card.records.items()
        if each.kind == "select" and each.result.get("chosen") == card.record.key
    }
    own = [
        each
        for each in card.records.values()
        if each.kind == "evaluate"
        and each.inputs.get("model") in models
        and not each.spec.get("analysis")
    ]
    return sorted(own, key=lambda each: (each.spec["task"], each.name))


def _scores(card: Card) -> Iterator[str]:
    rows: list[list[str]] = []
    for each in _evaluations(card):
        metric = each.spec["metric"]
        found = each.result["languages"]
        data = card.records.get(each.inputs["test"])
        split = NONE if data is None else data.spec["role"]
        common = [each.spec["task"], split, metric]
        for language, one in sorted(found.items()):
            score = number(one["metrics"][metric])
            rows.append([*common, language, score, f"{one['examples']:,}", NONE, ""])
        mean = fmean(one["metrics"][metric] for one in found.values())
        rows.append([*common, "mean", number(mean), "", _over_seeds(card, each), f"`{each.key}`"])
    yield "## Scores"
    if not rows:
        yield "It has not been scored."
        return
    yield (
        "0 to 100. Over seeds: mean ± sample standard deviation of all models of its kind, one a seed, with "
        "their number; of this model alone where the experiment was not given."
    )
    head = ["data", "split", "metric", "language", "score", "n", "over seeds", "evaluate step"]
    text = {"data", "split", "metric", "language", "evaluate step"}
    yield "\n".join(grid(head, rows, text=text))
    if notes := _selection(card):
        yield "\n".join(f"- {plain(note)}" for note in notes)


def _selection(card: Card) -> list[str]:
    """Return what chose the model, for each score; without the experiment, whether an oracle did."""
    plan, keys = card.provenance.plan, {each.key for each in _evaluations(card)}
    if plan is not None:
        cells = [cell for cell in plan.cells if cell.key in keys]
        return [f"{cell.target}: {note}" for cell in cells for note in selection_notes(plan, cell)]
    selects = (each for each in card.records.values() if each.kind == "select")
    rules = [each.spec["rule"] for each in selects if each.result["chosen"] == card.record.key]
    return [ORACLE] if "target_dev" in rules else []


def _over_seeds(card: Card, evaluation: Record) -> str:
    plan = card.provenance.plan
    own = None if plan is None else next((c for c in plan.cells if c.key == evaluation.key), None)
    if plan is None or own is None:
        return NONE
    place = (own.target, own.intermediate, own.few_shot)
    values = [
        fmean(one["metrics"][found.spec["metric"]] for one in found.result["languages"].values())
        for cell in plan.cells
        if (cell.target, cell.intermediate, cell.few_shot) == place
        and (found := card.records.get(cell.key)) is not None
        and set(found.result["languages"]) == set(evaluation.result["languages"])
    ]
    spread = f" ± {number(stdev(values))}" if len(values) > 1 else ""
    return f"{number(fmean(values))}{spread}, n={len(values)}"


def _licences(card: Card, history: list[Record]) -> Iterator[str]:
    uses: dict[str, list[str]] = {}
    for record in history:
        for part in record.spec["parts"]:
            uses.setdefault(part["task"], []).append("trained on, selected on")
        if record.spec["text"]:
            uses.setdefault("text", []).append("trained on")
    for each in _evaluations(card):
        uses.setdefault(each.spec["task"], []).append("scored on")
    rows = [
        [name, ", ".join(dict.fromkeys(found)), _licence(card.provenance.tasks.get(name))]
        for name, found in uses.items()
    ]
    rows.append(["the encoder", "started from", UNVERIFIED])
    yield "\n".join(grid(["data", "use", "licence"], rows, text={"data", "use", "licence"}))
    yield (
        "Notes are the tasks' own, as their authors state them; none was checked with a lawyer. Whether "
        "a licence of data binds a model trained on them is not decided here."
    )


def _licence(task: Task | None) -> str:
    if task is None or not _LICENCE.search(task.note):
        return UNVERIFIED
    return plain(task.note)


def _origin(card: Card) -> str:
    record = card.record
    lines = [
        f"- Step: `{record.folder}`, key `{record.key}`",
        f"- Encoder: {_encoder_text(card)}",
        f"- With: {', '.join(f'{name} {found}' for name, found in sorted(record.environment.items()))}",
    ]
    given = card.provenance
    if given.plan is not None:
        lines.append(f"- Plan: `{given.plan.key}` of the experiment {given.plan.experiment}")
    lines += [f"- Trained by: `{given.trained_by}`"] if given.trained_by else []
    lines += [f"- Exported by: `{given.exported_by}`"] if given.exported_by else []
    return "\n".join(lines)


def _encoder(card: Card) -> Mapping[str, Any]:
    first = next(_history(card), None)
    return (first.spec.get("encoder") or {}) if first is not None else {}


def _encoder_text(card: Card) -> str:
    found = _encoder(card)
    if found.get("hub"):
        return f"`{found['hub']}` at `{found['revision']}`"
    if not found:
        return "pretrained by the same store on artificial languages"
    return "a folder, " + json.dumps(found, sort_keys=True, ensure_ascii=False)
