"""What analyses found, as data: forgetting, alignment by layer, and retrieval by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev
from typing import Any

from xtransfer.config.analyses import GAP
from xtransfer.plan import BASELINE, Plan
from xtransfer.records.record import Record

FORGETTING_NOTE = (
    "Dev set of the intermediate task. Before: the arm's selected model. After: the encoder as the target's "
    "training left it, under the head that the arm had; mean ± standard deviation over n seeds of the target. "
    "The selected model was chosen on this very dev set, so some of a loss is regression to the mean."
)
ALIGNMENT_NOTE = (
    "Mean cosine of translation pairs less that of all other pairs of an English and a foreign sentence, of "
    "states averaged over positions; mean over languages, and over seeds of a target. Layer 0 is the embeddings."
)
RETRIEVAL_NOTE = (
    "Test score by layer, mean over languages; for information: the target's score is that of the layer that "
    "was configured, and none may be chosen here."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """One task of an arm on its dev set, before and after a target was trained on top of it."""

    after: str
    """The arm."""
    task: str
    metric: str
    target: str
    before: float
    """Of the arm's selected model, at the evaluation that was kept."""
    later: float
    """Mean over seeds of the target."""
    sd: float | None
    """Over seeds; None for a single one."""
    runs: int
    keys: tuple[str, ...]

    @property
    def change(self) -> float:
        """Points lost (negative) or won."""
        return self.later - self.before


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """A figure of one model, or the mean of several seeds' models, in each layer."""

    after: str
    target: str
    """What it was trained for last; empty: the arm's own model. Of retrieval: what is scored."""
    language: str
    """Empty: the mean over all."""
    values: Mapping[int, float]
    """Layer -> figure."""
    keys: tuple[str, ...]

    @property
    def best(self) -> int:
        """The layer of the highest figure, the lower of two."""
        return max(self.values, key=lambda layer: (self.values[layer], -layer))


@dataclass(frozen=True, kw_only=True, slots=True)
class Shots:
    """A target's score in one language by how many examples of that language it was trained on last."""

    after: str
    target: str
    language: str
    metric: str
    values: Mapping[int, float]
    """Number of examples, 0 for zero-shot -> mean over seeds."""
    spreads: Mapping[int, float | None]
    """The same -> standard deviation over seeds; None for a single one."""
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysed:
    """Everything that analyses found; empty where none was asked for or none is recorded."""

    forgotten: tuple[Forgotten, ...] = ()
    alignment: tuple[Layers, ...] = ()
    """Gaps of cosines."""
    alignment_task: str = ""
    retrieval: tuple[Layers, ...] = ()
    """Scores, 0 to 100, of targets that were swept over layers."""
    shots: tuple[Shots, ...] = ()


def analyse(plan: Plan, records: Mapping[str, Record]) -> Analysed:
    """Return what the recorded analyses of a plan found."""
    aligned = [probe for probe in plan.probes if probe.kind == "alignment"]
    return Analysed(
        forgotten=tuple(_forgotten(plan, records)),
        alignment=tuple(_alignment(plan, records)),
        alignment_task=aligned[0].task if aligned else "",
        retrieval=tuple(_retrieval(plan, records)),
        shots=tuple(_shots(plan, records)),
    )


def model_name(layers: Layers) -> str:
    """Return what a model is called in tables: the arm, and the target trained after it."""
    arm = "the encoder" if layers.after == BASELINE else layers.after
    return f"{arm}, then {layers.target}" if layers.target else arm


def means(layers: Sequence[Layers]) -> list[Layers]:
    """Return those that are means over languages."""
    return [each for each in layers if not each.language]


def all_layers(layers: Iterable[Layers]) -> list[int]:
    """Return every layer that occurs: a target may be swept over some of them only."""
    return sorted({layer for each in layers for layer in each.values})


