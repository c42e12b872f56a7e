"""Speeds that this project measured itself: from the records of finished steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from xtransfer.costs.amounts import DataSize, amount_of, recorded_size
from xtransfer.costs.devices import CPU
from xtransfer.costs.lineage import Node, Subject, device_of_record, subject_of
from xtransfer.costs.speeds import Speed
from xtransfer.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One finished step, as a measurement."""

    subject: Subject
    device: str
    devices: float
    """GPUs of the step, all workers together; 0 on the processor."""
    rows: float
    rows_s: float
    dev_rows: float
    dev_s: float
    start_s: float
    ended: float
    """Unix seconds."""


class Measurements:
    """All measurements of a store.

    Args:
        records: key -> record, of any plan.
        steps: key -> step, further places to look a record's parents up.
    """

    def __init__(self, records: Mapping[str, Record], steps: Mapping[str, Node]) -> None:
        known: dict[str, Node] = {**steps, **records}
        sizes = {
            key: recorded_size(record)
            for key, record in records.items()
            if record.kind == "prepare" and "languages" in record.result
        }
        found = [_sample(record, known, sizes) for record in records.values()]
        self.samples = [sample for sample in found if sample is not None]

    @property
    def newest_gpu(self) -> str | None:
        """The device of the last trial or evaluation on a GPU."""
        on_gpus = [sample for sample in self.samples if sample.device != CPU]
        return max(on_gpus, key=lambda sample: sample.ended).device if on_gpus else None

    def speed(self, subject: Subject, device: str, devices: float) -> Speed | None:
        """Return how fast steps like this went: of the same tasks and lengths, else of the same form."""
        alike = [
            sample
            for sample in self.samples
            if sample.device == device
            and (sample.subject.kind, sample.subject.encoder, sample.subject.precision)
            == (subject.kind, subject.encoder, subject.precision)
            and sample.subject.adapted == subject.adapted
        ]
        same = [
            sample
            for sample in alike
            if (sample.subject.tasks, sample.subject.lengths) == (subject.tasks, subject.lengths)
        ]
        if same:
            return _on(devices, same, _mean(same, "measured"))
        others = [sample for sample in alike if sample.subject.forms == subject.forms]
        return _on(devices, others, _mean(others, "alike")) if others else None


def _on(devices: float, samples: Sequence[Sample], whole: Speed) -> Speed:
    """Return the speed on a number of devices: as measured on that number, else in proportion."""
    fitting = [sample for sample in samples if sample.devices == devices]
    if fitting:
        return _mean(fitting, whole.trust)
    of = fmean(sample.devices for sample in samples)
    if not of or not devices:
        return whole
    return whole.times(devices / of, f", taken from {of:g} to {devices:g} devices in proportion")


def _mean(samples: Sequence[Sample], trust: Any) -> Speed:
    dev_s = sum(sample.dev_s for sample in samples)
    dev_rows = sum(sample.dev_rows for sample in samples)
    day = datetime.fromtimestamp(max(sample.ended for sample in samples), UTC).date()
    about = dict.fromkeys(sample.subject.about for sample in samples)
    shown = ", ".join(list(about)[:3]) + (", ..." if len(about) > 3 else "")
    form = "" if trust == "measured" else ", others of the form"
    return Speed(
        examples_per_s=sum(sample.rows for sample in samples)
        / sum(sample.rows_s for sample in samples),
        dev_examples_per_s=dev_rows / dev_s if dev_s > 0 and dev_rows else None,
        start_s=fmean(sample.start_s for sample in samples),
        trust=trust,
        source=f"{len(samples)} of {shown} on {samples[0].device}{form}; {day}",
    )


def _sample(
    record: Record, known: Mapping[str, Node], sizes: Mapping[str, DataSize]
) -> Sample | None:
    subject = subject_of(record, known)
    device = device_of_record(record.kind, record.placement)
    timing = record.timing
    if subject is None or device is None or "seconds" not in timing or "started" not in timing:
        return None
    dev_rows, dev_s = 0.0, 0.0
    start_s = timing.get("start_s", 0.0)
    if record.kind == "train":
        speed = timing.get("examples_per_s", 0.0)
        counted = float(record.result.get("steps", 0) * record.spec["batch_size"])
        rows = timing.get("examples", counted)
        rows_s = rows / speed if speed else 0.0
        dev_rows, dev_s = timing.get("dev_examples", 0.0), timing.get("dev_s", 0.0)
        # What is neither training nor prediction comes with every trial: loading, saving, uploading.
        start_s = max(0.0, timing["seconds"] - rows_s - dev_s)
    else:
        rows_s = timing["seconds"] - start_s
        rows = _rows(record, sizes)
    if rows <= 0 or rows_s <= 0:
        return None
    return Sample(
        subject=subject,
        device=device,
        devices=_devices(record),
        rows=rows,
        rows_s=rows_s,
        dev_rows=dev_rows,
        dev_s=dev_s,
        start_s=start_s,
        ended=timing["started"] + timing["seconds"],
    )


def _rows(record: Record, sizes: Mapping[str, DataSize]) -> float:
    """Return the rows that a prepare step read or an evaluate step predicted, 0 where it is not known."""
    if record.kind == "prepare":
        return sizes[record.key].read if record.key in sizes else 0
    amount = amount_of(record, sizes)
    return 0 if amount is None else amount.rows


def _devices(record: Record) -> float:
    """Return the GPUs that a step had, the last number of workers counted."""
    if record.kind != "train":
        return float((record.placement.get(record.kind) or {}).get("gpus", 0.0))
    train: Mapping[str, Any] = record.placement.get("train") or {}
    began = record.placement.get("workers_from_step")
    asked = train.get("workers", 1)
    workers = began[-1][1] if began else asked if isinstance(asked, int) else max(asked)
    return float(train.get("gpus", 0.0)) * workers
