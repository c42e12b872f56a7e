from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import Run
from tests.recorded import record_of, record_steps
from xtransfer import __version__
from xtransfer.cli import app
from xtransfer.config.experiment import load_experiment
from xtransfer.identity import source_digest
from xtransfer.plan import Plan
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import commit
from xtransfer.store import Store, open_store
from xtransfer.tasks import TASKS

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
SMALL = f"""
name: small
encoder: {{name: org/model, revision: {"a" * 40}}}
intermediate: {{tasks: [mnli]}}
target: {{tasks: [xnli, tatoeba], languages: {{xnli: [en], tatoeba: [de]}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


@pytest.fixture
def opened(url: str) -> Store:
    return open_store(url)


def plan_of(config: Path) -> Plan:
    experiment = load_experiment(config)
    return build_plan(experiment, Fingerprints(experiment, lenient=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.status == 0
    assert f"xtransfer {command}" in done.out
    assert "Example: xtransfer" in done.out


def test_help_and_version(run: Run) -> None:
    done = run("--help")
    assert done.status == 0
    assert all(command in done.out for command in COMMANDS)
    assert run("--version").out == f"xtransfer {__version__}, source {source_digest()}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['xtransfer', '--help']\n"
        "from xtransfer.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = 'torch ray transformers boto3 datasets deepspeed pyarrow numpy pydantic'.split()\n"
        "print('LOADED', [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_tasks_are_listed(run: Run) -> None:
    rows = json.loads(run("tasks", "--json").out)
    assert [row["task"] for row in rows] == list(TASKS)
    table = run("tasks").out.splitlines()
    assert table[0].split()[:3] == ["task", "form", "metric"]
    assert len(table) == len(TASKS) + 1


def test_a_plan_is_shown_without_any_data(run: Run, config: Path, url: str) -> None:
    done = run("plan", config, "--store", url)
    assert done.status == 0
    made = plan_of(config)
    assert done.out.splitlines()[0] == f"experiment small, plan {made.key}, store {url}"
    assert f"all                    {len(made.steps)}" in done.out
    assert "missing inputs: 4, the first: mnli train en" in done.out
    assert not Path(url.removeprefix("file://")).exists()


def test_every_step_of_a_plan_can_be_listed(run: Run, config: Path, url: str) -> None:
    made = plan_of(config)
    out = run("plan", config, "--store", url, "--steps").out
    assert all(step.folder in out for step in made.steps.values())


def test_a_plan_as_json_is_a_plan(run: Run, config: Path, url: str, opened: Store) -> None:
    made = plan_of(config)
    record_steps(opened, made, "prepare")
    found = json.loads(run("plan", config, "--store", url, "--json").out)
    assert Plan.from_json(found).key == made.key
    assert found["counts"] == made.counts()
    assert found["recorded"] == sorted(k for k, s in made.steps.items() if s.kind == "prepare")
    assert len(found["missing"]) == 4


def test_a_plan_tells_what_is_left(run: Run, config: Path, url: str, opened: Store) -> None:
    record_steps(opened, plan_of(config), "prepare")
    out = run("plan", config, "--store", url, "--gpus", "2", "--place", "train.gpus=1").out
    assert "trials: 3, of which 0 are recorded; early stopping is ignored" in out
    assert "[1] which GPU: --device NAME" in out
    assert "makespan on 2 GPUs: at least 0.0 min" in out


def test_the_cost_of_a_plan_as_json(
    run: Run, config: Path, url: str, opened: Store, tmp_path: Path
) -> None:
    record_steps(opened, plan_of(config), "prepare")
    speeds, prices = tmp_path / "speeds.yaml", tmp_path / "prices.yaml"
    about = "precision: fp32, examples_per_s: 10, source: a pilot, date: 2026-11-02"
    speeds.write_text(
        f"figures: [{{encoder: model, device: h100, form: classification, max_length: 256, {about}}}]",
        encoding="utf-8",
    )
    prices.write_text(
        "h100: {spot: 3600, currency: USD, source: a list, date: 2026-11-02}", encoding="utf-8"
    )
    placed = ("--place", "train.gpus=1", "--device", "h100")
    tables = ("--throughput", speeds, "--prices", prices, "--quota", "1", "--deadline", "0.001")
    done = run("plan", config, "--store", url, *placed, *tables, "--json")
    cost = json.loads(done.out)["cost"]
    # 3 trials of 2 epochs of 100 rows, and 100 dev rows three times as fast.
    seconds = 3 * (2 * 100 / 10 + 100 / 30)
    assert cost["costs"][0]["used"] == {"spot": round(seconds, 2)}
    assert cost["left"]["gpu_hours"] == round(seconds / 3600, 3)
    assert cost["quota"]["fits"] is False


def test_a_wrong_price_file_is_the_users_mistake(
    run: Run, config: Path, url: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("h100: {spot: 1.5}", encoding="utf-8")
    done = run("plan", config, "--store", url, "--prices", prices)
    assert (done.status, done.out) == (2, "")
    assert f"{prices}: h100.currency: is required but absent" in done.err


def test_a_deadline_without_anything_to_work_on_is_a_mistake(
    run: Run, config: Path, url: str
) -> None:
    done = run("plan", config, "--store", url, "--deadline", "48")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("xtransfer: --deadline: needs to know on what. Give --gpus N")
    out = run("plan", config, "--store", url, "--deadline", "48", "--cpus", "2").out
    assert "these CPUs: fits" in out


def test_settings_of_the_command_line_enter_the_plan(run: Run, config: Path, url: str) -> None:
    out = run("plan", config, "--store", url, "--set", "target.seeds=[1,2,3]", "--json").out
    assert json.loads(out)["counts"]["train (target)"] == 6


def test_a_dry_run_does_not_print_what_a_url_must_not_carry(run: Run, config: Path) -> None:
    for wrong in (
        ("--store", "s3://user:planted@bucket/x"),
        ("--store", "s3://bucket/x", "--place", "s3.endpoint_url=http://user:planted@h"),
        ("--store", "file://store", "--place", "s3.endpoint_url=http://user:planted@h"),
        ("--place", "tracking.mlflow=http://user:planted@h"),
    ):
        done = run("run", config, "--dry-run", *wrong)
        assert done.status == 2
        assert "planted" not in done.out + done.err


def test_a_dry_run_prints_the_settings_and_the_plan(run: Run, config: Path, url: str) -> None:
    done = run(
        "run",
        config,
        "--store",
        url,
        "--dry-run",
        "--set",
        "training.clip=2.0",
        "--place",
        "train.workers=3",
    )
    assert done.status == 0
    assert "clip: 2.0" in done.out
    assert "workers: 3" in done.out
    assert plan_of(config).key not in done.out  # another clip, another plan
    assert "train (target)" in done.out
    assert not Path(url.removeprefix("file://")).exists()


def test_status_tells_recorded_failed_and_open_steps(
    run: Run, config: Path, url: str, opened: Store
) -> None:
    made = plan_of(config)
    recorded = record_steps(opened, made, "prepare")
    failed = next(key for key, step in made.steps.items() if step.kind == "train")
    note = {"key": failed, "error": "out of memory"}
    opened.write(f"failures/{failed}.json", json.dumps(note).encode())
    rows = {
        row["key"]: row for row in json.loads(run("status", config, "--store", url, "--json").out)
    }
    assert list(rows) == list(made.steps)
    assert {key for key, row in rows.items() if row["state"] == "recorded"} == set(recorded)
    assert rows[failed]["state"] == "failed"
    assert rows[failed]["error"] == "out of memory"
    assert (rows[failed]["tries"], rows[failed]["log"]) == (1, "")
    chosen = next(key for key, s in made.steps.items() if failed in s.inputs.values())
    assert (rows[chosen]["state"], rows[chosen]["blocked_by"]) == ("blocked", failed)
    unhurt = [row for row in rows.values() if "baseline" in row["step"]]
    assert {row["state"] for row in unhurt} == {"not done"}
    lines = run("status", config, "--store", url).out.splitlines()
    at = lines.index(f"failed {made.steps[failed].folder}: out of memory")
    assert lines[at + 1] == "  tried once; log: none"
    assert f"  blocked {made.steps[chosen].folder}" in lines[at:]


def test_a_recorded_step_is_explained(run: Run, config: Path, url: str, opened: Store) -> None:
    made = plan_of(config)
    record_steps(opened, made, "prepare", "train", "select", "evaluate")
    key = made.cells[0].key
    out = run("explain", key[:8], "--store", url).out
    assert out.startswith(made.steps[key].folder)
    assert "computes:" in out
    assert "result:" in out
    assert made.steps[made.steps[key].inputs["test"]].folder in out
    assert json.loads(run("explain", key, "--store", url, "--json").out)["key"] == key


def test_a_report_is_written(
    run: Run, config: Path, url: str, opened: Store, tmp_path: Path
) -> None:
    made = plan_of(config)
    record_steps(opened, made, "prepare", "evaluate")
    done = run("report", config, "--store", url, "--out", tmp_path / "report")
    assert done.out == f"{tmp_path}/report/report.html\n"
    assert "45.0" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    done = run("report", config, "--store", url)
    assert done.out.strip() == f"{url}/reports/small-{made.key}/report.html"
    assert opened.exists(f"reports/small-{made.key}/report.md")
    rows = json.loads(run("report", config, "--store", url, "--json").out)
    assert {row["value"] for row in rows} == {40.0, 45.0}


def test_a_report_of_nothing_says_so(run: Run, config: Path, url: str, tmp_path: Path) -> None:
    done = run("report", config, "--store", url, "--out", tmp_path / "report")
    assert done.status == 0
    assert "not scored yet" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert f"partial: 0 of 4 scores; {url} holds no record of this plan" in done.err
    told = run("report", config, "--store", url, "--json")
    assert (told.status, told.out.strip()) == (0, "[]")
    assert "holds no record of this plan" in told.err


def test_a_report_of_a_part_says_how_much_there_is(
    run: Run, config: Path, url: str, opened: Store, tmp_path: Path
) -> None:
    plan = plan_of(config)
    commit(opened, record_of(plan.steps[plan.cells[0].key]))
    done = run("report", config, "--store", url, "--out", tmp_path / "report")
    assert done.status == 0
    assert f"partial: 1 of 4 scores; {url} has the others not yet" in done.err


def test_a_model_that_is_not_done_is_named_as_it_was_asked_for(
    run: Run, config: Path, url: str, tmp_path: Path
) -> None:
    asked = ["export", "xnli", "--config", config, "--store", url, "--out", tmp_path / "model"]
    done = run(*asked, "--after", "mnli")
    assert f"xnli after mnli, seed 1: is not done in {url}" in done.err
    assert "no record has a key" not in done.err


MISTAKES: dict[str, tuple[list[Any], str]] = {
    "no file": (["plan", "absent.yaml"], "absent.yaml: no such file"),
    "unknown task": (["plan", "CONFIG", "--set", "target.tasks=[xnil]"], "Did you mean 'xnli'?"),
    "bad override": (["plan", "CONFIG", "--set", "target"], "is not of the form a.b=value"),
    "bad placement": (["plan", "CONFIG", "--place", "trian.cpus=1"], "Did you mean 'train'?"),
    "bad store": (["plan", "CONFIG", "--store", "gs://x"], "unknown kind of store"),
    "no data": (["run", "CONFIG"], "Put the files there, or set data.root"),
    "no revision": (
        ["run", "CONFIG", "--set", "encoder={name: org/model}"],
        "pin encoder.revision",
    ),
    "moving revision": (
        ["run", "CONFIG", "--set", "encoder={name: org/model, revision: main}"],
        "the revision 'main', which may move. Give a folder, or pin encoder.revision",
    ),
    "unknown option": (["plan", "CONFIG", "--stor", "x"], "No such option"),
    "unknown command": (["paln"], "No such command"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_users_mistake_ends_with_status_2(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = MISTAKES[name]
    done = run(*(config if each == "CONFIG" else each for each in arguments))
    assert done.status == 2
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["explain", "export"])
def test_a_failure_ends_with_status_1(run: Run, url: str, tmp_path: Path, command: str) -> None:
    more = ["--out", tmp_path / "model"] if command == "export" else []
    done = run(command, "0123", *more, "--store", url)
    assert done.status == 1
    assert done.err.startswith("xtransfer: ")
    assert done.err.count("\n") == 1
    assert "no record has a key that begins with '0123'" in done.err


@pytest.mark.parametrize("out", ["small.yaml", "small.yaml/inner", "/proc/none/x"])
def test_a_report_that_cannot_be_written_says_where(
    run: Run, config: Path, url: str, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(config.parent)
    done = run("report", config, "--store", url, "--out", out)
    assert done.status == 1
    assert done.err.startswith(f"xtransfer: {out}: ")


@pytest.mark.parametrize("place", ["small.yaml", "small.yaml/inner"])
def test_a_file_is_no_store(run: Run, config: Path, place: str) -> None:
    done = run("store", "verify", "--store", config.parent / place)
    assert done.status != 0
    assert "small.yaml" in done.err


def test_an_error_of_the_disk_has_one_line(run: Run, config: Path, url: str, opened: Store) -> None:
    made = plan_of(config)
    record_steps(opened, made, "train")
    key = next(key for key, step in made.steps.items() if step.kind == "train")
    done = run("export", key, "--out", "x" * 300, "--store", url)
    assert done.status == 1
    assert done.err == f"xtransfer: {'x' * 300}: File name too long\n"


@pytest.mark.parametrize("encoder", ["absent", ""])
def test_an_export_needs_the_folder_of_an_encoder_and_leaves_nothing_without(
    run: Run, config: Path, url: str, opened: Store, tmp_path: Path, encoder: str
) -> None:
    made = plan_of(config)
    record_steps(opened, made, "train")
    key = next(key for key, step in made.steps.items() if step.kind == "train")
    out = tmp_path / "new" / "model"
    done = run("export", key, "--out", out, "--store", url, "--encoder", encoder)
    assert done.status == 2
    assert "--encoder" in done.err
    assert not out.parent.exists()


def test_an_error_quotes_no_control_characters_and_no_more_than_a_line(
    run: Run, config: Path, url: str
) -> None:
    done = run("plan", config, "--store", url, "--only-\x1b[31m")
    assert done.status == 2
    done = run("explain", "\x1b[31m" + "x" * 9_000, "--store", url)
    assert done.status == 1
    assert "\x1b" not in done.err
    assert len(done.err) < 2_000


def test_ctrl_c_has_a_line_and_a_status_of_its_own(
    run: Run, config: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xtransfer.planner.planner.build_plan", interrupted)
    done = run("plan", config, "--store", url)
    assert (done.status, done.out) == (130, "")
    assert done.err == "xtransfer: interrupted. The same command goes on from here.\n"
