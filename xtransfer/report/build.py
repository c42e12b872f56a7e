"""From a plan and its records to the results and remarks that a report is rendered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xtransfer.config import Experiment
from xtransfer.config.phases import Phase
from xtransfer.plan import BASELINE, Cell, Plan, Step
from xtransfer.pruning.gates import without_pruned
from xtransfer.records import Record
from xtransfer.report.analyses import analyse
from xtransfer.report.answer import Answer, build_answer
from xtransfer.report.draws import gather
from xtransfer.report.results import ReportInfo, Result, tabulate
from xtransfer.report.savings import search_notes
from xtransfer.selection import Rule
from xtransfer.store import Store
from xtransfer.tasks.task import Task

SIZES = ("read", "available", "used", "rows", "tokens", "skipped")
"""What a prepare step records of a language besides the inputs it had to cut, split or window."""


_RULES: Mapping[Rule, str] = {
    "best_dev": "English dev score",
    "mean_over_seeds": "English dev score, the learning rate by its mean over seeds",
    "target_dev": "dev score in the target languages (an oracle)",
}


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
    encoder = experiment.encoder
    if encoder.name is None:
        name = "a tiny XLM-R pretrained by this run on artificial languages"
    else:
        name = encoder.name.rstrip("/").rsplit("/", 1)[-1] if not encoder.revision else encoder.name
    remarks = _truncations(plan, records)
    layer, pooling = next(
        (
            (record.result["layer"], record.spec["retrieval"].get("pooling", "mean"))
            for record in records.values()
            if record.kind == "evaluate" and "layer" in record.result
        ),
        (None, ""),
    )
    if layer is not None:
        part = "the first token" if pooling == "cls" else "the mean"
        remarks.append(
            f"retrieval embeds sentences by {part} of hidden_states[{layer}]; the layer was set in "
            "the configuration, not selected"
        )
    return ReportInfo(
        name=experiment.name,
        encoder=name,
        plan_key=whole.key,
        encoder_notes=encoder.notes,
        cuts=_cuts(plan, records),
        missing=_missing(plan, records, failures or {}),
        notes=(
            *experiment.notes,
            *_seeds(experiment),
            *_adapters(experiment, records),
            *_averages(experiment),
            *search_notes(experiment, whole, records),
            *_mixtures(plan, records),
            *remarks,
        ),
        languages={
            target: experiment.target.languages.get(target, plan.tasks[target].languages)
            for target in experiment.target.tasks
        },
        chance={
            target: _chance(plan.tasks[target], plan, records) for target in experiment.target.tasks
        },
        single_split=[
            target for target in experiment.target.tasks if plan.tasks[target].single_labelled_split
        ],
    )


def _cuts(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Name every data set of which less than all was used, with how much of it was."""
    cuts: list[str] = []
    for step in _prepared(plan):
        held = step.spec["holdout"]
        if held is not None and step.spec["role"] == "dev":
            cuts.append(
                f"{step.spec['task']} dev: held out of the training file, at least "
                f"{held['examples']:,} examples in whole paragraphs, drawn with seed {held['seed']}"
            )
        limit, record = step.spec["limit"], records.get(step.key)
        if limit is None or record is None:
            continue
        cut = [
            (language, found["used"], found["available"])
            for language, found in record.result["languages"].items()
            if found["used"] < found["available"]
        ]
        if cut:
            sizes = sorted({f"{used:,} of {read:,}" for _, used, read in cut})
            shown = " / ".join(sizes) if len(sizes) <= 3 else f"at most {limit['examples']:,}"
            where = "per language" if len(record.result["languages"]) > 1 else "examples"
            cuts.append(
                f"{step.spec['task']} {step.spec['role']}: {shown} {where}, "
                f"sampled with seed {limit['seed']}"
            )
    return sorted(set(cuts))


