"""One worker of a trial: from what the trial reads to its outcome. It is the only one, or one of several."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtransfer.errors import Diverged
from xtransfer.plan import Step
from xtransfer.process.watchdog import watched
from xtransfer.records.checkpoints import newest_checkpoint
from xtransfer.steps.assembly import Start, gather_inputs, make_model, make_parts, renumbered
from xtransfer.steps.checkpoints import StepCheckpoints
from xtransfer.steps.device import take_device
from xtransfer.steps.encoder import positions_of
from xtransfer.steps.memory import SmallerBites, out_of_memory, ran_out, read_bites
from xtransfer.steps.outcome import parts_json, write_outcome
from xtransfer.store.folder import enough_space
from xtransfer.sweeps.rungs import rungs_of
from xtransfer.sweeps.suggestion import Suggestion, suggestion_of
from xtransfer.sweeps.waiting import ruled
from xtransfer.train.adapters import frozen_weights
from xtransfer.train.context import Context, Progress, device_name
from xtransfer.train.loop import train
from xtransfer.train.mixture import Mixture, undrawn
from xtransfer.train.model import TransferModel, words_name
from xtransfer.train.parts import Part, TaskPart
from xtransfer.train.prediction import tokens_at_once
from xtransfer.train.saving import BackgroundSaver
from xtransfer.train.specification import TrialSpec

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

log = logging.getLogger(__name__)


def run_worker(step: Step, bench: Workbench, folder: Path, *, rank: int, world_size: int) -> None:
    """Train as one worker of `world_size`; rank 0 leaves weights and outcome in `folder`.

    Raises:
        OutOfMemory: when memory did not suffice and another call would go on in smaller micro-batches.
        Diverged: as `train` does; it names the last checkpoint.
    """
    asked = bench.placement.train.micro_batch
    bites = read_bites(bench.store, step, asked)
    limit, store = bench.placement.hung_after_s, bench.store
    with (
        enough_space(bench.scratch),
        watched(step, store, silent_s=limit, scratch=bench.scratch) as beat,
    ):
        try:
            _train(
                step, bench.watched_by(beat), folder, rank=rank, world_size=world_size, bites=bites
            )
        except Diverged as error:
            kept = newest_checkpoint(store, step.key)
            says = (
                f"The last checkpoint is {store.url}/{kept}." if kept else "There is no checkpoint."
            )
            raise Diverged(error.where, error.what, f"{error.next} {says}") from None
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            shards = max(bench.placement.train.most_workers, world_size)
            raise out_of_memory(error, store, step, asked=asked, now=bites, shards=shards) from None


def _train(
    step: Step,
    bench: Workbench,
    folder: Path,
    *,
    rank: int,
    world_size: int,
    bites: SmallerBites | None,
) -> None:
    began = time.time()
    torch.set_num_threads(max(1, int(bench.placement.train.cpus)))
    trial = _read_trial(step, bench)
    if rank == 0:
        _warn_of_undrawn(step, trial)
    model = trial.start.model
    words, frozen = words_name(model), frozen_weights(model)
    kept = StepCheckpoints(step, bench, tokens=trial.start.tokens)
    saver = BackgroundSaver(kept.save)
    context = replace(
        _context(step, bench, model, bites),
        rank=rank,
        world_size=world_size,
        save=saver.save,
        saving=saver.busy,
        resume=kept.newest,
    )
    if context.engine == "deepspeed":
        ensure_process_group(context.device)
    if bites:
        context = replace(context, prediction_tokens=tokens_at_once(context) // 2)
    ready = time.time()
    try:
        outcome = train(trial.spec, context, model=model, parts=trial.parts, mixture=trial.mixture)
    finally:
        saver.flush()  # before this process leaves, and before the step is recorded
    if rank == 0:
        write_outcome(
            folder,
            trial.spec,
            outcome,
            start=trial.start,
            words=words,
            frozen=frozen,
            parts=parts_json(trial.parts, trial.mixture, outcome),
            timing={"start_s": ready - began, "train_s": time.time() - ready},
            placement={
                "device": device_name(context.device),
                **(bites.facts() if bites else {}),
            },
            suggestion=trial.suggestion,
        )


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What a train step computes, read and ready to begin."""

    spec: TrialSpec
    """With the learning rate that was suggested, where one was."""
    suggestion: Suggestion | None
    parts: list[Part]
    mixture: Mixture
    start: Start


