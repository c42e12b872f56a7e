"""Exact k-nearest-neighbour search beside faiss-cpu's IndexFlatIP: time, memory, and 1M x 1M.

    pip install --target /somewhere --no-deps faiss-cpu
    python tests/benchmarks/knn.py --faiss /somewhere

Every run is a process of its own with the same vectors and the same number of threads; the three ways
take turns, so that a busy moment meets all. Result: tests/benchmarks/results/knn.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CHECKOUT = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).parent / "results" / "knn.json"
WAYS = ("xtransfer", "faiss", "matmul+topk")
"""Ours; the peer; and torch's own product and topk over whole rows, which leaves ties to chance."""
TARGET = 1_000_000


def main() -> None:
    """Measure, print and save."""
    options = arguments()
    if options.way:
        sys.stdout.write(json.dumps(measure(options)))
        return
    ways = [way for way in WAYS if way != "faiss" or options.faiss]
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for turn in range(options.rounds):
        for way in ways:
            runs[way].append(in_a_process(way, options))
            print(f"round {turn + 1} {way}: {runs[way][-1]['seconds']:.2f} s", flush=True)
    result = summary(runs, options)
    print(json.dumps(result, indent=1))
    if not options.faiss:
        print("faiss was left out: install it as the head of this file says, and give --faiss.")
    if options.save:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"saved: {RESULT}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--candidates", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faiss", help="folder that faiss-cpu was installed into")
    parser.add_argument("--save", action="store_true", help="write results/knn.json")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_a_process(way: str, options: argparse.Namespace) -> dict[str, Any]:
    names = ("queries", "candidates", "width", "k", "threads")
    flags = [f"--{name}={getattr(options, name)}" for name in names]
    path = [str(CHECKOUT), *([options.faiss] if options.faiss else [])]
    done = subprocess.run(
        [sys.executable, __file__, f"--way={way}", *flags],
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(options.threads),
            "PYTHONPATH": os.pathsep.join(path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Search once; return seconds, memory beyond the vectors, and what was found."""
    search = {"xtransfer": ours, "faiss": peer, "matmul+topk": plain}[options.way](options.threads)
    queries, candidates = (
        vectors(count, options.width, seed)
        for seed, count in enumerate((options.queries, options.candidates))
    )
    search(queries[:64], candidates[:512], options.k)  # thread pools start
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = status("VmRSS")
    began, busy = time.perf_counter(), time.process_time()
    scores, indices = search(queries, candidates, options.k)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - busy,
        "peak_mib": (status("VmHWM") - before) / 1024,
        "sum": float(np.sum(scores, dtype=np.float64)),
        "indices": int(np.sum(indices, dtype=np.int64)),
    }


def vectors(count: int, width: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def ours(threads: int) -> Callable[..., Any]:
    import torch

    from xtransfer.retrieval.neighbours import nearest

    torch.set_num_threads(threads)

    def search(queries: Any, candidates: Any, k: int) -> Any:
        found = nearest(torch.from_numpy(queries), torch.from_numpy(candidates), k)
        return [each.numpy() for each in found]

    return search


def peer(threads: int) -> Callable[..., Any]:
    import faiss  # pyright: ignore[reportMissingImports]

    faiss.omp_set_num_threads(threads)

    def search(queries: Any, candidates: Any, k: int) -> Any:
        index = faiss.IndexFlatIP(candidates.shape[1])
        index.add(candidates)
        return index.search(queries, k)

    return search


def plain(threads: int) -> Callable[..., Any]:
    import torch

    torch.set_num_threads(threads)

    def search(queries: Any, candidates: Any, k: int) -> Any:
        other = torch.from_numpy(candidates).T
        parts = [(torch.from_numpy(part) @ other).topk(k) for part in np.array_split(queries, 10)]
        return [
            torch.cat([getattr(p, name) for p in parts]).numpy() for name in ("values", "indices")
        ]

    return search


def status(name: str) -> int:
    """Return a field of this process's memory in KiB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:"))


def summary(runs: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> dict[str, Any]:
    # Other work on the machine only ever adds, so the quickest run is nearest to the truth.
    best = {way: min(run["seconds"] for run in each) for way, each in runs.items()}
    middle = {way: statistics.median(run["seconds"] for run in each) for way, each in runs.items()}
    work = {way: min(run["cpu_seconds"] for run in each) for way, each in runs.items()}
    own = runs["xtransfer"]
    peak = max(run["peak_mib"] for run in own)
    times = (TARGET / options.queries) * (TARGET / options.candidates)
    vectors_gb = 2 * TARGET * options.width * 4 / 1e9
    # A score, an index and a key of 20 bytes for each neighbour of each query.
    found_gb = TARGET * options.k * 20 / 1e9
    return {
        "what": "exact k-NN by inner product of random unit vectors, fp32, CPU",
        "queries": options.queries,
        "candidates": options.candidates,
        "width": options.width,
        "k": options.k,
        "threads": options.threads,
        "processor": processor(),
        "python": platform.python_version(),
        "seconds": {w: [round(run["seconds"], 3) for run in each] for w, each in runs.items()},
        "best_seconds": {way: round(value, 3) for way, value in best.items()},
        "median_seconds": {way: round(value, 3) for way, value in middle.items()},
        "least_cpu_seconds": {way: round(value, 3) for way, value in work.items()},
        "peak_mib_beyond_vectors": {
            way: round(max(run["peak_mib"] for run in each), 1) for way, each in runs.items()
        },
        "gflops": round(
            2e-9 * options.queries * options.candidates * options.width / best["xtransfer"], 1
        ),
        "time_over_faiss": (
            round(best["xtransfer"] / best["faiss"], 3) if "faiss" in best else None
        ),
        "cpu_time_over_faiss": (
            round(work["xtransfer"] / work["faiss"], 3) if "faiss" in work else None
        ),
        "time_over_matmul_topk": round(best["xtransfer"] / best["matmul+topk"], 3),
        "sum_of_scores": {way: each[0]["sum"] for way, each in runs.items()},
        "sum_of_indices": {way: each[0]["indices"] for way, each in runs.items()},
        "extrapolated_1m_x_1m": {
            "hours": round(best["xtransfer"] * times / 3600, 2),
            "memory_gb": round(vectors_gb + found_gb + peak * 2**20 / 1e9, 2),
            "of_which_vectors_gb": round(vectors_gb, 2),
        },
    }


def processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
