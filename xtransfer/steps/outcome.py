"""What a trial came to, as it lies in the step's folder until it is in its record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from xtransfer.records.record import Done
from xtransfer.steps.assembly import WEIGHTS, Start
from xtransfer.sweeps.suggestion import Suggestion
from xtransfer.train.adapters import merged
from xtransfer.train.course import Outcome
from xtransfer.train.mixture import Mixture
from xtransfer.train.parts import Part, TextPart
from xtransfer.train.rates import decay_product, learning_rate
from xtransfer.train.snapshots import snapshot_file
from xtransfer.train.specification import TrialSpec
from xtransfer.train.weights import export_weights

OUTCOME = "outcome.json"
"""What a trial came to, until it is in its record."""


def write_outcome(
    folder: Path,
    spec: TrialSpec,
    outcome: Outcome,
    *,
    start: Start,
    words: str,
    frozen: Mapping[str, Tensor],
    parts: list[dict[str, Any]],
    timing: dict[str, float],
    placement: dict[str, Any],
    suggestion: Suggestion | None = None,
) -> None:
    """Write the weights that a trial keeps into `folder`, and what is for its record beside them.

    Args:
        folder: of the step's files.
        spec: of the trial, with the learning rate that it had.
        outcome: what the loop returned.
        start: the model that the trial began from.
        words: name of the word embeddings among the weights.
        frozen: the weights that were not trained, by name.
        parts: what each part was, as `parts_json` has it.
        timing: stage -> seconds.
        placement: what came out differently from the placement asked for.
        suggestion: which chose the learning rate; None: the experiment did.
    """
    kept = {WEIGHTS: (outcome.best_step, outcome.weights)}
    kept |= {snapshot_file(at): (at, each) for at, each in outcome.snapshots.weights.items()}
    for name, (at, trained) in kept.items():
        whole = trained if spec.lora is None else merged({**frozen, **trained}, spec.lora)
        weights = export_weights(
            whole,
            words=words,
            tokens=start.tokens,
            decay=1.0 if words in frozen else _decay(spec, outcome, at),
            before=start.before,
        )
        save_file(weights, folder / name)
    done = {
        "result": {
            **_course(outcome),
            "parts": parts,
            "trained_tokens": len(start.tokens),
            **_null_threshold(outcome, ""),
            **_optional(spec, outcome, start, frozen, suggestion),
        },
        "timing": {**timing, **outcome.timing},
        "placement": {"workers_from_step": outcome.workers, **placement},
    }
    (folder / OUTCOME).write_text(json.dumps(done))


def _course(outcome: Outcome) -> dict[str, Any]:
    """Return how a trial went, which every record says."""
    return {
        "score": outcome.best_score,
        "best_step": outcome.best_step,
        "steps": outcome.steps,
        "total_steps": outcome.total_steps,
        "stopped_early": outcome.stopped_early,
        "history": outcome.history,
    }


def _optional(
    spec: TrialSpec,
    outcome: Outcome,
    start: Start,
    frozen: Mapping[str, Tensor],
    suggestion: Suggestion | None,
) -> dict[str, Any]:
    """Return what a record says only of the trials that have it."""
    found: dict[str, Any] = {}
    if suggestion is not None:
        found |= {"learning_rate": spec.learning_rate, "suggestion": suggestion.model_dump()}
    if outcome.stopped_at is not None:
        found["stopped_at"] = outcome.stopped_at
    if spec.on_nan == "skip":
        found["skipped_steps"] = outcome.skipped_steps
    if outcome.snapshots.scores:
        scores = outcome.snapshots.scores
        found["snapshots"] = [{"step": at, "score": score} for at, score in scores.items()]
    if spec.lora is not None:
        trained = sum(value.numel() for value in outcome.weights.values())
        every = trained + sum(value.numel() for value in frozen.values())
        found["trained_weights"] = {"trained": trained, "all": every}
    if start.text_head:
        found["text_head"] = start.text_head
    return found


def read_outcome(folder: Path) -> Done:
    """Return what is for the record, and remove it from `folder`."""
    path = folder / OUTCOME
    done = Done(**json.loads(path.read_text()))
    path.unlink()
    return done


def parts_json(parts: Sequence[Part], mixture: Mixture, outcome: Outcome) -> list[dict[str, Any]]:
    """Return for the record what each part was, and how often it was drawn."""
    found: list[dict[str, Any]] = []
    for part, share, draws in zip(parts, mixture.shares, outcome.draws, strict=True):
        about = {"name": part.name, "rows": part.rows, "share": share, "draws": draws}
        if isinstance(part, TextPart):
            about["languages"] = part.shares
        else:
            about["examples"] = part.examples
            about |= _null_threshold(outcome, f"{part.name} " if len(parts) > 1 else "")
        found.append(about)
    return found


def _decay(spec: TrialSpec, outcome: Outcome, steps: int) -> float:
    """Return what decay alone made of a weight without a gradient in the first `steps` steps."""
    skipped = set(outcome.skipped_steps)
    rates = [
        learning_rate(at, peak=spec.learning_rate, total=outcome.total_steps, warmup=spec.warmup)
        for at in range(steps)
        if at not in skipped
    ]
    return decay_product(rates, spec.weight_decay)


def _null_threshold(outcome: Outcome, part: str) -> dict[str, float]:
    """Return the odds over which the best weights answer nothing, where the dev score chose some.

    Of a dev set in several languages it is the mean of theirs. `part` is the name of one of several and
    a space, as its scores have it.
    """
    name = f"dev {part}null_threshold"
    for entry in outcome.history:
        if entry["step"] == outcome.best_step and name in entry:
            return {"null_threshold": entry[name]}
    return {}
