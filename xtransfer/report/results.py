"""What a report is made of: results of evaluation, and the means that stand for them.

    Result (one language of one run) -> Entry (one target after one intermediate task) -> Table

The score of a run is the unweighted mean over the target's languages, as in XTREME; the score of an
entry is the mean of its runs, one for each seed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, stdev

from xtransfer.errors import XtransferError
from xtransfer.plan import BASELINE


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What one evaluate step found in one language."""

    target: str
    intermediate: str
    """Name of the intermediate task, or `baseline`."""
    seed: int | None
    """Seed of the target trial; None where there is one run without a seed of its own."""
    language: str
    metric: str
    """Name of the main score."""
    value: float
    """The main score, 0 to 100."""
    metrics: Mapping[str, float]
    """Every score of this language by name; the main one may be among them."""
    n: int
    """Test examples scored."""
    selected_on: str
    """Data set, split and language that chose the model: "mnli dev en", "none"."""
    key: str
    """Key of the evaluate step."""
    group: str = ""
    """Benchmark group of the target: classification, tagging, qa, retrieval; tasks of one's own may have none."""
    form: str = ""
    """Form of the target, which says what an example is: in tagging, a sentence of many words."""
    few_shot: int = 0
    """Examples of this language that the model was trained on last; 0: zero-shot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportInfo:
    """What a reader must know beside the numbers."""

    name: str
    """Name of the experiment."""
    encoder: str
    plan_key: str = ""
    encoder_notes: Sequence[str] = ()
    cuts: Sequence[str] = ()
    """Where less than all data was used: "xnli test: 200 of 5,010 rows per language, seed 0"."""
    missing: Sequence[str] = ()
    """Steps that failed, are blocked, or are not done yet; any makes the report a partial one."""
    notes: Sequence[str] = ()
    """Further remarks, such as how many inputs were truncated."""
    languages: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Target -> languages that its score is the mean over."""
    train_languages: Mapping[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])
    """Target -> languages of its training data, where it is trained for."""
    chance: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    """Target -> score of guessing, 0 to 100; None or absent where it is not known."""
    chance_in: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict[str, "Mapping[str, float]"]
    )
    """Target -> language -> the same, where languages differ in it."""
    single_split: Sequence[str] = ()
    """Targets with a single labelled split, on which nothing may be selected."""
    selected_on_test: Mapping[str, Sequence[str]] = field(
        default_factory=dict[str, "Sequence[str]"]
    )
    """Target -> languages in which the test set is one that its models were selected on."""
    trained_on_test: Mapping[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])
    """Target -> languages in which the test set is one that its zero-shot models were trained on."""
    few_shot_trained_on_test: Mapping[str, Sequence[str]] = field(
        default_factory=dict[str, "Sequence[str]"]
    )
    """Target -> languages in which the test set is one that its few-shot models alone were trained on."""
    known_overlaps: Mapping[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])
    """Target -> what its models were selected on that is known to overlap its test sets, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Mean and spread over runs."""

    mean: float
    sd: float | None
    """Sample standard deviation (ddof 1); None for a single run."""
    runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """All complete runs of one target after one intermediate task."""

    target: str
    intermediate: str
    group: str
    form: str
    metric: str
    languages: tuple[str, ...]
    runs: tuple[Mapping[str, float], ...]
    """One mapping for each seed, in order of seeds: language -> main score."""
    n: Mapping[str, tuple[int, ...]]
    """Language -> test examples scored: one number, unless runs disagree."""
    selected_on: tuple[str, ...]

    def score(self, languages: Sequence[str] | None = None) -> Score:
        """Return mean and spread over runs of the mean over `languages` (None: all)."""
        chosen = self.languages if languages is None else languages
        values = [plain_mean([run[language] for language in chosen]) for run in self.runs]
        return Score(
            mean=fmean(values),
            sd=stdev(values) if len(values) > 1 else None,
            runs=len(values),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Every entry by (target, intermediate task), and what had to be left out."""

    entries: Mapping[tuple[str, str], Entry]
    targets: tuple[str, ...]
    """By group, then by name."""
    intermediates: tuple[str, ...]
    """`baseline` first where it was run, the others by name."""
    incomplete: tuple[str, ...]
    """Runs without all languages: a mean over fewer would not be comparable."""
    unscored: tuple[str, ...]
    """Targets that were asked for and have no complete run."""

    def of_target(self, target: str) -> list[Entry]:
        """Return the target's entries in the order of `intermediates`."""
        return [
            self.entries[target, name]
            for name in self.intermediates
            if (target, name) in self.entries
        ]

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return group -> its targets; targets without a group stand under an empty name."""
        groups: dict[str, list[str]] = defaultdict(list)
        for target in self.targets:
            groups[next(iter(self.of_target(target))).group].append(target)
        return {group: tuple(targets) for group, targets in groups.items()}

    def difference(self, entry: Entry) -> float | None:
        """Return the entry's mean less the baseline's in points; None for or without a baseline."""
        baseline = self.entries.get((entry.target, BASELINE))
        if baseline is None or entry.intermediate == BASELINE:
            return None
        return entry.score().mean - baseline.score().mean

    def average_difference(self, intermediate: str) -> float | None:
        """Return the mean difference to the baseline over all targets; None unless every one has it."""
        entries = [self.entries.get((target, intermediate)) for target in self.targets]
        found = [None if entry is None else self.difference(entry) for entry in entries]
        known = [each for each in found if each is not None]
        return fmean(known) if known and len(known) == len(found) else None

    def average(self, intermediate: str, targets: Sequence[str]) -> float | None:
        """Return the unweighted mean over targets; None unless every one of them has a score."""
        entries = [self.entries.get((target, intermediate)) for target in targets]
        means = [entry.score().mean for entry in entries if entry is not None]
        return plain_mean(means) if means and len(means) == len(entries) else None


def plain_mean(values: Sequence[float]) -> float:
    """Return sum / n, rounded as XTREME's evaluate.py rounds, so that not even the last digit differs."""
    return sum(values) / len(values)


def tabulate(results: Sequence[Result], languages: Mapping[str, Sequence[str]]) -> Table:
    """Gather results into a table; the order of `results` does not matter.

    Args:
        results: one for each target, intermediate task, seed and language.
        languages: target -> languages of its score, for every target that should have one; a target
            that is absent here takes all languages that occur for it.

    Raises:
        XtransferError: two results for the same place, or two main scores for one target.
    """
    cells: dict[tuple[str, str], dict[int | None, dict[str, Result]]] = {}
    for result in results:
        runs = cells.setdefault((result.target, result.intermediate), {})
        run = runs.setdefault(result.seed, {})
        if result.language in run:
            raise XtransferError("report", f"two results for {_place(result)}, {result.language}")
        run[result.language] = result
    entries: dict[tuple[str, str], Entry] = {}
    incomplete: list[str] = []
    for (target, intermediate), runs in sorted(cells.items()):
        wanted = _languages_of(target, results, languages)
        complete: list[dict[str, Result]] = []
        for _, run in sorted(runs.items(), key=lambda item: (item[0] is not None, item[0] or 0)):
            if set(wanted) <= set(run):
                complete.append({language: run[language] for language in wanted})
            else:
                have = len(set(wanted) & set(run))
                place = _place(next(iter(run.values())))
                incomplete.append(f"{place}: {have} of {len(wanted)} languages")
        if complete:
            entries[target, intermediate] = _entry(complete, wanted)
    return Table(
        entries=entries,
        targets=tuple(name for _, name in sorted({(e.group, e.target) for e in entries.values()})),
        intermediates=_baseline_first({name for _, name in entries}),
        incomplete=tuple(incomplete),
        unscored=tuple(sorted(set(languages) - {target for target, _ in entries})),
    )


def selection_text(entries: Sequence[Entry]) -> str:
    """Return the splits that chose the entries' models, each once."""
    return " / ".join(sorted({split for entry in entries for split in entry.selected_on}))


def wilson_interval(value: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion, both bounds 0 to 100.

    Args:
        value: the observed proportion in percent.
        n: independent trials that it was observed in, at least 1.
        confidence: coverage.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927), without continuity correction.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = value / 100
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, 100 * (centre - half)), min(100.0, 100 * (centre + half))


def _entry(runs: Sequence[Mapping[str, Result]], languages: tuple[str, ...]) -> Entry:
    every = [result for run in runs for result in run.values()]
    first = every[0]
    return Entry(
        target=first.target,
        intermediate=first.intermediate,
        group=first.group,
        form=first.form,
        metric=first.metric,
        languages=languages,
        runs=tuple({name: result.value for name, result in run.items()} for run in runs),
        n={name: tuple(sorted({run[name].n for run in runs})) for name in languages},
        selected_on=tuple(sorted({result.selected_on for result in every})),
    )


def _languages_of(
    target: str, results: Sequence[Result], languages: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    own = [result for result in results if result.target == target]
    metrics = sorted({result.metric for result in own})
    if len(metrics) > 1:
        raise XtransferError("report", f"{target} has two main scores, {' and '.join(metrics)}")
    return tuple(sorted(languages.get(target) or {result.language for result in own}))


def _baseline_first(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (name != BASELINE, name)))


def _place(result: Result) -> str:
    seed = "" if result.seed is None else f", seed {result.seed}"
    return f"{result.target} after {result.intermediate}{seed}"
