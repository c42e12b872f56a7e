"""What was done for the answer, as data: how trials learned, which were chosen, and what it cost.

Everything is taken from records; each object names the keys of those that it is from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from xtransfer.config.experiment import Experiment
from xtransfer.config.judgement import Power
from xtransfer.plan import Plan, Step
from xtransfer.records.leases import every_attempt
from xtransfer.records.record import Record
from xtransfer.records.results import learning_rate_of
from xtransfer.report.costs import Cost, costs_of
from xtransfer.report.evidence import train_languages
from xtransfer.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A trial at one of its evaluations."""

    step: int
    """Optimizer steps taken."""
    loss: float | None
    """Mean training loss since the evaluation before; None before the first step."""
    dev: float | None
    """What the trial is selected by: the mean of its tasks' main metrics on dev, 0 to 100. None for
    text alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """How one trial learned."""

    sweep: str
    """The sweep that it belongs to: an arm, or `xnli after mnli`."""
    phase: str
    seed: int
    learning_rate: float
    metric: str
    """Of `Point.dev`."""
    points: tuple[Point, ...]
    keys: tuple[str, ...]

    @property
    def learned(self) -> str:
        """What was learned: an arm, or a target."""
        return self.sweep.split(" after ")[0]

    @property
    def after(self) -> str:
        """The arm that it started from; empty for an intermediate trial."""
        return self.sweep.partition(" after ")[2]

    @property
    def arm(self) -> str:
        """The arm that it belongs to: what it started from, or is itself."""
        return self.after or self.learned


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A trial that could have been chosen."""

    learning_rate: float
    seed: int
    score: float | None
    """On the split of the choice; None: it has none."""
    chosen: bool
    keys: tuple[str, ...]
    rung: int | None = None
    """Percent of its training at which the trial was stopped; None where it was not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which trial of a sweep went on, and why."""

    name: str
    sweep: str
    phase: str
    rule: str
    split: str
    """Data set, split and languages that it was chosen on."""
    candidates: tuple[Candidate, ...]
    keys: tuple[str, ...]

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that went on."""
        return next((each for each in self.candidates if each.chosen), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What was done for an answer."""

    command: str
    """The experiment's file and settings, as a command takes them."""
    planned: int
    recorded: int
    power: Power
    curves: tuple[Curve, ...]
    choices: tuple[Choice, ...]
    costs: tuple[Cost, ...]
    train_languages: Mapping[str, Sequence[str]]
    """Target -> languages of its training data, in which nothing is zero-shot."""
    artificial: bool
    """Whether the languages were made up, so that nothing published compares."""
    all_languages: Mapping[str, int]
    """Target -> number of languages that the task has."""
    records: Mapping[str, Record]


def study_of(
    experiment: Experiment,
    plan: Plan,
    records: Mapping[str, Record],
    *,
    store: Store | None = None,
    command: str = "EXPERIMENT.yaml",
) -> Study:
    """Return what was done so far.

    Args:
        experiment: says what power is assumed.
        plan: of the experiment.
        records: key -> record of the plan's recorded steps.
        store: where the log of attempts is; None: no lost time is counted.
        command: the experiment's file and settings, as a command takes them.
    """
    choices = _choices(plan, records)
    attempts = {} if store is None else every_attempt(store)
    return Study(
        command=command,
        planned=len(plan.steps),
        recorded=sum(key in records for key in plan.steps),
        power=experiment.power,
        curves=_curves(plan, records, choices),
        choices=choices,
        costs=costs_of(plan, records, attempts, experiment.power),
        train_languages=train_languages(plan),
        artificial=experiment.data.synthetic is not None,
        all_languages={
            name: len(plan.tasks[name].languages)
            for name in experiment.target.tasks
            if name in plan.tasks
        },
        records={key: records[key] for key in plan.steps if key in records},
    )


def _choices(plan: Plan, records: Mapping[str, Record]) -> tuple[Choice, ...]:
    found: list[Choice] = []
    for key, step in plan.steps.items():
        record = records.get(key)
        if step.kind != "select" or record is None:
            continue
        chosen = record.result["chosen"]
        trial = plan.steps.get(chosen)
        found.append(
            Choice(
                name=step.name,
                sweep=trial.sweep if trial else step.name,
                phase=step.phase,
                rule=step.spec["rule"],
                split=record.result.get("split") or step.spec["split"],
                candidates=tuple(
                    Candidate(
                        learning_rate=each["learning_rate"],
                        seed=each["seed"],
                        score=each["score"],
                        chosen=each["key"] == chosen,
                        keys=(each["key"],),
                        rung=each.get("rung"),
                    )
                    for each in record.result.get("candidates", ())
                ),
                keys=(key,),
            )
        )
    return tuple(found)


def _curves(
    plan: Plan, records: Mapping[str, Record], choices: Sequence[Choice]
) -> tuple[Curve, ...]:
    """Return the curves of chosen trials, and of all trials where nothing is chosen yet."""
    chosen = {key for each in choices for c in each.candidates if c.chosen for key in c.keys}
    decided = {each.sweep for each in choices}
    found: list[Curve] = []
    for key, step in plan.steps.items():
        record = records.get(key)
        if step.kind != "train" or record is None:
            continue
        if key not in chosen and step.sweep in decided:
            continue
        points = tuple(_points(step, record.result.get("history", ())))
        if points:
            found.append(
                Curve(
                    sweep=step.sweep,
                    phase=step.phase,
                    seed=step.spec["seed"],
                    learning_rate=learning_rate_of(record),
                    metric=" and ".join(dict.fromkeys(p["metric"] for p in step.spec["parts"])),
                    points=points,
                    keys=(key,),
                )
            )
    return tuple(found)


def _points(step: Step, history: Sequence[Mapping[str, float]]) -> list[Point]:
    parts = step.spec["parts"]
    alone = len(parts) == 1 and not step.spec["text"]
    names = [
        f"dev {part['metric']}" if alone else f"dev {part['task']} {part['metric']}"
        for part in parts
    ]
    points: list[Point] = []
    for entry in history:
        scores = [entry[name] for name in names if name in entry]
        points.append(
            Point(
                step=int(entry["step"]),
                loss=entry.get("loss"),
                dev=fmean(scores) if scores and len(scores) == len(names) else None,
            )
        )
    return points
