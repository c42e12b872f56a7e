"""From the files of a task to its examples."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from xtransfer.data.bitext import build_bitext, read_bitext
from xtransfer.data.build import build_examples, unique_ids
from xtransfer.data.ccg import read_ccg
from xtransfer.data.conll import read_conll
from xtransfer.data.examples import BitextExample, Example, RankingExample, Rows, SpanExample
from xtransfer.data.files import content_digest, file_names, not_empty, resolve_files
from xtransfer.data.hub import hub_identity, read_hub
from xtransfer.data.mentions import read_mentions
from xtransfer.data.mining import read_mining
from xtransfer.data.passages import read_passages
from xtransfer.data.squad import read_squad
from xtransfer.data.table import Row, TableFormat, read_table, with_labels
from xtransfer.data.text import read_paragraphs
from xtransfer.errors import DataError
from xtransfer.tasks.task import NO_ANSWER, Split, Task

__all__ = ["cut", "file_names", "read_examples", "read_first", "source_digests"]


def read_examples(task: Task, *, split: Split, language: str, root: Path) -> Rows:
    """Return all examples of one split and language, in the order of the files.

    Nothing is left out but rows with one of the task's `skip_labels`, which `Rows.skipped` counts.

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
        return read_conll(task, paths, split=split, first=first)
    if source.format in _BY_LINES:
        return _BY_LINES[source.format](paths, first=first)
    if source.format in ("bitext", "mining"):
        return _read_sides(task, paths, where)
    tables = (
        islice(with_labels(not_empty(_table(path, task), path), labels), first)
        for path, labels in _label_files(paths)
    )
    return build_examples(task, chain.from_iterable(tables), split=split)


_BY_LINES = {"text": read_paragraphs, "ccg": read_ccg}


def _table(path: Path, task: Task) -> Iterator[Row]:
    format_ = _table_format(path, cast("TableFormat", task.source.format))
    return read_table(path, format_=format_, header=task.source.header)


def source_digests(task: Task, *, split: Split, language: str, root: Path) -> list[dict[str, Any]]:
    """Return what identifies the data of one split and language, as JSON.

    A file is identified by its name without folder and `.gz`, and by the SHA-256 of its content when
    unpacked: moving or compressing it changes nothing. A hub data set is its pinned place.

    Raises:
        DataError: where a file is missing or a hub data set is not pinned.
    """
    if task.source.hub:
        return hub_identity(task, split=split, language=language, root=root)
    return [
        {"file": path.name.removesuffix(".gz"), "sha256": content_digest(path)}
        for path in resolve_files(task, split=split, language=language, root=root)
    ]


def cut(rows: Rows, count: int | None, *, seed: int) -> Rows:
    """Return a seeded sample of `count` examples without replacement, in their old order.

    Which are taken depends on nothing but `count`, `seed` and the number of examples, so that
    parallel test sets stay parallel; a smaller sample is part of a larger one. Of bitext, pairs are
    taken: `count` foreign sentences, all their translations, and of sentences without any the same
    share. Of queries and candidates, `count` queries, and what answers them or stands in the same
    paragraph: an easier search than the whole.
    """
    if count is None:
        return rows
    if count < 1:
        raise ValueError(f"a sample has at least one example, not {count}")
    if rows.examples and isinstance(rows.examples[0], BitextExample):
        return Rows(
            examples=_cut_bitext(cast("Sequence[BitextExample]", rows.examples), count, seed),
            skipped=rows.skipped,
        )
    if rows.examples and isinstance(rows.examples[0], RankingExample):
        return Rows(
            examples=_cut_ranking(cast("Sequence[RankingExample]", rows.examples), count, seed),
            skipped=rows.skipped,
        )
    chosen = _sample(len(rows.examples), count, seed)
    return Rows(examples=tuple(rows.examples[index] for index in chosen), skipped=rows.skipped)


