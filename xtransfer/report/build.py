"""From a plan and its records to the results and remarks that a report is rendered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE, Cell, Plan
from xtransfer.pruning.pairs import Pruned, without_pruned
from xtransfer.records.record import Record
from xtransfer.report.analyses import analyse
from xtransfer.report.answer import Answer, build_answer
from xtransfer.report.contamination import (
    few_shot_trained_on_test,
    known_overlaps,
    selected_on_test,
    zero_shot_trained_on_test,
)
from xtransfer.report.draws import gather
from xtransfer.report.evidence import train_languages
from xtransfer.report.remarks import (
    adapter_notes,
    average_notes,
    cut_notes,
    lacking_notes,
    mixture_notes,
    retrieval_notes,
    seed_notes,
    truncation_notes,
)
from xtransfer.report.results import ReportInfo, Result, tabulate
from xtransfer.report.savings import search_notes
from xtransfer.store import Store
from xtransfer.tasks.task import Task


def collect_results(plan: Plan, records: Mapping[str, Record]) -> list[Result]:
    """Return one result a cell and language, for the cells that have records."""
    return [
        Result(
            target=cell.target,
            intermediate=cell.intermediate,
            seed=cell.seed,
            language=language,
            metric=plan.tasks[cell.target].metric,
            value=found["metrics"][plan.tasks[cell.target].metric],
            metrics=found["metrics"],
            n=found["examples"],
            selected_on=cell.selected_on,
            key=cell.key,
            group=plan.tasks[cell.target].group,
            form=plan.tasks[cell.target].form,
            few_shot=cell.few_shot,
        )
        for cell in plan.cells
        if cell.key in records
        for language, found in records[cell.key].result["languages"].items()
    ]


def describe_run(
    experiment: Experiment,
    plan: Plan,
    records: Mapping[str, Record],
    failures: Mapping[str, str] | None = None,
) -> ReportInfo:
    """Return what a reader must know beside the numbers."""
    whole, plan = plan, without_pruned(plan, records)
    chance_in = {
        target: found
        for target in experiment.target.tasks
        if (found := _chance_in(plan.tasks[target], plan, records))
    }
    return ReportInfo(
        name=experiment.name,
        encoder=_encoder_name(experiment),
        plan_key=whole.key,
        encoder_notes=experiment.encoder.notes,
        cuts=cut_notes(plan, records),
        missing=_missing(plan, records, failures or {}),
        notes=(
            *experiment.notes,
            *seed_notes(experiment),
            *adapter_notes(experiment, records),
            *average_notes(experiment, records),
            *search_notes(experiment, whole, records),
            *lacking_notes(plan, records),
            *mixture_notes(plan, records),
            *truncation_notes(plan, records),
            *retrieval_notes(records),
        ),
        languages={
            target: experiment.target.languages.get(target, plan.tasks[target].languages)
            for target in experiment.target.tasks
        },
        train_languages=train_languages(plan),
        chance={
            target: _chance(plan.tasks[target], chance_in.get(target))
            for target in experiment.target.tasks
        },
        chance_in=chance_in,
        single_split=[
            target for target in experiment.target.tasks if plan.tasks[target].single_labelled_split
        ],
        selected_on_test=selected_on_test(plan),
        trained_on_test=zero_shot_trained_on_test(plan),
        few_shot_trained_on_test=few_shot_trained_on_test(plan),
        known_overlaps=known_overlaps(plan),
    )


def answer_of(
    experiment: Experiment,
    plan: Plan,
    results: Sequence[Result],
    info: ReportInfo,
    *,
    store: Store | None = None,
    records: Mapping[str, Record] | None = None,
    pruned: Sequence[Pruned] = (),
) -> Answer:
    """Return what the results answer; with a store and records, with intervals and tests.

    `pruned` are the pairs that the plan is without.
    """
    zero_shot = [each for each in results if not each.few_shot]
    evidence = gather(
        plan, zero_shot, experiment.statistics, info.languages, store=store, records=records
    )
    table = tabulate(zero_shot, info.languages)
    answer = build_answer(experiment, plan, evidence, table, info, pruned)
    return replace(answer, analysed=analyse(plan, records or {}))


def results_json(results: list[Result]) -> list[dict[str, Any]]:
    """Return results as JSON rows."""
    return [
        {
            "target": each.target,
            "intermediate": each.intermediate,
            "seed": each.seed,
            "few_shot": each.few_shot,
            "language": each.language,
            "metric": each.metric,
            "value": each.value,
            "metrics": dict(each.metrics),
            "examples": each.n,
            "selected_on": each.selected_on,
            "key": each.key,
        }
        for each in results
    ]


def _encoder_name(experiment: Experiment) -> str:
    """Return what the report calls the encoder: of one in a folder, the folder's own name."""
    encoder = experiment.encoder
    if encoder.name is None:
        return "a tiny XLM-R pretrained by this run on artificial languages"
    return encoder.name if encoder.revision else encoder.name.rstrip("/").rsplit("/", 1)[-1]


def _missing(plan: Plan, records: Mapping[str, Record], failures: Mapping[str, str]) -> list[str]:
    missing = [
        f"{step.folder} failed: {failures[key]}"
        for key, step in plan.steps.items()
        if key in failures and key not in records
    ]
    missing += [
        f"{_place(cell)}{'' if cell.seed is None else f', seed {cell.seed}'}: not scored yet"
        for cell in plan.cells
        if cell.key not in records
    ]
    unmeasured = dict.fromkeys(
        f"{probe.kind} ({probe.task}) after {probe.target or probe.after}: not measured yet"
        for probe in plan.probes
        if probe.key not in records
    )
    return [*missing, *unmeasured]


def _place(cell: Cell) -> str:
    after = "without intermediate task"
    if cell.intermediate != BASELINE:
        after = f"after {cell.intermediate}"
    return f"{cell.target} {after}" + (f", {cell.few_shot}-shot" if cell.few_shot else "")


def _chance(task: Task, by_language: Mapping[str, float] | None) -> float | None:
    """Return the score of guessing, 0 to 100, where it follows from the task's definition."""
    if task.form == "classification" and task.metric == "accuracy":
        return 100.0 / len(task.labels)
    if (
        task.form == "choice"
        and len(task.labels) == 2
        and not task.source.columns.get("choice_labels")
    ):
        return 50.0  # of more answers, a row may have fewer than the task
    return fmean(by_language.values()) if by_language else None


def _chance_in(task: Task, plan: Plan, records: Mapping[str, Record]) -> dict[str, float]:
    """Return language -> score of guessing one of its n sentences, for retrieval by accuracy."""
    if task.form != "bitext" or task.metric != "accuracy":
        return {}
    return {
        language: 100.0 / found["examples"]
        for cell in plan.cells
        if cell.target == task.name and cell.key in records
        for language, found in records[cell.key].result["languages"].items()
    }
