"""What the user asks to have computed: an experiment, all of which enters step keys.

It is strict: an unknown key, a wrong type or an unknown task is an error that names the file, the path in
it, and what was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from xtransfer.adapters import Lora
from xtransfer.analyses import Analyses
from xtransfer.arms import Arm, FewShot
from xtransfer.averaging import Average
from xtransfer.claims import Claim, check_claims, complete_claims
from xtransfer.errors import ConfigError
from xtransfer.judgement import Power, Statistics, Typology
from xtransfer.pruning.settings import Pruning
from xtransfer.selection import RULES, Rule
from xtransfer.settings import Settings, check_languages, check_name, distinct, read_settings
from xtransfer.sweeps.settings import Asha, Search, check_sweeps
from xtransfer.tasks import TASKS, get_task
from xtransfer.tasks.hub import HUB, NOT_ON_HUB, check_revisions, on_hub
from xtransfer.tasks.task import Scoring, Source, Split, Task
from xtransfer.tasks.user import check_user_tasks, complete_user_tasks, patched

_Beta = Annotated[float, Field(ge=0, lt=1)]
"""A rate of decay of Adam's running means."""


class Pretrain(Settings):
    """The demo's own encoder: a tiny XLM-R pretrained on the artificial languages."""

    steps: int = Field(default=1500, ge=1)
    seed: int = 0
    options: Mapping[str, int | float | str | bool] = Field(default_factory=dict)
    """Further fields of `xtransfer.train.pretrain.PretrainSpec`."""


class Encoder(Settings):
    """The pretrained masked language model that every branch starts from."""

    name: str | None = None
    """A folder in Hugging Face layout, or a repository name on the hub."""
    revision: str | None = None
    """Full commit hash; required for a repository."""
    pretrain: Pretrain | None = None
    """Set instead of `name` to pretrain a tiny encoder first (the demo)."""
    notes: tuple[str, ...] = ()
    """Caveats that the report prints beside every result."""

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> Encoder:
        if (self.name is None) == (self.pretrain is None):
            raise ValueError("give either `name` (a folder or a hub repository) or `pretrain`")
        return self


class Synthetic(Settings):
    """Artificial languages instead of data files (`xtransfer.data.synthetic`)."""

    seed: int = 0
    options: Mapping[str, int | float | str] = Field(default_factory=dict)
    """Further fields of `xtransfer.data.synthetic.World`."""


class Limits(Settings):
    """How many examples are used; a cut is a seeded sample and part of the identity."""

    seed: int = 0
    train: int | None = Field(default=None, ge=1)
    dev: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    tasks: Mapping[str, Mapping[Split, int | None]] = Field(default_factory=dict)
    """Task -> split -> examples, where it differs from the three above."""

    def of(self, task: str, split: Split) -> int | None:
        """Return the largest number of examples of this task and split, None for all."""
        own = self.tasks.get(task, {})
        return own[split] if split in own else getattr(self, split, None)


class Data(Settings):
    """Where the data files are and how much of them is used."""

    root: str = "data"
    """Folder that the tasks' file names are relative to."""
    synthetic: Synthetic | None = None
    files: Mapping[str, Mapping[Split, tuple[str, ...]]] = Field(default_factory=dict)
    """Task -> split -> path templates, where they differ from the task's own."""
    hub: tuple[str, ...] = ()
    """Tasks that are read from the Hugging Face hub instead of files; `true`: all but those that
    `files` names."""
    revisions: Mapping[str, str] = Field(default_factory=dict)
    """Repository on the hub -> full commit hash, where it is not the recorded one."""
    holdout: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Task -> examples of its training file that are kept as its dev set and not trained on. Span
    examples are held out by whole paragraphs."""
    limits: Limits = Limits()

    @field_validator("hub", mode="before")
    @classmethod
    def _all_or_none(cls, value: Any) -> Any:
        if value is True or value == "all":
            return ("all",)
        return () if value is False else value

    @field_validator("revisions")
    @classmethod
    def _full(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for repository, revision in value.items():
            if not re.fullmatch(r"[0-9a-f]{40}", revision):
                raise ValueError(
                    f"'{revision}' of {repository} is no full commit hash (40 hex digits)"
                )
        return value

    def source_of(self, task: Task, split: Split) -> Source:
        """Return where a split of the task is: its own place, the experiment's files, or the hub.

        The hub stands in for the files that the study's own record names, never for others.
        """
        own = task.name in TASKS and task.source == TASKS[task.name].source
        known = task.name in HUB or task.name in NOT_ON_HUB
        everything = "all" in self.hub and known and task.name not in self.files
        if own and (everything or task.name in self.hub):
            return on_hub(task, revisions=self.revisions, where="data.hub").source
        templates = self.files.get(task.name, {}).get(split)
        if templates is None:
            return task.source
        return task.source.model_copy(update={"files": {**task.source.files, split: templates}})


class StageOverride(Settings):
    """Values of a training stage that differ from the task's defaults."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    max_length: int | None = Field(default=None, ge=8)
    stride: int | None = Field(default=None, ge=0)