def spread(rows: Mapping[str, Rows], count: int | None, *, seed: int) -> dict[str, Rows]:
    """Return `count` examples taken evenly from all languages, no parallel one twice.

    Where all languages have equally many examples they are taken to be parallel: each language gets
    other positions of the same seeded order, so no example is in two languages.

    Args:
        rows: language -> all its examples.
        count: examples in all; None: as many as the first language has.
        seed: of the order.

    Raises:
        DataError: where a language has fewer examples than its part.
    """
    sizes = {language: len(each.examples) for language, each in rows.items()}
    total = next(iter(sizes.values())) if count is None else count
    parallel = len(set(sizes.values())) == 1
    out: dict[str, Rows] = {}
    first = 0
    for position, (language, each) in enumerate(rows.items()):
        share = total // len(rows) + (position < total % len(rows))
        start = first if parallel else 0
        if share < 1 or start + share > sizes[language]:
            raise DataError(
                language,
                f"has {sizes[language]} examples, too few for its {share} of the {total} that are "
                f"spread over {len(rows)} languages",
                "Spread fewer, or over other languages.",
            )
        order = _order(sizes[language], seed)[start : start + share]
        examples = tuple(each.examples[index] for index in sorted(order))
        out[language] = Rows(examples=examples, skipped=each.skipped)
        first += share
    return out


def _cut_bitext(examples: Sequence[BitextExample], count: int, seed: int) -> tuple[Example, ...]:
    foreign = [example for example in examples if example.side == "foreign"]
    kept = {foreign[index].id for index in _sample(len(foreign), count, seed)}
    lone = [example.id for example in examples if example.side == "english" and not example.match]
    share = round(len(lone) * len(kept) / len(foreign))
    alone = {lone[index] for index in _sample(len(lone), share, seed)}
    return tuple(
        example
        for example in examples
        if (
            example.id in kept
            if example.side == "foreign"
            else example.id in alone or not kept.isdisjoint(example.match)
        )
    )


def _cut_ranking(examples: Sequence[RankingExample], count: int, seed: int) -> tuple[Example, ...]:
    queries = [example for example in examples if example.query is not None]
    if not queries:
        raise DataError("data.limits", "a set of candidates alone cannot be cut")
    kept = {queries[index].id for index in _sample(len(queries), count, seed)}
    wanted = {name for example in queries if example.id in kept for name in example.match}
    near = {example.context for example in examples if not wanted.isdisjoint(example.match)} - {""}
    return tuple(
        example
        for example in examples
        if (
            example.id in kept
            if example.query is not None
            else not wanted.isdisjoint(example.match) or example.context in near
        )
    )


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
        parts = [read_passages(path, split=split, language=language) for path in paths]
    else:
        raise DataError(task.name, f"form 'retrieval' cannot be read from '{task.source.format}'")
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    examples = tuple(chain.from_iterable(part.examples for part in parts))
    return Rows(examples=unique_ids(examples, split=split, where=where), skipped=dict(skipped))


def _sample(total: int, count: int, seed: int) -> list[int]:
    """Return `count` of the indices below `total`, ascending."""
    return list(range(total)) if count >= total else sorted(_order(total, seed)[:count])


def _order(total: int, seed: int) -> list[int]:
    """Return the indices below `total` in a seeded order.

    Ranked by a hash and not drawn by `random`, whose `sample` may change between Python versions: an
    order is part of a step's identity.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{total}/{index}".encode()).digest()

    return sorted(range(total), key=rank)


def _label_files(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Return each table with the file of its labels: the `.lst` behind it, if there is one.

    Raises:
        DataError: for a file of labels without a table of its own before it.
    """
    tables: list[tuple[Path, Path | None]] = []
    for path in paths:
        if not path.name.removesuffix(".gz").endswith(".lst"):
            tables.append((path, None))
        elif tables and tables[-1][1] is None:
            tables[-1] = (tables[-1][0], path)
        else:
            raise DataError(str(path), "holds labels, but no file of rows stands before it")
    return tables


def _table_format(path: Path, format_: TableFormat) -> TableFormat:
    """Return how a table is written: a `.jsonl` is JSON lines in any task, as CosmosQA's test set is."""
    return "jsonl" if path.name.removesuffix(".gz").endswith(".jsonl") else format_


def _answered(task: Task, rows: Rows, split: Split) -> Rows:
    """Refuse a question without an answer where the task's scores know none (SQuAD v2.0 for v1.1)."""
    if split == "test" or NO_ANSWER in task.labels:
        return rows
    for example in rows.examples:
        if isinstance(example, SpanExample) and not example.answers:
            raise DataError(
                f"{task.name} {split}: question '{example.id}'",
                "has no answer, but every question of this task has one",
                "SQuAD v2.0 is the task squad_v2.",
            )
    return rows
