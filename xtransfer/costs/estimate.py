"""What is left of a plan: time, money, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from xtransfer.config.placement import Placement
from xtransfer.costs.amounts import data_sizes
from xtransfer.costs.devices import CPU, device_named
from xtransfer.costs.durations import Duration, Knowledge, Needs
from xtransfer.costs.measured import Measurements
from xtransfer.costs.remainder import Group, remainder_of
from xtransfer.costs.schedule import Capacity, Job, critical_path, lower_bound, simulate
from xtransfer.costs.tables import Price, Prices, SpeedTable
from xtransfer.plan import Plan
from xtransfer.records.record import Record

HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the user wants to know, beyond the plan itself."""

    device: str | None = None
    """Of the GPUs; None: that of the newest records."""
    gpus: int | None = None
    cpus: int | None = None
    """None: as many as it takes, or those of the placement's private cluster."""
    quota: int | None = None
    """GPUs that may be used at once."""
    deadline_h: float | None = None
    speeds: SpeedTable = field(default_factory=SpeedTable)
    prices: Prices | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a number of device hours costs."""

    device: str
    price: Price
    hours: float
    held_hours: float | None
    """Were all GPUs paid for from the first step to the last."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Whether a plan fits what one may use, and by how much not."""

    gpus: int | None
    """None: on CPUs, with as many GPUs as it takes."""
    largest: float
    """GPUs that one step takes."""
    beyond: int | None
    """GPUs that are asked for (`--gpus`), where they are more than the quota."""
    fits: bool
    makespan_s: float | None
    over_s: float | None
    """Makespan beyond the deadline; negative: to spare. None without a deadline or a makespan."""
    short_gpu_s: float
    """GPU time that the quota has too little of until the deadline, whatever the order."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """All that can be told before a run.

    Times of trials are upper bounds, as early stopping is left out; sums leave steps of unknown time out.
    """

    trials: int
    trials_recorded: int
    steps: int
    recorded: int
    device: str | None
    phases: Mapping[str, Group]
    total: Group
    durations: Mapping[str, Duration]
    """Key -> duration of each step that is left."""
    needs: Mapping[str, Needs]
    critical_s: float
    critical: tuple[str, ...]
    """Keys of the longest chain of steps in time."""
    gpus: float | None
    makespan_s: float | None
    """None: not asked, or a step finds no room."""
    bound_s: float | None
    fit: Fit | None
    costs: tuple[Cost, ...] = field(default=())
    pairs: int = 0
    """Pairs of intermediate and target task that pruning has yet to compare, all of which are counted ..."""
    left_out: int = 0
    """... and how many of them it will leave out."""
    unpriced: tuple[str, ...] = field(default=())
    """Devices whose hours no price is given for, where prices are."""

    @property
    def figures(self) -> list[tuple[Duration, Group]]:
        """What the durations rest on: one step's for all alike, and the steps that rest on it."""
        found: dict[tuple[str, ...], tuple[Duration, Group]] = {}
        for key, duration in self.durations.items():
            if duration.seconds != 0.0:
                alike = (duration.trust, duration.about, duration.source, duration.examples)
                _, group = found.setdefault(alike, (duration, Group()))
                group.count(duration, self.needs[key])
        return list(found.values())


def estimate(
    plan: Plan,
    records: Mapping[str, Record],
    placement: Placement,
    question: Question,
) -> Estimate:
    """Return what is left of a plan.

    Args:
        plan: of the experiment.
        records: key -> all records of the store, those of other plans too.
        placement: says what a step takes.
        question: the user's.
    """
    gpus = question.gpus if question.gpus is not None else question.quota
    if gpus is None:
        gpus = placement.ray.gpus
    known = _knowledge(plan, records, placement, question)
    left = remainder_of(plan, records, placement, known, gpus=gpus)
    jobs = left.jobs()
    capacity = Capacity(
        gpus=gpus,
        cpus=question.cpus if question.cpus is not None else placement.ray.cpus,
        steps=placement.concurrent,
    )
    asked = capacity.gpus is not None or capacity.cpus is not None
    schedule = simulate(jobs, capacity) if asked else None
    critical_s, critical = critical_path(jobs)
    trials = [key for key, step in plan.steps.items() if step.kind == "train"]
    pairs, left_out = left.pruning()
    found = Estimate(
        trials=len(trials),
        trials_recorded=sum(key in records for key in trials),
        steps=len(plan.steps),
        recorded=len(plan.steps) - len(left.steps),
        device=known.device,
        phases=left.by_phase(),
        total=left.total(),
        durations=left.durations,
        needs=left.needs,
        critical_s=critical_s,
        critical=tuple(critical),
        gpus=gpus,
        makespan_s=None if schedule is None else schedule.makespan,
        bound_s=lower_bound(jobs, capacity) if asked else None,
        fit=_fit(question, jobs, capacity),
        pairs=pairs,
        left_out=left_out,
    )
    return found if question.prices is None else _priced(found, question.prices.root)


