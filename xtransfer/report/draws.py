"""From a plan's results to evidence: the complete runs of each arm, and draws of their scores.

Draws need the predictions and gold labels of every run, from the store. What is read is scored again:
predictions that do not give the recorded score are no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from xtransfer.config.judgement import Statistics
from xtransfer.errors import DataError, XtransferError
from xtransfer.metrics.tallies import Tallies, score_of, tally
from xtransfer.plan import Plan
from xtransfer.records.predictions import read_gold, read_predictions
from xtransfer.records.record import Record
from xtransfer.report.evidence import Array, Evidence, Sample, train_languages
from xtransfer.report.results import Result
from xtransfer.statistics.resampling import number_of, resample
from xtransfer.store import Store
from xtransfer.store.parallel import at_once
from xtransfer.tasks.task import Task

_TOLERANCE = 1e-6
"""Points by which a recomputed score may differ from the recorded one."""
_NAMED = ("span", "retrieval")
"""Forms whose ids are the publishers': one id in two languages is one question. Others may be line numbers."""
_FEWEST = 20
"""Examples a language needs to be drawn from a larger pool: of n, a draw lacks all with chance exp(-n)."""


def gather(
    plan: Plan,
    results: Sequence[Result],
    settings: Statistics,
    languages: Mapping[str, Sequence[str]],
    *,
    store: Store | None = None,
    records: Mapping[str, Record] | None = None,
) -> Evidence:
    """Return the evidence of zero-shot results; with a store, with draws of each score.

    Runs that lack a language are left out, as everywhere in the report. A target whose predictions
    cannot be read has no draws, and the reason is among the problems.

    Args:
        plan: whose tasks and order count.
        results: of the plan's cells.
        settings: number of draws and their seed.
        languages: target -> those its score is the mean over.
        store: where the predictions are; None: no draws.
        records: key -> record, those of the prepared test sets among them.
    """
    samples = _samples(plan, results, languages)
    problems: list[str] = []
    if store is not None and records is not None and settings.bootstrap:
        for target in dict.fromkeys(target for target, _ in samples):
            own = [each for (name, _), each in samples.items() if name == target]
            try:
                drawn = _draw(plan.tasks[target], own, settings, store, records)
            except XtransferError as error:
                problems.append(f"{target}: no interval: {error}")
                continue
            samples |= {(target, each.after): each for each in drawn}
    return Evidence(
        samples=samples,
        settings=settings,
        problems=tuple(problems),
        train_languages=train_languages(plan),
    )


def _samples(
    plan: Plan, results: Sequence[Result], languages: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Sample]:
    found: dict[tuple[str, str], dict[str, dict[str, Result]]] = {}
    order = {cell.key: at for at, cell in reversed(list(enumerate(plan.cells)))}
    for each in sorted(results, key=lambda each: order.get(each.key, len(order))):
        if not each.few_shot:
            place = found.setdefault((each.target, each.intermediate), {})
            place.setdefault(each.key, {})[each.language] = each
    samples: dict[tuple[str, str], Sample] = {}
    for (target, after), runs in found.items():
        wanted = tuple(
            sorted(languages.get(target) or {name for run in runs.values() for name in run})
        )
        whole = {key: run for key, run in runs.items() if set(wanted) <= set(run)}
        if whole:
            samples[target, after] = Sample(
                target=target,
                after=after,
                languages=wanted,
                seeds=tuple(run[wanted[0]].seed for run in whole.values()),
                values=np.array([[run[name].value for name in wanted] for run in whole.values()]),
                keys=tuple(whole),
                models=tuple(_model(plan, key) for key in whole),
            )
    return samples


def _model(plan: Plan, key: str) -> str:
    """Return the step that the model of an evaluation comes from: XQuAD and MLQA are scored by the same."""
    step = plan.steps.get(key)
    return key if step is None else step.inputs.get("model", key)


