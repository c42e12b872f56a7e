"""One step of the plan from its parents' records to its own, on whatever machine this is."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xtransfer import __version__
from xtransfer.checkpoints import drop_checkpoints
from xtransfer.errors import DataError, InputLost, IntegrityError, StepError
from xtransfer.folders import temporary_folder
from xtransfer.identity import file_digest
from xtransfer.leases import Clock, Lease, holding
from xtransfer.placement import Placement
from xtransfer.plan import VERSIONS, Plan, Step
from xtransfer.quarantine import set_aside
from xtransfer.records import Done, Record, commit, damage, fetch, read_record
from xtransfer.selection import select
from xtransfer.store import Store

Telemetry = Callable[[Mapping[str, Any]], None]
"""Takes what a running step tells of itself: step, total, loss, examples_per_s, dev, stage."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """What a step needs of its surroundings."""

    plan: Plan
    store: Store
    placement: Placement
    scratch: Path
    """Folder for fetched files, shared by the processes of a node."""
    tell: Telemetry = lambda facts: None
    run: str = ""
    """The driver's name for what it runs, of which its notice to end is given (`xtransfer.leaving`)."""
    leaving: Callable[[], str] = lambda: ""
    """Why this process must end soon; empty while it need not."""
    clock: Clock = time.time
    """Of leases, Unix seconds."""

    def __post_init__(self) -> None:
        """Make the scratch folder: the driver's is not on every node."""
        self.scratch.mkdir(parents=True, exist_ok=True)

    def record(self, key: str) -> Record:
        """Return the record of a step of the plan.

        Raises:
            InputLost: when it is gone or damaged.
        """
        step = self.plan.steps[key]
        try:
            record = read_record(self.store, step.kind, step.name, key)
        except IntegrityError as error:
            raise InputLost(step.folder, str(error)) from error
        if record is None:
            raise InputLost(step.folder, "has no record", "Its step must finish first.")
        return record

    def files(self, record: Record, names: list[str] | None = None) -> Path:
        """Fetch a record's files, verified, and return their folder.

        Raises:
            InputLost: when one is gone or damaged.
        """
        try:
            return fetch(self.store, record, self.scratch / record.folder, names)
        except IntegrityError as error:
            raise InputLost(record.folder, str(error)) from error

    def trained(self, key: str) -> Record:
        """Return the record of the trial that a select step chose; a trial's own key also does."""
        record = self.record(key)
        return self.record(record.result["chosen"]) if record.kind == "select" else record


def run_step(step: Step, bench: Workbench) -> Record:
    """Do the work of a step, if no sound record says it is done, and leave its record.

    Raises:
        StepBusy: when another process is at work on it, or took it over while this one was silent.
    """
    with holding(
        bench.store, step.key, seconds=bench.placement.lease_s, clock=bench.clock
    ) as lease:
        found = sound_record(bench.store, step)
        if found is not None:
            lease.outcome = "found"
            return found
        record = _do(step, bench, lease)
        lease.outcome = "done"
    if step.kind == "train":
        drop_checkpoints(bench.store, step.key)
    return record


def _do(step: Step, bench: Workbench, lease: Lease) -> Record:
    """Do the work of a step that this process holds, and leave its record."""

    def tell(facts: Mapping[str, Any]) -> None:
        if lease.lost:
            lease.check()
        bench.tell(facts)

    started = time.time()
    with temporary_folder(bench.scratch) as folder:
        done = WORK[step.kind](step, replace(bench, tell=tell), folder)
        seconds = time.time() - started
        return commit(
            bench.store,
            Record(
                key=step.key,
                kind=step.kind,
                name=step.name,
                version=VERSIONS[step.kind],
                spec=dict(step.spec),
                inputs=dict(step.inputs),
                files=(),
                result=done.result,
                environment=environment(),
                placement={
                    **bench.placement.model_dump(include={"train", "evaluate", "prepare"}),
                    "encoder": step.where.get("encoder", {}).get("name", ""),
                    **done.placement,
                },
                timing={"started": started, "seconds": seconds, **done.timing},
            ),
            folder,
            fence=lease.check,
        )


def sound_record(store: Store, step: Step) -> Record | None:
    """Return a step's record if every byte of it and its files is right, None while there is none.

    One that is damaged is set aside, so that the step can be done again.
    """
    try:
        record = read_record(store, step.kind, step.name, step.key)
    except IntegrityError as error:
        set_aside(store, step.folder, [str(error)])
        return None
    faults = [] if record is None else damage(store, record)
    if not faults:
        return record
    set_aside(store, step.folder, [str(fault) for fault in faults])
    return None


def environment() -> dict[str, str]:
    """Return the versions that results depend on."""
    packages = ("torch", "transformers", "tokenizers", "deepspeed", "ray", "numpy")
    own = {"python": platform.python_version(), "xtransfer": __version__}
    return own | {name: version(name) for name in packages}