class Phase(Settings):
    """The grid of trials of each task or arm of a phase."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (1,)
    learning_rates: tuple[float, ...] = ()
    """Empty: the task's own default."""
    search: Search = Search()
    asha: Asha | None = None
    """Whether trials are stopped that fall behind; None: every one runs to its end."""
    overrides: Mapping[str, StageOverride] = Field(default_factory=dict)
    """Task or arm -> changed stage values; `all` applies first, then the task's, then the arm's."""
    select_per_seed: bool
    """True: the best learning rate of each seed goes on, so every seed is a replicate of its own.
    False: the one best trial of the whole sweep goes on."""
    rule: Rule = "best_dev"
    """How the trial that goes on is chosen, see `xtransfer.selection`."""
    incomplete: Literal["refuse", "allow"] = "refuse"
    """What a selection does with a grid that lacks trials."""

    def rates(self, default: float) -> tuple[float, ...]:
        """Return the learning rates of a sweep whose task has this one by default."""
        return self.search.rates(self.learning_rates, default)

    @field_validator("seeds", "learning_rates")
    @classmethod
    def _no_repeats(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @field_validator("learning_rates")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < rate < 1 for rate in value):
            raise ValueError("learning rates lie between 0 and 1")
        return value


class Intermediate(Phase):
    """Phase 2 of the study: fine-tuning on an intermediate task."""

    tasks: tuple[Arm, ...] = ()
    """Each a task's name or an arm: what is trained on before the targets."""
    select_per_seed: bool = False

    @field_validator("tasks")
    @classmethod
    def _other_names(cls, value: tuple[Arm, ...]) -> tuple[Arm, ...]:
        distinct(tuple(arm.name for arm in value))
        return value


class Target(Phase):
    """Phase 3: fine-tuning on a target's English training set, then scoring in every language."""

    tasks: tuple[str, ...]
    select_per_seed: bool = True
    languages: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Target -> languages to score, where not all of the task's."""
    rules: Mapping[str, Rule] = Field(default_factory=dict)
    """Target -> its own rule, where not `rule`."""
    dev_languages: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Target -> languages whose dev sets the rule `target_dev` takes; none: those that are scored."""
    few_shot: Mapping[str, FewShot] = Field(default_factory=dict)
    """Target -> a further stage on examples of a target language, beside the zero-shot score."""
    average: Average | None = None
    """Averages of weights that are scored beside the selected models."""

    @field_validator("languages")
    @classmethod
    def _codes(cls, value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for codes in value.values():
            check_languages(codes)
        return value

    @field_validator("tasks")
    @classmethod
    def _other_tasks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)

    @field_validator("seeds")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("needs at least one seed")
        return value


class Training(Settings):
    """Hyper-parameters shared by all trials. Defaults follow SPEC of the study (jiant)."""

    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises linearly; it then falls to 0."""
    weight_decay: float = Field(default=0.01, ge=0)
    adam_epsilon: float = Field(default=1e-8, gt=0)
    adam_betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    clip: float = Field(default=1.0, gt=0)
    """Largest L2 norm of the gradient."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """None: what the encoder's own configuration says."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast with fp32 master weights."""
    eval_every: int | None = Field(default=1000, ge=1)
    """Steps between two dev evaluations; the last step is always evaluated. None: only there."""
    patience: int = Field(default=30, ge=1)
    """Dev evaluations without improvement before a trial stops."""
    on_nan: Literal["fail", "skip"] = "fail"
    """What becomes of an optimizer step whose loss or gradient is not finite: it fails the trial, or it is
    left out and noted. How often is put up with is a matter of placement (`train.skips_in_all`)."""
    lora: Lora | None = None
    """Train adapters instead of the whole encoder, in all trials."""

    def identity(self) -> dict[str, Any]:
        """Return what enters the keys of trials. That a step fails them does not: it leaves no record."""
        absent = {"on_nan"} if self.on_nan == "fail" else set[str]()
        absent |= {"lora"} if self.lora is None else set()
        return self.model_dump(mode="json", exclude=absent)


