"""From an experiment to its plan.

prepare ──────────────┐
(pretrain ─┐)         v
           └──> train (intermediate sweep) ──> select ──> train (target sweep) ──> select ──> evaluate

With pruning, `estimate` and `prune` stand between the first selection and the target sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xtransfer.config.analyses import Common, Model, plan_analyses
from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE, Plan, Probe
from xtransfer.planner.draft import Draft
from xtransfer.planner.evaluations import EvaluationSteps
from xtransfer.planner.inputs import Fingerprints, InputSteps
from xtransfer.planner.intermediate import Start, plan_arm
from xtransfer.planner.pruning import PruningSteps
from xtransfer.planner.sweeps import SweepSteps
from xtransfer.planner.targets import TargetSteps


def build_plan(experiment: Experiment, fingerprints: Fingerprints) -> Plan:
    """Turn an experiment into its plan. Pure but for what `fingerprints` looks up."""
    draft = Draft(experiment.book)
    inputs = InputSteps(experiment, fingerprints, draft.add)
    sweeps = SweepSteps(experiment, inputs, draft)
    evaluations = EvaluationSteps(experiment, inputs, draft)
    arms = {
        arm.name: plan_arm(arm, experiment.intermediate, sweeps, draft.task)
        for arm in experiment.intermediate.tasks
    }
    pruning = PruningSteps(
        experiment.pruning, draft.add, sources=[each.form for each in arms.values()]
    )
    targets = TargetSteps(
        experiment,
        draft,
        inputs=inputs,
        sweeps=sweeps,
        evaluations=evaluations,
        pruning=pruning,
    )
    starts = {BASELINE: Start(), **arms}
    cells = [
        cell
        for name in experiment.target.tasks
        for arm, start in starts.items()
        for cell in targets.pair(draft.task(name), arm, start)
    ]
    common = Common(
        add=draft.add,
        encoder=inputs.encoder,
        encoder_id=inputs.encoder_id,
        where=inputs.encoder_where,
        precision=experiment.training.precision,
    )
    probes = tuple(_probes(experiment, draft, common, starts, targets.models, evaluations))
    return Plan(
        experiment=experiment.name,
        steps=draft.steps,
        cells=tuple(cells),
        tasks=draft.tasks,
        gates=pruning.gates(draft.steps),
        probes=probes,
    )


def _probes(
    experiment: Experiment,
    draft: Draft,
    common: Common,
    starts: Mapping[str, Start],
    models: list[Model],
    evaluations: EvaluationSteps,
) -> Iterator[Probe]:
    """Plan the analyses of what arms and targets are trained to."""
    return plan_analyses(
        experiment.analyses,
        common,
        arms=[Model(after=arm, key=each.key, name=each.name) for arm, each in starts.items()],
        models=models,
        steps=draft.steps,
        task=draft.task,
        pairs=evaluations.test_data,
    )
