"""From an experiment to its plan.

prepare ──────────────┐
(pretrain ─┐)         v
           └──> train (intermediate sweep) ──> select ──> train (target sweep) ──> select ──> evaluate

With pruning, `estimate` and `prune` stand between the first selection and the target sweep.
"""

from __future__ import annotations

from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE, Plan
from xtransfer.planner.analyses import AnalysisSteps, Model
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
    analyses = AnalysisSteps(experiment.analyses, draft, evaluations)
    trained = [Model(after=arm, key=each.key, name=each.name) for arm, each in starts.items()]
    probes = tuple(analyses.probes(arms=trained, models=targets.models))
    return Plan(
        experiment=experiment.name,
        steps=draft.steps,
        cells=tuple(cells),
        tasks=draft.tasks,
        gates=pruning.gates(draft.steps),
        probes=probes,
    )
