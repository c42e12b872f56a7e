"""How long each step that is left takes: by the most trusted figure there is for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xtransfer.config.placement import Placement
from xtransfer.costs.amounts import Amount, DataSize, amount_of
from xtransfer.costs.devices import CPU
from xtransfer.costs.lineage import Subject, subject_of
from xtransfer.costs.measured import Measurements
from xtransfer.costs.packing import gpus_of
from xtransfer.costs.principles import estimated_speed, shape_of
from xtransfer.costs.speeds import Speed, Trust
from xtransfer.costs.tables import SpeedTable
from xtransfer.plan import INLINE, Plan, Step


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a step takes of the cluster while it runs."""

    gpus: float = 0.0
    cpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long one step takes."""

    seconds: float | None
    """None: unknown."""
    trust: Trust
    about: str
    """What it does: "train mnli (256 tokens)"."""
    source: str
    """Where the speed is from; of an unknown one, what is missing."""
    examples: str = ""
    """Where the number of examples is from."""


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """All that durations can be told from, in the order of trust."""

    measurements: Measurements
    table: SpeedTable
    utilisation: float
    sizes: Mapping[str, DataSize]
    device: str | None
    """Of the GPUs; None: not known."""


def needs_of(
    step: Step, steps: Mapping[str, Step], placement: Placement, gpus: float | None = None
) -> Needs:
    """Return what a step of the plan takes; an elastic trial as many workers as `gpus` has room for."""
    if step.kind in INLINE:
        return Needs()
    workers, train = 1, placement.train
    if step.kind == "train":
        workers = train.most_workers
        if gpus is not None and train.gpus and not isinstance(train.workers, int):
            workers = max(train.workers[0], min(workers, int(gpus // train.gpus)))
    return Needs(
        gpus=gpus_of(step, steps, placement) * workers,
        cpus=placement.resources_for(step.kind).cpus * workers,
    )


def duration_of(step: Step, plan: Plan, needs: Needs, known: Knowledge) -> Duration:
    """Return how long a step takes. Early stopping is left out, so it is an upper bound of a trial's."""
    found = _duration_of(step, plan, needs, known)
    return replace(found, about=f"{found.about}{_arms_on_text(step, plan)}")


def _duration_of(step: Step, plan: Plan, needs: Needs, known: Knowledge) -> Duration:
    if step.kind in INLINE:
        return Duration(seconds=0.0, trust="measured", about=step.kind, source="the driver's own")
    subject = subject_of(step, plan.steps)
    if subject is None:
        return _unknown(step.kind, "no figure for steps of this kind")
    if step.kind == "prepare":
        return _prepared(step, subject, known)
    amount = amount_of(step, known.sizes)
    if amount is None:
        return _unknown(subject.about, "how many examples: `run --only data` counts them")
    device = known.device if needs.gpus else CPU
    if device is None:
        return _unknown(subject.about, "which GPU: --device NAME")
    speed = _speed(encoder_name(step, plan), subject, amount, device, needs, known)
    if speed is None:
        missing = f"how fast on {device}: --throughput FILE, or one finished step"
        return _unknown(subject.about, missing)
    return Duration(
        seconds=speed.seconds(amount.rows, amount.dev_rows),
        trust=speed.trust,
        about=subject.about,
        source=speed.source,
        examples=amount.source,
    )


def _arms_on_text(step: Step, plan: Plan) -> str:
    """Return which arm on text alone a step is of: what it is about tells no two of them apart."""
    if step.kind == "prepare":
        if step.spec["form"] != "mlm":
            return ""
        trials = [each for each in plan.steps.values() if step.key in each.inputs.values()]
    else:
        trials = [step]
    on_text = (each.arm for each in trials if each.kind == "train" and not each.spec["parts"])
    return "".join(dict.fromkeys(on_text))


def encoder_name(step: Step, plan: Plan) -> str:
    """Return what the experiment calls the encoder of a step; of one it pretrains, that step's name."""
    named = step.where.get("encoder", {}).get("name")
    pretrained = (each.name for each in plan.steps.values() if each.kind == "pretrain")
    return named or next(pretrained, "")


def _prepared(step: Step, subject: Subject, known: Knowledge) -> Duration:
    size = known.sizes.get(step.key)
    if size is None:
        return _unknown(subject.about, "how many examples there are to read")
    speed = known.measurements.speed(subject, CPU, 0.0)
    if speed is None:
        return _unknown(
            subject.about, "how fast files are read: one finished step of the form tells"
        )
    return Duration(
        seconds=speed.seconds(size.read),
        trust=speed.trust,
        about=subject.about,
        source=speed.source,
        examples=size.source,
    )


def _speed(
    encoder: str, subject: Subject, amount: Amount, device: str, needs: Needs, known: Knowledge
) -> Speed | None:
    """Return the most trusted speed that there is."""
    return (
        known.measurements.speed(subject, device, needs.gpus)
        or known.table.speed(subject, encoder, device, needs.gpus)
        or _estimate(encoder, subject, amount, device, needs, known)
    )


def _estimate(
    encoder: str, subject: Subject, amount: Amount, device: str, needs: Needs, known: Knowledge
) -> Speed | None:
    shape = shape_of(encoder)
    if shape is None or not amount.rows:
        return None
    return estimated_speed(
        shape,
        kind=subject.kind,
        device=device,
        devices=needs.gpus,
        precision=subject.precision,
        utilisation=known.utilisation,
        tokens=amount.tokens / amount.rows,
        dev_tokens=amount.dev_tokens / amount.dev_rows if amount.dev_rows else 0.0,
        counted=amount.counted,
    )


def _unknown(about: str, missing: str) -> Duration:
    return Duration(seconds=None, trust="unknown", about=about, source=missing)
