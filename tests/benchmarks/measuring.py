"""What the benchmarks share: sides in processes of their own that take turns, and results in files.

A side prints one line of JSON, its last. Nothing here decides what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "tokenizers", "ray", "numpy")

Found = dict[str, Any]


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with what most benchmarks ask for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--encoder", required=True, type=Path, help="folder of a real encoder")
    parser.add_argument("--data", required=True, type=Path, help="folder of the tasks' files")
    quick(parser)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser


def quick(parser: argparse.ArgumentParser) -> None:
    """Add `--quick` and `--machine`."""
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: tiny sizes, no results file is written"
    )
    parser.add_argument(
        "--machine",
        default="",
        help="a word for the names of results, beside those of another machine",
    )


def run_side(module: str, *words: str) -> Found:
    """Run a benchmark as one side, in a process of its own; return what its last line says.

    Raises:
        SystemExit: with the side's last words, when it fails.
    """
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    print(f"{module} {' '.join(words[:4])}: {found}", file=sys.stderr, flush=True)
    return found


def in_turn(
    sides: Iterable[str], repeats: int, run: Callable[[str], Found]
) -> dict[str, list[Found]]:
    """Run every side `repeats` times, one after the other and again."""
    found: dict[str, list[Found]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, runs in found.items():
            runs.append(run(side))
    return found


def middle(runs: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return the median of one number over the runs of a side."""
    return float(median(run[name] for run in runs))


def surroundings(*more: str) -> dict[str, Any]:
    """Return what a figure depends on beside the code: processor, cores, memory, load, versions."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in (*PACKAGES, *more)},
    }


def processor() -> str:
    """Return the processor's name as its maker gives it, such as AMD EPYC 7B13."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(
    name: str, rows: Sequence[Mapping[str, Any]], options: argparse.Namespace, **more: Any
) -> None:
    """Print rows as a table; except with `--quick`, write results/`name`.json and .md too.

    Args:
        name: of the results.
        rows: of the table; all have the same fields.
        options: of the command line; all but folders are written beside the rows.
        more: further facts for the JSON.
    """
    about = surroundings()
    text = markdown(rows)
    print(text, end="")
    if options.quick:
        print("--quick: a smoke test, of which no results are kept.")
        return
    asked = {k: v for k, v in vars(options).items() if isinstance(v, int | float | str | list)}
    found = {"with": about, "options": asked, **more, "rows": list(rows)}
    name = "_".join(filter(None, (name, options.machine)))
    RESULTS.mkdir(exist_ok=True)
    RESULTS.joinpath(f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    facts = ", ".join(f"{key} {value}" for key, value in about.items())
    RESULTS.joinpath(f"{name}.md").write_text(f"{text}\n{facts}\n", encoding="utf-8")


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table; floats with three significant digits or whole."""
    names = list(rows[0])
    cells = [names, ["---"] * len(names), *([_cell(row[name]) for name in names] for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
