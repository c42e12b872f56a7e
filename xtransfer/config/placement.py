"""Where and how a plan is worked off: recorded with every step, never hashed into its key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from xtransfer.settings import Settings, read_settings, refuse_foreign

Section = Literal["train", "prepare", "evaluate"]

SECTIONS: Mapping[str, Section] = {
    "train": "train",
    "pretrain": "train",
    "evaluate": "evaluate",
    "estimate": "evaluate",
}
"""Kind of step -> the section that says what it takes; all others take what `prepare` says."""


def section_of(kind: str) -> Section:
    """Return the section of a placement that says what a kind of step takes."""
    return SECTIONS.get(kind, "prepare")


def _some(value: str | None) -> str | None:
    """Return a text that is not empty, or raise ValueError: it would be taken for none."""
    if value is not None and not value.strip():
        raise ValueError("is empty: leave it out for the default")
    return value


class Resources(Settings):
    """What one step of a kind takes from the cluster."""

    cpus: float = Field(default=1.0, gt=0)
    gpus: float = Field(default=0.0, ge=0)
    """At most 1, of a trial for each worker: less is a share of a GPU that others have, too."""

    @field_validator("gpus")
    @classmethod
    def _one(cls, value: float) -> float:
        if value > 1:
            raise ValueError(
                "is at most 1, as a step uses one GPU: set it to 1, and train.workers for a trial on several"
            )
        return value


class Packing(Settings):
    """How trials share a GPU. The model behind it is checked on CPUs; on GPUs it is unverified."""

    gpu_memory_gb: float = Field(gt=0)
    """Of each GPU, 10^9 bytes."""
    most: int = Field(default=8, ge=1)
    """Trials on one GPU, however small they are."""
    beside_gb: float = Field(default=1.5, ge=0)
    """What each trial's process takes beside tensors: the device's context and its libraries' buffers."""
    free: float = Field(default=0.3, ge=0, lt=1)
    """Share of the memory left free, for what allocators cannot use: up to 31 % of glibc's heap, as seen."""


class TrainResources(Resources):
    """What one trial takes, and how it runs there."""

    workers: int | tuple[int, int] = 1
    """Data-parallel workers; `cpus` and `gpus` are for each. [fewest, most]: as many of these as there is
    room for, fewer when a node is lost and more when one comes; the global batch stays as it is."""
    engine: Literal["auto", "deepspeed", "torch"] = "auto"
    """What optimizes. auto: DeepSpeed where a trial may have several workers, whose state it shards, and
    plain torch where it has one: the same AdamW, without the copies that sharding takes."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """Of DeepSpeed: what of its state workers keep in shards. Plain torch has no use for it."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Most examples in one forward pass of one worker; None: the worker's whole share. The global batch is the
    same. Dropout draws a mask for each pass, so with it another size is another draw of the same trial."""
    resume_every_s: float = Field(default=60.0, gt=0)
    """Seconds between two resumable checkpoints."""
    resume_kept: int = Field(default=2, ge=1)
    """Resumable checkpoints kept of a trial: the newest, and others in case it is damaged."""
    skips_in_a_row: int = Field(default=3, ge=0)
    """With `training.on_nan: skip`: optimizer steps left out one after the other before a trial fails ..."""
    skips_in_all: int = Field(default=20, ge=0)
    """... and in the whole trial."""
    compact_vocabulary: bool = True
    """Train only the embedding rows that the data uses: the same mathematics, less memory."""
    cuda_graphs: bool = False
    """Capture the passes of each shape of micro-batch on a GPU, and launch each whole. It needs `engine: torch` (auto
    takes it with one worker). Checked on a simulated device; on GPUs it is unverified, and so not the default."""
    resize_every_s: float = Field(default=60.0, gt=0)
    """Seconds between two looks for room for more workers. A trial that takes more of them goes on from
    its last resumable checkpoint."""
    packing: Packing | None = None
    """How trials share a GPU: with `gpus: 1` and one worker, each then takes the share that its memory needs.
    None: `gpus` as it stands."""

    @field_validator("workers")
    @classmethod
    def _fewest_and_most(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        fewest, most = (value, value) if isinstance(value, int) else value
        if not 1 <= fewest <= most:
            raise ValueError("is a number from 1, or [fewest, most]")
        return value

    @model_validator(mode="after")
    def _whole_gpus(self) -> TrainResources:
        if self.packing is not None and (self.gpus != 1 or self.most_workers != 1):
            raise ValueError("packing needs gpus: 1 and workers: 1, of which it makes shares")
        if self.most_workers > 1 and self.gpus not in (0, 1):
            raise ValueError(
                "workers of one trial cannot share a GPU: gpus: 1 for each of them, or workers: 1 with a share"
            )
        return self

    @model_validator(mode="after")
    def _sharded(self) -> TrainResources:
        if self.engine == "torch" and self.zero_stage:
            raise ValueError(
                "engine torch shards nothing: zero_stage 0 with it, or engine deepspeed"
            )
        return self

    @model_validator(mode="after")
    def _graphed(self) -> TrainResources:
        if self.cuda_graphs and self.chosen_engine != "torch":
            raise ValueError(
                "cuda_graphs needs engine torch, which keeps gradients in their places: `engine: torch` with it, "
                "or cuda_graphs false"
            )
        if self.cuda_graphs and self.packing is not None:
            raise ValueError(
                "packing knows nothing of the memory that cuda_graphs takes: leave one of them out"
            )
        return self

    @property
    def fewest_workers(self) -> int:
        """Return the smallest number of workers with which a trial begins."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """Return the largest number of workers of one trial."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @property
    def chosen_engine(self) -> Literal["deepspeed", "torch"]:
        """Return the engine to use; it stays the same when workers come and go."""
        if self.engine != "auto":
            return self.engine
        return "deepspeed" if self.most_workers > 1 else "torch"


