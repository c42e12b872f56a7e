"""Which examples of a data set are taken where not all are: seeded samples, shares of languages, held-out parts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from xtransfer.data.examples import BitextExample, Example, RankingExample, Rows
from xtransfer.errors import DataError
from xtransfer.tasks.task import Task


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


def hold_out(
    rows: Rows,
    role: str,
    *,
    examples: int,
    seed: int,
    setting: str = "data.holdout",
    file: str = "",
) -> Rows:
    """Return the part of a training file that is the dev set, or (role `train`) the rest.

    Whole paragraphs are held out, drawn with `seed`, until there are at least `examples` of them; an
    example without a paragraph is one by itself. `setting` says in errors how many, and `file` what of.

    Raises:
        DataError: when nothing would be left to train on.
    """
    paragraphs = [getattr(example, "context", "") or example.id for example in rows.examples]
    names = sorted(set(paragraphs))
    order = np.random.default_rng(seed).permutation(len(names))
    sizes = Counter(paragraphs)
    held: set[str] = set()
    count = 0
    for at in order:
        if count >= examples:
            break
        held.add(names[at])
        count += sizes[names[at]]
    if len(held) == len(names):
        raise DataError(
            setting,
            f"{examples} examples leave nothing to train on: {file or 'the training file'} has {len(paragraphs)}"
            + (f", in {len(names)} paragraphs" if len(names) < len(paragraphs) else ""),
            "Hold fewer out, or bring more.",
        )
    kept = tuple(
        example
        for example, paragraph in zip(rows.examples, paragraphs, strict=True)
        if (paragraph in held) == (role == "dev")
    )
    return replace(rows, examples=kept)


def holdout_setting(task: Task) -> str:
    """Name the setting that says how many examples of a task's training file are held out."""
    return "text.holdout of the arm" if task.form == "mlm" else f"data.holdout.{task.name}"


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