def amounts(cost: Cost, hours_: float) -> dict[str, float]:
    """Return what some hours cost at each price that there is."""
    prices = {"spot": cost.price.spot, "on_demand": cost.price.on_demand}
    return {name: round(price * hours_, 2) for name, price in prices.items() if price is not None}


def hours(seconds: float | None) -> float | None:
    """Return seconds as hours."""
    return None if seconds is None else round(seconds / HOUR, 3)


def _knowledge(
    plan: Plan, records: Mapping[str, Record], placement: Placement, question: Question
) -> Knowledge:
    """Gather what durations are told from; GPUs of which nothing is said are those of the newest records."""
    measurements = Measurements(records, plan.steps)
    return Knowledge(
        measurements=measurements,
        table=question.speeds,
        utilisation=placement.estimates.utilisation,
        sizes=data_sizes(plan, records),
        device=device_named(question.device) if question.device else measurements.newest_gpu,
    )


def _fit(question: Question, jobs: list[Job], capacity: Capacity) -> Fit | None:
    """Say whether the plan fits a quota and a deadline."""
    if question.quota is None and question.deadline_h is None:
        return None
    # Where no --gpus are asked for, these are the placement's.
    gpus = None if capacity.gpus is None else int(capacity.gpus)
    most = question.quota if question.quota is not None else gpus
    if most is None and capacity.cpus is None:
        return None
    schedule = simulate(jobs, replace(capacity, gpus=most))
    largest = max((job.gpus for job in jobs), default=0.0)
    makespan = None if schedule is None else schedule.makespan
    deadline = None if question.deadline_h is None else question.deadline_h * HOUR
    over = None if makespan is None or deadline is None else makespan - deadline
    asked = question.gpus or 0
    work = sum(job.gpus * job.seconds for job in jobs)
    return Fit(
        gpus=most,
        largest=largest,
        beyond=asked if most is not None and asked > most else None,
        fits=makespan is not None
        and (most is None or asked <= most)
        and (over is None or over <= 0),
        makespan_s=makespan,
        over_s=over,
        short_gpu_s=0.0 if deadline is None or most is None else max(0.0, work - most * deadline),
    )


def _priced(found: Estimate, prices: Mapping[str, Price]) -> Estimate:
    """Return an estimate with what it costs, and for which of its devices there is no price."""
    return replace(
        found,
        costs=tuple(_costs(found, prices)),
        unpriced=tuple(name for name in _devices(found) if name not in prices),
    )


def _costs(found: Estimate, prices: Mapping[str, Price]) -> Iterable[Cost]:
    """Yield what the GPUs cost, and the CPUs of steps without one, as far as there are prices."""
    held = None
    if found.makespan_s is not None and found.gpus:
        held = found.makespan_s * found.gpus / HOUR
    for device, seconds in _devices(found).items():
        if device in prices:
            yield Cost(
                device=device,
                price=prices[device],
                hours=seconds / HOUR,
                held_hours=None if device == CPU else held,
            )


def _devices(found: Estimate) -> dict[str, float]:
    """Return device -> seconds of it that are left, as far as they are known."""
    seconds = {found.device: found.total.gpu_s, CPU: found.total.cpu_s}
    return {device: value for device, value in seconds.items() if device is not None and value}
