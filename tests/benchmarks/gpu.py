"""Training on a GPU beside `transformers.Trainer`, one trial and several on the same card: bf16, random weights.

    python -m tests.benchmarks.gpu --encoder FOLDER --data FOLDER [--size large] [--together 2 4 8] [--no-graphs]

The encoder has the shape of XLM-R Large (or Base) and random weights, since speed does not depend on them, and
the tokenizer in FOLDER, whose weights are not read. MNLI in batches of 24 and SQuAD in batches of 8, as in
training.py: the peer is a user's Trainer in bf16, with rows grouped by length and the same attention (PyTorch's),
and the clock runs for whole rounds of it.

Ours is measured without CUDA graphs and with them (`train.cuda_graphs`), once every shape has its graph.

`together` is so many trials as processes on one GPU. Their clocks start when all of them are warm; counted are
the optimizer steps that ended while all were training. Goals: 2.5 x the examples/s of Trainer with one trial, 4 x
with several.

Model FLOP utilisation = 6 x parameters outside of the embeddings x tokens/s, padding left out, / the card's peak in
bf16 by its maker's data sheet (xtransfer/costs). Attention's products are left out, so that it is a little low.
Memory is the most that PyTorch's allocator held. `--device cpu --quick` is a smoke test with a tiny encoder.
Results: results/gpu.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import arguments, in_turn, middle, run_side, write
from tests.benchmarks.training import (
    SKIPPED,
    WORKLOADS,
    quickly,
    rows_of,
    train_ours,
    train_peer,
    whole_round,
)
from xtransfer.costs.devices import DEVICES, device_named
from xtransfer.costs.principles import PUBLISHED, TRAIN_FLOPS, Shape, shape_of

SHAPES = {
    "large": PUBLISHED["xlm-roberta-large"],
    "base": PUBLISHED["xlm-roberta-base"],
    "tiny": Shape(layers=2, hidden=32, inner=64, heads=2, source="this file"),
}
LOADS = ("mnli", "squad")
GOALS = {"one": 2.5, "together": 4.0}
WARM_ROUNDS = 3
"""Rounds before the clock starts with CUDA graphs: a shape is captured when it comes for the second time."""
WAIT_S = 600
"""Seconds that a trial waits for the others to be warm."""


def main() -> None:
    """Measure both workloads, print the table and write it; or be one side of one workload."""
    import torch

    parser = arguments(__doc__)
    parser.add_argument("--size", choices=tuple(SHAPES), default="large")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--together", type=int, nargs="*", default=[2, 4, 8], help="trials at once")
    parser.add_argument("--workload", choices=LOADS, nargs="+", default=list(LOADS))
    parser.add_argument(
        "--no-graphs", dest="graphs", action="store_false", help="ours without CUDA graphs alone"
    )
    parser.add_argument("--meet", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options)))
        return
    options.graphs &= options.device == "cuda"
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here; --device cpu --quick is a smoke test without one.")
    if options.quick:
        options.size, options.repeats, options.together = "tiny", 1, [2]
    with tempfile.TemporaryDirectory() as folder:
        encoder = make_encoder(Path(folder), options.encoder, SHAPES[options.size])
        rows = [row for name in options.workload for row in compare(options, encoder, name)]
    write("gpu", rows, options, goals=GOALS)


def make_encoder(folder: Path, tokenizer: Path, shape: Shape) -> Path:
    """Write an encoder with random weights and the given tokenizer, in Hugging Face layout."""
    import torch
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    known = AutoTokenizer.from_pretrained(tokenizer)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(known),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=known.pad_token_id,
        bos_token_id=known.bos_token_id,
        eos_token_id=known.eos_token_id,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    for path in tokenizer.iterdir():
        if "token" in path.name or path.suffix == ".model":
            shutil.copy(path, folder)
    return folder


def compare(options: argparse.Namespace, encoder: Path, name: str) -> list[dict[str, Any]]:
    """Measure one trial of each side in turn, then several of ours at once; return the rows of a table."""

    def words(side: str) -> list[str]:
        return [
            "--side", side, "--workload", name, "--encoder", str(encoder), "--data", str(options.data),
            "--device", options.device, "--threads", str(options.threads),
            *(["--quick"] if options.quick else []),
        ]  # fmt: skip

    own = ("ours", "ours by graphs") if options.graphs else ("ours",)
    found = in_turn((*own, "trainer"), options.repeats, lambda side: run_side("gpu", *words(side)))
    peer = middle(found["trainer"], "rate")
    shape = shape_of(str(encoder))
    assert shape is not None

    def row(what: str, rate: float, tokens: float, peak_gb: float) -> dict[str, Any]:
        sheet = DEVICES.get(device_named(found["ours"][0]["device"]))
        flops = TRAIN_FLOPS * shape.parameters * rate * tokens
        return {
            "workload": name,
            "what": what,
            "examples/s": rate,
            "/ Trainer": rate / peer,
            "utilisation": "unknown device" if sheet is None else flops / sheet.bf16,
            "peak GB": peak_gb,
            "tokens": tokens,
        }

    rows = [
        row(side, *(middle(runs, each) for each in ("rate", "tokens", "peak_gb")))
        for side, runs in found.items()
    ]
    for number, side in itertools.product(options.together, own):
        runs = side_by_side(words(side), number)
        peak = sum(run["peak_gb"] for run in runs)
        rows.append(row(f"{number} of {side}", common_rate(runs), middle(runs, "tokens"), peak))
    return rows


def side_by_side(words: Sequence[str], number: int) -> list[dict[str, Any]]:
    """Run so many trials at once; return what each found.

    Raises:
        SystemExit: with the last words of a trial that failed.
    """
    with tempfile.TemporaryDirectory() as meet:
        command = [sys.executable, "-m", "tests.benchmarks.gpu", *words]
        command += ["--meet", meet, "--number", str(number)]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(number)
        ]
        ended = [process.communicate() for process in running]
    for process, (_, said) in zip(running, ended, strict=True):
        if process.returncode:
            sys.exit(f"{number} at once: one failed:\n{said[-3000:]}")
    found = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    print(f"gpu {number} at once: {[run['rate'] for run in found]}", file=sys.stderr, flush=True)
    return found


def common_rate(runs: Sequence[dict[str, Any]]) -> float:
    """Return the examples/s of several trials together, in the time that all were training."""
    begin = max(run["times"][0] for run in runs)
    end = min(run["times"][-1] for run in runs)
    if end <= begin:
        sys.exit("the trials did not train at the same time: give them more steps or less to do")
    steps = sum(sum(begin < at <= end for at in run["times"]) for run in runs)
    return steps * runs[0]["batch_size"] / (end - begin)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train as one side; return examples/s, tokens of a row, the most memory held, the device."""
    import torch

    from xtransfer.train.context import device_name

    torch.set_num_threads(options.threads)
    load = WORKLOADS[options.workload[0]]
    load = quickly(load) if options.quick else load
    task, encoded, tokenizer = rows_of(load, options.encoder, options.data)
    steps = whole_round(encoded, load)
    if options.side != "trainer":
        graphs = options.side == "ours by graphs"
        found = train_ours(
            options.encoder, load, task, encoded, "bf16", steps=steps, device=options.device, graphs=graphs,
            skipped=WARM_ROUNDS * steps if graphs else SKIPPED, ready=meeting(options.meet, options.number),
        )  # fmt: skip
    else:
        found = train_peer(
            options, load, task, encoded, tokenizer, "bf16", steps=steps, device=options.device
        )
    held = torch.cuda.max_memory_reserved() if options.device == "cuda" else 0
    return found | {
        "peak_gb": held / 1e9,
        "batch_size": load.batch_size,
        "device": device_name(options.device),
    }


def meeting(folder: Path | None, number: int) -> Callable[[], None]:
    """Return what waits until so many processes have called it."""

    def wait() -> None:
        if folder is None:
            return
        with tempfile.NamedTemporaryFile(dir=folder, delete=False):
            pass
        late = time.monotonic() + WAIT_S
        while len(list(folder.iterdir())) < number:
            if time.monotonic() > late:
                sys.exit(f"the other trials were not warm after {WAIT_S} s")
            time.sleep(0.01)

    return wait


if __name__ == "__main__":
    main()