class Retrieval(Settings):
    """How sentences are embedded for the retrieval targets."""

    layer: int | float = 14 / 24
    """Index into `hidden_states` (0: embeddings), or a share of the depth between 0 and 1."""
    pooling: Literal["mean", "cls"] = "mean"
    """Mean over non-padding positions, special tokens included; or the first token alone."""
    layers: Literal["all"] | tuple[int | float, ...] = ()
    """Layers that are scored beside `layer`, all in the one forward pass. They are for information:
    the score of the target is that of `layer`. Of BUCC, which has a dev set, the layer that is best
    there is noted too."""
    scoring: Mapping[str, Scoring] = Field(default_factory=dict)
    """Task -> cosine, ratio or csls, where not as the task has it (tatoeba cosine, bucc2018 ratio)."""
    neighbours: int = Field(default=4, ge=1)
    """Nearest neighbours of a sentence that a margin is taken over, and that are ranked by it."""

    @field_validator("layer")
    @classmethod
    def _index_or_share(cls, value: float) -> float:
        if value < 0 or (isinstance(value, float) and not value <= 1):
            raise ValueError("is an index (0, 1, ...) or a share of the depth (0.0 to 1.0)")
        return value

    @field_validator("layers")
    @classmethod
    def _indices_or_shares(cls, value: Any) -> Any:
        return value if value == "all" else tuple(cls._index_or_share(each) for each in value)

    def of(self, task: Task) -> dict[str, Any]:
        """Return what of this decides a bitext task's scores; what is not used is left out."""
        settings: dict[str, Any] = {"layer": self.layer, "pooling": self.pooling}
        if self.layers:
            settings["layers"] = self.layers if self.layers == "all" else list(self.layers)
        scoring = self.scoring.get(task.name, task.scoring)
        if scoring != "cosine" or task.metric == "f1":
            settings |= {"scoring": scoring, "neighbours": self.neighbours}
        return settings


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
        complete=lambda raw: _complete(raw, path),
    )
    check_user_tasks(experiment.tasks, experiment.book, str(path))
    check_claims(experiment.claims, experiment.book, str(path))
    _check_tasks(experiment, str(path))
    return experiment


def _complete(raw: dict[str, Any], path: Path) -> None:
    """Write out what an experiment says in short or in other files."""
    complete_user_tasks(raw, path)
    complete_claims(raw, path)


def _check_tasks(experiment: Experiment, where: str) -> None:
    """Check every task name, language and per-task setting against the tasks that exist."""
    _check_arms(experiment, f"{where}: intermediate")
    _check_targets(experiment, f"{where}: target")
    for section, names in (
        ("data.files", experiment.data.files),
        ("data.limits.tasks", experiment.data.limits.tasks),
        ("data.holdout", experiment.data.holdout),
        ("retrieval.scoring", experiment.retrieval.scoring),
    ):
        for name in names:
            get_task(name, f"{where}: {section}", experiment.book)
    _check_hub(experiment, where)
    target = experiment.target
    for name, phase, rules in (
        ("intermediate", experiment.intermediate, [experiment.intermediate.rule]),
        ("target", target, [target.rule, *target.rules.values()]),
    ):
        check_sweeps(
            phase.search,
            phase.asha,
            grid=phase.learning_rates,
            rules=rules,
            eval_every=experiment.training.eval_every,
            where=f"{where}: {name}",
        )


def _check_arms(experiment: Experiment, where: str) -> None:
    book, phase = experiment.book, experiment.intermediate
    for index, arm in enumerate(phase.tasks):
        place = f"{where}.tasks[{index}]"
        for name in arm.tasks:
            if get_task(name, place, book).as_intermediate is None:
                raise _unable(place, name, "an intermediate")
        if arm.source:
            patched(book[arm.tasks[0]], arm.source, place)
    for name in phase.overrides:
        if name not in ("all", *(arm.name for arm in phase.tasks)):
            get_task(name, f"{where}.overrides", book)
    if phase.tasks and not phase.seeds:
        raise ConfigError(f"{where}.seeds", "needs at least one seed")
    if phase.rule == "target_dev":
        raise ConfigError(
            f"{where}.rule", "an intermediate task has no target", "Set target.rule instead."
        )


