"""What safety costs: checkpoints while training, leases, records and digests.

    python -m tests.benchmarks.safety [--encoder FOLDER] [--s3] [--repeats 5] [--save]

Training runs three ways that take turns: without checkpoints, with checkpoints written before training
goes on (`waiting`), and with checkpoints written behind its back (`background`, as the product does).
`stall` is the time that the loop itself spent in saving, as a share of its training time without; `longer`
compares whole runs, so it has the noise of the machine in it, and what the writer takes from the trainer's
cores. FOLDER is an encoder in Hugging Face layout; of its vocabulary so many rows are trained as 10,000
examples of MNLI use (14,980 of XLM-R's, counted), as the product does. `at the default` is the stall of one
checkpoint as a share of the 60 s between two. Result: tests/benchmarks/results/safety.{json,md}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.s3_server import s3_server
from tests.tiny import tiny_encoder, tiny_pairs, tiny_part
from xtransfer.config.placement import TrainResources
from xtransfer.identity import key_of
from xtransfer.records.checkpoints import save_checkpoint
from xtransfer.records.leases import claim
from xtransfer.records.outputs import fetch
from xtransfer.records.record import Record, commit
from xtransfer.store import Store, open_store
from xtransfer.train.context import Checkpoint, Context
from xtransfer.train.encoder import load_encoder
from xtransfer.train.loop import train
from xtransfer.train.mixture import Sampling, mix
from xtransfer.train.model import TransferModel
from xtransfer.train.randomness import build_head
from xtransfer.train.saving import BackgroundSaver
from xtransfer.train.specification import TrialSpec
from xtransfer.train.vocabulary import compact

RESULTS = Path(__file__).parent / "results"
KEY = "0" * 12
WAYS = ("none", "waiting", "background")
MNLI_ROWS = 14_980
DEFAULT_EVERY_S = TrainResources().resume_every_s
SPEC = TrialSpec(seed=1, learning_rate=1e-4, epochs=1, batch_size=16, keep="last")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, help="measure with this one too")
    parser.add_argument("--s3", action="store_true", help="measure with an S3 service too")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="about so long trains one run")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between checkpoints")
    parser.add_argument("--save", action="store_true", help="keep the result")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "repeats": asked.repeats,
        "training": {"tiny": training(None, asked)},
        "steps": {},
    }
    if asked.encoder:
        result["training"][asked.encoder.name] = training(asked.encoder, asked)
    with stores(s3=asked.s3) as found:
        for name, store in found.items():
            result["steps"][name] = steps(store, asked.repeats)
    result["reading"] = reading(asked.repeats)
    result["load_after"] = round(os.getloadavg()[0], 2)
    text = table(result)
    print(text)
    if asked.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "safety.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "safety.md").write_text(text, encoding="utf-8")


# --- checkpoints ---------------------------------------------------------------------------------


def training(folder: Path | None, asked: argparse.Namespace) -> dict[str, Any]:
    """Return what checkpoints cost a trial of the tiny encoder, or of the one in `folder`."""
    count = _rows_for(folder, asked.seconds)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(asked.repeats):
        for way in WAYS:
            runs[way].append(_run(folder, count, way, asked.every))
    bare = statistics.median(run["seconds"] for run in runs["none"])
    found: dict[str, Any] = {
        "optimizer_steps": count // SPEC.batch_size,
        "every_s": asked.every,
        "train_s": round(bare, 2),
        "checkpoint_bytes": int(runs["waiting"][0]["bytes"]),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    for way in WAYS[1:]:
        spent = [run["stall"] for run in runs[way]]
        found[way] = {
            "checkpoints": statistics.median(run["saves"] for run in runs[way]),
            "stall_s": round(statistics.median(spent), 3),
            "stall_share": round(statistics.median(spent) / bare, 4),
            "default_share": round(
                statistics.median(
                    run["stall"] / run["saves"] / DEFAULT_EVERY_S
                    for run in runs[way]
                    if run["saves"]
                ),
                5,
            ),
            "longest_s": round(statistics.median(run["longest"] for run in runs[way]), 3),
            "longer_share": round(
                statistics.median(run["seconds"] for run in runs[way]) / bare - 1, 4
            ),
        }
    return found


def _rows_for(folder: Path | None, seconds: float) -> int:
    """Return how many rows train for about so many seconds."""
    count = 8 * SPEC.batch_size
    _run(folder, count, "none", 1e9)  # what is first is slow
    began = _run(folder, count, "none", 1e9)["seconds"]
    return max(1, round(seconds / began)) * count


def _run(folder: Path | None, count: int, way: str, every: float) -> dict[str, float]:
    """Train once; return seconds in all and in saving, and what was saved."""
    rows = tiny_pairs(count, tokens=tuple(range(10, 50)))
    encoder = tiny_encoder() if folder is None else load_encoder(str(folder))
    if folder is not None:
        compact(encoder, np.arange(MNLI_ROWS))
    width = encoder.config.hidden_size
    model = TransferModel(
        encoder, [build_head("classification", width, 2, dropout=0.0, seed=1)], bf16=False
    )
    part = replace(tiny_part(rows, rows, SPEC), dev={})
    mixture = mix([(part.examples, part.rows)], Sampling(), epochs=1, batch_size=SPEC.batch_size)
    with tempfile.TemporaryDirectory(prefix="xtransfer-") as place:
        store = open_store(place)
        sizes: list[int] = []

        def write(checkpoint: Checkpoint) -> None:
            save_checkpoint(store, KEY, state=checkpoint.state, tensors=checkpoint.tensors)
            sizes.append(sum(info.size for info in store.list(f"resume/{KEY}/")))

        saver = BackgroundSaver(write)
        clock = _Clock(saver.save if way == "background" else write)
        context = Context(
            pad_id=1,
            save=clock,
            saving=saver.busy if way == "background" else lambda: False,
            save_every_s=1e9 if way == "none" else every,
        )
        began = time.perf_counter()
        with clock.gathering():
            train(SPEC, context, model=model, parts=[part], mixture=mixture)
        saver.flush()
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "stall": sum(clock.spent),
        "longest": max(clock.spent, default=0.0),
        "saves": len(clock.spent),
        "bytes": min(sizes, default=0),
    }


class _Clock:
    """Times what the loop spends on checkpoints: gathering the state, and handing it over."""

    def __init__(self, save: Callable[[Checkpoint], None]) -> None:
        self.save = save
        self.spent: list[float] = []

    def __call__(self, checkpoint: Checkpoint) -> None:
        self.save(checkpoint)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        from xtransfer.train.resuming import Saves

        plain = Saves.save

        def timed(saves: Saves) -> None:
            began = time.perf_counter()
            plain(saves)
            self.spent.append(time.perf_counter() - began)

        Saves.save = timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            Saves.save = plain


# --- leases, records, digests --------------------------------------------------------------------


@contextmanager
def stores(*, s3: bool) -> Iterator[dict[str, Store]]:
    """Yield a store in a folder, and one in S3 if asked for."""
    with tempfile.TemporaryDirectory(prefix="xtransfer-") as place:
        folder = Path(place)
        found = {"folder": open_store(str(folder / "store"))}
        if not s3:
            yield found
            return
        with s3_server(folder / "s3") as server:
            os.environ |= server.environment
            yield {**found, "S3 on this machine": open_store(f"s3://{server.bucket}/safety")}


def steps(store: Store, repeats: int) -> dict[str, Any]:
    """Return what a step's lease and record cost in a store, in ms and bytes."""
    rounds = 10 * repeats
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        value = work()
        times.setdefault(name, []).append(1000 * (time.perf_counter() - began))
        return value

    with tempfile.TemporaryDirectory(prefix="xtransfer-") as place:
        output = Path(place)
        for name in ("a.json", "b.jsonl", "c.arrow"):
            (output / name).write_bytes(os.urandom(30_000))
        size = 0
        for number in range(rounds):
            spec = {"number": number, "store": store.url}
            key = key_of({"kind": "select", "version": 1, "spec": spec, "inputs": {}})
            draft = Record(key=key, kind="select", name="x", version=1, spec=spec)
            lease = timed("claim_ms", lambda key=key: claim(store, key, seconds=60))
            timed("renew_ms", lease.renew)
            timed("plain_ms", lambda n=number: _plain(store, output, n))
            record = timed(
                "commit_ms", lambda d=draft, f=lease.check: commit(store, d, output, fence=f)
            )
            lease.outcome = "done"
            timed("end_ms", lease.end)
            size = next(
                info.size for info in store.list(record.folder) if info.name.endswith("record.json")
            )
        lease_size = next(info.size for info in store.list("leases/"))
    found = {name: round(statistics.median(values), 2) for name, values in times.items()}
    whole = found["claim_ms"] + found["end_ms"] + found["commit_ms"] - found["plain_ms"]
    return {
        **found,
        "overhead_ms": round(whole, 2),
        "record_bytes": size,
        "lease_bytes": lease_size,
    }


