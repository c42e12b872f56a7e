"""The one training loop, for every form, on one worker or many.

It knows no Ray and no store: the caller gives prepared rows, a context and a function that makes the
model. Whatever a step draws at random follows from (seed, step, rank), so a resumed run and an
undisturbed one are the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xtransfer.errors import StepError
from xtransfer.forms import FORMS
from xtransfer.forms.encoding import Ragged, Rows, pad
from xtransfer.train.batching import (
    epoch_batches,
    learning_rate,
    prediction_batches,
    split_batch,
    steps_per_epoch,
)
from xtransfer.train.engine import Engine, make_engine
from xtransfer.train.model import TransferModel

PREDICTION_TOKENS = {"cpu": 1024, "cuda": 32768}
"""Tokens, padding included, in one prediction batch of one worker, by kind of device. On a CPU larger
batches fall out of the cache: half the speed at 8,192."""


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What a trial computes; every field is part of its identity."""

    form: str
    labels: tuple[str, ...]
    metric: str
    seed: int
    learning_rate: float
    epochs: int
    batch_size: int
    warmup: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    adam_betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    dropout: float | None = None
    precision: str = "fp32"
    eval_every: int | None = 1000
    patience: int = 30


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Prepared rows and what scoring needs of their examples."""

    rows: Rows
    examples: list[dict[str, Any]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row."""
        ids = self.rows["input_ids"]
        assert isinstance(ids, Ragged)
        return ids.lengths()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a running trial tells: step counts, losses, speed."""

    step: int
    total: int
    loss: float
    examples_per_s: float
    dev: float | None = None


@dataclass(kw_only=True)
class State:
    """All that a trial must know to go on as if it had never stopped, besides tensors."""

    step: int = 0
    best_step: int = -1
    best_score: float = float("-inf")
    evaluations_since_best: int = 0
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry a dev evaluation: step, mean training loss since the last one, dev metrics."""
    loss_sum: float = 0.0
    loss_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A resumable state: scalars and whole tensors, independent of workers and ZeRO stage."""

    state: dict[str, Any]
    tensors: dict[str, Tensor]
    """`weights/*`, `exp_avg/*`, `exp_avg_sq/*` and, once there is one, `best/*`."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a trial runs: nothing here changes what it computes, beyond rounding."""

    rank: int = 0
    world_size: int = 1
    device: str = "cpu"
    engine: str = "torch"
    zero_stage: int = 0
    micro_batch: int | None = None
    pad_id: int = 0
    report: Callable[[Progress], None] = lambda progress: None
    """Called on every rank after the same steps."""
    save: Callable[[Checkpoint], None] = lambda checkpoint: None
    """Called on rank 0 with a checkpoint to keep."""
    save_every_s: float = float("inf")
    resume: Checkpoint | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished trial: its best weights by dev score and how it got there."""

    weights: dict[str, Tensor]
    best_step: int
    best_score: float
    steps: int
    total_steps: int
    stopped_early: bool
    history: list[dict[str, float]]
    examples_per_s: float


Score = Callable[[DataSet, list[Any]], Mapping[str, float]]


def train(
    spec: TrialSpec,
    context: Context,
    *,
    model: TransferModel,
    train_set: DataSet,
    dev_set: DataSet,
    score: Score,
) -> Outcome:
    """Fine-tune `model` and return its best weights on the dev set.

    Every worker calls this with the same arguments but its rank. `model` holds the starting weights;
    with `context.resume` they are replaced by the checkpoint's.

    Raises:
        StepError: when the loss is not finite.
    """
    torch.use_deterministic_algorithms(context.device == "cpu")
    # Filling every new tensor with NaN is a help in debugging only, and slow.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    resume = context.resume
    if resume is not None:
        _load(model, resume.tensors, "weights/")
    engine = make_engine(
        model.to(context.device),
        kind=context.engine,
        world_size=context.world_size,
        weight_decay=spec.weight_decay,
        epsilon=spec.adam_epsilon,
        betas=spec.adam_betas,
        clip=spec.clip,
        zero_stage=context.zero_stage,
    )
    run = _Run(spec, context, engine, train_set, dev_set, score)
    if resume is not None:
        run.restore(resume)
    try:
        return run.run()
    finally:
        engine.close()


def build_head(form: str, hidden: int, labels: int, *, dropout: float, seed: int) -> Any:
    """Return a fresh head; its weights (normal, sd 0.02; biases 0) follow from the seed alone."""
    torch.manual_seed(stream(seed, 0, "head"))
    head = FORMS[form].Head(hidden, labels, dropout)
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.02)
            torch.nn.init.zeros_(module.bias)
    return head


def predict(
    module: torch.nn.Module, form: str, data: DataSet, context: Context
) -> list[Tensor] | None:
    """Return the logits of every row, in row order, on rank 0 (None elsewhere). Collective.

    Batches are the same whatever the number of workers, and are dealt out in turn.
    """
    was_training = module.training
    module.eval()
    batches = prediction_batches(data.lengths, tokens=PREDICTION_TOKENS[context.device])
    mine = batches[context.rank :: context.world_size]
    split = getattr(FORMS[form], "split_logits", _one_logit_tensor_a_row)
    found: dict[int, Tensor] = {}
    with torch.inference_mode():
        for at in range(-(-len(batches) // context.world_size)):
            # Every worker runs as often as the others: under ZeRO 3 a forward pass is collective.
            batch = mine[at] if at < len(mine) else batches[0]
            inputs = make_inputs(form, data.rows, batch, context)
            logits = module(**inputs).float().cpu()
            if at < len(mine):
                parts = split(logits, data.rows, batch)
                found.update({int(row): part for row, part in zip(batch, parts, strict=True)})
    module.train(was_training)
    if context.world_size > 1:
        gathered: list[Any] = [None] * context.world_size
        torch.distributed.all_gather_object(gathered, found)
        found = {row: logits for part in gathered for row, logits in part.items()}
    if context.rank != 0:
        return None
    return [found[row] for row in range(len(data.lengths))]


def make_inputs(
    form: str, rows: Rows, batch: npt.NDArray[np.int64], context: Context
) -> dict[str, Tensor]:
    """Return `input_ids`, `attention_mask` (and `token_type_ids`) [sequences, length]."""
    select = getattr(FORMS[form], "sequences", _one_sequence_a_row)
    ids = select(rows, batch, "input_ids")
    padded = pad(ids, context.pad_id)
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(padded.shape[1])[None] < lengths[:, None]
    inputs = {"input_ids": padded, "attention_mask": mask.astype(np.int64)}
    if "token_type_ids" in rows:
        inputs["token_type_ids"] = pad(select(rows, batch, "token_type_ids"), 0)
    return {name: torch.from_numpy(value).to(context.device) for name, value in inputs.items()}


def stream(seed: int, step: int, role: str, rank: int = 0) -> int:
    """Return the seed of torch's generator for one step, so that no draw depends on history."""
    words = [seed, step, rank, *role.encode()]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


