"""Prepared rows as tensors, and the logits of a model on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xtransfer.forms import FORMS, sequences, split_logits
from xtransfer.forms.encoding import Ragged, Rows, pad
from xtransfer.train.batching import PREDICTION_TOKENS, Indices, padded_length, prediction_batches
from xtransfer.train.collectives import gather_first
from xtransfer.train.context import Context
from xtransfer.train.kernels.products import prediction_products
from xtransfer.train.lookahead import own_results
from xtransfer.train.transfers import sent

JOINED_ROWS = 2_000
"""Rows from which on data sets are predicted together, so that small ones, too, make full batches of rows of
like length."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Prepared rows and what scoring needs of their examples."""

    rows: Rows
    examples: list[dict[str, Any]]

    @property
    def input_ids(self) -> Ragged:
        """Token ids of each row."""
        ids = self.rows["input_ids"]
        assert isinstance(ids, Ragged)
        return ids

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row."""
        return self.input_ids.lengths()

    @staticmethod
    def joined(parts: Sequence[DataSet]) -> DataSet:
        """Return the rows of all parts one after the other, as one data set.

        The parts were made by one form; `example` goes on counting from part to part.
        """
        if len(parts) == 1:
            return parts[0]
        rows: Rows = {}
        for name in parts[0].rows:
            columns = [part.rows[name] for part in parts]
            if isinstance(columns[0], Ragged):
                rows[name] = _joined_lists([cast("Ragged", column) for column in columns])
                continue
            values = [cast("npt.NDArray[np.int32]", column) for column in columns]
            if name == "example":
                before = np.cumsum([0, *(len(part.examples) for part in parts)])
                values = [column + first for column, first in zip(values, before, strict=False)]
            rows[name] = np.concatenate(values).astype(np.int32)
        return DataSet(rows=rows, examples=[each for part in parts for each in part.examples])


def predict_each(
    module: torch.nn.Module,
    form: str,
    sets: Iterable[tuple[str, DataSet]],
    context: Context,
) -> Iterator[tuple[str, DataSet, list[Tensor] | None]]:
    """Yield each name and data set with the logits of its rows, as `predict` has them. Collective.

    Small sets are predicted together: with other neighbours in their batches, logits differ by rounding.
    """
    together: dict[str, DataSet] = {}
    for name, data in sets:
        if together and next(iter(together.values())).rows.keys() != data.rows.keys():
            yield from _predict_together(module, form, together, context)
            together = {}
        together[name] = data
        if sum(len(each.lengths) for each in together.values()) >= JOINED_ROWS:
            yield from _predict_together(module, form, together, context)
            together = {}
    if together:
        yield from _predict_together(module, form, together, context)


def _predict_together(
    module: torch.nn.Module, form: str, sets: Mapping[str, DataSet], context: Context
) -> Iterator[tuple[str, DataSet, list[Tensor] | None]]:
    logits = predict(module, form, DataSet.joined(list(sets.values())), context)
    start = 0
    for name, data in sets.items():
        end = start + len(data.lengths)
        yield name, data, None if logits is None else logits[start:end]
        start = end


def predict(
    module: torch.nn.Module, form: str, data: DataSet, context: Context, *, head: int = 0
) -> list[Tensor] | None:
    """Return the logits of every row, in row order, on rank 0 (None elsewhere). Collective.

    `head` is the number of the model's head to use. Batches are the same whatever the number of workers,
    and are dealt out in turn.
    """
    was_training = module.training
    module.eval()
    batches = prediction_batches(data.lengths, tokens=tokens_at_once(context))
    bf16 = getattr(module, "bf16", False)

    def logits_of(batch: Indices) -> Tensor:
        context.alive()
        return module(head=head, **make_inputs(form, data.rows, batch, context)).float()

    # ZeRO 3 keeps weights that it gathers; they must be fit for training.
    with torch.no_grad(), _casting_once(module, context), prediction_products(module, bf16=bf16):
        own = list(own_results(batches, logits_of, context))
    module.train(was_training)
    # Whole batches: each row's logits alone are a view, and would be sent with all of its batch.
    everything = gather_first(own, context)
    if context.rank != 0:
        return None
    found: dict[int, Tensor] = {}
    for batch, logits in chain.from_iterable(everything):
        parts = split_logits(form, logits, data.rows, batch)
        found.update({int(row): part for row, part in zip(batch, parts, strict=True)})
    return [found[row] for row in range(len(data.lengths))]


def _casting_once(module: torch.nn.Module, context: Context) -> torch.autocast:
    """Return autocast around all batches, which keeps the bf16 copies of weights from one to the next.

    Not where ZeRO 3 takes the weights away in between.
    """
    kept = getattr(module, "bf16", False) and context.zero_stage < 3
    return torch.autocast(context.device, torch.bfloat16, enabled=kept)


def tokens_at_once(context: Context) -> int:
    """Return how many tokens, padding included, a prediction batch may have."""
    return context.prediction_tokens or PREDICTION_TOKENS[context.device]


def make_inputs(
    form: str, rows: Rows, batch: npt.NDArray[np.int64], context: Context
) -> dict[str, Tensor]:
    """Return `input_ids` (and `token_type_ids`) [sequences, length], and `attention_mask` where any is padded.

    The length is the `padded_length` of the longest. A form whose head looks at few positions says which, as
    `positions` among all of the batch in reading order.
    """
    ids = sequences(form, rows, batch, "input_ids")
    lengths = np.array([len(row) for row in ids])
    width = padded_length(int(lengths.max()), context.longest)
    mask = np.arange(width)[None] < lengths[:, None]
    inputs = {"input_ids": pad(ids, context.pad_id, width)}
    if not mask.all():
        inputs["attention_mask"] = mask.astype(np.int64)
    if "token_type_ids" in rows:
        inputs["token_type_ids"] = pad(sequences(form, rows, batch, "token_type_ids"), 0, width)
    positions = getattr(FORMS[form], "positions", None)
    if positions is not None:
        sequence, place = np.nonzero(positions(rows, batch))
        inputs["positions"] = sequence * width + place
    return {name: sent(value, context.device) for name, value in inputs.items()}


def mean_state(states: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean [batch, hidden] of the states [batch, length, hidden] of all tokens but padding.

    Args:
        states: of an encoder's layer.
        mask: `attention_mask` of `make_inputs`, if there is one.
    """
    if mask is None:
        return states.sum(1) / states.shape[1]
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _joined_lists(columns: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([column.lengths() for column in columns])
    return Ragged(
        np.concatenate([column.values for column in columns]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
