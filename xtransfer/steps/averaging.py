"""The average step: recorded weights become their mean, in the same format."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from xtransfer.errors import StepError
from xtransfer.plan import Step
from xtransfer.records.record import Done
from xtransfer.steps.assembly import WEIGHTS
from xtransfer.train.encoder import load_encoder, word_embeddings
from xtransfer.train.snapshots import is_snapshot

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench
    from xtransfer.records.record import Record

log = logging.getLogger(__name__)

_TOKENS = ("token_ids", "token_rows", "token_decay")
_COMPARE = (
    "Only weights of one encoder with the same heads have a mean. Compare what the steps were made of: "
    "xtransfer explain KEY"
)


def average_step(step: Step, bench: Workbench, folder: Path) -> Done:
    """Write the mean of the weights that an average step names into `folder`.

    A trial that scored its dev set less often than checkpoints are asked for, as it is short or stopped early,
    gives those that it has; the record lists them.

    Raises:
        StepError: when a trial has none.
    """
    from xtransfer.steps.encoder import encoder_place

    records = [bench.trained(key) for key in step.inputs.values()]
    paths: list[Path] = []
    parts: list[dict[str, Any]] = []
    for record in records:
        files = [WEIGHTS]
        if step.spec["of"] == "checkpoints":
            files = sorted(file.name for file in record.files if is_snapshot(file.name))
            _check_count(step, record, len(files))
            parts += [{"key": record.key, **each} for each in record.result["snapshots"]]
        else:
            parts.append({"key": record.key})
        paths += [bench.files(record, [name]) / name for name in files]

    def base_rows() -> Tensor:
        name, revision = encoder_place(step, bench)
        return word_embeddings(load_encoder(name, revision=revision)).weight.detach()

    save_file(mean_weights(paths, base_rows), folder / WEIGHTS)
    return Done(result={"score": None, "averaged": parts, **_threshold(records)})


def mean_weights(paths: Sequence[Path], base_rows: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Return the arithmetic mean of exported weights, tensor by tensor, summed in float64.

    Embedding rows that only some of them hold are, in the others, the base encoder's rows times their
    decay; rows that none holds stay implied, by the mean of the decays.

    Args:
        paths: of exported weights of one architecture.
        base_rows: gives the base encoder's token embedding [vocabulary, hidden]; asked only where the
            weights hold different rows.

    Raises:
        StepError: when they have different tensors or shapes.
    """
    files = [safe_open(path, framework="pt") for path in paths]
    names = [set(file.keys()) for file in files]
    for path, own in zip(paths, names, strict=True):
        if own != names[0]:
            other = ", ".join(sorted(own ^ names[0])[:3])
            raise StepError(str(path), f"has other tensors than the first: {other}", _COMPARE)
    out = {
        name: _mean([file.get_tensor(name) for file in files], name)
        for name in sorted(names[0].difference(_TOKENS))
    }
    tokens = [{name: file.get_tensor(name) for name in _TOKENS} for file in files]
    return out | _mean_tokens(tokens, base_rows)


def _mean(values: Sequence[Tensor], name: str) -> Tensor:
    if len({value.shape for value in values}) > 1:
        what = "has different shapes in the weights that are to be averaged"
        raise StepError(name, what, _COMPARE)
    total = torch.zeros(values[0].shape, dtype=torch.float64)
    for value in values:
        total += value
    return (total / len(values)).to(values[0].dtype)


def _mean_tokens(
    tokens: Sequence[Mapping[str, Tensor]], base_rows: Callable[[], Tensor]
) -> dict[str, Tensor]:
    ids = torch.unique(torch.cat([each["token_ids"].long() for each in tokens]))
    base = None
    if any(len(each["token_ids"]) < len(ids) for each in tokens):
        base = base_rows()[ids].double()
    total = torch.zeros((len(ids), tokens[0]["token_rows"].shape[1]), dtype=torch.float64)
    for each in tokens:
        rows = torch.empty_like(total) if base is None else base * float(each["token_decay"])
        rows[torch.searchsorted(ids, each["token_ids"].long())] = each["token_rows"].double()
        total += rows
    return {
        "token_ids": ids.to(torch.int32),
        "token_rows": (total / len(tokens)).to(tokens[0]["token_rows"].dtype),
        "token_decay": torch.stack([each["token_decay"] for each in tokens]).mean(),
    }


def _check_count(step: Step, record: Record, found: int) -> None:
    asked = step.spec["count"]
    if not found:
        raise StepError(
            record.folder,
            "scored no dev set, so it has no checkpoints to average",
            "Lower training.eval_every, or leave target.average.checkpoints out.",
        )
    if found < asked:
        log.warning(
            "%s scored its dev set %d times: the mean is of that many checkpoints, not of %d",
            record.folder,
            found,
            asked,
        )


def _threshold(records: Sequence[Record]) -> dict[str, float]:
    """Return the mean of the odds over which the models answer nothing, where they have any."""
    found = [each.result["null_threshold"] for each in records if "null_threshold" in each.result]
    return {"null_threshold": fmean(found)} if found else {}