def _check_targets(experiment: Experiment, where: str) -> None:
    book, target = experiment.book, experiment.target
    if not target.tasks:
        raise ConfigError(f"{where}.tasks", "needs at least one target task")
    for index, name in enumerate(target.tasks):
        place = f"{where}.tasks[{index}]"
        if get_task(name, place, book).stages is None:
            raise _unable(place, name, "a target")
    for name in target.overrides:
        if name != "all":
            get_task(name, f"{where}.overrides", book)
    for name, languages in target.languages.items():
        place = f"{where}.languages.{name}"
        task = get_task(name, place, book)
        if not languages:
            raise ConfigError(place, "needs at least one language")
        if experiment.data.synthetic is None:
            known = (*task.languages, *task.more_languages)
            _check_languages(languages, known, place, f"'{name}' has no language")
    _check_rules(experiment, where)
    _check_analyses(experiment, where.removesuffix(": target"))
    if target.average is not None and not target.select_per_seed:
        what = "averages the models of seeds, and `select_per_seed: false` lets one trial go on"
        raise ConfigError(f"{where}.average", what, "Leave one of them out.")
    if target.average is not None and target.average.seeds and len(target.seeds) < 2:
        raise ConfigError(
            f"{where}.average.seeds", "there is one seed, and no mean of one", "Add seeds."
        )
    for name, few in target.few_shot.items():
        place = f"{where}.few_shot.{name}"
        task = get_task(name, place, book)
        if name not in target.tasks:
            raise ConfigError(place, f"'{name}' is not among target.tasks")
        if not task.stages:
            raise ConfigError(place, f"'{name}' is not trained for, so it has no few-shot stage")
        scored = target.languages.get(name, task.languages)
        _check_languages(few.languages, scored, f"{place}.languages", f"'{name}' is not scored in")


def _check_analyses(experiment: Experiment, where: str) -> None:
    alignment = experiment.analyses.alignment
    if alignment is None:
        return
    place = f"{where}: analyses.alignment"
    task = get_task(alignment.task, f"{place}.task", experiment.book)
    if task.form != "bitext" or task.metric != "accuracy":
        raise ConfigError(f"{place}.task", f"'{task.name}' has no sentence pairs", "Give tatoeba.")
    if experiment.data.synthetic is None:
        known = (*task.languages, *task.more_languages)
        _check_languages(
            alignment.languages, known, f"{place}.languages", f"'{task.name}' has no language"
        )
    for name in alignment.targets:
        if name not in experiment.target.tasks or not experiment.book[name].stages:
            what = f"'{name}' is no target that is trained for"
            raise ConfigError(f"{place}.targets", what, "Name some of target.tasks.")


def _check_rules(experiment: Experiment, where: str) -> None:
    """Check that the oracle has dev sets of its own to look at."""
    book, target = experiment.book, experiment.target
    for section, names in (("rules", target.rules), ("dev_languages", target.dev_languages)):
        for name in names:
            if name not in target.tasks:
                raise ConfigError(f"{where}.{section}", f"'{name}' is not among target.tasks")
    for name in target.tasks:
        rule = target.rules.get(name, target.rule)
        task = book[name]
        if rule != "target_dev" or not task.stages:
            continue
        place = f"{where}.rules.{name}" if name in target.rules else f"{where}.rule"
        if task.single_labelled_split or not _has_dev_by_language(task):
            others = ", ".join(each for each in RULES if each != rule)
            why = "has one labelled split, so the oracle would select on its test set"
            if not task.single_labelled_split:
                why = "has no dev set in its languages for the oracle to look at"
            raise ConfigError(
                place, f"'{name}' {why}", f"Give it another under target.rules: {others}."
            )


def _has_dev_by_language(task: Task) -> bool:
    return any("{lang" in name for name in task.source.files.get("dev", ()))


def _check_languages(
    languages: tuple[str, ...], known: tuple[str, ...], place: str, what: str
) -> None:
    for index, language in enumerate(languages):
        if language not in known:
            raise ConfigError(
                f"{place}[{index}]", f"{what} '{language}'", f"It has: {' '.join(known)}."
            )


def _unable(place: str, name: str, role: str) -> ConfigError:
    return ConfigError(
        place, f"'{name}' cannot be {role} task", "List what can be what with: xtransfer tasks"
    )


def _check_hub(experiment: Experiment, where: str) -> None:
    """Check what is to be read from the hub, and that no other origin is given for it."""
    data = experiment.data
    check_revisions(data.revisions, f"{where}: data.revisions")
    if data.hub and data.synthetic is not None:
        raise ConfigError(
            f"{where}: data.hub",
            "artificial languages are not on the hub",
            "Leave one of them out.",
        )
    if "all" in data.hub:
        for name in sorted(set(_trained_on(experiment)) & set(NOT_ON_HUB) - set(data.files)):
            on_hub(experiment.book[name], revisions={}, where=f"{where}: data.hub")
    for index, name in enumerate(data.hub):
        if name == "all":
            continue
        place = f"{where}: data.hub[{index}]"
        on_hub(get_task(name, place, experiment.book), revisions=data.revisions, where=place)
        if name in data.files:
            raise ConfigError(
                place, f"'{name}' has files in data.files too", "Leave one of them out."
            )


def _trained_on(experiment: Experiment) -> Iterator[str]:
    """Yield the names of all tasks whose data the experiment reads."""
    for arm in experiment.intermediate.tasks:
        yield from arm.tasks
    for name in experiment.target.tasks:
        yield name
        yield from (stage.task for stage in experiment.book[name].stages or ())
