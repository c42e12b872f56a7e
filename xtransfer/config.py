"""What the user asks for: an experiment (what is computed) and a placement (where).

Only the experiment enters step keys. Both are strict: an unknown key, a wrong type or an unknown task
is an error that names the file, the path in it, and what was probably meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from xtransfer.errors import ConfigError
from xtransfer.tasks import get_task
from xtransfer.tasks.task import Split


S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every section: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,29}", value):
        raise ValueError(
            "must be 1 to 30 of a-z, 0-9, '-' and '_', beginning with a letter "
            "(it becomes part of Kubernetes and store names)"
        )
    return value


# --- the experiment: identity ------------------------------------------------------------------


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
        return own[split] if split in own else getattr(self, split)


class Data(Settings):
    """Where the data files are and how much of them is used."""

    root: str = "data"
    """Folder that the tasks' file names are relative to."""
    synthetic: Synthetic | None = None
    files: Mapping[str, Mapping[Split, tuple[str, ...]]] = Field(default_factory=dict)
    """Task -> split -> path templates, where they differ from the task's own."""
    limits: Limits = Limits()


class StageOverride(Settings):
    """Values of a training stage that differ from the task's defaults."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    max_length: int | None = Field(default=None, ge=8)
    stride: int | None = Field(default=None, ge=0)


class Phase(Settings):
    """The tasks of a phase and the grid of trials of each."""

    tasks: tuple[str, ...]
    seeds: tuple[int, ...] = (1,)
    learning_rates: tuple[float, ...] = ()
    """Empty: the task's own default."""
    overrides: Mapping[str, StageOverride] = Field(default_factory=dict)
    """Task -> changed stage values; `all` applies to every task first."""
    select_per_seed: bool
    """True: the best learning rate of each seed goes on, so every seed is a replicate of its own.
    False: the one best trial of the whole sweep goes on."""

    @field_validator("seeds", "learning_rates", "tasks")
    @classmethod
    def _no_repeats(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"has a repeated entry: {list(value)}")
        return value

    @field_validator("learning_rates")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < rate < 1 for rate in value):
            raise ValueError("learning rates lie between 0 and 1")
        return value


class Intermediate(Phase):
    """Phase 2 of the study: fine-tuning on an intermediate task."""

    select_per_seed: bool = False


class Target(Phase):
    """Phase 3: fine-tuning on a target's English training set, then scoring in every language."""

    select_per_seed: bool = True
    languages: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Target -> languages to score, where not all of the task's."""

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
    adam_betas: tuple[float, float] = (0.9, 0.999)
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


class Retrieval(Settings):
    """How sentences are embedded for the retrieval targets."""

    layer: int | float = 14 / 24
    """Index into `hidden_states` (0: embeddings), or a share of the depth between 0 and 1."""
    pooling: Literal["mean"] = "mean"
    """Mean over non-padding positions, special tokens included."""


class Experiment(Settings):
    """One experiment: everything that its plan's step keys depend on."""

    name: str
    encoder: Encoder
    data: Data = Data()
    intermediate: Intermediate = Intermediate(tasks=())
    target: Target
    training: Training = Training()
    retrieval: Retrieval = Retrieval()
    notes: tuple[str, ...] = ()
    """Printed at the head of the report."""

    _check_name = field_validator("name")(_name)


# --- the placement: where ------------------------------------------------------------------------


class Resources(Settings):
    """What one step of a kind takes from the cluster."""

    cpus: float = Field(default=1.0, gt=0)
    gpus: float = Field(default=0.0, ge=0)


class TrainResources(Resources):
    """What one trial takes, and how it runs there."""

    workers: int = Field(default=1, ge=1)
    """Data-parallel workers; `cpus` and `gpus` are for each."""
    engine: Literal["deepspeed", "torch"] = "deepspeed"
    zero_stage: Literal[0, 1, 2, 3] = 0
    micro_batch: int | None = Field(default=None, ge=1)
    """Most examples in one forward pass of one worker; None: the worker's whole share."""
    resume_every_s: float = Field(default=60.0, gt=0)
    """Seconds between two resumable checkpoints."""
    compact_vocabulary: bool = True
    """Train only the embedding rows that the data uses: the same mathematics, less memory."""


class RayCluster(Settings):
    """The Ray cluster to work on."""

    address: str = "local"
    """`local` starts a private one; `auto` or host:port joins a running one."""
    cpus: int | None = Field(default=None, ge=1)
    """Logical CPUs of a private cluster; None: this machine's."""
    gpus: int | None = Field(default=None, ge=0)


class S3(Settings):
    """Where the S3 service is, when not Amazon's; credentials come by the AWS chain only."""

    endpoint_url: str | None = None
    region: str | None = None


class Placement(Settings):
    """Where and how the plan is worked off. Recorded, never hashed."""

    store: str = "file://runs/store"
    ray: RayCluster = RayCluster()
    train: TrainResources = TrainResources()
    prepare: Resources = Resources()
    evaluate: Resources = Resources()
    retries: int = Field(default=2, ge=0)
    """Times that a step whose process died is started again."""
    s3: S3 = S3()
    scratch: str | None = None
    """Folder for downloaded files on each node; None: a temporary one."""


