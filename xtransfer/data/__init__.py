"""From the files of a task to its examples.

examples     the kinds of example, one per form
files        where a data set's files are, their lines, and what identifies them; `saved`: folders of data sets
hub          data sets through the `datasets` library
table        TSV, CSV and JSON as rows; `columns`, `fields`: what of a row is meant; `build`: rows become examples
conll, ccg   tagged sentences; supertagged ones
squad        question answering; `passages`, `sentences`: the sentences that answer, and where they begin and end
bitext       sentences line by line; `mining`: comparable corpora with the pairs that are translations
mentions     mentions of entities, and the entities
text         unlabelled text
checks       what examples of every format are held to
samples      which examples are taken where not all are
synthetic    artificial languages, and data sets in them
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, cast

from xtransfer.data.bitext import build_bitext, read_bitext
from xtransfer.data.build import build_examples
from xtransfer.data.ccg import read_ccg
from xtransfer.data.checks import LACKS_ANSWER, check_answered, unique_ids
from xtransfer.data.conll import language_prefix, read_conll
from xtransfer.data.examples import Rows, SpanExample
from xtransfer.data.files import content_digest, file_names, not_empty, resolve_files
from xtransfer.data.hub import hub_identity, read_hub
from xtransfer.data.mentions import read_mentions
from xtransfer.data.mining import read_mining
from xtransfer.data.passages import read_passages, sentence_rules
from xtransfer.data.squad import read_squad
from xtransfer.data.table import Row, TableFormat, choose_rows, read_table, with_labels
from xtransfer.data.text import read_paragraphs
from xtransfer.errors import DataError
from xtransfer.tasks.languages import is_language
from xtransfer.tasks.task import LABELS, NO_ANSWER, Split, Task

__all__ = ["file_names", "read_examples", "read_first", "source_digests"]


def read_examples(task: Task, *, split: Split, language: str, root: Path) -> Rows:
    """Return all examples of one split and language, in the order of the files.

    Nothing is left out but what `Rows.skipped` counts: rows with one of the task's `skip_labels`, rows that
    `skip_short_rows` allows to be too short, and what the reader of a format names.

    Raises:
        DataError: naming file and line, where a file is missing, malformed or empty, or disagrees
            with the task.
    """
    rows = _read(task, split=split, language=language, root=root, first=None)
    if not rows.examples:
        raise DataError(f"{task.name} {split} {language}", "holds no examples")
    return rows


def read_first(task: Task, *, split: Split, language: str, root: Path, count: int) -> Rows:
    """Return the examples of the first `count` rows of each file: enough to see what is wrong.

    What no first row can tell is left to `read_examples`: a format in one piece, such as SQuAD's, is
    read whole, and a hub data set not at all, as that may mean to fetch it.

    Raises:
        DataError: as `read_examples`.
    """
    if task.source.hub:
        return Rows(examples=())
    return _read(task, split=split, language=language, root=root, first=count)


def _read(task: Task, *, split: Split, language: str, root: Path, first: int | None) -> Rows:
    source = task.source
    if source.hub:
        rows = read_hub(task, split=split, language=language, root=root)
        if task.form == "bitext":
            return build_bitext(task, rows)
        return _answered(task, build_examples(task, rows, split=split), split)
    paths = resolve_files(task, split=split, language=language, root=root)
    where = ", ".join(str(path) for path in paths)
    if task.form == "retrieval" or source.format == "mentions":
        return _read_ranking(task, paths, split, language, where)
    if source.format == "squad":
        found = chain.from_iterable(
            not_empty(read_squad(path, split=split), path) for path in paths
        )
        examples = unique_ids(tuple(found), split=split, where=where)
        return _answered(task, Rows(examples=examples), split)
    if source.format == "conll":
        return read_conll(task, paths, split=split, language=language, first=first)
    if source.format in _BY_LINES:
        return _BY_LINES[source.format](paths, first=first)
    if source.format in ("bitext", "mining"):
        return _read_sides(task, paths, where)
    short: Counter[str] = Counter()
    tables = (
        islice(_rows(path, labels, task, language, short), first)
        for path, labels in _label_files(paths)
    )
    rows = build_examples(task, chain.from_iterable(tables), split=split)
    rows = replace(rows, skipped={**rows.skipped, **short})
    return _answered(task, rows, split, whole=first is None)


_BY_LINES = {"text": read_paragraphs, "ccg": read_ccg}


def _rows(
    path: Path, labels: Path | None, task: Task, language: str, short: Counter[str]
) -> Iterator[Row]:
    """Yield a table's rows of one language; those that the source allows to be too short are counted in `short`."""
    source = task.source
    table = read_table(
        path,
        format_=_table_format(path, cast("TableFormat", source.format)),
        header=source.header,
        short=short if source.skip_short_rows else None,
    )
    rows = with_labels(not_empty(table, path), labels)
    if not source.rows:
        return rows
    return choose_rows(rows, source.rows, language, path)


