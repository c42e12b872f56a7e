"""The one training loop, for every form, on one worker or many.

It knows no Ray and no store: the caller gives the model, the parts to learn from and a context.
Whatever a step draws at random follows from (seed, step, rank), so a resumed run and an undisturbed one
are the same run.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from xtransfer.errors import Diverged, StepLeft
from xtransfer.forms import FORMS
from xtransfer.forms.encoding import Rows
from xtransfer.train.batching import Indices, learning_rate, split_batch
from xtransfer.train.context import Checkpoint, Context, Progress
from xtransfer.train.engine import Engine, make_engine, trained_parameters
from xtransfer.train.mixture import Mixture, draw_numbers, schedule
from xtransfer.train.model import TransferModel
from xtransfer.train.parts import TaskPart, TextPart
from xtransfer.train.prediction import make_inputs
from xtransfer.train.snapshots import Snapshots

AGREE_EVERY = 10
"""Optimizer steps between two times that several workers agree on whether to save."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What a trial computes; every field is part of its identity."""

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
    keep: Literal["best", "last"] = "best"
    """Which weights are the outcome: the best on the dev sets, or those after the last step, for which no
    dev set is scored."""
    on_nan: Literal["fail", "skip"] = "fail"
    """Whether an optimizer step whose loss or gradient is not finite fails the trial or is left out."""
    snapshots: Mapping[str, Any] | None = None
    """`count` and `which` ("last" or "best") of the dev evaluations whose weights are kept, too."""
    lora: Mapping[str, Any] | None = None
    """Fields of `xtransfer.adapters.Lora`; None: the whole encoder is trained."""
    head_seed: int | None = None
    """What heads are drawn from; None: the trial's own seed."""


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
    workers: list[list[int]] = field(default_factory=list)
    """[step, workers from there on], whenever it began or went on with another number of them."""
    skipped_steps: list[int] = field(default_factory=list)
    """Steps, counted from 0, that left weights and moments as they were."""
    snapshots: list[list[float]] = field(default_factory=list)
    """[step, dev score] of the evaluations whose weights are kept beside the best."""
    rung: int = 0
    """The last rung at which it was ruled whether the trial goes on, percent."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished trial: the weights to keep and how it got there."""

    weights: dict[str, Tensor]
    best_step: int
    best_score: float | None
    """None where the last weights were kept and nothing was scored."""
    steps: int
    total_steps: int
    stopped_early: bool
    history: list[dict[str, float]]
    draws: list[int]
    """Steps that drew from each part."""
    workers: list[list[int]]
    """[step, workers from there on]."""
    timing: dict[str, float]
    """Of this process, which may have gone on from a checkpoint: rows trained on (`examples`) and how many
    a second (`examples_per_s`); rows predicted for dev evaluations, and the seconds of that."""
    skipped_steps: list[int] = field(default_factory=list)
    """Optimizer steps, counted from 0, that were left out."""
    snapshots: Snapshots = field(default_factory=lambda: Snapshots(None))
    """Further weights that were asked for."""
    stopped_at: int | None = None
    """The rung at which the trial was stopped, percent; None where it was not."""


def train(
    spec: TrialSpec,
    context: Context,
    *,
    model: TransferModel,
    parts: Sequence[TaskPart | TextPart],
    mixture: Mixture,
) -> Outcome:
    """Fine-tune `model`, head i on part i, and return its best weights by dev score.

    Every worker calls this with the same arguments but its rank. `model` holds the starting weights;
    with `context.resume` they are replaced by the checkpoint's.

    Raises:
        Diverged: when a loss or gradient is not finite and that step is not to be left out, or too many
            were; and when a dev score is not a number.
        StepLeft: when `context.leaving` gave a reason; the state is saved.
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
    run = _Run(spec, context, engine, parts, mixture)
    if resume is not None:
        run.restore(resume)
    try:
        return run.run()
    finally:
        engine.close()


def build_head(
    form: str, hidden: int, labels: int, *, dropout: float, seed: int, number: int = 0
) -> Any:
    """Return a fresh head; its weights (normal, sd 0.02; biases 0) follow from seed and number alone."""
    torch.manual_seed(stream(seed, 0, "head", number))
    head = FORMS[form].Head(hidden, labels, dropout)
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.02)
            torch.nn.init.zeros_(module.bias)
    return head


def stream(seed: int, step: int, role: str, rank: int = 0) -> int:
    """Return the seed of torch's generator for one step, so that no draw depends on history."""
    words = [seed, step, rank, *role.encode()]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


