"""Which recorded run of each target is submitted: after which arm, and with which seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xtransfer.benchmark.benchmarks import benchmarks_of
from xtransfer.config.averaging import is_average
from xtransfer.errors import ConfigError, UserError, did_you_mean
from xtransfer.plan import BASELINE, Cell, Plan
from xtransfer.pruning.pairs import Pruned
from xtransfer.records.record import Record

BEST = "best"
"""In place of an arm: each target's own, by the dev score of its selected trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The run that stands for a target."""

    cell: Cell
    dev: float | None = None
    """Score on the target's dev set that it was chosen by; None where it was named."""

    def note(self) -> str:
        """Say which run it is."""
        seed = "" if self.cell.seed is None else f", seed {self.cell.seed}"
        how = "" if self.dev is None else f" (best by dev: {self.dev:.2f})"
        after = (
            "baseline" if self.cell.intermediate == BASELINE else f"after {self.cell.intermediate}"
        )
        return f"{self.cell.target}: {after}{seed}{how}"


def choose_runs(
    plan: Plan,
    records: Mapping[str, Record],
    *,
    after: Sequence[str] = (),
    seed: int | None = None,
    pruned: Sequence[Pruned] = (),
) -> list[Chosen]:
    """Return one zero-shot run for every target of the plan that is a task of XTREME or XTREME-R.

    Args:
        plan: of the experiment, without the pairs that were pruned.
        records: key -> record of its recorded steps.
        after: what the user wrote: `ARM` for all targets, `TARGET=ARM` for one. An arm is the name of
            an intermediate task or mixture, `baseline`, or `best`. Nothing: the only one there is.
        seed: of the target trials; None: the only one there is.
        pruned: pairs that are not trained.

    Raises:
        ConfigError: where nothing says which of several runs, listing them, or a name is unknown.
        UserError: where the run is not recorded.
    """
    cells: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        if not cell.few_shot:
            cells.setdefault(cell.target, []).append(cell)
    wanted = _parse(after, cells)
    return [
        _choose(
            plan, records, own, after=wanted.get(target, wanted.get("")), seed=seed, pruned=pruned
        )
        for target, own in cells.items()
        if benchmarks_of(target)
    ]


def _parse(after: Sequence[str], cells: Mapping[str, Sequence[Cell]]) -> dict[str, str]:
    """Return target -> arm, under "" that of all others."""
    wanted: dict[str, str] = {}
    for entry in after:
        target, equals, arm = entry.partition("=")
        target, arm = (target, arm) if equals else ("", entry)
        if target and target not in cells:
            near = did_you_mean(target, cells)
            raise ConfigError(
                f"--after {entry}",
                f"no target '{target}'",
                f"{near} The experiment has: {', '.join(cells)}.".strip(),
            )
        if target in wanted:
            whose = f"target '{target}'" if target else "all targets"
            raise ConfigError(f"--after {entry}", f"names a second run for {whose}", "Give one.")
        wanted[target] = arm
    return wanted


def _choose(
    plan: Plan,
    records: Mapping[str, Record],
    cells: Sequence[Cell],
    *,
    after: str | None,
    seed: int | None,
    pruned: Sequence[Pruned],
) -> Chosen:
    seeded = _with_seed(cells, seed)
    if after == BEST:
        return _best(plan, records, seeded)
    arms = list(dict.fromkeys(cell.intermediate for cell in seeded))
    target = seeded[0].target
    if after is None and len(arms) > 1:
        raise ConfigError(
            target,
            f"was run after {len(arms)} arms: {', '.join(arms)}",
            f"Say which with --after {arms[-1]}, or --after best for each target's best on dev.",
        )
    arm = arms[0] if after is None else after
    own = [cell for cell in seeded if cell.intermediate == arm]
    lost = next((p for p in pruned if (p.target, p.intermediate) == (target, arm)), None)
    if not own and lost is not None:
        raise ConfigError(
            f"--after {arm}",
            f"{target} after {arm} {lost.why()}",
            f"Name another for it: --after {target}=ARM, one of: {', '.join(arms)}.",
        )
    if not own:
        near = did_you_mean(arm, arms)
        raise ConfigError(
            f"--after {arm}",
            f"{target} was not run after '{arm}'",
            f"{near} It was after: {', '.join(arms)}.".strip(),
        )
    _check_recorded(own[0], records)
    return Chosen(cell=own[0])


def _with_seed(cells: Sequence[Cell], seed: int | None) -> list[Cell]:
    """Return the cells of one seed; a cell without a seed of its own belongs to every seed."""
    seeds = sorted({cell.seed for cell in cells if cell.seed is not None})
    if not seeds:
        return list(cells)
    shown = ", ".join(map(str, seeds))
    if seed is None and len(seeds) > 1:
        raise ConfigError(
            cells[0].target, f"was run with {len(seeds)} seeds: {shown}", "Say which with --seed."
        )
    chosen = seeds[0] if seed is None else seed
    if chosen not in seeds:
        raise ConfigError(
            f"--seed {seed}", f"{cells[0].target} was not run with it", f"Its seeds: {shown}."
        )
    return [cell for cell in cells if cell.seed in (None, chosen)]


def _best(plan: Plan, records: Mapping[str, Record], cells: Sequence[Cell]) -> Chosen:
    """Return the run whose selected trial has the highest dev score; of equal ones the first."""
    target = cells[0].target
    arms = ", ".join(cell.intermediate for cell in cells)
    if not plan.tasks[target].stages:
        raise ConfigError(
            "--after best",
            f"{target} is not trained, so it has no dev score to choose by",
            f"Add --after {target}=ARM, one of: {arms}.",
        )
    scored: list[Chosen] = []
    for cell in cells:
        if is_average(cell.intermediate):
            continue  # no dev set scored it
        _check_recorded(cell, records)
        selected = records.get(plan.steps[cell.key].inputs.get("model", ""))
        if selected is None or selected.kind != "select":
            raise UserError(
                target,
                f"the dev score of its run after {cell.intermediate} is not recorded",
                f"Name the run: --after {target}=ARM, one of: {arms}.",
            )
        scored.append(Chosen(cell=cell, dev=selected.result["score"]))
    return max(scored, key=lambda each: each.dev or 0.0)


def _check_recorded(cell: Cell, records: Mapping[str, Record]) -> None:
    if cell.key in records:
        return
    raise UserError(
        Chosen(cell=cell).note(),
        "is not scored yet in this store",
        "Finish it with xtransfer run, or leave the target out with --set target.tasks=[...].",
    )