def source_digests(task: Task, *, split: Split, language: str, root: Path) -> list[dict[str, Any]]:
    """Return what identifies the data of one split and language, as JSON.

    A file is identified by its name without folder and `.gz`, and by the SHA-256 of its content when
    unpacked: moving or compressing it changes nothing; and by the prefix that is taken off its tokens, the
    rules that its sentences are found by where they are not those for English, the count of its paragraphs where
    that goes on from the file before, and how its rows are chosen by language. A hub data set is its pinned place.

    Raises:
        DataError: where a file is missing or a hub data set is not pinned.
    """
    if task.source.hub:
        return hub_identity(task, split=split, language=language, root=root)
    found: list[dict[str, Any]] = []
    for path in resolve_files(task, split=split, language=language, root=root):
        found.append({"file": path.name.removesuffix(".gz"), "sha256": content_digest(path)})
        if task.source.format == "conll" and (prefix := language_prefix(path, language)):
            found[-1]["without"] = prefix
        if task.form == "retrieval" and task.source.format == "squad":
            found[-1].update(sentence_rules(path, language))
            if len(found) > 1:  # their sentences had the ids of the first file's once
                found[-1]["paragraphs"] = "counted on"
        if any(map(is_language, task.source.rows.values())):
            found[-1]["rows"] = "whole codes"  # they were once those that begin with it
    return found


def _read_sides(task: Task, paths: Sequence[Path], where: str) -> Rows:
    if task.source.format == "mining":
        if len(paths) != 3:
            raise DataError(
                where, "mining needs three files: foreign side, English one, gold pairs"
            )
        return read_mining(*paths)
    if len(paths) != 2:
        raise DataError(where, "bitext needs two files: the foreign side, then the English one")
    return read_bitext(*paths)


def _read_ranking(
    task: Task, paths: Sequence[Path], split: Split, language: str, where: str
) -> Rows:
    if task.source.format == "mentions":
        parts = [read_mentions(paths, language=language)]
    elif task.source.format == "squad":
        numbers = count(1)
        parts = [
            read_passages(path, split=split, language=language, numbers=numbers) for path in paths
        ]
    else:
        raise DataError(task.name, f"form 'retrieval' cannot be read from '{task.source.format}'")
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    examples = tuple(chain.from_iterable(part.examples for part in parts))
    return Rows(examples=unique_ids(examples, split=split, where=where), skipped=dict(skipped))


def _label_files(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Return each table with the file of its labels: the `.lst` behind it, if there is one.

    Raises:
        DataError: for a file of labels without a table of its own before it.
    """
    tables: list[tuple[Path, Path | None]] = []
    for path in paths:
        if not path.name.removesuffix(".gz").endswith(LABELS):
            tables.append((path, None))
        elif tables and tables[-1][1] is None:
            tables[-1] = (tables[-1][0], path)
        else:
            raise DataError(str(path), "holds labels, but no file of rows stands before it")
    return tables


def _table_format(path: Path, format_: TableFormat) -> TableFormat:
    """Return how a table is written: a `.jsonl` is JSON lines in any task, as CosmosQA's test set is."""
    return "jsonl" if path.name.removesuffix(".gz").endswith(".jsonl") else format_


def _answered(task: Task, rows: Rows, split: Split, *, whole: bool = True) -> Rows:
    """Refuse a question without an answer where the task's scores know none (SQuAD v2.0 for v1.1).

    In a test set one may lack it, but not all: unless it was read in part (`whole` False), of a task
    whose first questions may be those without an answer.
    """
    if split == "test" and (whole or NO_ANSWER not in task.labels):
        check_answered(rows.examples, task.name)
    if split == "test" or NO_ANSWER in task.labels:
        return rows
    for example in rows.examples:
        if isinstance(example, SpanExample) and not example.answers:
            raise DataError(
                f"{task.name} {split}: question '{example.id}'",
                *LACKS_ANSWER,
            )
    return rows