def _plain(store: Store, output: Path, number: int) -> None:
    """Write a step's files and nothing else."""
    for path in sorted(output.iterdir()):
        store.upload(f"plain/{number}/{path.name}", path)


def reading(repeats: int, *, size: int = 256 << 20) -> dict[str, Any]:
    """Return MB/s of reading a file, of hashing it, and of fetching it from a store in a folder."""
    with tempfile.TemporaryDirectory(prefix="xtransfer-") as place:
        output = Path(place) / "output"
        output.mkdir()
        path = output / "large"
        path.write_bytes(os.urandom(size))
        store = open_store(str(Path(place) / "store"))
        spec: dict[str, Any] = {}
        key = key_of({"kind": "train", "version": 1, "spec": spec, "inputs": {}})
        record = commit(
            store, Record(key=key, kind="train", name="x", version=1, spec=spec), output
        )
        ways: dict[str, Callable[[int], Any]] = {
            "read": lambda _: path.read_bytes(),
            "sha256": lambda _: hashlib.sha256(path.read_bytes()).hexdigest(),
            "download": lambda n: store.download(record.files[0].object, Path(place) / f"d{n % 2}"),
            "fetch": lambda n: fetch(store, record, Path(place) / f"f{n}"),
            "fetched before": lambda _: fetch(store, record, Path(place) / "f0"),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(repeats):
            for name, work in ways.items():
                began = time.perf_counter()
                work(number)
                rates[name].append(size / 1e6 / (time.perf_counter() - began))
            if number:
                (Path(place) / f"f{number}" / "large").unlink()
    found = {name: round(statistics.median(values)) for name, values in rates.items()}
    return {"bytes": size, "mb_per_s": found}


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    lines = [
        "# What safety costs",
        "",
        (
            f"{result['cores']} cores, load {result['load_before']} before and {result['load_after']} after, "
            f"torch {result['torch']} on one thread, medians of {result['repeats']}. Made by "
            "`python -m tests.benchmarks.safety`, whose head says what is measured."
        ),
        "",
        (
            "| encoder | checkpoint | way | checkpoints | stall, s | stall, share of training "
            "| stall at the default | longest, s | whole run longer by |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in result["training"].items():
        for way in WAYS[1:]:
            each = found[way]
            lines.append(
                f"| {name}, {found['optimizer_steps']} steps in {found['train_s']} s | "
                f"{found['checkpoint_bytes'] / 1e6:.1f} MB every {found['every_s']:g} s | {way} | "
                f"{each['checkpoints']:g} | {each['stall_s']} | {100 * each['stall_share']:.2f} % | "
                f"{100 * each['default_share']:.2f} % | "
                f"{each['longest_s']} | {100 * each['longer_share']:.1f} % |"
            )
    lines += [
        "",
        (
            "| store | claim, ms | renew, ms | end, ms | 3 files, ms | 3 files and record, ms "
            "| overhead of a step, ms | record, bytes | lease, bytes |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in result["steps"].items():
        names = ("claim_ms", "renew_ms", "end_ms", "plain_ms", "commit_ms", "overhead_ms")
        values = [str(found[each]) for each in (*names, "record_bytes", "lease_bytes")]
        lines.append(f"| {name} | {' | '.join(values)} |")
    rates = result["reading"]["mb_per_s"]
    lines += [
        "",
        f"Of a file of {result['reading']['bytes'] / 1e6:.0f} MB in memory, MB/s: "
        + ", ".join(f"{name} {rate}" for name, rate in rates.items())
        + ". `download` copies without a look at the bytes, `fetch` verifies them, `fetched before` "
        "verifies a copy that is there.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
