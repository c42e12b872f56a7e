"""What is wrong inside of single data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xtransfer.data.conll import LANGUAGE_PREFIX
from xtransfer.doctor.findings import Finding, Level, by_language
from xtransfer.doctor.survey import Survey

SORTED_SHARE = 0.95
"""Share of ascending neighbours from which English sentences count as sorted; by chance it is 0.5."""
FEWEST_SORTED = 20
"""Sentences below which a sorted file may be chance."""


_COUNTED: tuple[tuple[Level, str, str, str, str], ...] = (
    (
        "warning",
        "conflicting labels",
        "conflicts",
        "rows whose input has another label elsewhere",
        "",
    ),
    ("warning", "empty text", "empty", "rows with an empty text", ""),
    ("warning", "damaged text", "damaged", "rows with U+FFFD", "They were decoded wrongly once."),
    (
        "warning",
        "absent answer",
        "absent",
        "questions of which no answer stands in its passage",
        "Their scores stay low. Are both texts in one Unicode form (NFC)?",
    ),
    ("note", "duplicates", "duplicates", "rows that repeat the input of another", ""),
)
"""Level, kind, field of the survey, what it counts, what to do."""


def contents(surveys: Sequence[Survey]) -> list[Finding]:
    """Return what is wrong inside of single data sets, all languages of one in one finding."""
    groups: dict[tuple[str, str], list[Survey]] = {}
    for each in surveys:
        groups.setdefault((each.data.name, each.data.role), []).append(each)
    return [
        finding
        for (name, role), group in groups.items()
        for finding in _contents(f"{name} {role}", role, group)
    ]


def _contents(where: str, role: str, group: list[Survey]) -> Iterator[Finding]:
    unlabelled = [each for each in group if each.unlabelled]
    if unlabelled:
        yield Finding(
            level="error",
            kind="no labels",
            where=where,
            what=f"rows without a label: {_counts(unlabelled, 'unlabelled')}",
            next="They cannot be scored. XTREME's own test files carry no labels: bring labelled ones.",
        )
    for level, kind, name, what, advice in _COUNTED:
        some = [each for each in group if getattr(each, name)]
        if some:
            counts = _counts(some, name)
            yield Finding(
                level=level, kind=kind, where=where, what=f"{what}: {counts}", next=advice
            )
    reasons = dict.fromkeys(reason for each in group for reason in each.skipped)
    reasons.pop(LANGUAGE_PREFIX, None)  # which has a finding of its own
    for reason in reasons:
        counts = [
            (each.data.language, f"{each.skipped[reason]:,}")
            for each in group
            if reason in each.skipped
        ]
        what = f"left out, {reason}: {by_language(counts)}"
        yield Finding(level="note", kind="left out", where=where, what=what)
    for each in group:
        yield from _labels(each, role)
        yield from _shape(each)


def _labels(each: Survey, role: str) -> Iterator[Finding]:
    if each.data.task.form not in ("classification", "choice", "tagging") or each.unlabelled:
        return
    if role == "train":
        absent = [label for label in each.data.task.labels if label not in each.labels]
        if absent:
            shown = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
            yield Finding(
                level="warning",
                kind="absent label",
                where=str(each.data),
                what=f"no row has the label {shown}",
            )
    if len(each.labels) == 1 and each.rows > 1:
        (label,) = each.labels
        yield Finding(
            level="warning",
            kind="one label",
            where=str(each.data),
            what=f"every row has the label '{label}'",
        )


def _shape(each: Survey) -> Iterator[Finding]:
    where = str(each.data)
    if count := each.skipped.get(LANGUAGE_PREFIX):
        yield Finding(
            level="note",
            kind="language prefix",
            where=where,
            what=f"'{each.data.language}:' before every word, {count:,} in all, is taken off, as XTREME does",
        )
    if each.prefixed:
        yield Finding(
            level="warning",
            kind="language prefix",
            where=where,
            what=f"every word begins with '{each.data.language}:', as in WikiANN's own files",
            next="Take the prefixes off, as XTREME does.",
        )
    if each.ascending >= SORTED_SHARE and each.rows >= 2 * FEWEST_SORTED:
        yield Finding(
            level="warning",
            kind="sorted side",
            where=where,
            what="its English sentences are in alphabetical order, so hardly parallel to the others",
            next="XTREME's preparation sorts them: take the files as LASER publishes them.",
        )
    limit = each.data.limit
    if limit is None or limit["examples"] <= each.rows:
        return
    if each.data.few_shot:
        yield Finding(
            level="error",
            kind="too few rows",
            where=where,
            what=f"has {each.rows:,} rows, and {limit['examples']:,} are to be learned from",
            next=f"Lower target.few_shot.{each.data.name}.examples.",
        )
    else:
        yield Finding(
            level="note",
            kind="limit",
            where=where,
            what=f"has {each.rows:,} rows where the limit is {limit['examples']:,}: all are used",
        )


def _counts(group: Sequence[Survey], name: str) -> str:
    ordered = sorted(group, key=lambda each: -getattr(each, name))
    return by_language(
        [(each.data.language, f"{getattr(each, name):,} of {each.rows:,}") for each in ordered]
    )
