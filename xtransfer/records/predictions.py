"""Recorded predictions and the gold labels that they are scored by, from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xtransfer.errors import DataError
from xtransfer.records.outputs import read_file
from xtransfer.records.record import Record
from xtransfer.store import Store
from xtransfer.tasks.task import Task

JsonDict = dict[str, Any]


def read_predictions(store: Store, record: Record, language: str) -> dict[str, Any]:
    """Return id -> prediction of an evaluate record, in the order of the test set.

    Raises:
        StoreError: where the store fails or a file is not what its record says.
    """
    rows = _lines(read_file(store, record, f"predictions/{language}.jsonl"))
    return {row["id"]: row["prediction"] for row in rows}


def read_gold(
    store: Store, records: Mapping[str, Record], record: Record, task: Task, language: str
) -> dict[str, Any]:
    """Return id -> gold entry of the examples that an evaluate record has predictions for.

    Args:
        store: where the files are.
        records: key -> record, those of the prepared data among them.
        record: of the evaluate step.
        task: the target.
        language: one of the record's.

    Raises:
        DataError: where the prepared examples are not recorded or have no gold label.
        StoreError: where the store fails or a file is not what its record says.
    """
    where = f"{task.name} test {language}"
    examples = _examples(store, records, record, "test", language)
    if task.form == "retrieval":
        pool = _pooled(store, records, record)
        gold = {each["id"]: _matching(each, pool) for each in examples if each.get("asks")}
    else:
        side = "foreign" if task.metric == "f1" else "english"
        gold = {each["id"]: each["gold"] for each in examples if each.get("side", side) == side}
    if any(entry is None for entry in gold.values()):
        raise DataError(
            where,
            "its examples have no gold label",
            "Run it on labelled files, or leave the labels out.",
        )
    return gold


def _pooled(
    store: Store, records: Mapping[str, Record], record: Record
) -> dict[str, dict[str, None]]:
    """Return what candidates match -> their ids, over all languages and the pool."""
    places = [("test", language) for language in record.spec["languages"]]
    if "pool" in record.inputs:
        places += [("pool", code) for code in _prepared(records, record, "pool").spec["data"]]
    found: dict[str, dict[str, None]] = {}
    for role, language in places:
        for each in _examples(store, records, record, role, language):
            for name in each["match"] if "candidate" in each else ():
                found.setdefault(name, {})[each["candidate"]] = None
    return found


def _matching(query: JsonDict, pool: Mapping[str, Mapping[str, None]]) -> list[str] | None:
    """Return the candidates that a query is to find; None where it has no label."""
    right = dict.fromkeys(each for name in query["match"] for each in pool.get(name, ()))
    return list(right or query["match"]) or None


def _examples(
    store: Store, records: Mapping[str, Record], record: Record, role: str, language: str
) -> list[JsonDict]:
    prepared = _prepared(records, record, role)
    return _lines(read_file(store, prepared, f"{language}.examples.jsonl"))


def _prepared(records: Mapping[str, Record], record: Record, role: str) -> Record:
    found = records.get(record.inputs[role])
    if found is None:
        raise DataError(
            f"{record.spec['task']} {role}",
            "its prepared examples are not recorded, so its labels are not known",
        )
    return found


def _lines(data: bytes) -> list[JsonDict]:
    return [json.loads(line) for line in data.decode().split("\n") if line]