# --- reading -------------------------------------------------------------------------------------


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment from YAML, apply `a.b=c` overrides, and check it.

    Raises:
        ConfigError: naming the file (or the override), the path in it and the remedy.
    """
    raw = _read_yaml(path)
    for override in overrides:
        _apply(raw, override)
    if isinstance(raw.get("encoder"), str):
        raw["encoder"] = {"name": raw["encoder"]}
    experiment = _validate(Experiment, raw, str(path))
    _check_tasks(experiment, str(path))
    return experiment


def load_placement(path: Path | None, overrides: Sequence[str] = ()) -> Placement:
    """Read a placement from YAML (None: the defaults) and check it."""
    raw = {} if path is None else _read_yaml(path)
    for override in overrides:
        _apply(raw, override)
    return _validate(Placement, raw, "placement" if path is None else str(path))


class _StrictLoader(yaml.SafeLoader):
    """YAML with two traps removed: 1e-5 is a number, and only true and false are booleans."""


# PyYAML implements YAML 1.1, where `1e-5` is text and `no` (Norwegian) is False.
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":float", ":bool"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
    list("-+.0123456789"),
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|false)$"), list("tf")
)


def _unique_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key '{key.value}' appears twice", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document safely; errors name `where` and the line."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}{line}", f"not valid YAML: {problem}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file") from None
    except IsADirectoryError:
        raise ConfigError(str(path), "is a folder", "Give the YAML file itself.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    raw = parse_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise ConfigError(str(path), "must be a mapping of settings", "See configs/quickstart.yaml.")
    return cast("dict[str, Any]", raw)


_STEP = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set one `a.b[0].c=value` in `raw`; the value is YAML."""
    path, equals, text = override.partition("=")
    where = f"--set {override}"
    steps: list[str | int] = []
    for part in path.split("."):
        found = list(_STEP.finditer(part))
        if not part or "".join(match.group(0) for match in found) != part:
            raise ConfigError(where, "is not of the form a.b=value", "Example: --set data.root=/data")
        steps += [int(match.group(2)) if match.group(2) else match.group(1) for match in found]
    if not equals:
        raise ConfigError(where, "is not of the form a.b=value", "Example: --set data.root=/data")
    value = parse_yaml(text, where) if text else ""
    at: Any = raw
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int):
            if not isinstance(at, list) or step >= len(cast("list[Any]", at)):
                raise ConfigError(where, f"there is no entry [{step}] to set")
        elif not isinstance(at, dict):
            raise ConfigError(where, f"'{step}' would stand inside a value that is not a mapping")
        if following is None:
            at[step] = value
        elif isinstance(at, dict) and (step not in at or at[step] is None):
            at[step] = {}
            at = at[step]
        else:
            if step == "encoder" and isinstance(at[step], str):
                at[step] = {"name": at[step]}
            at = at[step]


def _listify(value: Any) -> Any:
    """Turn YAML lists into tuples: strict pydantic takes a tuple field from nothing else."""
    if isinstance(value, dict):
        return {name: _listify(item) for name, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return tuple(_listify(item) for item in cast("list[Any]", value))
    return value


def _validate(model: type[S], raw: Mapping[str, Any], where: str) -> S:
    try:
        return model.model_validate(_listify(raw))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = _dotted(first["loc"])
        what, next_ = _explain(model, first)
        more = error.error_count() - 1
        if more:
            next_ = f"{next_} ({more} more error{'s' if more > 1 else ''} after this one.)".strip()
        raise ConfigError(f"{where}: {path}" if path else where, what, next_) from None


def _explain(model: type[BaseModel], error: Any) -> tuple[str, str]:
    """Put a pydantic error into words: what is wrong, and what next."""
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        return f"unknown key '{location[-1]}'", did_you_mean(str(location[-1]), known)
    if error["type"] == "missing":
        return "is required but absent", ""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]), ""
    shown = repr(error["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {shown}", ""


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the names that a section may hold, walking the models along `location`."""
    at: Any = model
    for step in location:
        fields = getattr(at, "model_fields", None)
        if fields is None or step not in fields:
            return []
        at = fields[step].annotation
        options = [*getattr(at, "__args__", ()), at]
        at = next((option for option in options if hasattr(option, "model_fields")), None)
    return sorted(at.model_fields) if at is not None else []


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a sentence that offers the nearest known name, or lists them all."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(known)}." if known else ""


def _dotted(location: Sequence[str | int]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _check_tasks(experiment: Experiment, where: str) -> None:
    """Check every task name, language and per-task setting against the tasks that exist."""
    for phase_name, phase in (
        ("intermediate", experiment.intermediate),
        ("target", experiment.target),
    ):
        for index, name in enumerate(phase.tasks):
            task = get_task(name, f"{where}: {phase_name}.tasks[{index}]")
            able = task.as_intermediate if phase_name == "intermediate" else task.stages
            if able is None:
                raise ConfigError(
                    f"{where}: {phase_name}.tasks[{index}]",
                    f"'{name}' cannot be {'an' if phase_name == 'intermediate' else 'a'} "
                    f"{phase_name} task",
                    "List what can be what with: xtransfer tasks",
                )
        for name in phase.overrides:
            if name != "all":
                get_task(name, f"{where}: {phase_name}.overrides")
    if not experiment.target.tasks:
        raise ConfigError(f"{where}: target.tasks", "needs at least one target task")
    if experiment.intermediate.tasks and not experiment.intermediate.seeds:
        raise ConfigError(f"{where}: intermediate.seeds", "needs at least one seed")
    for section, names in (
        ("data.files", experiment.data.files),
        ("data.limits.tasks", experiment.data.limits.tasks),
    ):
        for name in names:
            get_task(name, f"{where}: {section}")
    for name, languages in experiment.target.languages.items():
        task = get_task(name, f"{where}: target.languages")
        if not languages:
            raise ConfigError(f"{where}: target.languages.{name}", "needs at least one language")
        if experiment.data.synthetic is not None:
            continue
        for index, language in enumerate(languages):
            if language not in task.languages:
                raise ConfigError(
                    f"{where}: target.languages.{name}[{index}]",
                    f"'{name}' has no language '{language}'",
                    f"It has: {' '.join(task.languages)}.",
                )
