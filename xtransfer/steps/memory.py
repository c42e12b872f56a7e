"""A trial that runs out of memory is tried once more, in smaller bites of the same global batch.

Without dropout its result is the same but for rounding. Dropout draws a mask for each micro-batch: with it the
trial is another draw of the same computation.

    resume/{step key}/memory.json    how small, and why

The note is in the store, so that every worker of the next attempt finds it, whoever starts it; it goes
with the trial's checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from xtransfer.errors import NotFound, OutOfMemory, StepError, shown
from xtransfer.forms import FORMS
from xtransfer.plan import Step
from xtransfer.records.layout import RESUME
from xtransfer.records.notes import note_text, parse_note
from xtransfer.store import Store


@dataclass(frozen=True, kw_only=True)
class SmallerBites:
    """With what a trial goes on that ran out of memory."""

    asked: int | None
    """The placement's `train.micro_batch`. Once that is changed, the note no longer counts."""
    micro_batch: int
    why: str

    def facts(self) -> dict[str, Any]:
        """Return what the trial's record says of it."""
        return {"micro_batch": asdict(self)}


def ran_out(error: BaseException) -> bool:
    """Say whether an error means that memory, of the machine or of a GPU, did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()  # torch's CPU allocator, cuBLAS and NCCL raise plain RuntimeErrors
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "alloc_failed")
    )


def read_bites(store: Store, step: Step, asked: int | None) -> SmallerBites | None:
    """Return what an earlier attempt at a trial has noted, None where it did not run out of memory."""
    try:
        found = SmallerBites(**parse_note(store.read(_note(step)), _note(step)))
    except (NotFound, ValueError, TypeError):  # damaged: it is found out again
        return None
    return found if found.asked == asked else None


def out_of_memory(
    error: BaseException,
    store: Store,
    step: Step,
    *,
    asked: int | None,
    now: SmallerBites | None,
    shards: int,
) -> StepError:
    """Return the error to raise in place of `error`.

    That is OutOfMemory where the trial can go on, for which the note is left here; or a StepError that
    says what to change.

    Args:
        error: for which `ran_out` holds.
        store: where the note goes.
        step: the trial.
        asked: the placement's micro-batch.
        now: the note with which the trial ran, if there was one.
        shards: of one batch, on which micro-batches are cut.
    """
    share = math.ceil(step.spec["batch_size"] / shards)
    used = min(share, now.micro_batch if now else asked or share)
    said = shown(str(error).strip().partition("\n")[0] or type(error).__name__, most=160)
    what = f"out of memory with micro-batches of {used} ({said})"
    if now is None and used > 1 and not _indivisible(step.spec):
        bites = SmallerBites(asked=asked, micro_batch=used // 2, why=what)
        store.write(_note(step), note_text(_note(step), asdict(bites)))
        return OutOfMemory(step.folder, what, f"It goes on with micro-batches of {used // 2}.")
    smaller = f"Set train.micro_batch below {used}, or g" if used > 1 else "G"
    if _indivisible(step.spec):
        smaller = "Its batches cannot be divided: lower batch_size or max_length, or g"
    return StepError(
        step.folder,
        what,
        f"{smaller}ive a trial more memory: fewer steps at once (concurrent, train.cpus; on a GPU that trials share "
        "train.packing.most), a larger GPU, or several workers with train.zero_stage 2 or 3.",
    )


def _indivisible(spec: Mapping[str, Any]) -> bool:
    """Say whether a trial learns from nothing but whole batches, which micro-batches do not divide."""
    forms = [FORMS[part["form"]] for part in spec["parts"]]
    return spec["text"] is None and all(getattr(form, "WHOLE_BATCH", False) for form in forms)


def _note(step: Step) -> str:
    return f"{RESUME}/{step.key}/memory.json"
