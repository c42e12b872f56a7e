"""The one training loop, for every form, on one worker or many.

It knows no Ray and no store: the caller gives the model, the parts to learn from and a context.
Whatever a step draws at random follows from (seed, step, shard of the batch), so a resumed run and an undisturbed one
are the same run, with however many workers.

On a GPU the loop gives a step to do, and only then looks what came of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from xtransfer.forms import FORMS
from xtransfer.forms.encoding import ints
from xtransfer.train.batching import Indices, own_shards
from xtransfer.train.collectives import add_up, broadcast, check_everywhere, check_same_step
from xtransfer.train.context import Context, Progress
from xtransfer.train.course import Course, Outcome
from xtransfer.train.divergence import check_score, leave_out
from xtransfer.train.engine import Engine, make_engine
from xtransfer.train.graphs import make_passes, own_stream
from xtransfer.train.kernels.products import training_products
from xtransfer.train.meter import Meter
from xtransfer.train.mixture import Mixture, draw_numbers, schedule
from xtransfer.train.model import TransferModel
from xtransfer.train.parameters import trained_parameters
from xtransfer.train.parts import Draw, Part, TextPart
from xtransfer.train.passes import MicroBatch, make_micro_batch
from xtransfer.train.randomness import stream
from xtransfer.train.rates import learning_rate
from xtransfer.train.resuming import Saves
from xtransfer.train.scores import main_score, named_scores
from xtransfer.train.specification import TrialSpec
from xtransfer.train.transfers import Arriving


def train(
    spec: TrialSpec,
    context: Context,
    *,
    model: TransferModel,
    parts: Sequence[Part],
    mixture: Mixture,
) -> Outcome:
    """Fine-tune `model`, head i on part i, and return its best weights by dev score.

    Every worker calls this with the same arguments but its rank. `model` holds the starting weights;
    where `context.resume` returns a checkpoint they are replaced by its own.

    Raises:
        Diverged: when a loss or gradient is not finite and that step is not to be left out, or too many
            were; and when a dev score is not a number.
        StepLeft: when `context.leaving` gave a reason; the state is saved.
        StepError: when workers were given checkpoints of different steps. StoreError: as `context.check_files`.
    """
    torch.use_deterministic_algorithms(context.device == "cpu")
    # Filling every new tensor with NaN is a help in debugging only, and slow.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    resume = context.resume()
    check_same_step(0 if resume is None else resume.state["step"], context)
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
        keeps_gradients=context.graphs,
    )
    course = Course(spec.snapshots)
    if resume is not None:
        course.take_up(resume)
        engine.load_moments(resume.tensors, steps=course.state.steps_taken)
    del resume  # as large as weights, moments and best weights together
    try:
        with training_products(engine.module), own_stream(context):
            return _Run(spec, context, engine, parts, mixture, course).run()
    finally:
        engine.close()


class _Run:
    def __init__(
        self,
        spec: TrialSpec,
        context: Context,
        engine: Engine,
        parts: Sequence[Part],
        mixture: Mixture,
        course: Course,
    ) -> None:
        self.spec, self.context, self.engine = spec, context, engine
        self.parts = parts
        self.course, self.state = course, course.state
        self.total = mixture.steps
        self.order = schedule(mixture.shares, mixture.steps, seed=spec.seed)
        self.numbers = draw_numbers(self.order)
        self.passes = make_passes(engine, context)
        self.saves = Saves(context, engine, course, total=mixture.steps)
        self.unsettled: tuple[int, Arriving] | None = None
        """A step that was begun and not looked at yet, with its loss and whether it was taken."""
        self.meter = Meter()
        self.stopped_at: int | None = None

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
                self.saves.save_or_leave(self._settle)
        self._settle()
        check_everywhere(self.context.check_files, self.context)
        if self.spec.keep == "last":
            self.course.best, state.best_step = self.engine.weights(), state.step
        draws = np.bincount(self.order[: state.step], minlength=len(self.parts))
        return Outcome(
            weights=self.course.best,
            best_step=state.best_step,
            best_score=None if self.spec.keep == "last" else state.best_score,
            steps=state.step,
            total_steps=self.total,
            stopped_early=state.stopped_early,
            history=state.history,
            draws=draws.tolist(),
            workers=state.workers,
            skipped_steps=state.skipped_steps,
            snapshots=self.course.snapshots,
            stopped_at=self.stopped_at,
            timing=self.meter.timing(),
        )

    def _step(self) -> None:
        state = self.state
        number = int(self.order[state.step])
        with self.meter.training():
            found = self._begin(number)
        self._settle()
        self.unsettled = state.step, found
        state.step += 1
        if self.context.device == "cpu":
            self._settle()

    def _begin(self, number: int) -> Arriving:
        """Have the device learn from the next batch of a part; return the loss and whether weights changed."""
        step = self.state.step
        draw = self.parts[number].draw(int(self.numbers[step]))
        self.engine.module.train()
        self._accumulate(number, draw)
        peak, warmup = self.spec.learning_rate, self.spec.warmup
        taken = self.engine.step(learning_rate(step, peak=peak, total=self.total, warmup=warmup))
        self.meter.examples += len(draw.chosen)
        losses = add_up(self.passes.losses, self.context)
        return Arriving(torch.stack([losses, taken.to(losses)]))

    def _settle(self) -> None:
        """Take note of what came of the last step, unless it was done: on a GPU the next one is begun before."""
        if self.unsettled is None:
            return
        (step, found), self.unsettled = self.unsettled, None
        with self.meter.training():
            loss, taken = found.read().tolist()
        if taken:
            self.state.loss_sum += loss
            self.state.loss_steps += 1
        else:
            leave_out(self.state, self.context, step=step, loss=loss, on_nan=self.spec.on_nan)
        self._report(loss, step=step + 1)

    def _accumulate(self, number: int, draw: Draw) -> None:
        """Add up the losses and gradients of this worker's micro-batches, in `self.passes`."""
        context, part = self.context, self.parts[number]
        shards, whole = self._shares(part.form, draw)
        self.passes.begin()
        left = sum(map(len, shards.values()))
        for shard, micro_batches in shards.items():
            torch.manual_seed(stream(self.spec.seed, self.state.step, "step", shard))
            for rows in micro_batches:
                left -= 1
                chosen = rows if len(rows) else draw.chosen[:1]
                batch = make_micro_batch(part.form, number, draw.rows, chosen, context)
                weight = part.weight if len(rows) else 0.0
                self.passes.add(batch, self._loss, whole=whole, weight=weight, last=not left)
                context.alive()

    def _shares(self, form: str, draw: Draw) -> tuple[dict[int, list[Indices]], int]:
        """Return this worker's micro-batches by shard, and what the sum of their losses is divided by."""
        context = self.context
        row_weights = ints(draw.rows["weight"], draw.chosen)
        whole = max(1, int(row_weights.sum()))
        if getattr(FORMS[form], "WHOLE_BATCH", False):
            # Every worker computes the same gradient, and their sum must be that of one.
            return {0: [draw.chosen]}, whole * context.world_size
        shards = own_shards(
            draw.chosen,
            rank=context.rank,
            world_size=context.world_size,
            shards=context.shards,
            micro_batch=context.micro_batch,
        )
        return shards, whole

    def _loss(self, batch: MicroBatch) -> Tensor:
        logits = self.engine.forward(head=batch.head, **batch.inputs)
        return FORMS[batch.form].loss(logits, batch.gold)

    def _measure_text(self) -> None:
        """Note the loss on held-out text before the first step, to compare with."""
        scores = self._scores(
            {number for number, part in enumerate(self.parts) if isinstance(part, TextPart)}
        )
        if scores:
            self.state.history.append({"step": 0, **named_scores(self.parts, scores)})

    def _evaluate(self) -> None:
        self._settle()
        state = self.state
        scores = self._scores(set(range(len(self.parts))))
        value = main_score(self.parts, scores)
        check_score(value, state)
        state.history.append(
            {
                "step": state.step,
                "loss": state.loss_sum / max(1, state.loss_steps),
                **named_scores(self.parts, scores),
            }
        )
        state.loss_sum, state.loss_steps = 0.0, 0
        better = self.course.note(value, self.engine.weights)
        if not better and state.step < self.total:  # the last step stops nothing
            state.stopped_early = state.evaluations_since_best >= self.spec.patience
        self._report(state.history[-1]["loss"], step=state.step, dev=value)

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
        check_everywhere(context.check_files, context)
        self._report(state.history[-1]["loss"], step=state.step, rung=rung)
        ruled = context.goes_on(rung, state.best_score) if context.rank == 0 else True
        state.rung = rung
        if not broadcast(ruled, context):
            state.stopped_early, self.stopped_at = True, rung

    def _scores(self, numbers: set[int]) -> dict[int, dict[str, float]]:
        """Score the given parts; the same on every worker."""
        with self.meter.evaluation(sum(self.parts[number].dev_rows for number in numbers)):
            found = {
                number: self.parts[number].evaluate(self.engine.module, self.context, head=number)
                for number in sorted(numbers)
            }
        return broadcast(found, self.context)

    def _report(
        self, loss: float, *, step: int, dev: float | None = None, rung: int | None = None
    ) -> None:
        self.context.report(
            Progress(
                step=step,
                total=self.total,
                loss=loss,
                examples_per_s=self.meter.examples_per_s,
                dev=dev,
                rung=rung,
                best=None if rung is None else self.state.best_score,
            )
        )


def _load(model: TransferModel, tensors: Mapping[str, Tensor], prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in trained_parameters(model):
            parameter.copy_(tensors[prefix + name])
