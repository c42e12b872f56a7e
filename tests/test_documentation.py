"""What the documents show must be what the code takes."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
import yaml
from pydantic import BaseModel

from tests.report.results import result
from xtransfer.cli import app
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.config.placement import Placement, load_placement
from xtransfer.config.retrieval import Retrieval
from xtransfer.costs.tables import SpeedTable, load_prices, load_speeds
from xtransfer.report.results import ReportInfo
from xtransfer.report.tables import render
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Source, Stage, Task

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "k8s/README.md",
    "tests/benchmarks/README.md",
)
CODE = re.compile(r"^```.*?^```$|`([^`]+)`|^ {4,}\S.*?$", re.MULTILINE | re.DOTALL)


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


def test_the_notebook_in_the_readme_averages_zero_shot_scores_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks("README.md", "python")
    scored = [result(value=50.0), result(value=60.0, seed=2), result(value=90.0, few_shot=5)]
    rendered = render(scored, experiment=ReportInfo(name="x", encoder="e"))
    (tmp_path / "report").mkdir()
    (tmp_path / "report/scores.csv").write_text(rendered["scores.csv"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    *before, table = ast.parse(block).body
    assert isinstance(table, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(before, []), "README.md", "exec"), names)
    means = eval(compile(ast.Expression(table.value), "README.md", "eval"), names)
    assert means.to_numpy().tolist() == [[55.0]]


def test_the_task_in_contributing_is_a_task() -> None:
    (block,) = blocks("CONTRIBUTING.md", "python")
    task = eval(block, {"Task": Task, "Source": Source, "Stage": Stage})
    assert task.as_intermediate.task == task.name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_to_files_and_headings_lead_somewhere(document: str) -> None:
    path = CHECKOUT / document
    targets = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    lost: list[str] = []
    for target in targets:
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists() or (heading and heading not in anchors(file)):
            lost.append(target)
    assert lost == []


def anchors(path: Path) -> set[str]:
    """Return what links to a document's headings are called, by GitHub's rule."""
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def models_in(annotation: Any, found: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Add all models that a type is made of, by name."""
    for part in get_args(annotation):
        models_in(part, found)
    if (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and annotation.__name__ not in found
    ):
        found[annotation.__name__] = annotation
        for field in annotation.model_fields.values():
            models_in(field.annotation, found)
    return found


def test_every_setting_is_in_a_document() -> None:
    models: dict[str, type[BaseModel]] = {}
    for root in (Experiment, Placement, SpeedTable):
        models_in(root, models)
    assert {"Asha", "Packing", "Claim", "Hub", "Figure"} <= models.keys()
    code = " ".join(
        match.group()
        for document in ("README.md", "CONTRIBUTING.md")
        for match in CODE.finditer((CHECKOUT / document).read_text(encoding="utf-8"))
    )
    words = set(re.findall(r"\w+", code))
    fields = [(name, field) for name, model in models.items() for field in model.model_fields]
    assert [(name, field) for name, field in fields if field not in words] == []


def commands_shown(document: str) -> Iterator[list[str]]:
    """Yield the commands of a document as lists of their words, without comments."""
    text = (CHECKOUT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    for match in CODE.finditer(text):
        span = match.group(1)
        for line in [" ".join(span.split())] if span else match.group().splitlines():
            if line.strip().startswith("xtransfer "):
                yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_options_exist(document: str) -> None:
    for words in commands_shown(document):
        command = typer.main.get_command(app)
        rest = list(words)
        while rest and hasattr(command, "commands") and not re.match("COMMAND|--", rest[0]):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
        known = {option for each in command.params for option in each.opts} | {"--help"}
        assert {word for word in rest if re.match("--?[a-z]", word)} <= known, words


def test_every_command_is_in_the_readme() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| command | what it does |")[2].partition("\n\n")[0]
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    for group in app.registered_groups:
        names += [
            each.name or each.callback.__name__ for each in group.typer_instance.registered_commands
        ]
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"[` ]{name}[` ]", table)] == []


def test_paths_in_the_tour_exist() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tour = [line for line in text.splitlines() if line.startswith("| `")]
    paths = [path for line in tour for path in re.findall(r"`(\w+/[\w/{},]*(?:\.py)?)`", line)]
    assert len(paths) > 15
    assert [path for path in paths if not (CHECKOUT / path).exists()] == []


def test_every_module_is_in_the_tour() -> None:
    tour = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = [p for p in (CHECKOUT / "xtransfer").glob("*.py") if not p.name.startswith("__")]
    packages = [p.parent for p in (CHECKOUT / "xtransfer").glob("*/__init__.py")]
    names = [f"`xtransfer/{p.name}`" for p in modules] + [
        f"`xtransfer/{p.name}/`" for p in packages
    ]
    assert len(names) > 30
    assert [name for name in names if name not in tour] == []


MAPPED = (
    "benchmark",
    "cluster",
    "cluster/rules",
    "config",
    "costs",
    "data",
    "data/synthetic",
    "doctor",
    "driver",
    "execution",
    "forms",
    "metrics",
    "planner",
    "process",
    "records",
    "report",
    "report/markdown",
    "report/page",
    "statistics",
    "steps",
    "store",
    "tasks",
    "tasks/targets",
    "train",
    "typology",
)


@pytest.mark.parametrize("room", MAPPED)
def test_a_room_says_what_each_holds(room: str) -> None:
    folder = CHECKOUT / "xtransfer" / room
    described = re.findall(
        r"\w+", ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    )
    here = [p.stem for p in folder.glob("*.py") if p.name != "__init__.py"]
    here += [p.parent.name for p in folder.glob("*/__init__.py")]
    assert len(here) > 2
    assert [name for name in here if name not in described] == []


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
