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
from xtransfer.outputs import damage, fetch
from xtransfer.placement import Placement
from xtransfer.plan import INLINE, VERSIONS, Plan, Step
from xtransfer.pruning.rule import best
from xtransfer.quarantine import set_aside
from xtransfer.records import Done, Record, commit, read_record
from xtransfer.results import learning_rate_of
from xtransfer.selection import mean_scores, select
from xtransfer.store import Store
from xtransfer.store.folder import enough_space
from xtransfer.watchdog import watched

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
    alive: Callable[[], None] = lambda: None
    """Called while there is nothing to tell yet the work moves, so that it is not taken for hung."""
    clock: Clock = time.time
    """Of leases, Unix seconds."""

    def __post_init__(self) -> None:
        """Make the scratch folder: the driver's is not on every node."""
        self.scratch.mkdir(parents=True, exist_ok=True)

    def watched_by(self, beat: Callable[[], None]) -> Workbench:
        """Return this bench with a watchdog that is told of every move."""

        def tell(facts: Mapping[str, Any]) -> None:
            beat()
            self.tell(facts)

        return replace(self, tell=tell, alive=beat)

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
        finally:
            self.alive()

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
    with (
        enough_space(bench.scratch),
        temporary_folder(bench.scratch) as folder,
    ):
        done = _work(step, replace(bench, tell=tell), folder)
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
                environment=environment(*(["peft"] if step.spec.get("lora") else [])),
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


def _work(step: Step, bench: Workbench, folder: Path) -> Done:
    if step.kind in UNWATCHED:
        return WORK[step.kind](step, bench, folder)
    limit, store = bench.placement.hung_after_s, bench.store
    with watched(step, store, silent_s=limit, scratch=bench.scratch) as beat:
        return WORK[step.kind](step, bench.watched_by(beat), folder)


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


def environment(*more: str) -> dict[str, str]:
    """Return the versions that results depend on; `more`: further packages."""
    packages = ("torch", "transformers", "tokenizers", "deepspeed", "ray", "numpy", *more)
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
    with temporary_folder(bench.scratch) as data:
        write_synthetic(spec["synthetic"], data)
        corpus = read_corpus(data / "text")
        settings = PretrainSpec(seed=spec["seed"], steps=spec["steps"], **spec["options"])
        pretrain(corpus, folder, spec=settings, report=report)
    return Done(result={"loss": last["loss"], "steps": spec["steps"]})


def _prepare(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.prepared import prepare

    began = time.time()
    tokenizer = load_tokenizer(*encoder_place(step, bench))
    ready = time.time()

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
    return Done(result=result, timing={"start_s": ready - began})


def _train(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.train.trial import train_step

    return train_step(step, bench, folder)


def _select(step: Step, bench: Workbench, _: Path) -> Done:
    spec = step.spec
    candidates: list[dict[str, Any]] = []
    for role, key in step.inputs.items():
        if not role.startswith("trial-"):
            continue
        record = bench.record(key)
        candidate = {
            "key": key,
            "score": record.result["score"],
            "learning_rate": learning_rate_of(record),
            "seed": record.spec["seed"],
            "best_step": record.result["best_step"],
            **_kept(record.result),
            **({"rung": record.result["stopped_at"]} if "stopped_at" in record.result else {}),
            **({"suggested": True} if record.spec["learning_rate"] is None else {}),
        }
        judge = step.inputs.get(role.replace("trial-", "dev-"))
        if judge is not None:
            own = candidate["score"]
            candidate |= {"score": _mean_score(bench.record(judge)), "own_dev": own, "judge": judge}
        candidates.append(candidate)
    chosen = select(
        spec["rule"],
        candidates,
        seed=spec.get("seed"),
        incomplete=spec.get("incomplete", "refuse"),
    )
    means = {}
    if spec["rule"] == "mean_over_seeds":
        means = {"means": {f"{rate:g}": mean for rate, mean in mean_scores(candidates).items()}}
    return Done(
        result={
            "chosen": chosen["key"],
            "score": chosen["score"],
            "split": spec["split"],
            "candidates": candidates,
            **means,
            **_kept(chosen),
        }
    )


def _mean_score(record: Record) -> float:
    """Return the main score of an evaluation, the unweighted mean over its languages."""
    found = record.result["languages"].values()
    return sum(each["metrics"][record.spec["metric"]] for each in found) / len(found)


def _kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a selection passes on of a trial besides its score: SQuAD v2.0's threshold."""
    return {name: result[name] for name in ("null_threshold",) if name in result}


def _estimate(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.train.features import estimate_step

    return estimate_step(step, bench, folder)


def _prune(step: Step, bench: Workbench, _: Path) -> Done:
    estimates = {key: bench.record(key).result["estimate"] for key in step.inputs.values()}
    return Done(result={"kept": best(estimates, step.spec["keep"]), "estimates": estimates})


def _evaluate(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.train.evaluation import evaluate_step

    return evaluate_step(step, bench, folder)


def _average(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.train.averaging import average_step

    return average_step(step, bench, folder)


WORK: Mapping[str, Work] = {
    "pretrain": _pretrain,
    "prepare": _prepare,
    "train": _train,
    "select": _select,
    "average": _average,
    "estimate": _estimate,
    "prune": _prune,
    "evaluate": _evaluate,
}
UNWATCHED = (*INLINE, "train")
"""What takes no time, and trials, each worker of which watches itself."""


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