_CALMER = "Try a lower learning rate, more warm-up or fp32"


class _Run:
    def __init__(
        self,
        spec: TrialSpec,
        context: Context,
        engine: Engine,
        parts: Sequence[TaskPart | TextPart],
        mixture: Mixture,
    ) -> None:
        self.spec, self.context, self.engine = spec, context, engine
        self.parts = parts
        self.state = State()
        self.best: dict[str, Tensor] = {}
        self.snapshots = Snapshots(spec.snapshots)
        self.total = mixture.steps
        self.order = schedule(mixture.shares, mixture.steps, seed=spec.seed)
        self.numbers = draw_numbers(self.order)
        self.last_save = time.monotonic()
        self.examples = 0
        self.seconds = 0.0
        self.dev_examples = 0
        self.dev_seconds = 0.0
        self.stopped_at: int | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        self.state = State(**checkpoint.state)
        taken = self.state.step - len(self.state.skipped_steps)
        self.engine.load_moments(checkpoint.tensors, steps=taken)
        self.best = {
            name.removeprefix("best/"): tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith("best/")
        }
        self.snapshots.restore(self.state.snapshots, checkpoint.tensors)

    def run(self) -> Outcome:
        state = self.state
        if not state.workers or state.workers[-1][1] != self.context.world_size:
            state.workers.append([state.step, self.context.world_size])
        if state.step == 0 and not state.history:
            self._measure_text()
        while state.step < self.total and not state.stopped_early:
            self._step()
            every = self.spec.eval_every
            if self.spec.keep == "best" and (
                state.step == self.total or (every and state.step % every == 0)
            ):
                self._evaluate()
                self._climb()
            if not state.stopped_early:
                self._save_or_leave()
        if self.spec.keep == "last":
            self.best, state.best_step = self.engine.weights(), state.step
        draws = np.bincount(self.order[: state.step], minlength=len(self.parts))
        return Outcome(
            weights=self.best,
            best_step=state.best_step,
            best_score=None if self.spec.keep == "last" else state.best_score,
            steps=state.step,
            total_steps=self.total,
            stopped_early=state.stopped_early,
            history=state.history,
            draws=draws.tolist(),
            workers=state.workers,
            skipped_steps=state.skipped_steps,
            snapshots=self.snapshots,
            stopped_at=self.stopped_at,
            timing={
                "examples": self.examples,
                "examples_per_s": self.examples / self.seconds if self.seconds else 0.0,
                "dev_examples": self.dev_examples,
                "dev_s": self.dev_seconds,
            },
        )

    def _step(self) -> None:
        context, state = self.context, self.state
        began = time.perf_counter()
        number = int(self.order[state.step])
        part = self.parts[number]
        draw = part.draw(int(self.numbers[state.step]))
        row_weights = np.asarray(draw.rows["weight"], dtype=np.int64)[draw.chosen]
        whole = max(1, int(row_weights.sum()))
        if getattr(FORMS[part.form], "WHOLE_BATCH", False):
            # Every worker computes the same gradient, and their sum must be that of one.
            shards, whole = {0: [draw.chosen]}, whole * context.world_size
        else:
            shards = self._own_shards(draw.chosen)
        self.engine.module.train()
        loss_sum, left = 0.0, sum(map(len, shards.values()))
        for shard, micro_batches in shards.items():
            torch.manual_seed(stream(self.spec.seed, state.step, "step", shard))
            for rows in micro_batches:
                left -= 1
                some = rows if len(rows) else draw.chosen[:1]
                loss = self._loss(number, draw.rows, some) / whole * part.weight
                if not len(rows):
                    loss = loss * 0.0
                loss_sum += float(loss.detach())
                if not left and not math.isfinite(loss_sum):
                    # A loss may be infinite and its gradient finite. Gradients are summed over the
                    # workers: one that is not a number keeps all of them from this step.
                    loss = loss * math.nan
                self.engine.backward(loss, last=not left)
                context.alive()
        loss_sum = self._sum(loss_sum)
        rate = learning_rate(
            state.step, peak=self.spec.learning_rate, total=self.total, warmup=self.spec.warmup
        )
        if self.engine.step(rate):
            state.loss_sum += loss_sum
            state.loss_steps += 1
        else:
            self._leave_out(loss_sum)
        state.step += 1
        self.examples += len(draw.chosen)
        self.seconds += time.perf_counter() - began
        self._report(loss_sum)

    def _own_shards(self, batch: Indices) -> dict[int, list[Indices]]:
        """Return this worker's shards of a batch, each as micro-batches: as many as any worker has."""
        context = self.context
        shards = max(context.shards, context.world_size)
        parts = split_batch(batch, shards=shards, micro_batch=context.micro_batch)
        empty = [batch[:0]] * len(parts[0])
        return {
            shard: parts[shard] if shard < shards else empty
            for shard in range(
                context.rank,
                -(-shards // context.world_size) * context.world_size,
                context.world_size,
            )
        }

    def _leave_out(self, loss: float) -> None:
        """Note that this step changed nothing, or raise where the trial is not to go on."""
        state, context = self.state, self.context
        what = (
            "the norm of the gradient is not finite"
            if math.isfinite(loss)
            else f"the training loss is {loss}"
        )
        skipped = [*state.skipped_steps, state.step]
        row = next(n for n in range(1, len(skipped) + 2) if state.step - n not in skipped)
        where = f"optimizer step {state.step}"
        if self.spec.on_nan == "fail":
            raise Diverged(where, what, f"{self._last_good()} {_CALMER}, or training.on_nan=skip.")
        if row > context.skips_in_a_row or len(skipped) > context.skips_in_all:
            raise Diverged(
                where,
                f"{what}, and {row - 1} steps before it in a row and {len(skipped) - 1} in all were "
                "left out already",
                f"{self._last_good()} {_CALMER}, or raise train.skips_in_a_row and train.skips_in_all.",
            )
        state.skipped_steps = skipped
        log.warning("%s is left out: %s", where, what)

    def _last_good(self) -> str:
        if self.state.best_step < 0:
            return "There was no dev evaluation before."
        score, step = self.state.best_score, self.state.best_step
        return f"The best dev evaluation before was at step {step} ({score:.1f})."

    def _loss(self, number: int, rows: Rows, chosen: Indices) -> Tensor:
        form = self.parts[number].form
        inputs = make_inputs(form, rows, chosen, self.context)
        gold = {
            name: value.to(self.context.device)
            for name, value in FORMS[form].gold_tensors(rows, chosen).items()
        }
        return FORMS[form].loss(self.engine.forward(head=number, **inputs), gold)

    def _measure_text(self) -> None:
        """Note the loss on held-out text before the first step, to compare with."""
        scores = self._scores(
            {number for number, part in enumerate(self.parts) if isinstance(part, TextPart)}
        )
        if scores:
            self.state.history.append({"step": 0, **_named(self.parts, scores)})

    def _evaluate(self) -> None:
        state = self.state
        scores = self._scores(set(range(len(self.parts))))
        value = main_score(self.parts, scores)
        if not math.isfinite(value):
            where, what = f"optimizer step {state.step}", f"the dev score is {value}"
            raise Diverged(where, what, f"{self._last_good()} {_CALMER}.")
        state.history.append(
            {
                "step": state.step,
                "loss": state.loss_sum / max(1, state.loss_steps),
                **_named(self.parts, scores),
            }
        )
        state.loss_sum, state.loss_steps = 0.0, 0
        better, wanted = value > state.best_score, self.snapshots.wants(value)
        weights = self.engine.weights() if better or wanted else {}
        if wanted:
            self.snapshots.add(state.step, value, weights)
            state.snapshots = [[at, score] for at, score in self.snapshots.scores.items()]
        if better:
            state.best_score, state.best_step = value, state.step
            state.evaluations_since_best = 0
            self.best = weights
        else:
            state.evaluations_since_best += 1
            state.stopped_early = state.evaluations_since_best >= self.spec.patience
        self._report(state.history[-1]["loss"], dev=value)

    def _climb(self) -> None:
        """Have it ruled whether the trial goes on, where this evaluation has brought it to a rung.

        Several rungs that were passed since the last evaluation count as the highest of them.
        """
        state, context = self.state, self.context
        if state.step == self.total or state.stopped_early:
            return
        reached = [rung for rung in context.rungs if 100 * state.step >= rung * self.total]
        rung = max(reached, default=0)
        if rung <= state.rung:
            return
        self._report(state.history[-1]["loss"], rung=rung)
        ruled = context.goes_on(rung, state.best_score) if context.rank == 0 else True
        state.rung = rung
        if not self._broadcast(ruled):
            state.stopped_early, self.stopped_at = True, rung

    def _scores(self, numbers: set[int]) -> dict[int, dict[str, float]]:
        """Score the given parts; the same on every worker."""
        began = time.perf_counter()
        found = {
            number: self.parts[number].evaluate(self.engine.module, self.context, head=number)
            for number in sorted(numbers)
        }
        self.dev_seconds += time.perf_counter() - began
        self.dev_examples += sum(self.parts[number].dev_rows for number in numbers)
        return self._broadcast(found)

    def _save_or_leave(self) -> None:
        """Save when it is time, and leave when this or another worker must.

        Where the store is slower than checkpoints are due, training does not wait for it: the next one
        begins after the last one is written.

        Raises:
            StepLeft: on all workers alike, after saving.
        """
        if self.context.world_size > 1 and self.state.step % AGREE_EVERY:
            return
        due = time.monotonic() - self.last_save >= self.context.save_every_s
        asked = self.context.leaving() if self.state.step < self.total else ""
        wishes = self._gather((asked, due, self.context.saving()))
        reason = next((asked for asked, _, _ in wishes if asked), "")
        due, saving = (any(each[place] for each in wishes) for place in (1, 2))
        if reason or (due and not saving):
            self._save()
        if reason:
            raise StepLeft(
                f"optimizer step {self.state.step} of {self.total}",
                reason,
                "The state is saved; the step goes on from there.",
            )

    def _save(self) -> None:
        """Gather the state and have rank 0 save it. Collective."""
        tensors = {f"weights/{name}": value for name, value in self.engine.weights().items()}
        tensors |= self.engine.moments()
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= self.snapshots.tensors()
        self.context.alive()
        if self.context.rank == 0:
            self.context.save(Checkpoint(state=asdict(self.state), tensors=tensors))
        self.last_save = time.monotonic()

    def _report(self, loss: float, dev: float | None = None, rung: int | None = None) -> None:
        self.context.report(
            Progress(
                step=self.state.step,
                total=self.total,
                loss=loss,
                examples_per_s=self.examples / max(self.seconds, 1e-9),
                dev=dev,
                rung=rung,
                best=None if rung is None else self.state.best_score,
            )
        )

    def _sum(self, value: float) -> float:
        if self.context.world_size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.context.device)
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def _gather(self, value: Any) -> list[Any]:
        """Return the values of all workers."""
        if self.context.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.context.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def _broadcast(self, value: Any) -> Any:
        if self.context.world_size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]


def main_score(
    parts: Sequence[TaskPart | TextPart], scores: Mapping[int, Mapping[str, float]]
) -> float:
    """Return what selects a trial: the mean of the tasks' main metrics, minus the loss without tasks."""
    tasks = [
        scores[number][part.metric]
        for number, part in enumerate(parts)
        if isinstance(part, TaskPart)
    ]
    return fmean(tasks) if tasks else -scores[0]["loss"]


def _named(
    parts: Sequence[TaskPart | TextPart], scores: Mapping[int, Mapping[str, float]]
) -> dict[str, float]:
    """Return the scores of all parts under names of their own: `dev accuracy`, `dev mnli accuracy`."""
    return {
        f"dev {name}" if len(parts) == 1 else f"dev {parts[number].name} {name}": value
        for number, found in scores.items()
        for name, value in found.items()
    }


def _load(model: TransferModel, tensors: Mapping[str, Tensor], prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in trained_parameters(model):
            parameter.copy_(tensors[prefix + name])
