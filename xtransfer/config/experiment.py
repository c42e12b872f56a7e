"""What the user asks to have computed: an experiment, all of which enters step keys but how it is judged.

It is strict: an unknown key, a wrong type or an unknown task is an error that names the file, the path in
it, and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from xtransfer.config.analyses import Analyses
from xtransfer.config.anatomy import check_adapters, check_layers, xlm_roberta
from xtransfer.config.checks import (
    check_alignment,
    check_arms,
    check_further_models,
    check_holdout,
    check_hub,
    check_low_resource,
    check_overrides,
    check_rules,
    check_scoring,
    check_targets,
)
from xtransfer.config.claims import Claim, check_claims, complete_claims
from xtransfer.config.data import Data
from xtransfer.config.encoder import Encoder
from xtransfer.config.judgement import Power, Statistics, Typology
from xtransfer.config.phases import Intermediate, Target
from xtransfer.config.retrieval import Retrieval
from xtransfer.config.training import Training
from xtransfer.errors import ConfigError
from xtransfer.pruning.settings import Pruning
from xtransfer.settings import Settings, check_name, read_settings, refuse_foreign
from xtransfer.sweeps.settings import check_sweeps
from xtransfer.tasks import TASKS, get_task
from xtransfer.tasks.task import Task
from xtransfer.tasks.user import check_user_tasks, complete_user_tasks, patched


class Experiment(Settings):
    """One experiment: everything that its plan's step keys depend on, and how it is judged."""

    name: str
    encoder: Encoder
    data: Data = Data()
    tasks: tuple[Task, ...] = ()
    """The user's own tasks: records like the built-in ones, or files that hold one."""
    intermediate: Intermediate = Intermediate()
    target: Target
    pruning: Pruning | None = None
    """Which pairs of intermediate and target task are trained; None: all of them."""
    training: Training = Training()
    retrieval: Retrieval = Retrieval()
    notes: tuple[str, ...] = ()
    """Printed at the head of the report."""
    analyses: Analyses = Analyses()
    statistics: Statistics = Statistics()
    typology: Typology = Typology()
    power: Power = Power()
    claims: tuple[Claim, ...] = ()
    """What the report is to decide: claims, or files of them named relative to the experiment."""

    _check_name = field_validator("name")(check_name)

    @property
    def book(self) -> Mapping[str, Task]:
        """Return every task that this experiment can name, its own included."""
        return {**TASKS, **{task.name: task for task in self.tasks}}

    @property
    def compares_sentences(self) -> bool:
        """Tell whether some target is sentences in two languages, which `retrieval` is about."""
        book = self.book
        return any(book[name].form == "bitext" for name in self.target.tasks)


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment from YAML, apply `a.b=c` overrides, and check it.

    Raises:
        ConfigError: naming the file (or the override), the path in it and the remedy.
    """
    experiment = read_settings(
        Experiment,
        path,
        overrides,
        str(path),
        bare={"encoder": "name"},
        complete=lambda raw: _complete(raw, path),
    )
    check_user_tasks(experiment.tasks, experiment.book, str(path))
    check_claims(experiment.claims, experiment.book, str(path))
    _check_tasks(experiment, str(path))
    return experiment


def _complete(raw: dict[str, Any], path: Path) -> None:
    """Write out what an experiment says in short or in other files; refuse what is not for it."""
    if others := {name: raw[name] for name in raw if name not in Experiment.model_fields}:
        from xtransfer.config.placement import Placement

        remedy = "Give it in the file of --placement, or by --place."
        refuse_foreign(others, Placement, str(path), of="placement", remedy=remedy)
    complete_user_tasks(raw, path)
    complete_claims(raw, path)


def _check_tasks(experiment: Experiment, where: str) -> None:
    """Check every task name, language and per-task setting against the tasks that exist."""
    book, data, target = experiment.book, experiment.data, experiment.target
    synthetic = data.synthetic is not None
    if experiment.encoder.pretrain is not None and not synthetic:
        raise ConfigError(
            f"{where}: encoder.pretrain",
            "pretrains on artificial languages, and there are none without data.synthetic",
            "Give encoder.name, a folder in Hugging Face layout or a hub name with `revision`.",
        )
    check_arms(experiment.intermediate, book, f"{where}: intermediate")
    check_targets(target, book, f"{where}: target", synthetic=synthetic)
    _check_pretrained(experiment, where)
    check_overrides(experiment.intermediate, target, book, where)
    check_rules(target, book, f"{where}: target", synthetic=synthetic)
    check_scoring(experiment.retrieval.scoring, book, f"{where}: retrieval.scoring")
    if experiment.analyses.alignment is not None:
        place = f"{where}: analyses.alignment"
        check_alignment(experiment.analyses.alignment, target, book, place, synthetic=synthetic)
    if not synthetic:
        place = f"{where}: typology.low_resource"
        check_low_resource(experiment.typology.low_resource, target, book, place)
    eval_every = experiment.training.eval_every
    check_further_models(target, book, f"{where}: target", eval_every=eval_every)
    for section, names in (
        ("data.files", data.files),
        ("data.sources", data.sources),
        ("data.limits.tasks", data.limits.tasks),
    ):
        for name in names:
            get_task(name, f"{where}: {section}", book)
    if data.sources and synthetic:
        what = "artificial languages are read from no files of yours"
        raise ConfigError(f"{where}: data.sources", what, "Leave one of them out.")
    for name in data.sources:
        patched(book[name], data.sources[name], f"{where}: data.sources.{name}")
        for arm in experiment.intermediate.tasks:
            if name in arm.tasks and arm.source and "files" not in arm.source:
                what = f"arm '{arm.name}' has a `source` of its own for the files of this task"
                next_ = "Say in one place how they are read, or name `files` in that of the arm."
                raise ConfigError(f"{where}: data.sources.{name}", what, next_)
    check_holdout(data, book, f"{where}: data.holdout")
    check_hub(data, book, set(_trained_on(experiment)), where)
    for name, phase, rules in (
        ("intermediate", experiment.intermediate, [experiment.intermediate.rule]),
        ("target", target, [target.rule, *target.rules.values()]),
    ):
        check_sweeps(
            phase.search,
            phase.asha,
            grid=phase.learning_rates,
            rules=rules,
            eval_every=eval_every,
            where=f"{where}: {name}",
        )


def _check_pretrained(experiment: Experiment, where: str) -> None:
    """Check settings of layers against the encoder that is to be pretrained; of others a plan looks them up."""
    pretrain = experiment.encoder.pretrain
    if pretrain is None:
        return
    found = xlm_roberta(pretrain.layers)
    check_adapters(experiment.training.lora, found, f"{where}: ")
    if experiment.compares_sentences:
        check_layers(experiment.retrieval, found, f"{where}: ")


def _trained_on(experiment: Experiment) -> Iterator[str]:
    """Yield the names of all tasks whose data the experiment reads."""
    for arm in experiment.intermediate.tasks:
        yield from arm.tasks
    for name in experiment.target.tasks:
        yield name
        yield from (stage.task for stage in experiment.book[name].stages or ())
