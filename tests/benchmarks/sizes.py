"""Bytes that a trial leaves, and the time that a large state takes to a store of S3 and back.

    python -m tests.benchmarks.sizes --encoder FOLDER --data FOLDER [--gb 2.2] [--aws FOLDER/bin/aws] [--quick]

Bytes: a trial on the sample of MNLI takes a few optimizer steps and saves a resumable checkpoint (weights
and both moments of AdamW, no best weights yet) and its exported weights, once with the compact vocabulary
and once with the whole embedding, as a checkpoint of other trainers has it. Which rows of the embedding are
used depends on the examples, whose number is noted. Goal: 0.65 of the bytes.

Time: a safetensors file of random fp32 tensors goes up and down through a SeaweedFS on this machine, by the
project's store, by boto3's `upload_file` and `download_file`, and by `aws s3 cp`; each over names of its
own, in turn, medians. The file is read once before, so that all find it in the page cache. `aws` counts with
its start, since each call has one; without `--aws` it is left out. Goal: no slower. A network is left
out: what is compared is the clients. Results: results/sizes.json and results/transfers.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import arguments, in_turn, middle, write
from tests.s3_server import S3Server, s3_server

BYTES_GOAL, SPEED_GOAL = 0.65, 1.0
STEPS = 2
TRAIN = "mnli/multinli_1.0_train.sample10000.jsonl"
TENSOR_MB = 64


def main() -> None:
    """Measure bytes and times, print both tables and write them."""
    parser = arguments(__doc__)
    parser.add_argument("--examples", type=int, default=10_000, help="of MNLI")
    parser.add_argument("--gb", type=float, default=2.2, help="size of the state, 10^9 bytes")
    parser.add_argument("--aws", type=Path, help="the program aws of awscli")
    options = parser.parse_args()
    if options.quick:
        options.examples, options.repeats = min(options.examples, 50), 1
        options.gb = min(options.gb, 0.05)
    if options.aws is None:
        print("aws s3 cp is left out: --aws was not given.", file=sys.stderr)
    write("sizes", sizes(options), options, goal=BYTES_GOAL)
    write("transfers", transfers(options), options, goal=SPEED_GOAL)


def sizes(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the bytes of a checkpoint and of exported weights, compact and whole, and their ratio."""
    found = {compacted: _left_by_trial(options, compacted) for compacted in (True, False)}
    return [
        {
            "what": what,
            "compact bytes": found[True][what],
            "whole bytes": found[False][what],
            "ratio": found[True][what] / found[False][what],
            "compact rows of the embedding": found[True]["rows"],
            "whole rows of the embedding": found[False]["rows"],
        }
        for what in ("resumable checkpoint", "exported weights")
    ]


def _left_by_trial(options: argparse.Namespace, compacted: bool) -> dict[str, int]:
    """Train a few steps; return the bytes of what is saved."""
    import torch
    from safetensors.torch import save_file

    from xtransfer.records.checkpoints import save_checkpoint
    from xtransfer.steps.assembly import Inputs, make_model, renumbered
    from xtransfer.store import open_store
    from xtransfer.train.context import Checkpoint, Context
    from xtransfer.train.loop import TrialSpec, train
    from xtransfer.train.mixture import Mixture
    from xtransfer.train.model import words_name
    from xtransfer.train.weights import export_weights

    torch.set_num_threads(options.threads)
    spec = TrialSpec(seed=1, learning_rate=1e-5, epochs=1, batch_size=8, keep="last")
    part = _part(options, spec)
    inputs = Inputs(encoder=str(options.encoder), revision=None, start=None, data={}, labels={})
    start = make_model(inputs, spec, [part], compacted=compacted, kept=False)
    size = start.model.encoder.config.vocab_size
    if compacted:
        part = part.renumbered(lambda each: renumbered(each, start.tokens, size))
    words = words_name(start.model)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"file://{folder}/store")

        def save(checkpoint: Checkpoint) -> None:
            save_checkpoint(
                store, "0" * 12, state=checkpoint.state, tensors=checkpoint.tensors, kept=1
            )

        context = Context(
            pad_id=start.model.encoder.config.pad_token_id or 0, save=save, save_every_s=0.0
        )
        mixture = Mixture(steps=STEPS, shares=(1.0,))
        done = train(spec, context, model=start.model, parts=[part], mixture=mixture)
        weights = export_weights(
            done.weights, words=words, tokens=start.tokens, decay=1.0, before=None
        )
        save_file(weights, f"{folder}/weights.safetensors")
        checkpoint = sum(item.size for item in store.list("resume/"))
        exported = Path(folder, "weights.safetensors").stat().st_size
    if not checkpoint:
        sys.exit("the trial saved no checkpoint")
    return {
        "resumable checkpoint": checkpoint,
        "exported weights": exported,
        "rows": len(start.tokens),
    }