class _Run:
    def __init__(
        self,
        spec: TrialSpec,
        context: Context,
        engine: Engine,
        train_set: DataSet,
        dev_set: DataSet,
        score: Score,
    ) -> None:
        self.spec, self.context, self.engine = spec, context, engine
        self.train_set, self.dev_set, self.score = train_set, dev_set, score
        self.form = FORMS[spec.form]
        self.state = State()
        self.best: dict[str, Tensor] = {}
        self.lengths = train_set.lengths
        self.per_epoch = steps_per_epoch(len(self.lengths), spec.batch_size)
        self.total = self.per_epoch * spec.epochs
        self.row_weights = np.asarray(train_set.rows["weight"], dtype=np.int64)
        self.last_save = time.monotonic()
        self.examples = 0
        self.seconds = 0.0

    def restore(self, checkpoint: Checkpoint) -> None:
        self.state = State(**checkpoint.state)
        self.engine.load_moments(checkpoint.tensors, steps=self.state.step)
        self.best = {
            name.removeprefix("best/"): tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith("best/")
        }

    def run(self) -> Outcome:
        state = self.state
        while state.step < self.total and not state.stopped_early:
            epoch, first = divmod(state.step, self.per_epoch)
            batches = epoch_batches(
                self.lengths, batch_size=self.spec.batch_size, seed=self.spec.seed, epoch=epoch
            )
            for batch in batches[first:]:
                self._step(batch)
                every = self.spec.eval_every
                if state.step == self.total or (every and state.step % every == 0):
                    self._evaluate()
                if state.stopped_early:
                    break
                self._maybe_save()
        return Outcome(
            weights=self.best,
            best_step=state.best_step,
            best_score=state.best_score,
            steps=state.step,
            total_steps=self.total,
            stopped_early=state.stopped_early,
            history=state.history,
            examples_per_s=self.examples / self.seconds if self.seconds else 0.0,
        )

    def _step(self, batch: npt.NDArray[np.int64]) -> None:
        context, state = self.context, self.state
        began = time.perf_counter()
        torch.manual_seed(stream(self.spec.seed, state.step, "step", context.rank))
        self.engine.module.train()
        micro_batches = split_batch(
            batch,
            rank=context.rank,
            world_size=context.world_size,
            micro_batch=context.micro_batch,
        )
        whole = int(self.row_weights[batch].sum())
        loss_sum = 0.0
        for at, rows in enumerate(micro_batches):
            loss = self._loss(rows if len(rows) else batch[:1]) / whole
            if not len(rows):
                loss = loss * 0.0
            self.engine.backward(loss, last=at == len(micro_batches) - 1)
            loss_sum += float(loss.detach())
        loss_sum = self._sum(loss_sum)
        if not np.isfinite(loss_sum):
            raise StepError(
                f"optimizer step {state.step}",
                f"the training loss is {loss_sum}",
                f"The last good dev evaluation was at step {state.best_step}; "
                "try a lower learning rate or fp32.",
            )
        rate = learning_rate(
            state.step, peak=self.spec.learning_rate, total=self.total, warmup=self.spec.warmup
        )
        self.engine.step(rate)
        state.step += 1
        state.loss_sum += loss_sum
        state.loss_steps += 1
        self.examples += len(batch)
        self.seconds += time.perf_counter() - began
        self._report(loss_sum)

    def _loss(self, rows: npt.NDArray[np.int64]) -> Tensor:
        data = self.train_set.rows
        inputs = make_inputs(self.spec.form, data, rows, self.context)
        gold = {
            name: value.to(self.context.device)
            for name, value in self.form.gold_tensors(data, rows).items()
        }
        return self.form.loss(self.engine.forward(**inputs), gold)

    def _evaluate(self) -> None:
        state = self.state
        logits = predict(self.engine.module, self.spec.form, self.dev_set, self.context)
        metrics: Mapping[str, float] = {}
        if logits is not None:
            predictions = self.form.decode(
                logits, self.dev_set.rows, self.dev_set.examples, self.spec.labels
            )
            metrics = self.score(self.dev_set, predictions)
        metrics = self._broadcast(metrics)
        value = metrics[self.spec.metric]
        state.history.append(
            {
                "step": state.step,
                "loss": state.loss_sum / max(1, state.loss_steps),
                **{f"dev {name}": score for name, score in metrics.items()},
            }
        )
        state.loss_sum, state.loss_steps = 0.0, 0
        if value > state.best_score:
            state.best_score, state.best_step = value, state.step
            state.evaluations_since_best = 0
            self.best = self.engine.weights()
        else:
            state.evaluations_since_best += 1
            state.stopped_early = state.evaluations_since_best >= self.spec.patience
        self._report(state.history[-1]["loss"], dev=value)

    def _maybe_save(self) -> None:
        """Save when it is time; rank 0's clock decides for all, since gathering is collective."""
        due = time.monotonic() - self.last_save >= self.context.save_every_s
        if self.context.world_size > 1:
            due = bool(self._broadcast(due)) if self.state.step % 10 == 0 else False
        if not due:
            return
        tensors = {f"weights/{name}": value for name, value in self.engine.weights().items()}
        tensors |= self.engine.moments()
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        if self.context.rank == 0:
            self.context.save(Checkpoint(state=asdict(self.state), tensors=tensors))
        self.last_save = time.monotonic()

    def _report(self, loss: float, dev: float | None = None) -> None:
        self.context.report(
            Progress(
                step=self.state.step,
                total=self.total,
                loss=loss,
                examples_per_s=self.examples / max(self.seconds, 1e-9),
                dev=dev,
            )
        )

    def _sum(self, value: float) -> float:
        if self.context.world_size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.context.device)
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def _broadcast(self, value: Any) -> Any:
        if self.context.world_size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]


def _one_sequence_a_row(rows: Rows, batch: npt.NDArray[np.int64], column: str) -> list[Any]:
    values = rows[column]
    return [values[int(row)] for row in batch]


def _one_logit_tensor_a_row(
    logits: Tensor,
    rows: Rows,  # noqa: ARG001 - the signature is the forms'
    batch: npt.NDArray[np.int64],  # noqa: ARG001
) -> Iterable[Tensor]:
    return logits


def _load(model: TransferModel, tensors: Mapping[str, Tensor], prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[prefix + name])
