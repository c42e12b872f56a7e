"""Heavy libraries stay out of pure modules, and machine paths out of the repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
HEAVY = (
    "boto3",
    "botocore",
    "datasets",
    "deepspeed",
    "kubernetes",
    "matplotlib",
    "mlflow",
    "ray",
    "scipy.stats",  # a second, and few reports need it
    "tensorboardX",
    "torch",
    "transformers",
)
# Modules whose whole point is a heavy library. Any other module, a new one too, must do without at
# import time.
IMPURE = (
    "xtransfer.data.hub",
    "xtransfer.driver.relays",
    "xtransfer.driver.search",
    "xtransfer.execution.trial",
    "xtransfer.forms",
    "xtransfer.process.leaving",
    "xtransfer.retrieval",
    "xtransfer.steps",
    "xtransfer.sweeps.scheduler",
    "xtransfer.train",
)

# Imports each named module in turn and says after each what heavy library is loaded. One process
# suffices: the first module after which a library shows is the one that brought it.
PROBE = """
import importlib, json, sys
heavy, modules = json.loads(sys.argv[1])
found = {}
for name in modules:
    importlib.import_module(name)
    loaded = [library for library in heavy if library in sys.modules]
    if loaded:
        found[name] = loaded
        break
print(json.dumps(found))
"""


def modules() -> list[str]:
    names: list[str] = []
    for path in sorted((CHECKOUT / "xtransfer").rglob("*.py")):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def is_impure(name: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in IMPURE)


def probe(names: list[str], heavy: tuple[str, ...] = HEAVY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([heavy, names])],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_pure_modules_import_nothing_heavy() -> None:
    pure = [name for name in modules() if not is_impure(name)]
    assert {"xtransfer.identity", "xtransfer.tasks.task", "xtransfer.data.examples"} <= set(pure)
    done = probe(pure)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_probe_sees_a_heavy_import() -> None:
    assert json.loads(probe(["json", "boto3"]).stdout) == {"boto3": ["boto3", "botocore"]}


def test_the_training_loop_knows_no_ray_and_no_store() -> None:
    outside = (
        "ray",
        "xtransfer.driver",
        "xtransfer.execution",
        "xtransfer.process",
        "xtransfer.records",
        "xtransfer.steps",
        "xtransfer.store",
    )
    loop = [name for name in modules() if name.startswith("xtransfer.train")]
    assert "xtransfer.train.loop" in loop
    done = probe(loop, outside)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
    assert json.loads(probe(["xtransfer.steps.outcome"], outside).stdout)


def test_steps_are_done_without_the_planner() -> None:
    done = [name for name in modules() if name.startswith("xtransfer.steps")]
    planner = re.compile(r"^\s*(?:import|from) xtransfer\.planner", re.MULTILINE)
    assert [name for name in done if planner.search(source(name))] == []


@pytest.mark.parametrize("root", IMPURE)
def test_every_exception_is_still_needed(root: str) -> None:
    inside = [name for name in modules() if name == root or name.startswith(f"{root}.")]
    heavy = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(HEAVY)})\b", re.MULTILINE)
    assert any(heavy.search(source(name)) for name in inside)


def source(name: str) -> str:
    path = CHECKOUT / Path(*name.split("."))
    module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return module.read_text(encoding="utf-8")


def test_no_tracked_file_mentions_the_machine_it_was_written_on() -> None:
    # Absolute paths below these folders work on one machine only. Inside a container image, "/work"
    # may be a mount point, hence k8s/ is left out.
    machine = re.compile(r"(?<![\w.])(?:/work/|/root/|/tmp/w\b|/home/\w+/)")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    offenders: list[str] = []
    for name in filter(None, listed.stdout.split("\0")):
        path = CHECKOUT / name
        if name.startswith("k8s/") or path == Path(__file__) or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        offenders += [f"{name}:{i}" for i, line in enumerate(lines, 1) if machine.search(line)]
    assert offenders == []