def _part(options: argparse.Namespace, spec: Any) -> Any:
    """Return the sample of MNLI as a part of a trial."""
    from transformers import AutoTokenizer

    from xtransfer.data import read_examples
    from xtransfer.data.samples import cut
    from xtransfer.forms import FORMS
    from xtransfer.forms.files import read_rows, write_rows
    from xtransfer.tasks import TASKS
    from xtransfer.train.parts import TaskPart
    from xtransfer.train.prediction import DataSet

    task = TASKS["mnli"]
    source = task.source.model_copy(update={"files": {"train": (TRAIN,)}})
    task = task.model_copy(update={"source": source})
    found = read_examples(task, split="train", language="en", root=options.data)
    encoded = FORMS[task.form].encode(
        cut(found, options.examples, seed=1).examples,
        AutoTokenizer.from_pretrained(options.encoder),
        labels=task.labels,
        max_length=32 if options.quick else 128,
        stride=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        write_rows(path, encoded)
        data = DataSet(rows=read_rows(path), examples=[{}] * len(encoded.columns["input_ids"]))
    return TaskPart(
        name=task.name,
        form=task.form,
        metric=task.metric,
        labels=task.labels,
        train=data,
        dev={},
        score=lambda language, data, predictions: {},
        batch_size=spec.batch_size,
        seed=1,
    )


Copy = Callable[[Path, str], None]


def transfers(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return seconds up and down of each client, and how much faster the project's is."""
    with tempfile.TemporaryDirectory() as folder:
        state, back = Path(folder) / "state.safetensors", Path(folder) / "back.safetensors"
        _write_state(state, options.gb)
        with s3_server(Path(folder) / "s3") as server:
            os.environ.update(server.environment)
            clients = _clients(options, server)
            numbers = iter(range(1_000_000))

            def run(side: str) -> dict[str, float]:
                up, down, drop = clients[side]
                name = f"bench/{side}/{next(numbers)}.safetensors"
                began = time.perf_counter()
                up(state, name)
                middle_ = time.perf_counter()
                down(back, name)
                ended = time.perf_counter()
                if back.stat().st_size != state.stat().st_size:
                    sys.exit(f"{side}: another size came back")
                back.unlink()
                drop(name)
                print(
                    f"{side}: up {middle_ - began:.1f} s, down {ended - middle_:.1f} s", flush=True
                )
                return {"upload s": middle_ - began, "download s": ended - middle_}

            found = in_turn(clients, options.repeats, run)
        size = state.stat().st_size / 1e9
    rows: list[dict[str, Any]] = []
    for side, runs in found.items():
        row: dict[str, Any] = {"client": side, "GB": size}
        for way in ("upload s", "download s"):
            row[way] = middle(runs, way)
            row[f"ours is faster by, {way[:-2]}"] = row[way] / middle(found["ours"], way)
        rows.append(row)
    return rows


def _clients(
    options: argparse.Namespace, server: S3Server
) -> dict[str, tuple[Copy, Copy, Callable[[str], None]]]:
    """Return for each client how it uploads, downloads and deletes."""
    import boto3

    from xtransfer.store import open_store

    store = open_store(f"s3://{server.bucket}/ours")
    client: Any = boto3.client("s3")  # pyright: ignore[reportUnknownMemberType]
    bucket = server.bucket

    def drop(name: str) -> None:
        client.delete_object(Bucket=bucket, Key=name)

    def aws(source: str, target: str) -> None:
        subprocess.run(
            [str(options.aws), "s3", "cp", "--no-progress", source, target],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    clients: dict[str, tuple[Copy, Copy, Callable[[str], None]]] = {
        "ours": (
            lambda path, name: store.upload(name, path),
            lambda path, name: store.download(name, path),
            store.delete,
        ),
        "boto3": (
            lambda path, name: client.upload_file(str(path), bucket, name),
            lambda path, name: client.download_file(bucket, name, str(path)),
            drop,
        ),
    }
    if options.aws is not None:
        clients["aws s3 cp"] = (
            lambda path, name: aws(str(path), f"s3://{bucket}/{name}"),
            lambda path, name: aws(f"s3://{bucket}/{name}", str(path)),
            drop,
        )
    return clients


def _write_state(path: Path, gb: float) -> None:
    """Write random tensors of `gb` 10^9 bytes, and read them once."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    count = max(1, round(gb * 1e9 / (TENSOR_MB << 20)))
    save_file({f"layer.{at}": torch.randn(TENSOR_MB << 18) for at in range(count)}, path)
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


if __name__ == "__main__":
    main()