def _draw(
    task: Task,
    samples: Sequence[Sample],
    settings: Statistics,
    store: Store,
    records: Mapping[str, Record],
) -> list[Sample]:
    """Return a target's samples with draws: every run of every arm on the same resamples."""
    keys = [key for each in samples for key in each.keys]
    owners = np.array([at for at, each in enumerate(samples) for _ in each.keys])
    columns: list[list[Array]] = [[] for _ in samples]
    pools: dict[str, list[str]] = {}
    if task.form in _NAMED:
        record = records[keys[0]]
        pools = pools_of(
            {name: list(read_gold(store, records, record, task, name)) for name in samples[0].languages}
        )  # fmt: skip
    for language in samples[0].languages:
        ids, found = _tallies(task, language, keys, store, records)
        pool = pools.get(language, ids)
        draws = resample(
            placed(np.stack([each.values for each in found], axis=1), ids, pool),
            partial(score_of, found[0].formula),
            draws=settings.bootstrap,
            seed=[settings.seed, number_of(task.name), number_of(*pool)],
        )
        for at, column in enumerate(columns):
            column.append(draws[owners == at].mean(axis=0))
    return [
        replace(each, draws=np.array(column)) for each, column in zip(samples, columns, strict=True)
    ]


def pools_of(ids: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return for each language the ids that its resamples are drawn from.

    Languages that share ids, be it by way of a third one, share a pool, the union of their ids: MLQA has
    most questions in some of its languages only. To draw each language by itself would take what a model
    gains on a question in one of them as news of the others, and intervals of their mean as too narrow.
    A language with too few examples to be in every draw of a larger pool is drawn by itself.

    Args:
        ids: language -> the ids of its examples.
    """
    pools: list[dict[str, None]] = []
    for own in ids.values():
        joined = [pool for pool in pools if not pool.keys().isdisjoint(own)]
        merged = dict.fromkeys(name for part in (*joined, own) for name in part)
        pools = [*(pool for pool in pools if pool not in joined), merged]
    found: dict[str, list[str]] = {}
    for language, own in ids.items():
        pool = next(pool for pool in pools if own[0] in pool)
        found[language] = list(own if len(own) < min(_FEWEST, len(pool)) else pool)
    return found


def placed(values: Array, ids: Sequence[str], pool: Sequence[str]) -> Array:
    """Return tallies of examples [ids, systems, sums] as those of a pool [pool, systems, sums].

    An example of the pool that is not among the ids adds nothing, so how many of a resample count varies.
    """
    if list(ids) == list(pool):
        return values
    rows = {name: at for at, name in enumerate(pool)}
    out = np.zeros((len(pool), *values.shape[1:]))
    out[[rows[name] for name in ids]] = values
    return out


def _tallies(
    task: Task, language: str, keys: Sequence[str], store: Store, records: Mapping[str, Record]
) -> tuple[list[str], list[Tallies]]:
    """Return the ids of the test examples, and what each adds to the score of each run."""
    gold = read_gold(store, records, records[keys[0]], task, language)
    read = partial(read_predictions, store, language=language)
    predictions = at_once(read, (records[key] for key in keys))
    tallies: list[Tallies] = []
    for key, found in zip(keys, predictions, strict=True):
        recorded = records[key].result["languages"][language]["metrics"]
        if set(found) != set(gold):
            raise DataError(f"evaluate step {key}", f"its examples of {language} are other ones")
        tallies.append(
            tally(
                task,
                list(gold.values()),
                [found[each] for each in gold],
                language=language,
                null_threshold=recorded.get("null_threshold"),
            )
        )
        again = float(score_of(tallies[-1].formula, tallies[-1].values.sum(axis=0)))
        if abs(again - recorded[task.metric]) > _TOLERANCE:
            raise DataError(
                f"evaluate step {key}",
                f"its predictions of {language} score {again:.6f}, its record says "
                f"{recorded[task.metric]:.6f}",
            )
    return list(gold), tallies
