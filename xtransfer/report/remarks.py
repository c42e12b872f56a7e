"""Remarks of a report: what a reader must know of data, seeds and training, in words."""

from __future__ import annotations

from collections.abc import Mapping

from xtransfer.config.experiment import Experiment
from xtransfer.config.phases import Phase
from xtransfer.config.retrieval import Retrieval
from xtransfer.plan import Plan, Step, few_shot_data
from xtransfer.records.record import Record
from xtransfer.selection import Rule

SIZES = ("read", "available", "used", "rows", "tokens", "skipped")
"""What a prepare step records of a language besides the inputs it had to cut, split or window."""

_WITH_PARAGRAPHS = ("span", "choice", "retrieval")
"""Forms whose examples may share a paragraph, and are then held out together."""

_SELECTED_ON: Mapping[Rule, str] = {
    "best_dev": "dev score in the languages of training",
    "mean_over_seeds": "dev score in the languages of training",
    "tied_over_seeds": "dev score in the languages of training",
    "target_dev": "dev score in the target languages (an oracle)",
}
_RATES: Mapping[Rule, str] = {
    "mean_over_seeds": "the learning rate with the highest mean over seeds",
    "tied_over_seeds": (
        "the lowest learning rate whose mean over seeds is in the 95 % interval of the highest mean"
    ),
}
"""Of rules over seeds, at which learning rate a trial goes on."""


def cut_notes(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Name every data set of which less than all was used, with how much of it was."""
    cuts: list[str] = []
    shots = {key for step in plan.steps.values() for key in few_shot_data(step)}
    for step in _prepared(plan):
        held = step.spec["holdout"]
        if held is not None and step.spec["role"] == "dev":
            count = f"{held['examples']:,} examples"
            if step.spec["form"] in _WITH_PARAGRAPHS:
                count = f"at least {count} in whole paragraphs"
            if len(step.spec["data"]) > 1:
                count = f"{count} per language"
            cuts.append(
                f"{step.spec['task']} dev: held out of the training file, {count}, drawn with "
                f"seed {held['seed']}"
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
            sizes = sorted({f"{used:,} of {available:,}" for _, used, available in cut})
            shown = " / ".join(sizes) if len(sizes) <= 3 else f"at most {limit['examples']:,}"
            where = "per language" if len(record.result["languages"]) > 1 else "examples"
            what = f"{step.spec['task']} {step.spec['role']}"
            if step.key in shots:
                what = f"few-shot {step.spec['task']} {' '.join(step.spec['data'])}"
            cuts.append(f"{what}: {shown} {where}, sampled with seed {limit['seed']}")
    return sorted(set(cuts))


def truncation_notes(plan: Plan, records: Mapping[str, Record]) -> list[str]:
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


def seed_notes(experiment: Experiment) -> list[str]:
    """Say which seeds each phase had, and which trial of a sweep went on."""
    phases: dict[str, Phase] = {"target": experiment.target}
    if experiment.intermediate.tasks:
        phases["intermediate"] = experiment.intermediate
    notes: list[str] = []
    for name, phase in phases.items():
        seeds = ", ".join(map(str, phase.seeds))
        notes.append(f"{name} phase: seeds {seeds}; {_goes_on(phase.rule, phase)}")
    own = experiment.target.rules.items()
    return notes + [f"{target}: {_goes_on(rule, experiment.target)}" for target, rule in own]


def adapter_notes(experiment: Experiment, records: Mapping[str, Record]) -> list[str]:
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


def average_notes(experiment: Experiment, records: Mapping[str, Record]) -> list[str]:
    """Say what the rows of averages are, and which of them are of fewer checkpoints than was asked for."""
    average = experiment.target.average
    if average is None:
        return []
    heads = ""
    if average.seeds:
        heads = f"; the heads of all seeds start from one draw, of seed {average.head_seed}"
    chosen = "which no score chose"
    if average.checkpoints is not None and average.which == "best":
        chosen = "of the checkpoints with the highest dev scores"
    short = [
        f"{record.name}: the mean of {len(record.result['averaged'])} checkpoints and not of "
        f"{record.spec['count']}; its trial scored its dev set no more often"
        for record in records.values()
        if record.kind == "average"
        and record.spec["of"] == "checkpoints"
        and len(record.result["averaged"]) < record.spec["count"]
    ]
    return [
        f"rows named 'mean ...' score the arithmetic mean of weights, {chosen}{heads}",
        *sorted(short),
    ]


def mixture_notes(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Say of every selected trial on several parts what it drew, and what text training did."""
    remarks: list[str] = []
    for step in plan.steps.values():
        chosen = records.get(step.key) if step.kind == "select" else None
        trial = records.get(chosen.result["chosen"]) if chosen is not None else None
        if trial is None or len(trial.result["parts"]) + bool(trial.spec["text"]) < 2:
            continue
        steps = max(1, sum(part["draws"] for part in trial.result["parts"]))
        drawn = ", ".join(
            f"{part['name']} {part['draws']:,} ({100 * part['draws'] / steps:.1f} %, "
            f"planned {100 * part['share']:.1f} %)"
            for part in trial.result["parts"]
        )
        own = plan.steps.get(trial.key)
        name = f"{trial.name}{own.arm if own else ''}"
        remarks.append(f"{name} drew, in optimizer steps: {drawn}")
        loss = "dev loss" if len(trial.result["parts"]) == 1 else "dev text loss"
        losses = [entry[loss] for entry in trial.result["history"] if loss in entry]
        if trial.spec["text"] and len(losses) > 1:
            remarks.append(
                f"{name}: held-out masked-LM loss {losses[0]:.3f} before and {losses[-1]:.3f} "
                f"after, in nats ({trial.result['text_head']} masked-LM head)"
            )
    return sorted(set(remarks))


def retrieval_notes(records: Mapping[str, Record]) -> list[str]:
    """Say by what retrieval embeds sentences, where a layer was set for it."""
    for record in records.values():
        if record.kind == "evaluate" and "layer" in record.result:
            pooling = record.spec["retrieval"].get("pooling", "mean")
            part = "the first token" if pooling == "cls" else "the mean"
            how = "was set in the configuration"
            if record.spec["retrieval"].get("layer") == Retrieval.model_fields["layer"].default:
                how = "is the default, at 14/24 of the depth"
            text = (
                f"retrieval embeds sentences by {part} of hidden_states[{record.result['layer']}]; "
                f"the layer {how}, not selected"
            )
            return [text]
    return []


def lacking_notes(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """Return which selections were made without trials that had failed, though these may be recorded by now."""
    notes: list[str] = []
    for key, step in plan.steps.items():
        if step.kind != "select" or key not in records:
            continue
        lacking: list[str] = records[key].result.get("lacking", [])
        trials = sum(role.startswith("trial-") for role in step.inputs)
        if lacking:
            notes.append(
                f"{step.name}: selected without {len(lacking)} of {trials} trials, which had failed"
            )
    return notes


def _goes_on(rule: Rule, phase: Phase) -> str:
    """Say which trials of a sweep go on by a rule."""
    if rate := _RATES.get(rule):
        which = "the trial of each seed" if phase.select_per_seed else "the best trial"
        which = f"{which} at {rate} goes on"
    elif phase.select_per_seed:
        which = "the best learning rate of each seed goes on"
    else:
        which = "the best trial of each sweep goes on"
    return f"{which}, by {_SELECTED_ON[rule]}"


def _prepared(plan: Plan) -> list[Step]:
    return [step for step in plan.steps.values() if step.kind == "prepare"]
