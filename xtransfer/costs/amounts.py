"""How much there is to go through: rows of each data set, and of each step.

A row is what a batch counts: an example, or one window of a long one. What a prepare step has recorded
is counted exactly; before that, a data set has as many examples as its task's record says was published,
or at most as many as the experiment's limits let through, and one row an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xtransfer.costs.lineage import Node
from xtransfer.plan import Plan, Step
from xtransfer.records.record import Record
from xtransfer.tasks.task import Task
from xtransfer.train.mixture import Sampling, mix

_SEQUENCES = {"retrieval": 2}
"""Form -> most inputs of one row, where not 1."""


@dataclass(frozen=True, kw_only=True)
class DataSize:
    """What one prepare step gives, over all its languages."""

    examples: int
    rows: int
    read: int
    """Examples of the files, before any is held out or left over."""
    tokens: float
    """Tokens of all rows."""
    counted: bool
    """False where published sizes or limits stand for counts, and every input is taken as long as it
    may be."""
    source: str


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What one train or evaluate step goes through."""

    rows: float
    """Trained on, every epoch counted; of an evaluate step, predicted."""
    tokens: float
    """Of these rows."""
    dev_rows: float = 0.0
    """Predicted in all dev evaluations together."""
    dev_tokens: float = 0.0
    evaluations: int = 0
    steps: int = 0
    """Optimizer steps."""
    counted: bool
    source: str


def data_sizes(plan: Plan, records: Mapping[str, Record]) -> dict[str, DataSize]:
    """Return the sizes of the prepare steps of a plan, as far as they can be told."""
    sizes: dict[str, DataSize] = {}
    for key, step in plan.steps.items():
        if step.kind == "prepare":
            expected = _expected(step, plan.tasks[step.spec["task"]])
            found = recorded_size(records[key]) if key in records else expected
            if found is not None:
                sizes[key] = found
    return sizes


def amount_of(step: Node, sizes: Mapping[str, DataSize]) -> Amount | None:
    """Return what a train or evaluate step goes through; None where a data set's size is unknown.

    Early stopping is left out: a trial that stops early does less.
    """
    if step.kind == "evaluate":
        data = [
            sizes.get(step.inputs[role]) for role in ("test", "dev", "pool") if role in step.inputs
        ]
        known = [each for each in data if each is not None]
        if len(known) < len(data):
            return None
        return Amount(
            rows=sum(each.rows for each in known),
            tokens=sum(each.tokens for each in known),
            counted=all(each.counted for each in known),
            source=_sources(known),
        )
    return _training(step, sizes)


def _training(step: Node, sizes: Mapping[str, DataSize]) -> Amount | None:
    spec = step.spec
    names = [part["task"] for part in spec["parts"]]
    names += ["text"] if spec["text"] is not None else []
    sets: dict[str, DataSize] = {}
    for role, key in step.inputs.items():
        if role.startswith(("train ", "dev ")):
            found = sizes.get(key)
            if found is None:
                return None
            sets[role] = found
    train = [sets[f"train {name}"] for name in names]
    dev = [size for role, size in sets.items() if role.startswith("dev ")]
    text = spec["text"]
    tasks = train if text is None else train[:-1]
    batch, epochs = spec["batch_size"], spec["epochs"]
    mixture = mix(
        [(size.examples, size.rows) for size in tasks],
        Sampling(**(spec["sampling"] or {})),
        epochs=epochs,
        batch_size=batch,
        text_rows=0 if text is None else train[-1].rows,
        text_probability=0.0 if text is None else text["probability"],
    )
    # The last batch of an epoch may be smaller; of a mixture, that is not worth following up.
    rows = float(epochs * train[0].rows if len(train) == 1 else mixture.steps * batch)
    tokens = sum(
        rows * share * size.tokens / max(1, size.rows)
        for share, size in zip(mixture.shares, train, strict=True)
    )
    times = 0 if spec["keep"] == "last" else evaluations(mixture.steps, spec["eval_every"])
    return Amount(
        rows=rows,
        tokens=tokens,
        dev_rows=float(times * sum(size.rows for size in dev)),
        dev_tokens=times * sum(size.tokens for size in dev),
        evaluations=times,
        steps=mixture.steps,
        counted=all(size.counted for size in sets.values()),
        source=_sources(list(sets.values())),
    )


def evaluations(steps: int, every: int | None) -> int:
    """Return the number of dev evaluations of a trial: every so many steps, and after the last."""
    return -(-steps // every) if every else 1


def recorded_size(record: Record) -> DataSize:
    """Return the size that the record of a prepare step counted."""
    found: Mapping[str, Mapping[str, Any]] = record.result["languages"]
    rows = sum(each["rows"] for each in found.values())
    # Records of before tokens were counted have none.
    counted = [each["tokens"] for each in found.values() if "tokens" in each]
    longest = rows * record.spec["max_length"] * _sequences(record.spec)
    return DataSize(
        examples=sum(each["used"] for each in found.values()),
        rows=rows,
        read=sum(each["read"] for each in found.values()),
        tokens=float(sum(counted)) if len(counted) == len(found) else float(longest),
        counted=len(counted) == len(found),
        source="counted",
    )


def _expected(step: Step, task: Task) -> DataSize | None:
    """Return a size from what was published, and from limits."""
    spec = step.spec
    languages = list(spec["data"])
    published = [_published(step, task, language) for language in languages]
    known = [each for each in published if each is not None]
    read = sum(known) if len(known) == len(languages) else None
    source = "at most, by the limits" if read is None else (task.size.source if task.size else "")
    used: list[int | None] = list(published)
    if spec["holdout"] is not None:
        held = spec["holdout"]["examples"]
        dev = spec["role"] == "dev"
        used = [held if dev else None if n is None else n - held for n in used]
    if spec["limit"] is not None:
        most = spec["limit"]["examples"]
        used = [most if n is None else min(n, most) for n in used]
    if "spread" in spec:
        # As many as the first language has, or as it is told, over all of them.
        used = [spec["spread"]["examples"] or used[0]]
    counts = [n for n in used if n is not None]
    if not counts or len(counts) < len(used):
        return None
    examples = sum(counts)
    return DataSize(
        examples=examples,
        rows=examples,
        read=examples if read is None else read,
        tokens=float(examples * spec["max_length"] * _sequences(spec)),
        counted=False,
        source=source,
    )


def _published(step: Step, task: Task, language: str) -> int | None:
    """Return the examples of a language's published file, where the step reads that and no other."""
    identity, split = step.spec["data"][language], step.spec["split"]
    artificial = isinstance(identity, dict) and "synthetic" in identity
    where = step.where
    same = where.get("hub") or list(where["files"]) == list(task.source.files.get(split, ()))
    if task.size is None or artificial or not same:
        return None
    by_language = task.size.examples.get(split, {})
    return by_language.get(language, by_language.get("*"))


def _sequences(spec: Mapping[str, Any]) -> int:
    """Return the most inputs of one row: one for each answer of a choice, a query and its candidate."""
    return len(spec["labels"]) if spec["form"] == "choice" else _SEQUENCES.get(spec["form"], 1)


def _sources(sizes: list[DataSize]) -> str:
    found = list(dict.fromkeys(size.source for size in sizes))
    return "; ".join(found) if len(found) <= 2 else f"{found[0]}; and {len(found) - 1} others"