class RayCluster(Settings):
    """The Ray cluster to work on."""

    address: str = "local"
    """`local` starts a private one; `auto` or host:port joins a running one."""
    cpus: int | None = Field(default=None, ge=1)
    """Logical CPUs of a private cluster; None: this machine's."""
    gpus: int | None = Field(default=None, ge=0)

    _text = field_validator("address")(_some)


class S3(Settings):
    """Where the S3 service is, when not Amazon's; credentials come by the AWS chain only.

    Tried again is what failed on the way (no connection, a reset, no reply in time, a body cut short)
    and what the service was too busy for or failed at (429, 500, 502, 503, 504, SlowDown). What it
    refuses (no bucket, no permission, expired credentials, a clock that is off) is an error at once.
    """

    endpoint_url: str | None = None
    """None: AWS_ENDPOINT_URL, else Amazon's."""
    region: str | None = None
    _text = field_validator("region")(_some)
    attempts: int | None = Field(default=None, ge=1)
    """Tries of one request, the first included. None: as many as `give_up_after_s` has time for; 8 as long as
    the service has never answered, so that a wrong address is told soon."""
    base_pause_s: float = Field(default=0.1, ge=0)
    """The pause after try n is a random time up to this x 2^(n-1) ..."""
    longest_pause_s: float = Field(default=20.0, ge=0)
    """... and up to this."""
    give_up_after_s: float = Field(default=300.0, gt=0)
    """Seconds after the first try of a request from which on it is not tried again."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    read_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds without a byte of a reply."""
    part_mib: int = Field(default=16, ge=5)
    """Larger files go in parts of this size, each tried again by itself."""
    parallel_parts: int = Field(default=4, ge=1)
    """Parts of one file in flight at once."""


class Estimates(Settings):
    """What `xtransfer plan` assumes where nothing was measured."""

    utilisation: float = Field(default=0.3, gt=0, le=1)
    """Share of a GPU's peak that a trial reaches. An assumption, unverified: no GPU was measured."""


