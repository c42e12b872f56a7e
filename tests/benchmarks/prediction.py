"""Speed of prediction beside `transformers.Trainer.predict`, on the same rows with the same weights.

    python -m tests.benchmarks.prediction --encoder FOLDER --data FOLDER [--examples 200] [--quick]

Test sets of XNLI in 15 and of XQuAD in 12 languages, a sample of each; one model with one set of random head
weights on both sides, in fp32 and bf16 (autocast on both). The project makes batches of like length by a
budget of tokens, and predicts small sets together; the peer pads each batch of 32 to its longest row, in the
order of the files, as Trainer does. Sides are processes of their own and take turns; medians. Loading,
tokenising and a first batch that fills caches are left out, as are decoding and metrics; padding and
collating are in. `bf16_full_eval`, which rounds the weights too, is left out: its logits are others.

Logits must agree: a difference over 1e-3 in fp32 is a failure. Goal: 2 x. Results: results/prediction.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measuring import arguments, in_turn, middle, run_side, write

GOAL = 2.0
AGREE = 1e-3
"""Largest difference of two logits in fp32."""
PEER_BATCH = 32
LENGTHS = {"xnli": (128, 0), "xquad": (384, 128)}
"""Longest input and overlap of windows, in tokens."""
QUICK_LENGTHS = (32, 8)
SIDES = ("ours", "trainer")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is predicted: encoded test sets, language -> rows, and their form."""

    form: str
    labels: int
    tokenizer: Any
    encoded: dict[str, Any]


