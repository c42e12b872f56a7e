"""The study of grid.py as a user would write it by hand: Ray Tune in two phases, and Trainer in each trial.

    python -m tests.benchmarks.handwritten JOB.json

It knows nothing of the project. JOB.json holds: encoder, data (folder of tokenised data sets, saved by
`datasets`: {task}-{split}-{language}), intermediate (task -> labels), target (name, labels, languages),
seeds, rates, epochs, batch_size, precision, cpus, and out (a new folder for models and scores.json).

The first Tuner has the grid over intermediate task, learning rate and seed; the best trial of each task by
dev is where the second one starts, beside the bare encoder, with a grid over start, learning rate and seed. The
best learning rate of each start and seed is scored on the test sets, in parallel. A trial has one CPU. What is to
the author's credit is done: data are memory-mapped, rows of like length are grouped, actors are reused,
checkpoints hold no optimizer state, one is kept, and a model is passed on by its path, not copied.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

Job = dict[str, Any]


def main() -> None:
    """Run both phases and the scoring; write scores.json."""
    import ray

    job: Job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(address="local", num_cpus=job["cpus"], _temp_dir=folder, log_to_driver=False)
        try:
            scores = study(job)
        finally:
            ray.shutdown()
    Path(job["out"], "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")


def study(job: Job) -> list[dict[str, Any]]:
    """Return the scores of every start and seed on the target's test sets."""
    import ray

    first = search(job, "intermediate", {"task": list(job["intermediate"])})
    starts = {"baseline": job["encoder"]}
    for task in job["intermediate"]:
        best = max((each for each in first if each["task"] == task), key=lambda each: each["dev"])
        starts[task] = best["model"]
    second = search(job, "target", {"start": list(starts.items())})
    chosen: list[dict[str, Any]] = []
    for start in starts:
        for seed in job["seeds"]:
            mine = [x for x in second if x["start"][0] == start and x["seed"] == seed]
            chosen.append(max(mine, key=lambda each: each["dev"]))
    score_remotely = ray.remote(num_cpus=1)(score)
    scores = ray.get([score_remotely.remote(job, each["model"]) for each in chosen])
    return [
        {"start": each["start"][0], "seed": each["seed"], "dev": each["dev"], "test": found}
        for each, found in zip(chosen, scores, strict=True)
    ]


def search(job: Job, phase: str, grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return settings, dev score and model of every trial of a grid."""
    from ray import tune

    space = {**grid, "rate": job["rates"], "seed": job["seeds"]}
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, job=job), {"cpu": 1}),
        param_space={name: tune.grid_search(values) for name, values in space.items()},
        tune_config=tune.TuneConfig(metric="dev", mode="max", reuse_actors=True),
        run_config=tune.RunConfig(name=phase, storage_path=job["out"], verbose=0),
    )
    results = tuner.fit()
    if results.errors:
        raise results.errors[0]
    trials: list[dict[str, Any]] = []
    for result in results:
        assert result.config is not None
        assert result.metrics is not None
        metrics = {name: result.metrics[name] for name in ("dev", "model")}
        trials.append({**result.config, **metrics})
    return trials


def train(config: dict[str, Any], job: Job) -> None:
    """Fine-tune one model; report its best dev score and where it is."""
    import torch
    import transformers
    from ray import tune
    from transformers import AutoModelForSequenceClassification, Trainer

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    if "task" in config:
        task, labels, start = config["task"], job["intermediate"][config["task"]], job["encoder"]
    else:
        task, labels, start = job["target"]["name"], job["target"]["labels"], config["start"][1]
    transformers.set_seed(config["seed"])
    model = AutoModelForSequenceClassification.from_pretrained(
        start, num_labels=labels, ignore_mismatched_sizes=True
    )
    data = load(job, task, "train", "en")
    steps = -(-len(data) // job["batch_size"]) * job["epochs"]
    folder = tempfile.mkdtemp(prefix=f"{task}-", dir=job["out"])
    trainer = Trainer(
        model=model,
        args=arguments(
            job,
            folder,
            num_train_epochs=job["epochs"],
            learning_rate=config["rate"],
            warmup_steps=int(0.1 * steps),
            seed=config["seed"],
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            save_only_model=True,
            load_best_model_at_end=True,
            metric_for_best_model="dev",
        ),
        train_dataset=data,
        eval_dataset=load(job, task, "dev", "en"),
        data_collator=collator(job),
        compute_metrics=lambda found: {
            "dev": metric(task, np.asarray(found.predictions).argmax(-1), found.label_ids)
        },
    )
    trainer.train()
    best = trainer.state.best_model_checkpoint
    assert best is not None
    tune.report({"dev": trainer.state.best_metric, "model": best})


def score(job: Job, path: str) -> dict[str, float]:
    """Return language -> accuracy of a model on the target's test sets."""
    import torch
    import transformers
    from transformers import AutoModelForSequenceClassification, Trainer

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(path),
            args=arguments(job, folder),
            data_collator=collator(job),
        )
        scores: dict[str, float] = {}
        for language in job["target"]["languages"]:
            found = trainer.predict(load(job, job["target"]["name"], "test", language))
            hit = np.asarray(found.predictions).argmax(-1) == found.label_ids
            scores[language] = 100 * float(hit.mean())
    return scores


def arguments(job: Job, folder: str, **more: Any) -> Any:
    """Return the arguments that all trainers share."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        per_device_train_batch_size=job["batch_size"],
        per_device_eval_batch_size=32,
        weight_decay=0.01,
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        bf16=job["precision"] == "bf16",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **more,
    )


def collator(job: Job) -> Any:
    """Return what pads a batch to its longest row."""
    from transformers import AutoTokenizer, DataCollatorWithPadding

    return DataCollatorWithPadding(AutoTokenizer.from_pretrained(job["encoder"]))


def load(job: Job, task: str, split: str, language: str) -> Any:
    """Return a tokenised data set."""
    from datasets import load_from_disk

    return load_from_disk(f"{job['data']}/{task}-{split}-{language}")


def metric(task: str, predicted: Any, gold: Any) -> float:
    """Return the accuracy, of QQP its mean with F1, 0 to 100."""
    accuracy = float((predicted == gold).mean())
    if task != "qqp":
        return 100 * accuracy
    both = int(((predicted == 1) & (gold == 1)).sum())
    f1 = 2 * both / max(1, int((predicted == 1).sum() + (gold == 1).sum()))
    return 100 * (accuracy + f1) / 2


if __name__ == "__main__":
    main()