class Tracking(Settings):
    """Where a run's steps are shown beside the store; what is down there delays or fails nothing."""

    mlflow: str | None = None
    """Tracking URI, such as `sqlite:///runs/mlflow.db` or `http://HOST:5000`; needs the extra `tracking`.
    Without credentials, which MLflow takes from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""
    tensorboard: str | None = None
    """Folder for TensorBoard's event files."""

    _text = field_validator("mlflow", "tensorboard")(_some)

    @field_validator("mlflow")
    @classmethod
    def _without_credentials(cls, value: str | None) -> str | None:
        if value is not None and (fault := tracking_fault(value)):
            raise ValueError(fault)
        return value


def tracking_fault(uri: str) -> str:
    """Return what is wrong with a tracking URI, empty where nothing is; a secret is not repeated.

    A placement is recorded, and on Kubernetes it is a ConfigMap: both are read by more people than a secret.
    """
    scheme, _, rest = uri.partition("://")
    secret = "@" in rest if scheme in ("http", "https") else re.match(r"[^/@]*:[^@]*@", rest)
    if not secret:
        return ""
    return (
        "carries credentials. Give them by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or by "
        "MLFLOW_TRACKING_TOKEN; for a database, as its driver takes them"
    )


class Placement(Settings):
    """Where and how the plan is worked off. Recorded, never hashed."""

    store: str = "file://runs/store"
    ray: RayCluster = RayCluster()
    train: TrainResources = TrainResources()
    prepare: Resources = Resources()
    evaluate: Resources = Resources()
    concurrent: int | None = Field(default=None, ge=1)
    """Most steps at once; None: as many as the cluster has resources for."""
    lease_s: float = Field(default=60.0, ge=1, le=86_400)
    """Seconds for which a step is reserved for who works on it, renewed every third of that: how long
    another driver waits after that one has fallen silent. Clocks must differ by less."""
    retries: int = Field(default=2, ge=0)
    """Times that a step whose process died is started again. A trial that has got further since, by the state
    that it saved, has all of them again: machines may be taken away as often as they like."""
    hung_after_s: float | None = Field(default=1800.0, gt=0)
    """Seconds after which a step that told nothing is taken for hung: its process ends, as if it had died.
    None: never. It must be longer than reading and tokenising the largest data file takes."""
    grace_s: float = Field(default=45.0, gt=0)
    """Seconds that running trials have, when the driver is told to end by SIGTERM, SIGHUP or Ctrl-C, to save their
    state. On Kubernetes the head's preStop must wait longer (k8s/base/rayjob.yaml: 60 s)."""
    s3: S3 = S3()
    estimates: Estimates = Estimates()
    tracking: Tracking = Tracking()
    scratch: str | None = None
    """Folder for downloaded files on each node; None: a temporary one."""
    _text = field_validator("scratch")(_some)
    scratch_gb: float | None = Field(default=8.0, gt=0)
    """Gigabytes (10^9 bytes) of downloaded files that a node keeps: beyond that, whole steps' files go that no
    running step uses, the least recently used first. Files that are in use stay, even beyond it. What running
    steps write (checkpoints, a trial's weights) comes on top. None: no bound."""

    def resources_for(self, kind: str) -> Resources:
        """Return the section that says what a kind of step takes."""
        return getattr(self, section_of(kind))


def load_placement(path: Path | None, overrides: Sequence[str] = ()) -> Placement:
    """Read a placement from YAML (None: the defaults) and check it."""
    where = "placement" if path is None else str(path)
    return read_settings(
        Placement,
        path,
        overrides,
        where,
        option="--place",
        complete=lambda raw: _refuse_experiment(raw, where),
    )


def _refuse_experiment(raw: dict[str, Any], where: str) -> None:
    """Refuse settings of an experiment, which say what is computed."""
    if others := {name: raw[name] for name in raw if name not in Placement.model_fields}:
        from xtransfer.config.experiment import Experiment

        remedy = "Give it in the experiment's own file, or by --set."
        refuse_foreign(others, Experiment, where, of="experiment", remedy=remedy)
