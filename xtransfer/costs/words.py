"""An estimate in words, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from xtransfer.costs.durations import Duration
from xtransfer.costs.estimate import Cost, Estimate, Fit, amounts, hours
from xtransfer.plan import Plan

_BASIS = {
    "measured": "measured",
    "alike": "measured on alike",
    "table": "your table",
    "estimate": "estimate",
    "unknown": "unknown",
}
"""Words for what a duration rests on."""
_SHOWN = 5
"""Steps of unknown time that are named."""


def phase_rows(found: Estimate) -> list[list[str]]:
    """Return the table of what is left by phase: steps, GPU-hours, CPU-hours, steps of unknown time."""
    rows = [
        [name, str(each.steps), _number(each.gpu_s), _number(each.cpu_s), str(each.unknown or "")]
        for name, each in found.phases.items()
    ]
    total = found.total
    unknown = str(total.unknown or "")
    least = "at least " if total.unknown else ""
    return [
        *rows,
        [
            "all",
            str(total.steps),
            least + _number(total.gpu_s),
            least + _number(total.cpu_s),
            unknown,
        ],
    ]


def figure_rows(found: Estimate) -> list[list[str]]:
    """Return the table of what the hours rest on; `figure` is the number of a line of `figure_lines`."""
    numbers = _figures(found)
    return [
        [
            each.about,
            str(group.steps),
            "?" if each.seconds is None else _number(group.gpu_s + group.cpu_s),
            _BASIS[each.trust],
            f"[{numbers[each.source]}]",
            each.examples,
        ]
        for each, group in found.figures
    ]


def figure_lines(found: Estimate) -> Iterator[str]:
    """Yield each figure that the hours rest on once, with its source and date."""
    for source, number in _figures(found).items():
        yield f"[{number}] {source}"


def unknown_lines(found: Estimate, plan: Plan) -> Iterator[str]:
    """Name the steps of unknown time."""
    folders = [plan.steps[key].folder for key, each in found.durations.items() if not _known(each)]
    if folders:
        more = f" and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else ""
        yield f"of unknown time, in no sum: {', '.join(folders[:_SHOWN])}{more}; --json names all"


def _known(duration: Duration) -> bool:
    return duration.seconds is not None


def _figures(found: Estimate) -> dict[str, int]:
    """Number the sources of all figures, from 1."""
    sources = dict.fromkeys(each.source for each, _ in found.figures)
    return {source: number for number, source in enumerate(sources, 1)}


def summary_lines(found: Estimate) -> Iterator[str]:
    """Yield the rest, a line each: trials, time, money, quota."""
    yield (
        f"trials: {found.trials}, of which {found.trials_recorded} are recorded; "
        "early stopping is ignored, so that their hours are upper bounds"
    )
    if found.left_out:
        yield (
            f"pruning will leave out {found.left_out} of {found.pairs} pairs of intermediate and target "
            "task; the hours are those of all"
        )
    least = "at least " if found.total.unknown else ""
    yield f"critical path: {least}{_time(found.critical_s)} in {len(found.critical)} steps"
    if found.bound_s is not None:
        where = "these CPUs" if found.gpus is None else f"{found.gpus:g} GPUs"
        span = (
            "a step finds no room"
            if found.makespan_s is None
            else f"{least}{_time(found.makespan_s)}, {_time(found.bound_s)} at best"
        )
        yield f"makespan on {where}: {span}"
    for cost in found.costs:
        yield _cost_line(cost, least)
    if found.unpriced:
        yield f"no price is given for {' and '.join(found.unpriced)}: what that costs is in no sum"
    if found.fit is not None:
        yield _fit_line(found.fit, least)


def _cost_line(cost: Cost, least: str) -> str:
    used = _money(cost, cost.hours)
    held = "" if cost.held_hours is None else f"; held throughout {_money(cost, cost.held_hours)}"
    return f"cost on {cost.device}: {least}{used}{held} ({cost.price.source}, {cost.price.date})"


def _money(cost: Cost, hours_: float) -> str:
    found = amounts(cost, hours_)
    parts = [f"{value:,.2f} {name.replace('_', '-')}" for name, value in found.items()]
    return f"{cost.price.currency} {' or '.join(parts)}"


def _fit_line(fit: Fit, least: str) -> str:
    head = "these CPUs: " if fit.gpus is None else f"quota of {fit.gpus} GPUs: "
    fits = "fits as far as is known" if least else "fits"
    if fit.makespan_s is None:
        return f"{head}does not fit: a step takes {fit.largest:g} GPUs, or finds no CPUs"
    span = f"makespan {least}{_time(fit.makespan_s)}"
    if fit.beyond is not None:
        fits, span = f"does not fit: --gpus asks for {fit.beyond}", f"with {fit.gpus}, {span}"
    if fit.over_s is None:
        return f"{head}{fits}; {span}"
    if fit.over_s <= 0:
        spare = f"{'at most ' if least else ''}{_time(-fit.over_s)}"
        return f"{head}{fits}, {spare} to spare; {span}"
    short = f", {_number(fit.short_gpu_s)} GPU-hours short" if fit.short_gpu_s else ""
    return f"{head}does not fit: {_time(fit.over_s)} over the deadline{short}; {span}"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _number(seconds: float) -> str:
    found = hours(seconds) or 0.0
    return f"{found:,.1f}" if found >= 10 else f"{found:.3f}"