def _read_trial(step: Step, bench: Workbench) -> _Trial:
    """Read data and starting weights; rows of the vocabulary that no text needs are left out of both."""
    inputs = gather_inputs(step, bench)
    suggestion = suggestion_of(step, bench)
    spec = trial_spec(step.spec)
    if suggestion is not None:
        spec = replace(spec, learning_rate=suggestion.learning_rate)
    parts, mixture = make_parts(step.spec, spec, inputs, bench.plan.tasks)
    # Text predicts words from the whole vocabulary, so all of it is trained then.
    compacted = bench.placement.train.compact_vocabulary and step.spec["text"] is None
    start = make_model(inputs, spec, parts, compacted=compacted, kept=step.spec["head"] == "kept")
    vocabulary = start.model.encoder.config.vocab_size
    if len(start.tokens) < vocabulary:
        parts = [
            part.renumbered(lambda data: renumbered(data, start.tokens, vocabulary))
            if isinstance(part, TaskPart)
            else part
            for part in parts
        ]
    return _Trial(spec=spec, suggestion=suggestion, parts=parts, mixture=mixture, start=start)


def _warn_of_undrawn(step: Step, trial: _Trial) -> None:
    for number in undrawn(trial.mixture, seed=trial.spec.seed):
        log.warning(
            "%s: none of %d steps draws from %s (share %.2g): its head stays as it was drawn, and its dev score "
            "counts all the same. Give the arm another `sampling`, or fewer tasks",
            step.folder, trial.mixture.steps, trial.parts[number].name, trial.mixture.shares[number],
        )  # fmt: skip


def _context(
    step: Step, bench: Workbench, model: TransferModel, bites: SmallerBites | None
) -> Context:
    """Return what the placement and the node say of where a trial runs; it is that of a single worker."""
    placement = bench.placement.train
    device = take_device(step, bench)
    engine = placement.chosen_engine
    return Context(
        shards=placement.most_workers,
        device=device,
        graphs=placement.cuda_graphs and device == "cuda",
        engine=engine,
        zero_stage=placement.zero_stage if engine == "deepspeed" else 0,
        micro_batch=bites.micro_batch if bites else placement.micro_batch,
        pad_id=model.encoder.config.pad_token_id or 0,
        longest=positions_of(model.encoder),
        report=lambda progress: bench.tell(_facts(progress)),
        alive=bench.alive,
        save_every_s=placement.resume_every_s,
        leaving=bench.leaving,
        check_files=bench.refuse_altered_files,
        skips_in_a_row=placement.skips_in_a_row,
        skips_in_all=placement.skips_in_all,
        rungs=rungs_of(step),
        goes_on=lambda rung, best: ruled(step, bench, rung=rung, score=best).goes_on,
    )


def trial_spec(spec: Mapping[str, Any]) -> TrialSpec:
    """Return the trial specification that a train step's `spec` holds."""
    names = TrialSpec.__dataclass_fields__
    values = {name: value for name, value in spec.items() if name in names}
    return TrialSpec(**{**values, "adam_betas": tuple(spec["adam_betas"])})


def ensure_process_group(device: str) -> None:
    """Make a process group of one, for DeepSpeed in a trial without other workers on this device."""
    if torch.distributed.is_available() and not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            store=torch.distributed.HashStore(),  # pyright: ignore[reportPrivateImportUsage]
            rank=0,
            world_size=1,
        )


def _facts(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