def _forgotten(plan: Plan, records: Mapping[str, Record]) -> list[Forgotten]:
    places: dict[tuple[str, str, str], list[str]] = {}
    for probe in plan.probes:
        if probe.kind == "forgetting" and probe.key in records:
            places.setdefault((probe.after, probe.task, probe.target), []).append(probe.key)
    found: list[Forgotten] = []
    for (after, task, target), keys in places.items():
        step = plan.steps[keys[0]]
        before = _before(records, step.inputs["head"], task, step.spec["metric"])
        if before is None:
            continue
        value, trial = before
        later = [_mean(records[key]) for key in keys]
        found.append(
            Forgotten(
                after=after,
                task=task,
                metric=step.spec["metric"],
                target=target,
                before=value,
                later=fmean(later),
                sd=_sd(later),
                runs=len(later),
                keys=(*keys, trial),
            )
        )
    return found


def _before(
    records: Mapping[str, Record], chosen: str, task: str, metric: str
) -> tuple[float, str] | None:
    """Return the dev score that the arm's model was kept with, and the key of its trial."""
    select = records.get(chosen)
    trial = None if select is None else records.get(select.result["chosen"])
    if trial is None:
        return None
    parts = len(trial.spec["parts"]) + (trial.spec["text"] is not None)
    name = f"dev {metric}" if parts == 1 else f"dev {task} {metric}"
    for entry in trial.result["history"]:
        if entry["step"] == trial.result["best_step"] and name in entry:
            return entry[name], trial.key
    return None


def _mean(record: Record) -> float:
    found = record.result["languages"].values()
    return fmean(each["metrics"][record.spec["metric"]] for each in found)


def _alignment(plan: Plan, records: Mapping[str, Record]) -> list[Layers]:
    places: dict[tuple[str, str], list[str]] = {}
    for probe in plan.probes:
        if probe.kind == "alignment" and probe.key in records:
            places.setdefault((probe.after, probe.target), []).append(probe.key)
    return [
        each
        for (after, target), keys in places.items()
        for each in _by_layer(records, keys, after, target, lambda found: found[GAP])
    ]


def _retrieval(plan: Plan, records: Mapping[str, Record]) -> list[Layers]:
    places: dict[tuple[str, str], list[str]] = {}
    for cell in plan.cells:
        record = records.get(cell.key)
        if record is None or not all("layers" in x for x in record.result["languages"].values()):
            continue
        places.setdefault((cell.intermediate, cell.target), []).append(cell.key)
    return [
        each
        for (after, target), keys in places.items()
        for each in _by_layer(
            records,
            keys,
            after,
            target,
            partial(_score, metric=plan.tasks[target].metric),
        )
    ]


def _shots(plan: Plan, records: Mapping[str, Record]) -> list[Shots]:
    scores: dict[tuple[str, str, str], dict[int, list[tuple[float, str]]]] = {}
    for cell in plan.cells:
        record = records.get(cell.key)
        languages: Mapping[str, Any] = record.result["languages"] if record else {}
        for language, found in languages.items():
            value = float(found["metrics"][plan.tasks[cell.target].metric])
            place = scores.setdefault((cell.intermediate, cell.target, language), {})
            place.setdefault(cell.few_shot, []).append((value, cell.key))
    return [
        Shots(
            after=after,
            target=target,
            language=language,
            metric=plan.tasks[target].metric,
            values={count: fmean(value for value, _ in found[count]) for count in sorted(found)},
            spreads={count: _sd([value for value, _ in found[count]]) for count in sorted(found)},
            keys=tuple(key for count in sorted(found) for _, key in found[count]),
        )
        for (after, target, language), found in scores.items()
        if any(found)
    ]


def _sd(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _score(found: Any, *, metric: str) -> float:
    return found["metrics"][metric]


def _by_layer(
    records: Mapping[str, Record],
    keys: Sequence[str],
    after: str,
    target: str,
    figure: Callable[[Any], float],
) -> list[Layers]:
    """Return the mean over languages first, then each language; each the mean over `keys`."""
    first = records[keys[0]].result["languages"]
    names = sorted(next(iter(first.values()))["layers"], key=int)
    by_language = {
        language: {
            int(layer): fmean(
                figure(records[key].result["languages"][language]["layers"][layer]) for key in keys
            )
            for layer in names
        }
        for language in first
    }
    means = {
        int(layer): fmean(values[int(layer)] for values in by_language.values()) for layer in names
    }
    return [
        Layers(after=after, target=target, language=language, values=values, keys=tuple(keys))
        for language, values in {"": means, **by_language}.items()
    ]
