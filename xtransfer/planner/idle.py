"""Settings that an experiment gives and its plan has no use for.

What can never do anything is refused when the experiment is read. These would do something in another
experiment, and often did in this one, before `--set` took a target or an arm out of it: they are told,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from xtransfer.config.averaging import arm_of
from xtransfer.config.claims import Except, Group, Targets, arms_of, parts_of
from xtransfer.config.experiment import Experiment
from xtransfer.config.phases import Phase
from xtransfer.config.placement import Placement
from xtransfer.config.retrieval import Retrieval
from xtransfer.config.training import Training
from xtransfer.errors import did_you_mean
from xtransfer.plan import BASELINE, Plan, Step
from xtransfer.selection import OVER_SEEDS
from xtransfer.sweeps.settings import DIGITS
from xtransfer.tasks.task import Task


def idle_lines(experiment: Experiment, plan: Plan, placement: Placement) -> list[str]:
    """Return what a run of this plan has no use for, of the experiment and of the placement."""
    return [*idle_settings(experiment, plan), *idle_places(experiment, placement)]


def idle_settings(experiment: Experiment, plan: Plan) -> list[str]:
    """Return a line for each setting that does nothing: its place in the experiment, and why.

    Args:
        experiment: as it was read.
        plan: the whole of it.
    """
    prepared = [step for step in plan.steps.values() if step.kind == "prepare"]
    found = [
        *_data(experiment, prepared),
        *_named(experiment),
        *_retrieval(experiment),
        *_search(experiment, plan),
        *_further(experiment, plan),
    ]
    lines = [f"{place} does nothing here: {why}" for place, why in found]
    return [*lines, *_narrow(experiment), *_undecidable(experiment)]


def idle_places(experiment: Experiment, placement: Placement) -> list[str]:
    """Return a line for each setting of a placement that does nothing to a run of this experiment."""
    usual, train, ray = Placement(), placement.train, placement.ray
    found: list[tuple[str, str]] = []
    if ray.address != "local":
        why = f"it is of a private cluster, and ray.address joins {ray.address}"
        found += [
            (f"ray.{name}", why) for name in ("cpus", "gpus") if getattr(ray, name) is not None
        ]
    if isinstance(train.workers, int) and train.resize_every_s != usual.train.resize_every_s:
        found.append(("train.resize_every_s", "train.workers is one number, which stays"))
    if experiment.training.on_nan != "skip":
        why = f"training.on_nan is {experiment.training.on_nan}"
        found += [
            (f"train.{name}", why)
            for name in ("skips_in_a_row", "skips_in_all")
            if getattr(train, name) != getattr(usual.train, name)
        ]
    if placement.s3 != usual.s3 and not placement.store.startswith("s3://"):
        found.append(("s3", "the store is a folder"))
    return [f"{place} does nothing here: {why}" for place, why in found]


_LENGTH = Task.model_fields["max_length"].default
_Idle = Iterator[tuple[str, str]]
"""Places of settings, and why each does nothing."""


def _data(experiment: Experiment, prepared: Collection[Step]) -> _Idle:
    """Find settings of data sets that no step reads."""
    data = experiment.data
    drawn = {(step.spec["task"], step.spec["role"]) for step in prepared}
    held = {step.spec["task"] for step in prepared if step.spec["holdout"] is not None}
    read = {
        (step.spec["task"], step.spec["split"], tuple(step.where["files"])) for step in prepared
    }
    hub = {step.spec["task"]: step.where["hub"] for step in prepared if step.where["hub"]}
    for name in sorted(data.holdout.keys() - held):
        yield f"data.holdout.{name}", f"nothing is trained on '{name}'"
    for name, splits in data.limits.tasks.items():
        for split in splits:
            if (name, split) not in drawn:
                yield f"data.limits.tasks.{name}.{split}", f"no step reads {split} data of '{name}'"
    for name, places in data.files.items():
        for split, templates in places.items():
            why = f"no step reads {split} data of '{name}' from files of `data`"
            if data.synthetic is not None:
                yield f"data.files.{name}.{split}", "artificial languages are read from no files"
            elif (name, split, templates) not in read:
                yield f"data.files.{name}.{split}", why
    for name in data.sources.keys() - {step.spec["task"] for step in prepared}:
        yield f"data.sources.{name}", f"no step reads data of '{name}'"
    for name in data.hub:
        if name != "all" and name not in hub:
            yield f"data.hub: {name}", f"no step reads data of '{name}'"
    repositories = {place["path"] for places in hub.values() for place in places}
    for name in sorted(data.revisions.keys() - repositories):
        yield f"data.revisions.{name}", "no step reads that repository"
    encoder = experiment.encoder
    if encoder.revision is not None and encoder.folder is not None:
        yield "encoder.revision", f"'{encoder.name}' is a folder here, taken as it is"


def _named(experiment: Experiment) -> _Idle:
    """Find settings for targets and arms that the experiment does not have."""
    target, alignment = experiment.target, experiment.analyses.alignment
    absent = "'{}' is not among target.tasks"
    scored = {*target.tasks, *(() if alignment is None else (alignment.task,))}
    for name in sorted(target.languages.keys() - scored):
        yield f"target.languages.{name}", absent.format(name)
    for name in sorted(target.overrides.keys() - {"all", *target.tasks}):
        yield f"target.overrides.{name}", absent.format(name)
    for name in sorted(experiment.retrieval.scoring.keys() - set(target.tasks)):
        yield f"retrieval.scoring.{name}", absent.format(name)
    arms = experiment.intermediate.tasks
    for at, arm in enumerate(arms):
        for split in sorted(set(arm.source.get("files", {})) - {"train", "dev"}):
            place = f"intermediate.tasks[{at}].source.files.{split}"
            yield place, "an arm reads train and dev data"
    used = {*target.tasks, *(name for arm in arms for name in arm.tasks)} | scored
    used |= {stage.task for name in target.tasks for stage in experiment.book[name].stages or ()}
    for at, task in enumerate(experiment.tasks):
        if task.name not in used:
            yield f"tasks[{at}]", f"'{task.name}' is no target, and no arm or stage trains on it"
        elif task.stages and task.max_length not in (_LENGTH, task.stages[-1].max_length):
            yield f"tasks[{at}].max_length", "that of the last of its `stages` is taken"
    alone = {arm.tasks[0] for arm in arms if len(arm.tasks) == 1}
    part = {name for arm in arms for name in arm.tasks}
    own = {arm.name: arm for arm in arms}
    for name, override in experiment.intermediate.overrides.items():
        place = f"intermediate.overrides.{name}"
        given = override.model_dump(exclude_none=True)
        if name == "all" or name in alone or (name in own and own[name].tasks):
            continue
        if name in own:
            if "max_length" in given:
                yield f"{place}.max_length", f"'{name}' has text alone: it is `text.max_length`"
        elif name not in part:
            yield place, f"no arm of intermediate.tasks is trained on '{name}'"
        else:
            for value in sorted(given.keys() & {"epochs", "batch_size"}):
                yield (
                    f"{place}.{value}",
                    f"'{name}' is trained on among others only, which have that as an arm",
                )


def _retrieval(experiment: Experiment) -> _Idle:
    settings, usual = experiment.retrieval, Retrieval()
    given = [
        name
        for name in ("layer", "layers", "pooling", "neighbours")
        if getattr(settings, name) != getattr(usual, name)
    ]
    tasks = [experiment.book[name] for name in experiment.target.tasks]
    used = {name for task in tasks if task.form == "bitext" for name in settings.of(task)}
    for name in given:
        if not used:
            yield f"retrieval.{name}", "no target compares sentences in two languages"
        elif name not in used:
            yield f"retrieval.{name}", "no target is scored by a margin over neighbours"


def _search(experiment: Experiment, plan: Plan) -> _Idle:
    """Find settings of sweeps that have nothing to choose among."""
    phases: Mapping[str, Phase] = {
        "intermediate": experiment.intermediate,
        "target": experiment.target,
    }
    for name, phase in phases.items():
        trials = [
            step.spec for step in plan.steps.values() if step.kind == "train" and step.phase == name
        ]
        if not trials:
            continue
        if phase.asha is not None and not any("asha" in spec for spec in trials):
            yield f"{name}.asha", "each sweep is one trial, which nothing is compared with"
        rules = {"rule": phase.rule, **_rules_of(phase)}
        for place, rule in rules.items():
            if rule in OVER_SEEDS and len(phase.seeds) == 1:
                yield f"{name}.{place}: {rule}", "there is one seed, so it is best_dev"
    training = experiment.training
    if training.eval_every is None and training.patience != Training().patience:
        yield "training.patience", "training.eval_every: null scores dev sets once, at the end"


def _rules_of(phase: Phase) -> dict[str, Any]:
    rules: Mapping[str, Any] = getattr(phase, "rules", {})
    return {f"rules.{name}": rule for name, rule in rules.items()}


def _further(experiment: Experiment, plan: Plan) -> _Idle:
    """Find sections that ask for steps, and get none."""
    kinds = {step.kind for step in plan.steps.values()}
    if experiment.pruning is not None and "prune" not in kinds:
        yield "pruning", "every target keeps all its intermediate tasks"
    if experiment.target.average is not None and "average" not in kinds:
        yield "target.average", "no target is trained for"
    if experiment.analyses.forgetting and not any(p.kind == "forgetting" for p in plan.probes):
        yield "analyses.forgetting", "no target is trained for after an intermediate task"


def _narrow(experiment: Experiment) -> Iterator[str]:
    """Tell where a random search finds fewer learning rates than it is to try."""
    for name, search in (
        ("intermediate", experiment.intermediate.search),
        ("target", experiment.target.search),
    ):
        if search.kind == "random" and (drawn := len(search.rates((), 0.0))) < search.trials:
            yield (
                f"{name}.search tries {drawn} and not {search.trials} learning rates: of {DIGITS} digits "
                "there are no more from `low` to `high`"
            )


def _undecidable(experiment: Experiment) -> Iterator[str]:
    """Tell of claims whose arms, targets or languages the experiment does not have."""
    arms = {BASELINE, *(arm.name for arm in experiment.intermediate.tasks)}
    targets = experiment.target.tasks
    for claim in experiment.claims:
        why = [
            f"this experiment has no arm '{name}'. {did_you_mean(name, arms)}".rstrip(". ")
            for name in arms_of(claim)
            if arm_of(name) not in arms
        ]
        for part in parts_of(claim.holds):
            names = _targets(part.targets, experiment)
            why += [f"'{each}' is not among target.tasks" for each in names if each not in targets]
            if not names:
                why.append("target.tasks has none of its targets")
            codes = part.languages if isinstance(part.languages, tuple) else ()
            scored = {code for each in names for code in _languages(each, experiment)}
            why += [
                f"none of its targets is scored in '{each}'" for each in codes if each not in scored
            ]
        for each in dict.fromkeys(why):
            yield f"claim {claim.name} may not be decidable here: {each}"


def _targets(asked: Targets, experiment: Experiment) -> list[str]:
    """Return the targets that a claim is about, those that it names though they are not there included."""
    if isinstance(asked, tuple):
        return list(asked)
    tasks = list(experiment.target.tasks)
    if isinstance(asked, Except):
        return [name for name in tasks if name not in asked.but]
    if isinstance(asked, Group):
        return [name for name in tasks if experiment.book[name].group == asked.group]
    return tasks


def _languages(target: str, experiment: Experiment) -> tuple[str, ...]:
    return experiment.target.languages.get(target, experiment.book[target].languages)
