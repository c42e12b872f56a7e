"""The steps that are left of a plan: what each takes and how long, counted by phase, and as jobs to schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from xtransfer.config.placement import Placement
from xtransfer.costs.durations import Duration, Knowledge, Needs, duration_of, needs_of
from xtransfer.costs.schedule import Job
from xtransfer.plan import INLINE, Plan, Step, gates_of


@dataclass(kw_only=True)
class Group:
    """Steps that are counted together."""

    steps: int = 0
    gpu_s: float = 0.0
    cpu_s: float = 0.0
    """Of steps without a GPU."""
    unknown: int = 0
    """Steps of unknown time, which are in no sum."""

    def count(self, duration: Duration, needs: Needs) -> None:
        """Count one more step."""
        self.steps += 1
        if duration.seconds is None:
            self.unknown += 1
        elif needs.gpus:
            self.gpu_s += duration.seconds * needs.gpus
        else:
            self.cpu_s += duration.seconds * needs.cpus


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """What is left of a plan, in its order."""

    plan: Plan
    steps: tuple[Step, ...]
    needs: Mapping[str, Needs]
    """Key -> what the step takes while it runs."""
    durations: Mapping[str, Duration]
    """Key -> how long it takes."""

    def by_phase(self) -> dict[str, Group]:
        """Return phase -> its steps."""
        phases: dict[str, Group] = {}
        for step in self.steps:
            group = phases.setdefault(step.phase, Group())
            group.count(self.durations[step.key], self.needs[step.key])
        return phases

    def total(self) -> Group:
        """Return all steps as one group."""
        total = Group()
        for step in self.steps:
            total.count(self.durations[step.key], self.needs[step.key])
        return total

    def jobs(self) -> list[Job]:
        """Return the steps as jobs, each after its parents and what may prune it; unknown times as 0."""
        gates = gates_of(self.plan.gates)
        jobs: list[Job] = []
        for step in self.steps:
            prunes = (gate.prune for gate in gates.get(step.key, ()))
            before = dict.fromkeys((*step.inputs.values(), *prunes))
            job = Job(
                key=step.key,
                parents=tuple(key for key in before if key in self.needs),
                seconds=self.durations[step.key].seconds or 0.0,
                gpus=self.needs[step.key].gpus,
                cpus=self.needs[step.key].cpus,
                counted=step.kind not in INLINE,
            )
            jobs.append(job)
        return jobs

    def pruning(self) -> tuple[int, int]:
        """Return how many pairs of tasks prune steps have yet to compare, and how many they leave out."""
        pairs = Counter(gate.prune for gate in self.plan.gates if gate.prune in self.needs)
        kept = sum(
            min(count, self.plan.steps[prune].spec["keep"]) for prune, count in pairs.items()
        )
        return pairs.total(), pairs.total() - kept


def remainder_of(
    plan: Plan,
    recorded: Collection[str],
    placement: Placement,
    known: Knowledge,
    *,
    gpus: float | None,
) -> Remainder:
    """Return what is left of a plan.

    Args:
        plan: of the experiment.
        recorded: keys of the steps that are done.
        placement: says what a step takes.
        known: what durations are told from.
        gpus: of the cluster, up to which elastic trials take workers; None: any number.
    """
    steps = tuple(step for key, step in plan.steps.items() if key not in recorded)
    needs = {step.key: needs_of(step, plan.steps, placement, gpus) for step in steps}
    return Remainder(
        plan=plan,
        steps=steps,
        needs=needs,
        durations={step.key: duration_of(step, plan, needs[step.key], known) for step in steps},
    )
