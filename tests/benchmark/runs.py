"""A run with predictions of every kind, recorded without having been run."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.prints import FilePrints
from tests.recorded import record_of
from xtransfer.config.experiment import Experiment
from xtransfer.metrics import score
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Record, commit
from xtransfer.settings import read_settings
from xtransfer.store import Store
from xtransfer.tasks.task import Task

LANGUAGES = {
    "xnli": ("de", "en"),
    "panx": ("de",),
    "udpos": ("de", "zh"),
    "xquad": ("en",),
    "mlqa": ("de", "zh"),
    "tatoeba": ("de",),
    "xcopa": ("et",),
    "bucc2018": ("fr",),
    "mewslix": ("ja",),
}
ENGLISH = ("Tom laughs.", "Am I late?", "tom laughs.", "42 is right.", " Birds sing.")
"""Tatoeba's English side in LASER's order; XTREME sorts it by code point."""
SORTED = (3, 1, 4, 0, 2)
TEXTS = ("Der Hund.", "北京2008年", "a cat")


def experiment(root: Path, *overrides: str) -> Experiment:
    """Return an experiment of one arm, whose data root has Tatoeba's files and no others."""
    folder = root / "tatoeba"
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [f"Satz {at}" for at in range(len(ENGLISH))]
    for name, rows in (("deu", foreign), ("eng", ENGLISH)):
        (folder / f"tatoeba.deu-eng.{name}").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return read_settings(
        Experiment,
        None,
        [
            "name=small",
            "encoder={name: models/tiny}",
            f"data.root={root}",
            "intermediate={tasks: [squad_v1]}",
            f"target.tasks={json.dumps(list(LANGUAGES))}",
            f"target.languages={json.dumps(LANGUAGES)}",
            *overrides,
        ],
        "test",
    )


def plan_of(found: Experiment) -> Plan:
    return build_plan(found, FilePrints(Path(found.data.root)))


def record_run(store: Store, plan: Plan, scratch: Path) -> dict[str, Record]:
    """Record every step of the plan, with test examples, predictions and their true scores."""
    records: dict[str, Record] = {}
    for key, step in plan.steps.items():
        record, folder = record_of(step), scratch / key
        if step.kind == "prepare" and step.spec["split"] in ("test", "pool"):
            _write_examples(plan.tasks[step.spec["task"]], step, folder)
        if step.kind == "evaluate":
            tested = scratch / step.inputs["test"]
            record = record.model_copy(
                update={"result": _evaluate(plan.tasks[step.spec["task"]], step, tested, folder)}
            )
        if step.kind == "select":
            dev = 60.0 if "after" in step.name else 50.0
            record = record.model_copy(update={"result": {**record.result, "score": dev}})
        records[key] = commit(store, record, folder if folder.is_dir() else None)
    return records


def _write_examples(task: Task, step: Step, folder: Path) -> None:
    folder.mkdir(parents=True)
    for language in step.spec["data"]:
        _dump(folder / f"{language}.examples.jsonl", _examples(task, language))


def _examples(task: Task, language: str) -> list[dict[str, Any]]:
    chance = random.Random(f"{task.name} {language}")
    if task.name == "tatoeba":
        numbers = [str(at) for at in range(len(ENGLISH))]
        return [
            {"id": at, "side": side, "gold": [at]}
            for side in ("foreign", "english")
            for at in numbers
        ]
    if task.form == "bitext":
        gold = {f"{language}-{at}": [f"en-{at}"] if at % 3 == 0 else [] for at in range(9)}
        english = [{"id": f"en-{at}", "side": "english", "gold": []} for at in range(9)]
        return [*({"id": n, "side": "foreign", "gold": g} for n, g in gold.items()), *english]
    if task.form == "retrieval":
        queries = [{"id": f"q{at}", "match": [f"Q{at}"], "asks": True} for at in range(6)]
        return [
            *queries,
            *({"id": f"c{at}", "match": [f"Q{at}"], "candidate": f"Q{at}"} for at in range(9)),
        ]
    entries: dict[str, Any] = {
        "classification": lambda: chance.choice(task.labels),
        "choice": lambda: chance.randrange(2),
        "tagging": lambda: chance.choices(task.labels, k=chance.randrange(1, 9)),
        "span": lambda: chance.sample(TEXTS, k=2),
    }
    found = [{"id": f"x{at}", "gold": entries[task.form]()} for at in range(12)]
    if task.form == "span":
        found[0]["gold"] = []  # as TyDiQA's Russian test set has one
    return found


def _evaluate(task: Task, step: Step, tested: Path, folder: Path) -> dict[str, Any]:
    languages: dict[str, Any] = {}
    for language in step.spec["languages"]:
        text = (tested / f"{language}.examples.jsonl").read_text(encoding="utf-8")
        asked = _asked(task, [json.loads(line) for line in text.split("\n") if line])
        chance = random.Random(f"{step.name} {language}")
        gold = [example["gold"] for example in asked]
        found = [_predict(task, entry, gold, chance) for entry in gold]
        (folder / "predictions").mkdir(parents=True, exist_ok=True)
        ids = [example["id"] for example in asked]
        rows = [{"id": i, "prediction": p} for i, p in zip(ids, found, strict=True)]
        _dump(folder / "predictions" / f"{language}.jsonl", rows)
        metrics = score(task, gold, found, language=language)
        languages[language] = {"metrics": metrics, "examples": len(gold)}
    return {"languages": languages}


def _asked(task: Task, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the examples that are predicted for, with what is right."""
    if task.form == "bitext":
        side = "foreign" if task.metric == "f1" else "english"
        return [example for example in examples if example["side"] == side]
    if task.form == "retrieval":
        return [{**each, "gold": each["match"]} for each in examples if each.get("asks")]
    return examples


def _predict(task: Task, right: Any, gold: Sequence[Any], chance: random.Random) -> Any:
    if task.form == "tagging":
        return [tag if chance.random() < 0.7 else chance.choice(task.labels) for tag in right]
    if task.form == "retrieval":
        return chance.sample([f"Q{at}" for at in range(9)], k=5)
    other = right if chance.random() < 0.6 else chance.choice(gold)
    if task.form == "span":
        answer = other[0] if right and other else ""
        return chance.choice((answer, "", f"the {answer}, {TEXTS[0]}")) if right else ""
    if task.form == "bitext":
        return other[0] if other else None
    return other


def _dump(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
