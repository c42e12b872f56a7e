"""The parts of a trial: the tasks, and perhaps unlabelled text, that its optimizer steps draw from.

A part gives the rows of its n-th draw (`draw`), as a pure function of seed and n, and scores the model on its
own held-out data (`evaluate`). The loop asks nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xtransfer.forms import FORMS, mlm
from xtransfer.forms.encoding import IGNORED, Ragged, Rows
from xtransfer.train.batching import Indices, epoch_batches, prediction_batches, steps_per_epoch
from xtransfer.train.collectives import gather
from xtransfer.train.context import Context
from xtransfer.train.lookahead import own_results
from xtransfer.train.mixture import language_shares
from xtransfer.train.passes import make_micro_batch
from xtransfer.train.prediction import DataSet, predict, tokens_at_once

Score = Callable[[str, DataSet, list[Any]], Mapping[str, float]]
"""Language, dev set and predictions -> scores by name."""

_TEXT, _HELD_OUT = 78, 79
"""Keep the draws of text and of the held-out masks apart from every other draw of a seed."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The rows of one optimizer step: the whole global batch."""

    rows: Rows
    chosen: Indices
    """Row numbers of the batch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskPart:
    """A task: every row once an epoch, scored by the task's own metric."""

    name: str
    form: str
    metric: str
    labels: tuple[str, ...]
    train: DataSet
    dev: Mapping[str, DataSet]
    """Language -> dev set; none where nothing is selected."""
    score: Score
    batch_size: int
    seed: int
    weight: float = 1.0
    """What the loss of its steps is multiplied by."""
    kept: dict[int, list[Indices]] = field(
        default_factory=dict[int, "list[Indices]"], init=False, repr=False
    )
    """The batches of the epoch that was asked for last."""

    @property
    def examples(self) -> int:
        """Training examples; a span example may have several rows."""
        return len(self.train.examples)

    @property
    def rows(self) -> int:
        """Training rows."""
        return len(self.train.input_ids)

    @property
    def dev_rows(self) -> int:
        """Rows of all dev sets."""
        return sum(len(data.lengths) for data in self.dev.values())

    @property
    def input_ids(self) -> list[Ragged]:
        """Return every column of token ids that the part reads."""
        return [each.input_ids for each in (self.train, *self.dev.values())]

    def draw(self, number: int) -> Draw:
        """Return batch `number` of the endless sequence of epochs."""
        epoch, at = divmod(number, steps_per_epoch(self.rows, self.batch_size))
        if epoch not in self.kept:
            self.kept.clear()
            self.kept[epoch] = epoch_batches(
                self.train.lengths, batch_size=self.batch_size, seed=self.seed, epoch=epoch
            )
        return Draw(rows=self.train.rows, chosen=self.kept[epoch][at])

    def evaluate(self, module: torch.nn.Module, context: Context, *, head: int) -> dict[str, float]:
        """Return each score as the mean over dev languages; with several, the main one of each too.

        {} on other ranks than 0. Collective, as `TextPart.evaluate` is; `head` is the part's number.
        """
        found: dict[str, Mapping[str, float]] = {}
        for language, data in self.dev.items():
            logits = predict(module, self.form, data, context, head=head)
            if logits is None:
                continue
            predictions = FORMS[self.form].decode(logits, data.rows, data.examples, self.labels)
            found[language] = self.score(language, data, predictions)
        if not found:
            return {}
        names = next(iter(found.values()))
        means = {name: fmean(scores[name] for scores in found.values()) for name in names}
        if len(found) > 1:
            means |= {f"{self.metric} {each}": found[each][self.metric] for each in found}
        return means

    def renumbered(self, change: Callable[[DataSet], DataSet]) -> TaskPart:
        """Return the part with every data set changed."""
        dev = {language: change(data) for language, data in self.dev.items()}
        return replace(self, train=change(self.train), dev=dev)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextPart:
    """Unlabelled text: rows drawn with replacement, languages by their share, masks drawn anew."""

    train: Mapping[str, DataSet]
    """Language -> rows."""
    dev: Mapping[str, DataSet]
    exponent: float
    mask: float
    """Share of tokens to predict."""
    mask_token: int
    special: tuple[int, ...]
    vocabulary: int
    batch_size: int
    seed: int
    weight: float = 1.0
    """What the loss of its steps is multiplied by."""
    name: str = "text"
    form: str = "mlm"

    @property
    def rows(self) -> int:
        """Training rows of all languages."""
        return sum(len(data.input_ids) for data in self.train.values())

    @property
    def dev_rows(self) -> int:
        """Rows of all dev sets."""
        return sum(len(data.lengths) for data in self.dev.values())

    @property
    def shares(self) -> dict[str, float]:
        """Return the probability of each language."""
        sizes = {language: len(data.input_ids) for language, data in self.train.items()}
        return language_shares(sizes, self.exponent)

    def draw(self, number: int) -> Draw:
        """Return masked rows; languages, rows and masks follow from (seed, number)."""
        random = np.random.default_rng([self.seed, _TEXT, number])
        shares = self.shares
        languages = random.choice(len(shares), size=self.batch_size, p=list(shares.values()))
        sets = list(self.train.values())
        rows = _gathered(
            [(sets[at], int(random.integers(len(sets[at].input_ids)))) for at in languages]
        )
        masked = self._masked(rows, random)
        return Draw(rows=masked, chosen=np.arange(self.batch_size))

    def evaluate(self, module: torch.nn.Module, context: Context, *, head: int) -> dict[str, float]:
        """Return the mean loss over held-out tokens, in nats, of each language and of all.

        Masks are the same at every evaluation. `loss` is the unweighted mean over languages. {} on
        other ranks than 0.
        """
        losses = {
            language: self._loss(module, data, context, head) for language, data in self.dev.items()
        }
        found = {"loss": fmean(losses.values())} if losses else {}
        if len(losses) > 1:
            found |= {f"loss {language}": loss for language, loss in losses.items()}
        return found if context.rank == 0 else {}

    def _loss(self, module: torch.nn.Module, data: DataSet, context: Context, head: int) -> float:
        everything = np.arange(len(data.lengths))
        random = np.random.default_rng(_HELD_OUT)
        rows = self._masked({"input_ids": data.input_ids}, random, everything)
        batches = prediction_batches(data.lengths, tokens=tokens_at_once(context))
        was_training = module.training
        module.eval()

        def loss_of(batch: Indices) -> Tensor:
            """Return the summed loss of a batch, a scalar."""
            context.alive()
            made = make_micro_batch(self.form, head, rows, batch, context)
            return mlm.loss(module(head=head, **made.inputs), made.gold).double()

        with torch.no_grad():
            own = sum(float(loss) for _, loss in own_results(batches, loss_of, context))
        module.train(was_training)
        gold = rows["gold"]
        assert isinstance(gold, Ragged)
        hidden = int((gold.values != IGNORED).sum())
        return sum(gather(own, context)) / hidden if hidden else math.nan

    def _masked(
        self, rows: Rows, random: np.random.Generator, chosen: Indices | None = None
    ) -> Rows:
        return mlm.mask(
            rows,
            np.arange(self.batch_size) if chosen is None else chosen,
            random=random,
            share=self.mask,
            mask_token=self.mask_token,
            special=self.special,
            vocabulary=self.vocabulary,
        )


Part = TaskPart | TextPart
"""What an optimizer step may draw from."""


def _gathered(places: Sequence[tuple[DataSet, int]]) -> Rows:
    """Return one row of token ids for each (data set, row number)."""
    values = [data.input_ids[row] for data, row in places]
    offsets = np.cumsum([0, *(len(each) for each in values)]).astype(np.int64)
    return {"input_ids": Ragged(np.concatenate(values), offsets)}
