"""Whole studies made up without a run: a plan, records of all its steps, and the answer from them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.config.claims import Claim
from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE, Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.records.outputs import OutputFile
from xtransfer.records.record import Record
from xtransfer.report.answer import Answer, build_answer
from xtransfer.report.build import collect_results, describe_run
from xtransfer.report.draws import gather
from xtransfer.report.results import ReportInfo, tabulate
from xtransfer.report.study import Study, study_of
from xtransfer.settings import read_settings
from xtransfer.statistics.resampling import number_of
from xtransfer.tasks import TASKS

DRAWS = 100
FORTY = TASKS["panx"].languages
CLAIMS = (
    {"name": "gains", "says": "mnli & more < gain", "holds": {"gain": {"after": "mnli"}, "greater_than": 0}},
    {"name": "best", "says": "squad_v1 is best", "holds": {"best": {"after": "squad_v1"}}, "published": "+8.2"},
    {"name": "absent", "says": "ccg gains", "holds": {"gain": {"after": "ccg"}, "greater_than": 0}},
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Made:
    """A made-up study."""

    experiment: Experiment
    plan: Plan
    records: dict[str, Record]
    answer: Answer
    study: Study
    info: ReportInfo


def make_study(
    *,
    targets: Mapping[str, Sequence[str]],
    arms: Sequence[str | Mapping[str, Any]] = ("mnli", "squad_v1"),
    seeds: int = 2,
    evaluations: int = 5,
    drawn: bool = True,
    without: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> Made:
    """Return a study of these targets, each with its languages.

    Args:
        targets: name -> languages; a name that is no task's is taken to be like XNLI.
        arms: intermediate tasks, and arms as an experiment has them.
        seeds: of the target phase.
        evaluations: of every trial.
        drawn: whether there are draws, and so intervals and tests.
        without: kinds of steps that have no record.
        overrides: further settings.
    """
    own = [
        _task(name, languages, at)
        for at, (name, languages) in enumerate(targets.items())
        if name not in TASKS
    ]
    experiment = read_settings(
        Experiment,
        None,
        [
            "name=made-up",
            "encoder={name: models/tiny}",
            "notes=['a <remark> & more']",
            f"tasks={json.dumps(own)}",
            f"intermediate={{tasks: {json.dumps(list(arms))}, learning_rates: [1e-5, 2e-5]}}",
            f"target={{tasks: {json.dumps(list(targets))}, seeds: {list(range(1, seeds + 1))}, learning_rates: [1e-5, 2e-5]}}",
            f"target.languages={json.dumps({name: list(own) for name, own in targets.items()})}",
            f"statistics.bootstrap={DRAWS if drawn else 0}",
            *overrides,
        ],
        "test",
    ).model_copy(update={"claims": tuple(Claim.model_validate(each) for each in CLAIMS)})
    plan = build_plan(experiment, FakePrints(distinct=True))
    records: dict[str, Record] = {}
    for key, step in plan.steps.items():
        if step.kind not in without:
            records[key] = _record(plan, step, records, evaluations)
    info = describe_run(experiment, plan, records)
    results = collect_results(plan, records)
    evidence = gather(plan, results, experiment.statistics, info.languages)
    if drawn:
        samples = {
            place: replace(
                sample,
                draws=sample.values.mean(axis=0)[:, None]
                + np.random.default_rng(number_of(*place)).normal(size=(len(sample.languages), DRAWS)),
            )
            for place, sample in evidence.samples.items()
        }  # fmt: skip
        evidence = replace(evidence, samples=samples)
    table = tabulate(results, info.languages)
    return Made(
        experiment=experiment,
        plan=plan,
        records=records,
        answer=build_answer(experiment, plan, evidence, table, info),
        study=study_of(experiment, plan, records, command="made-up.yaml --set 'a=\"<b>\"'"),
        info=info,
    )


def _task(name: str, languages: Sequence[str], at: int) -> dict[str, Any]:
    """Return a task like XNLI, which trains in a way of its own."""
    like = TASKS["xnli"]
    assert like.stages
    stages = tuple(stage.model_copy(update={"epochs": at + 1}) for stage in like.stages)
    own = like.model_copy(update={"name": name, "languages": tuple(languages), "stages": stages})
    return own.model_dump(mode="json")


def _record(plan: Plan, step: Step, records: Mapping[str, Record], evaluations: int) -> Record:
    chance = random.Random(step.folder.removesuffix(step.key))  # keys change, and these must not
    record = record_of(step)
    result: dict[str, Any] = dict(record.result)
    files: list[OutputFile] = []
    if step.kind == "train":
        parts = step.spec["parts"]
        dev = [
            f"dev {part['metric']}" if len(parts) == 1 else f"dev {part['task']} {part['metric']}"
            for part in parts
        ]
        result["history"] = [
            {
                "step": 50 * at,
                "loss": 2 / at + chance.random() / 5,
                **{name: 80 - 40 / at + chance.random() for name in dev},
            }
            for at in range(1, evaluations + 1)
        ]
        result["score"] = fmean(result["history"][-1][name] for name in dev)
        files.append(_file(step, "weights.safetensors"))
    if step.kind == "select":
        candidates = [
            {
                "key": key,
                "score": records[key].result["score"] if key in records else 0.0,
                "learning_rate": plan.steps[key].spec["learning_rate"],
                "seed": plan.steps[key].spec["seed"],
                "best_step": 1,
            }
            for key in step.inputs.values()
            if plan.steps[key].kind == "train"
        ]
        best = max(candidates, key=lambda each: (each["score"], each["key"]))
        result = {
            "candidates": candidates,
            "chosen": best["key"],
            "score": best["score"],
            "split": step.spec["split"],
        }
    if step.kind == "evaluate":
        arm = step.name.partition("-after-")[2].partition("-seed")[0]
        lift = {BASELINE: 0.0, "mnli": 12.0}.get(arm, -8.0)
        result["languages"] = {
            name: {
                "metrics": {
                    step.spec["metric"]: 50 + 10 * random.Random(name).random()
                    + lift * random.Random(name).random() + chance.gauss(0, 0.7)
                },
                "examples": 5010,
            }
            for name in step.spec["languages"]
        }  # fmt: skip
        files = [_file(step, f"predictions/{name}.jsonl") for name in step.spec["languages"]]
        files.append(_file(step, "scores.json"))
    return record.model_copy(
        update={
            "result": result,
            "files": tuple(files),
            "environment": {"torch": "2.13.0", "xtransfer": "0.1.0"},
            "placement": {kind: {"cpus": 4.0, "gpus": 1.0} for kind in ("train", "evaluate")}
            | {"prepare": {"cpus": 2.0, "gpus": 0.0}},
            "timing": {"started": 1e9, "seconds": 60.0 + chance.randrange(3600)},
        }
    )


def _file(step: Step, name: str) -> OutputFile:
    return OutputFile(
        name=name,
        object=f"{step.folder}/0/{name}",
        size=100_000,
        sha256=f"{number_of(step.key, name):064x}"[:64],
    )


def large_study() -> Made:
    """Return one as large as they come: 12 targets in 40 languages, after nine arms and none, 3 seeds."""
    return make_study(
        targets={f"target-{at}": FORTY for at in range(1, 13)},
        arms=(
            "anli+", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa",
            "commonsenseqa",
        ),
        seeds=3,
        evaluations=60,
        overrides=("power={cpu_watts: 10, gpu_watts: 400}",),
    )  # fmt: skip


def small_study(**changes: Any) -> Made:
    """Return one of three targets of different languages."""
    targets = {
        "xnli": ("de", "en", "sw", "tr"),
        "udpos": ("en", "fi", "ta"),
        "tatoeba": ("de", "te"),
    }
    return make_study(**{"targets": targets, **changes})
