"""What the documents show must be what the code takes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from xtransfer.config import load_experiment
from xtransfer.config.retrieval import Retrieval
from xtransfer.costs.tables import load_prices, load_speeds
from xtransfer.placement import load_placement
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Source, Stage, Task

CHECKOUT = Path(__file__).resolve().parents[1]


def blocks(document: str, language: str) -> list[str]:
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_experiment_in_the_readme_is_valid(tmp_path: Path) -> None:
    experiments = [block for block in blocks("README.md", "yaml") if block.startswith("name:")]
    assert len(experiments) == 1
    path = tmp_path / "experiment.yaml"
    path.write_text(experiments[0], encoding="utf-8")
    assert load_experiment(path).target.seeds == (1, 2, 3)


def test_the_placement_in_the_readme_is_valid(tmp_path: Path) -> None:
    placements = [block for block in blocks("README.md", "yaml") if block.startswith("# placement")]
    assert len(placements) == 1
    path = tmp_path / "placement.yaml"
    path.write_text(placements[0], encoding="utf-8")
    assert load_placement(path).train.zero_stage == 2


def test_the_tables_of_prices_and_speeds_in_the_readme_are_valid(tmp_path: Path) -> None:
    (prices,) = [b for b in blocks("README.md", "yaml") if b.startswith("# prices.yaml")]
    (speeds,) = [b for b in blocks("README.md", "yaml") if b.startswith("# speeds.yaml")]
    path = tmp_path / "table.yaml"
    path.write_text(prices, encoding="utf-8")
    assert load_prices(path).root["h100"].spot == 2
    path.write_text(speeds, encoding="utf-8")
    assert len(load_speeds(path).figures) == 1


def test_the_retrieval_settings_in_the_readme_are_valid() -> None:
    (block,) = [b for b in blocks("README.md", "yaml") if b.startswith("retrieval:")]
    settings = Retrieval.model_validate(yaml.safe_load(block)["retrieval"], strict=False)
    assert settings.of(TASKS["tatoeba"]) == {
        "layer": 14,
        "pooling": "mean",
        "layers": "all",
        "scoring": "csls",
        "neighbours": 4,
    }


def test_the_judgement_in_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = [b for b in blocks("README.md", "yaml") if b.startswith("statistics:")]
    (tmp_path / "claims").mkdir()
    shutil.copy(CHECKOUT / "configs" / "claims" / "paper.yaml", tmp_path / "claims")
    path = tmp_path / "experiment.yaml"
    path.write_text("name: x\nencoder: e\ntarget: {tasks: [xquad]}\n" + block, encoding="utf-8")
    assert [claim.name for claim in load_experiment(path).claims][-1] == "mine"


def test_the_task_in_contributing_is_a_task() -> None:
    (block,) = blocks("CONTRIBUTING.md", "python")
    task = eval(block, {"Task": Task, "Source": Source, "Stage": Stage})
    assert task.as_intermediate.task == task.name


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
)
def test_links_to_files_lead_somewhere(document: str) -> None:
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (CHECKOUT / target).exists()] == []


def test_paths_in_the_tour_exist() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tour = [line for line in text.splitlines() if line.startswith("| `")]
    paths = [path for line in tour for path in re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", line)]
    assert len(paths) > 15
    assert [path for path in paths if not (CHECKOUT / path).exists()] == []


def test_the_table_of_benchmarks_says_which_are_not_measured() -> None:
    folder = CHECKOUT / "tests" / "benchmarks"
    text = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+\.py)` .*\| `(results/[\w.]+)`(: not measured yet)? \|$", text, re.MULTILINE
    )
    assert len(rows) == len(re.findall(r"^\| `", text, re.MULTILINE))
    for script, results, absent in rows:
        assert (folder / script).is_file()
        assert (folder / results).is_file() != bool(absent), results
    runnable = {path.name for path in folder.glob("*.py") if "__main__" in path.read_text()}
    assert runnable - {script for script, _, _ in rows} == {"handwritten.py"}