def _truncations(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Say how many inputs were cut, split, windowed or left out, by data set."""
    remarks: list[str] = []
    for step in _prepared(plan):
        record = records.get(step.key)
        if record is None:
            continue
        totals: dict[str, int] = {}
        for found in record.result["languages"].values():
            counts = {name: count for name, count in found.items() if name not in SIZES}
            for reason, count in (*counts.items(), *found["skipped"].items()):
                totals[reason] = totals.get(reason, 0) + count
        parts = [f"{count:,} {reason}" for reason, count in sorted(totals.items()) if count]
        if parts:
            remarks.append(
                f"{step.spec['task']} {step.spec['role']} "
                f"(at most {step.spec['max_length']} tokens): {', '.join(parts)}"
            )
    return sorted(set(remarks))


def _seeds(experiment: Experiment) -> list[str]:
    phases: dict[str, Phase] = {"target": experiment.target}
    if experiment.intermediate.tasks:
        phases["intermediate"] = experiment.intermediate
    notes: list[str] = []
    for name, phase in phases.items():
        what = (
            "the best learning rate of each seed goes on"
            if phase.select_per_seed
            else "the best trial of each sweep goes on"
        )
        notes.append(
            f"{name} phase: seeds {', '.join(map(str, phase.seeds))}; {what}, by {_RULES[phase.rule]}"
        )
    own = experiment.target.rules.items()
    return notes + [f"{target}: selected by {_RULES[rule]}" for target, rule in own]


def _adapters(experiment: Experiment, records: Mapping[str, Record]) -> list[str]:
    """Say what of the weights was trained, where it was not all."""
    lora = experiment.training.lora
    if lora is None:
        return []
    counts = [
        record.result["trained_weights"]
        for record in records.values()
        if "trained_weights" in record.result
    ]
    shares = sorted(100 * each["trained"] / each["all"] for each in counts)
    many = ""
    if shares:
        low, high = f"{shares[0]:.2g}", f"{shares[-1]:.2g}"
        many = f": {low if low == high else f'{low} to {high}'} % of a trial's weights, its head included"
    return [f"trained by {lora.text()}{many}; all other weights of the encoder stayed as they were"]


def _averages(experiment: Experiment) -> list[str]:
    """Say what the rows of averages are."""
    average = experiment.target.average
    if average is None:
        return []
    heads = ""
    if average.seeds:
        heads = f"; the heads of all seeds start from one draw, of seed {average.head_seed}"
    chosen = "which no score chose"
    if average.checkpoints is not None and average.which == "best":
        chosen = "of the checkpoints with the highest dev scores"
    return [f"rows named 'mean ...' score the arithmetic mean of weights, {chosen}{heads}"]


def _mixtures(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Say of every selected trial on several parts what it drew, and what text training did."""
    remarks: list[str] = []
    for step in plan.steps.values():
        chosen = records.get(step.key) if step.kind == "select" else None
        trial = records.get(chosen.result["chosen"]) if chosen is not None else None
        if trial is None or len(trial.result["parts"]) + bool(trial.spec["text"]) < 2:
            continue
        drawn = ", ".join(
            f"{part['name']} {part['draws']:,} ({100 * part['share']:.1f} %)"
            for part in trial.result["parts"]
        )
        remarks.append(f"{trial.name} drew, in optimizer steps: {drawn}")
        name = "dev loss" if len(trial.result["parts"]) == 1 else "dev text loss"
        losses = [entry[name] for entry in trial.result["history"] if name in entry]
        if trial.spec["text"] and len(losses) > 1:
            remarks.append(
                f"{trial.name}: held-out masked-LM loss {losses[0]:.3f} before and {losses[-1]:.3f} "
                f"after, in nats ({trial.result['text_head']} masked-LM head)"
            )
    return sorted(set(remarks))


def _missing(plan: Plan, records: Mapping[str, Record], failures: Mapping[str, str]) -> list[str]:
    missing = [
        f"{plan.steps[key].folder} failed: {text}"
        for key, text in failures.items()
        if key in plan.steps and key not in records
    ]
    missing += [
        f"{_place(cell)}, seed {cell.seed}: not scored yet"
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


def _chance(task: Task, plan: Plan, records: Mapping[str, Record]) -> float | None:
    """Return the score of guessing, 0 to 100, where it follows from the task's definition."""
    if task.form == "classification":
        return 100.0 / len(task.labels)
    if task.form != "bitext" or task.metric != "accuracy":
        return None
    sizes = {
        found["examples"]
        for cell in plan.cells
        if cell.target == task.name and cell.key in records
        for found in records[cell.key].result["languages"].values()
    }
    return 100.0 / min(sizes) if sizes else None


def _prepared(plan: Plan) -> list[Step]:
    return [step for step in plan.steps.values() if step.kind == "prepare"]


def answer_of(
    experiment: Experiment,
    plan: Plan,
    results: Sequence[Result],
    info: ReportInfo,
    *,
    store: Store | None = None,
    records: Mapping[str, Record] | None = None,
) -> Answer:
    """Return what the results answer; with a store and records, with intervals and tests."""
    zero_shot = [each for each in results if not each.few_shot]
    evidence = gather(
        plan, zero_shot, experiment.statistics, info.languages, store=store, records=records
    )
    answer = build_answer(experiment, plan, evidence, tabulate(zero_shot, info.languages), info)
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
