"""What each kind of step does, with its files in a folder and what its record says as a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xtransfer.folders import temporary_folder
from xtransfer.plan import Step
from xtransfer.process.libraries import load_libraries
from xtransfer.process.workbench import Workbench
from xtransfer.pruning.rule import best
from xtransfer.records.record import Done, Record
from xtransfer.records.results import learning_rate_of
from xtransfer.selection import OVER_SEEDS, mean_scores, means_with_intervals, select
from xtransfer.steps.encoder import encoder_place, load_tokenizer, longest_input, vocabulary_size

Work = Callable[[Step, Workbench, Path], Done]


def _with_libraries(work: Work) -> Work:
    """Load what models are built of before a step's work, as a part of its start (`start_s`)."""

    def loading(step: Step, bench: Workbench, folder: Path) -> Done:
        began = time.time()
        elsewhere = step.kind == "train" and bench.placement.train.most_workers > 1
        load_libraries(models=not elsewhere)
        loaded = time.time() - began
        done = work(step, bench, folder)
        started = loaded + done.timing.get("start_s", 0.0)
        return replace(done, timing={**done.timing, "start_s": started})

    return loading


@_with_libraries
def _pretrain(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.config.pretraining import PretrainSpec
    from xtransfer.steps.prepared import write_synthetic
    from xtransfer.train.pretrain import pretrain, read_corpus

    spec = step.spec
    last: dict[str, Any] = {}

    def report(facts: Mapping[str, float]) -> None:
        last.update(facts)
        speed = facts["examples_per_second"]
        shown = {name: facts[name] for name in ("step", "loss")}
        bench.tell({**shown, "total": spec["steps"], "examples_per_s": speed})

    _set_threads(bench)
    with temporary_folder(bench.scratch) as data:
        write_synthetic(spec["synthetic"], data)
        corpus = read_corpus(data / "text")
        settings = PretrainSpec(seed=spec["seed"], steps=spec["steps"], **spec["options"])
        pretrain(corpus, folder, spec=settings, report=report)
    return Done(result={"loss": last["loss"], "steps": spec["steps"]})


def _prepare(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.steps.prepared import prepare

    began = time.time()
    load_libraries(models=False)
    place = encoder_place(step, bench)
    tokenizer = load_tokenizer(*place)
    ready = time.time()

    def report(language: str, share: float) -> None:
        bench.tell({"stage": language, "step": round(100 * share), "total": 100, "unit": "%"})

    trained = step.inputs.get("labels")
    result = prepare(
        step,
        task=bench.plan.tasks[step.spec["task"]],
        tokenizer=tokenizer,
        folder=folder,
        report=report,
        labels=None if trained is None else bench.record(trained).result["labels"],
        longest=longest_input(*place),
        vocabulary=vocabulary_size(*place),
    )
    return Done(result=result, timing={"start_s": ready - began})


@_with_libraries
def _train(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.steps.training import train_step

    return train_step(step, bench, folder)


def _select(step: Step, bench: Workbench, _: Path) -> Done:
    spec = step.spec
    candidates: list[dict[str, Any]] = []
    lacking: list[str] = []
    for role, key in step.inputs.items():
        if not role.startswith("trial-"):
            continue
        judge = step.inputs.get(role.replace("trial-", "dev-"))
        spared = spec.get("incomplete") == "allow"
        if spared and not all(bench.is_recorded(each) for each in (key, judge) if each):
            lacking.append(key)
        else:
            candidates.append(_candidate(bench, key, judge))
    chosen = select(
        spec["rule"],
        candidates,
        seed=spec.get("seed"),
        incomplete=spec.get("incomplete", "refuse"),
    )
    means: dict[str, Any] = {}
    if spec["rule"] in OVER_SEEDS:
        means["means"] = {f"{rate:g}": mean for rate, mean in mean_scores(candidates).items()}
        means["intervals"] = {
            f"{rate:g}": asdict(found) for rate, found in means_with_intervals(candidates).items()
        }
    return Done(
        result={
            "chosen": chosen["key"],
            "score": chosen["score"],
            "split": spec["split"],
            "candidates": candidates,
            **({"lacking": lacking} if lacking else {}),
            **means,
            **_kept(chosen),
        }
    )


def _candidate(bench: Workbench, key: str, judge: str | None) -> dict[str, Any]:
    """Return what a selection is told of a trial; `judge`: key of the evaluation whose score counts, if not its own."""
    record = bench.record(key)
    candidate = {
        "key": key,
        "score": record.result["score"],
        "learning_rate": learning_rate_of(record),
        "seed": record.spec["seed"],
        "best_step": record.result["best_step"],
        **_kept(record.result),
        **({"rung": record.result["stopped_at"]} if "stopped_at" in record.result else {}),
        **({"suggested": True} if record.spec["learning_rate"] is None else {}),
    }
    if judge is not None:
        own = candidate["score"]
        candidate |= {"score": _mean_score(bench.record(judge)), "own_dev": own, "judge": judge}
    return candidate


def _mean_score(record: Record) -> float:
    """Return the main score of an evaluation, the unweighted mean over its languages."""
    found = record.result["languages"].values()
    return sum(each["metrics"][record.spec["metric"]] for each in found) / len(found)


def _kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a selection passes on of a trial besides its score: SQuAD v2.0's threshold."""
    return {name: result[name] for name in ("null_threshold",) if name in result}


@_with_libraries
def _estimate(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.steps.estimation import estimate_step

    return estimate_step(step, bench, folder)


def _prune(step: Step, bench: Workbench, _: Path) -> Done:
    estimates = {key: bench.record(key).result["estimate"] for key in step.inputs.values()}
    return Done(result={"kept": best(estimates, step.spec["keep"]), "estimates": estimates})


@_with_libraries
def _evaluate(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.steps.evaluation import evaluate_step

    return evaluate_step(step, bench, folder)


@_with_libraries
def _average(step: Step, bench: Workbench, folder: Path) -> Done:
    from xtransfer.steps.averaging import average_step

    return average_step(step, bench, folder)


WORK: Mapping[str, Work] = {
    "pretrain": _pretrain,
    "prepare": _prepare,
    "train": _train,
    "select": _select,
    "average": _average,
    "estimate": _estimate,
    "prune": _prune,
    "evaluate": _evaluate,
}


def _set_threads(bench: Workbench) -> None:
    import torch

    torch.set_num_threads(max(1, int(bench.placement.train.cpus)))
