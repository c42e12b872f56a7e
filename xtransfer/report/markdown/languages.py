"""The tables of report.md that show one target by language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xtransfer.report.markdown.grid import grid
from xtransfer.report.numbers import number
from xtransfer.report.results import (
    Entry,
    ReportInfo,
    Score,
    Table,
    selection_text,
    wilson_interval,
)


def language_section(table: Table, info: ReportInfo, target: str) -> str:
    """Return the scores of one target by language, with intervals where the metric allows one."""
    entries = table.of_target(target)
    first = entries[0]
    bounded = [_is_proportion(entry) for entry in entries]
    head = ["language", "n"]
    for entry, bounds in zip(entries, bounded, strict=True):
        head += [entry.intermediate, "95 %"] if bounds else [entry.intermediate]
    rows = [
        [language, _counts(entries, language), *_language_cells(entries, bounded, language)]
        for language in first.languages
    ]
    rows.append(_mean_row("mean", entries, bounded, first.languages))
    trained = info.train_languages.get(target, ("en",))
    others = [language for language in first.languages if language not in trained]
    if others and len(others) < len(first.languages):
        rows.append(_mean_row(f"mean without {' '.join(trained)}", entries, bounded, others))
    text = [f"## {target}", "", f"{first.metric}, by language. {_interval_note(entries)}"]
    text += ["", *grid(head, rows, text={"language"})]
    text += ["", f"Selected on: {_selection_by_entry(entries)}."]
    guessing = _near_chance(
        entries, bounded, info.chance.get(target), info.chance_in.get(target, {})
    )
    return "\n".join([*text, "", guessing] if guessing else text)


def spread(score: Score) -> str:
    """Return a mean and, of several seeds, its standard deviation."""
    return number(score.mean) + (f" ± {number(score.sd)}" if score.sd is not None else "")


def _language_cells(entries: Sequence[Entry], bounded: Sequence[bool], name: str) -> Iterable[str]:
    for entry, bounds in zip(entries, bounded, strict=True):
        yield spread(entry.score([name]))
        if bounds:
            low, high = _interval(entry, name)
            yield f"{number(low)} to {number(high)}"


def _mean_row(
    label: str, entries: Sequence[Entry], bounded: Sequence[bool], languages: Sequence[str]
) -> list[str]:
    row = [f"*{label}*", ""]
    for entry, bounds in zip(entries, bounded, strict=True):
        row += [spread(entry.score(languages)), ""] if bounds else [spread(entry.score(languages))]
    return row


def _interval_note(entries: Sequence[Entry]) -> str:
    entry = entries[0]
    if not _is_proportion(entry):
        return f"No interval: {entry.metric} is not a proportion of n independent examples."
    text = "95 %: Wilson's interval for the sampling of n test examples; seeds are not in it."
    if any(len(each.runs) > 1 for each in entries):
        # Runs of several seeds score the same examples, so they add none to n.
        text += " It is taken at the mean over seeds, whose standard deviation is the ±."
    return text


def _near_chance(
    entries: Sequence[Entry],
    bounded: Sequence[bool],
    chance: float | None,
    by_language: Mapping[str, float],
) -> str:
    """Name the languages whose interval holds the score of guessing, be it their own or that of all."""
    if chance is None or not any(bounded):
        return ""
    near: list[str] = []
    for entry, bounds in zip(entries, bounded, strict=True):
        inside: list[str] = []
        for language in entry.languages if bounds else ():
            low, high = _interval(entry, language)
            if low <= by_language.get(language, chance) <= high:
                inside.append(language)
        near += [f"{entry.intermediate}: {' '.join(inside)}"] if inside else []
    shown = f"{'in the mean ' if by_language else ''}{number(chance)}"
    if not near:
        return f"Every interval excludes chance ({shown})."
    return f"Intervals that include chance ({shown}): {'; '.join(near)}."


def _interval(entry: Entry, language: str) -> tuple[float, float]:
    return wilson_interval(entry.score([language]).mean, entry.n[language][0])


def _is_proportion(entry: Entry) -> bool:
    """Tell whether the score is a share of n independent examples; n counts sentences in tagging."""
    return entry.metric == "accuracy" and entry.form != "tagging"


def _selection_by_entry(entries: Sequence[Entry]) -> str:
    texts = [selection_text([entry]) for entry in entries]
    if len(set(texts)) == 1:
        return texts[0]
    return "; ".join(
        f"{text} ({entry.intermediate})" for text, entry in zip(texts, entries, strict=True)
    )


def _counts(entries: Sequence[Entry], language: str) -> str:
    return " / ".join(map(str, sorted({n for entry in entries for n in entry.n[language]})))
