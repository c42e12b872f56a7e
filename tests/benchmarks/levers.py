"""What each thing done for speed on a CPU is worth: training with all of them, and with each left out in turn.

    python -m tests.benchmarks.levers --encoder FOLDER --data FOLDER [--quick]

Workloads are those of training.py, each side a process of its own. What is left out gives way to what PyTorch
or a user would do by themselves:

    products      oneDNN for products in fp32 -> PyTorch's, by MKL
    widened       products of bf16 in fp32, where the processor has none -> PyTorch's, in plain loops: hours
    dropout       SFC64's numbers, four values from one -> PyTorch's, one by one
    attention     a cache's worth of rows at a time, computed again -> PyTorch's, whole and kept
    feed forward  the activation's output of large batches computed again, in fp32 -> kept
    first token   the last layer for the state that a head reads -> for all
    allocation    memory kept by the process -> given back and asked for again
    vocabulary    the embedding rows that the data uses -> all rows
    engine        plain torch with fused AdamW -> DeepSpeed, ZeRO 0

`share` is what part of an optimizer step goes where, by PyTorch's profiler in a run of its own (self time on
the CPU; a profiled step is slower). There is no peer and no goal. Results: results/levers.json.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

from tests.benchmarks.measuring import arguments, in_turn, middle, run_side, write
from tests.benchmarks.training import WORKLOADS, quickly, rows_of, train_ours

LEVERS = {
    "products": ("xtransfer.train.kernels.onednn._matmul",),
    "widened": ("xtransfer.train.kernels.widened._Widening",),
    "dropout": ("xtransfer.train.model.use_fast_dropout",),
    "attention": (
        "xtransfer.train.encoder.use_cpu_attention",
        "xtransfer.train.model.use_cpu_attention",
    ),
    "feed forward": ("xtransfer.train.model.use_lean_feed_forward",),
    "first token": ("xtransfer.train.model.first_token_alone",),
    "allocation": ("xtransfer.process.allocation.keep_freed_memory",),
    "vocabulary": (),
    "engine": (),
}
CONTEXTS = ("first token", "widened")
SIDES = ("all", *(f"no {name}" for name in LEVERS), "none")
STEPS, PROFILED = 12, 4
GROUPS = {
    "products": (
        "aten::mm", "aten::addmm", "aten::bmm",
    ),
    "dropout": ("aten::bernoulli_", "_Dropout", "_DropoutBackward", "aten::native_dropout"),
    "softmax": ("aten::_softmax", "aten::_softmax_backward_data", "_Attention", "_AttentionBackward"),
    "optimizer": ("aten::_fused_adamw_", "aten::linalg_vector_norm", "Optimizer.step#AdamW.step"),
    "copies": ("aten::copy_", "aten::fill_", "aten::cat"),
    "norms, GELU": (
        "aten::native_layer_norm", "aten::native_layer_norm_backward", "aten::gelu",
        "aten::gelu_backward",
    ),
}  # fmt: skip


def main() -> None:
    """Compare all sides on all workloads, or be one of them."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--workload", nargs="+", choices=tuple(WORKLOADS), default=["mnli", "squad"]
    )
    parser.add_argument(
        "--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"]
    )
    options = parser.parse_args()
    if options.quick:
        options.repeats = 1
    if options.side:
        print(json.dumps(measure(options)))
        return
    rows = [
        row
        for workload in options.workload
        for precision in options.precision
        for row in compare(options, workload, precision)
    ]
    write("levers", rows, options)


def compare(options: argparse.Namespace, workload: str, precision: str) -> list[dict[str, Any]]:
    """Return a row a side: its speed and memory, and the speed of all levers over it."""

    def run(side: str) -> dict[str, Any]:
        return run_side(
            "levers", "--side", side, "--workload", workload, "--precision", precision,
            "--encoder", str(options.encoder), "--data", str(options.data),
            "--threads", str(options.threads), *(["--quick"] if options.quick else []),
        )  # fmt: skip

    found = in_turn(SIDES, options.repeats, run)
    best = middle(found["all"], "rate")
    return [
        {
            "workload": workload,
            "precision": precision,
            "levers": side,
            "examples/s": middle(runs, "rate"),
            "all / this": best / middle(runs, "rate"),
            "peak GB": middle(runs, "peak_gb"),
            **{f"share: {name}": runs[0]["shares"][name] for name in runs[0]["shares"]},
        }
        for side, runs in found.items()
    ]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train as one side, then once more under the profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.set_num_threads(options.threads)
    (precision,), load = options.precision, WORKLOADS[options.workload[0]]
    if options.quick:
        load = quickly(load)
    task, encoded, _ = rows_of(load, options.encoder, options.data)
    out = set(LEVERS) if options.side == "none" else {options.side.removeprefix("no ")} - {"all"}
    settings: dict[str, Any] = {
        "compacted": "vocabulary" not in out,
        "engine": "deepspeed" if "engine" in out else "torch",
    }
    if "engine" in out:
        torch.distributed.init_process_group(
            "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
        )
    with without(out):
        rate = train_ours(options.encoder, load, task, encoded, precision, steps=STEPS, **settings)[
            "rate"
        ]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            train_ours(options.encoder, load, task, encoded, precision, steps=PROFILED, **settings)
    return {"rate": rate, "peak_gb": peak, "shares": shares_of(profiled.key_averages())}


@contextmanager
def without(names: set[str]) -> Iterator[None]:
    """Leave the named levers out."""
    with ExitStack() as stack:
        for name in names:
            for place in LEVERS[name]:
                instead = nullcontext() if name in CONTEXTS else None
                stack.enter_context(mock.patch(place, return_value=instead))
        yield


def shares_of(averages: Any) -> dict[str, float]:
    """Return what share of the profiled time each group of operations takes."""
    times = {each.key: each.self_cpu_time_total for each in averages}
    whole = sum(times.values())
    found = {
        name: sum(times.get(key, 0.0) for key in keys) / whole for name, keys in GROUPS.items()
    }
    return found | {"rest": 1 - sum(found.values())}


if __name__ == "__main__":
    main()