Work = Callable[[Step, Workbench, Path], Done]


def _pretrain(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.prepared import write_synthetic
    from xtransfer.train.pretrain import PretrainSpec, pretrain, read_corpus

    spec = step.spec
    last: dict[str, Any] = {}

    def report(facts: Mapping[str, float]) -> None:
        last.update(facts)
        speed = facts["examples_per_second"]
        shown = {name: facts[name] for name in ("step", "loss")}
        bench.tell({**shown, "total": spec["steps"], "examples_per_s": speed})

    _set_threads(bench)
    with temporary_folder() as data:
        write_synthetic(spec["synthetic"], data)
        corpus = read_corpus(data / "text")
        settings = PretrainSpec(seed=spec["seed"], steps=spec["steps"], **spec["options"])
        pretrain(corpus, folder, spec=settings, report=report)
    return Done(result={"loss": last["loss"], "steps": spec["steps"]})


def _prepare(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.prepared import prepare

    tokenizer = load_tokenizer(*encoder_place(step, bench))

    def report(language: str, share: float) -> None:
        bench.tell({"stage": language, "step": round(100 * share), "total": 100})

    trained = step.inputs.get("labels")
    result = prepare(
        step,
        task=bench.plan.tasks[step.spec["task"]],
        tokenizer=tokenizer,
        folder=folder,
        report=report,
        labels=None if trained is None else bench.record(trained).result["labels"],
    )
    return Done(result=result)


def _train(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.train.trial import train_step

    return train_step(step, bench, folder)


def _select(
    step: Step,
    bench: Workbench,
    _: Path,
) -> Done:
    candidates = []
    for key in step.inputs.values():
        record = bench.record(key)
        candidates.append(
            {
                "key": key,
                "score": record.result["score"],
                "learning_rate": record.spec["learning_rate"],
                "seed": record.spec["seed"],
                "best_step": record.result["best_step"],
                **_kept(record.result),
            }
        )
    chosen = select(step.spec["rule"], candidates)
    return Done(
        result={
            "chosen": chosen["key"],
            "score": chosen["score"],
            "split": step.spec["split"],
            "candidates": candidates,
            **_kept(chosen),
        }
    )


def _kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a selection passes on of a trial besides its score: SQuAD v2.0's threshold."""
    return {name: result[name] for name in ("null_threshold",) if name in result}


def _evaluate(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.train.evaluation import evaluate_step

    return Done(result=evaluate_step(step, bench, folder))


WORK: Mapping[str, Work] = {
    "pretrain": _pretrain,
    "prepare": _prepare,
    "train": _train,
    "select": _select,
    "evaluate": _evaluate,
}


def encoder_place(step: Step, bench: Workbench) -> tuple[str, str | None]:
    """Return (folder or hub name, revision) of the base encoder of a step's lineage.

    Raises:
        DataError: when a folder no longer holds what the plan was made from.
    """
    pretrain = base_key(step, bench.plan)
    if pretrain is not None:
        return str(bench.files(bench.record(pretrain))), None
    place = step.where["encoder"]
    if place.get("revision"):
        return place["name"], place["revision"]
    for name, digest in place["digests"].items():
        path = Path(place["name"]) / name
        if not path.is_file() or _digest_once(path, _state_of(path)) != digest:
            raise DataError(
                str(path),
                "is not the file that the plan was made from",
                "Bring it back, or start the run again to plan anew with this one.",
            )
    return place["name"], None


@lru_cache(maxsize=64)
def _digest_once(path: Path, _: tuple[int, ...]) -> str:
    """Return a file's digest; a warm process computes it once for each state of the file."""
    return file_digest(path)


def _state_of(path: Path) -> tuple[int, ...]:
    """Return what differs after a file was changed or replaced, its times being set back or not."""
    found = path.stat()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def base_key(step: Step, plan: Plan) -> str | None:
    """Return the key of the pretrain step that a step descends from, None with a public encoder."""
    at = step
    while at.kind != "pretrain":
        parent = next(
            (
                at.inputs[role]
                for role in ("encoder", "start", "model", "trial-000")
                if role in at.inputs
            ),
            None,
        )
        if parent is None:
            return None
        at = plan.steps[parent]
    return at.key


@lru_cache(maxsize=2)
def load_tokenizer(name: str, revision: str | None) -> Any:
    """Load the fast tokenizer of an encoder; kept, since a large vocabulary takes seconds."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, use_fast=True)
    if not tokenizer.is_fast:
        raise StepError(name, "has no fast tokenizer, which character offsets need")
    tokenizer.model_max_length = int(1e9)  # lengths are this project's business
    return tokenizer


def _set_threads(bench: Workbench) -> None:
    import torch

    torch.set_num_threads(max(1, int(bench.placement.train.cpus)))