def main() -> None:
    """Compare both sides on both tasks, or be one of them."""
    parser = arguments(__doc__)
    parser.add_argument("--examples", type=int, default=200, help="of each language")
    parser.add_argument("--task", nargs="+", choices=tuple(LENGTHS), default=list(LENGTHS))
    parser.add_argument(
        "--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"]
    )
    parser.add_argument("--logits", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.examples, options.repeats = min(options.examples, 5), 1
    if options.side:
        print(json.dumps(measure(options)))
        return
    rows = [compare(options, task, each) for task in options.task for each in options.precision]
    write("prediction", rows, options, goal=GOAL)
    wrong = [row for row in rows if row["precision"] == "fp32" and row["difference"] > AGREE]
    if wrong:
        sys.exit(f"logits differ by more than {AGREE} in fp32: {wrong}")


def compare(options: argparse.Namespace, task: str, precision: str) -> dict[str, Any]:
    """Return medians of both sides, the ratio, and how far the logits are apart."""
    with tempfile.TemporaryDirectory() as folder:

        def run(side: str) -> dict[str, Any]:
            return run_side(
                "prediction", "--side", side, "--task", task, "--precision", precision,
                "--encoder", str(options.encoder), "--data", str(options.data),
                "--examples", str(options.examples), "--threads", str(options.threads),
                "--logits", f"{folder}/{side}.npz", *(["--quick"] if options.quick else []),
            )  # fmt: skip

        found = in_turn(SIDES, options.repeats, run)
        logits = [np.load(f"{folder}/{side}.npz") for side in SIDES]
        apart = max(float(np.abs(logits[0][name] - logits[1][name]).max()) for name in logits[0])
        sizes = max(float(np.abs(logits[0][name]).max()) for name in logits[0])
    ours, theirs = (middle(found[side], "rate") for side in SIDES)
    return {
        "task": task,
        "precision": precision,
        "rows": found["ours"][0]["rows"],
        "ours rows/s": ours,
        "trainer rows/s": theirs,
        "speed": ours / theirs,
        "ours peak GB": middle(found["ours"], "peak_gb"),
        "trainer peak GB": middle(found["trainer"], "peak_gb"),
        "difference": apart,
        "largest logit": sizes,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Predict as one side; write its logits, and return rows a second and the peak memory."""
    import torch

    torch.set_num_threads(options.threads)
    (task,), (precision,) = options.task, options.precision
    work = _read(options, task)
    run = _ours if options.side == "ours" else _trainer
    seconds, logits = run(options, work, precision)
    joined: dict[str, Any] = {name: np.concatenate(found) for name, found in logits.items()}
    np.savez(options.logits, **joined)
    count = sum(map(_count, work.encoded.values()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"rate": count / seconds, "rows": count, "peak_gb": peak}


def _read(options: argparse.Namespace, name: str) -> Work:
    from transformers import AutoTokenizer

    from xtransfer.data import read_examples
    from xtransfer.data.samples import cut
    from xtransfer.forms import FORMS
    from xtransfer.tasks import TASKS

    task = TASKS[name]
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    longest, stride = QUICK_LENGTHS if options.quick else LENGTHS[name]
    encoded: dict[str, Any] = {}
    for language in (*task.languages, *task.more_languages):
        found = read_examples(task, split="test", language=language, root=options.data)
        encoded[language] = FORMS[task.form].encode(
            cut(found, options.examples, seed=1).examples,
            tokenizer,
            labels=task.labels,
            max_length=longest,
            stride=stride,
        )
    return Work(form=task.form, labels=len(task.labels), tokenizer=tokenizer, encoded=encoded)


def _model(options: argparse.Namespace, work: Work, *, bf16: bool) -> Any:
    """Return the encoder with a head of seeded random weights, the same on both sides."""
    import torch

    from xtransfer.steps.assembly import make_head
    from xtransfer.train.encoder import load_encoder
    from xtransfer.train.model import TransferModel

    encoder = load_encoder(str(options.encoder))
    head = make_head(encoder, work.form, work.labels, seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_(std=0.1, generator=generator)
    return TransferModel(encoder, [head], bf16=bf16).eval()


def _ours(
    options: argparse.Namespace, work: Work, precision: str
) -> tuple[float, dict[str, list[Any]]]:
    """Predict as the evaluate step does."""
    from xtransfer.forms.files import read_rows, write_rows
    from xtransfer.train.context import Context
    from xtransfer.train.prediction import DataSet, predict, predict_each

    model = _model(options, work, bf16=precision == "bf16")
    context = Context(pad_id=model.encoder.config.pad_token_id or 0)
    with tempfile.TemporaryDirectory() as folder:
        sets: dict[str, DataSet] = {}
        for language, encoded in work.encoded.items():
            path = Path(folder) / f"{language}.arrow"
            write_rows(path, encoded)
            sets[language] = DataSet(rows=read_rows(path), examples=[{}] * _count(encoded))
    predict(model, work.form, next(iter(sets.values())), context)
    began = time.perf_counter()
    each = predict_each(model, work.form, sets.items(), context)
    found = {name: logits for name, _, logits in each}
    seconds = time.perf_counter() - began
    if work.form != "span":
        return seconds, {name: [x.numpy() for x in logits or []] for name, logits in found.items()}
    return seconds, {
        name: [
            each[: len(ids)].numpy().reshape(-1)  # without the padding of its batch
            for each, ids in zip(logits or [], _ids(work.encoded[name]), strict=True)
        ]
        for name, logits in found.items()
    }


def _trainer(
    options: argparse.Namespace, work: Work, precision: str
) -> tuple[float, dict[str, list[Any]]]:
    """Predict by `Trainer.predict`, one language after the other."""
    import transformers
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    transformers.logging.set_verbosity_error()
    sets = {
        language: [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in _ids(encoded)]
        for language, encoded in work.encoded.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=_peer(options, work),
            args=TrainingArguments(
                output_dir=folder,
                use_cpu=True,
                per_device_eval_batch_size=PEER_BATCH,
                bf16=precision == "bf16",
                report_to=[],
                disable_tqdm=True,
            ),
            data_collator=DataCollatorWithPadding(work.tokenizer),
        )
        trainer.predict(next(iter(sets.values())))  # type: ignore[arg-type]
        began = time.perf_counter()
        found = {name: trainer.predict(rows).predictions for name, rows in sets.items()}  # type: ignore[arg-type]
        seconds = time.perf_counter() - began
    if work.form != "span":
        return seconds, {
            name: list(np.asarray(logits, np.float32)) for name, logits in found.items()
        }
    return seconds, {
        name: [
            np.stack([side[at, : len(row["input_ids"])] for side in sides], axis=-1)
            .astype(np.float32)
            .reshape(-1)
            for at, row in enumerate(sets[name])
        ]
        for name, sides in found.items()
    }


def _peer(options: argparse.Namespace, work: Work) -> Any:
    """Return the library's own model of the kind, with the weights of ours."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

    ours = _model(options, work, bf16=False)
    head = ours.heads[0]
    if work.form == "span":
        model = AutoModelForQuestionAnswering.from_pretrained(options.encoder)
        pairs = [(model.qa_outputs, head.project)]
    else:
        model = AutoModelForSequenceClassification.from_pretrained(
            options.encoder, num_labels=work.labels
        )
        base = getattr(model, model.base_model_prefix)
        if getattr(base, "pooler", None) is not None:  # BERT: dense and tanh are in the encoder
            pairs = [(base.pooler.dense, head.dense), (model.classifier, head.project)]
        else:
            pairs = [
                (model.classifier.dense, head.dense),
                (model.classifier.out_proj, head.project),
            ]
    with torch.no_grad():
        for theirs, own in pairs:
            theirs.load_state_dict(own.state_dict())
    return model


def _ids(encoded: Any) -> Sequence[list[int]]:
    return encoded.columns["input_ids"]


def _count(encoded: Any) -> int:
    return len(_ids(encoded))


if __name__ == "__main__":
    main()
