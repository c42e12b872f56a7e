"""Options that could do nothing are refused, and those that go anywhere are known of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Run

EXPERIMENT = f"""
name: small
encoder: {{name: org/model, revision: {"a" * 40}}}
target: {{tasks: [xnli], languages: {{xnli: [en]}}}}
"""
PLAN = ("plan", "small.yaml")
REPORT = ("report", "small.yaml")
EXPORT = ("export", "--out", "model")
IDLE = {
    "a GPU's kind, for steps on CPUs": (
        (*PLAN, "--device", "h100"),
        "--device: no step takes a GPU",
    ),
    "a quota of GPUs, for steps on CPUs": (
        (*PLAN, "--gpus", "8", "--quota", "8", "--deadline", "48"),
        "--gpus and --quota: no step takes a GPU by this placement. Give that of the run",
    ),
    "a folder beside JSON": ((*REPORT, "--json", "--out", "out"), "--out: no use beside --json"),
    "pictures beside JSON": ((*REPORT, "--json", "--png"), "--png: no use beside --json"),
    "claims beside JSON": (
        (*REPORT, "--json", "--bootstrap", "9", "--claims", "small.yaml"),
        "--bootstrap and --claims: no use beside --json",
    ),
    "a server beside JSON": ((*REPORT, "--json", "--serve"), "--serve: no use beside --json"),
    "a folder for what is served": (
        (*REPORT, "--serve", "--out", "out"),
        "--out: no use beside --serve",
    ),
    "a row without an experiment": ((*EXPORT, "0123", "--after", "mnli"), "Give --config FILE"),
    "settings without an experiment": ((*EXPORT, "0123", "--set", "a=b"), "Give --config FILE"),
    "a seed of a key": (
        (*EXPORT, "0123", "--config", "small.yaml", "--seed", "1"),
        "--seed: no use without a target, and '0123' is none. The targets are: xnli",
    ),
    "a target without its experiment": ((*EXPORT, "xnli"), "give its experiment, too: --config"),
    "another target than the experiment has": (
        (*EXPORT, "xquad", "--config", "small.yaml"),
        "'xquad': is no key, which has hex digits only. The targets are: xnli",
    ),
    "a cluster beside what is kept": (
        ("logs", "xt-small-0123", "--store", "file://store", "--context", "a", "-n", "b"),
        "--context and --namespace: no use beside --store",
    ),
    "the last lines of what is followed": (
        ("logs", "xt-small-0123", "--follow", "--tail", "3"),
        "--tail: no use beside --follow, which shows a driver's log from its beginning",
    ),
    "a port of no server": ((*REPORT, "--port", "80"), "--port: no use without --serve"),
    "a pause after one look": (
        ("watch", "small.yaml", "--once", "--every", "3"),
        "--every: no use beside --once",
    ),
    "settings of a job's name": (
        ("wait", "xt-small-0123", "--set", "a=b"),
        "--set: no use beside a job's name, which says its plan",
    ),
    "settings of all jobs": (
        ("k8s", "status", "--set", "a=b"),
        "--set: no use without an experiment's file",
    ),
    "settings of a step": (
        ("logs", "a.yaml", "--set", "a=b", "--store", "file://store", "--step", "0123"),
        "--set: no use beside --step, which names a step by its key",
    ),
    "following a dry run": (
        ("submit", "small.yaml", "--overlay", "o", "--dry-run", "--follow"),
        "--follow: no use beside --dry-run",
    ),
    "following what is kept": (
        ("logs", "xt-small-0123", "--store", "file://store", "--follow", "--pod", "head"),
        "--follow and --pod: no use beside --store",
    ),
}


@pytest.fixture(autouse=True)
def _beside_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.yaml").write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", IDLE)
def test_an_option_that_would_do_nothing_is_a_mistake(run: Run, tmp_path: Path, name: str) -> None:
    arguments, message = IDLE[name]
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("kind", ["train", "evaluate", "prepare"])
def test_a_plan_tells_of_gpus_where_any_step_takes_one(run: Run, kind: str) -> None:
    done = run(*PLAN, "--quota", "2", "--place", f"{kind}.gpus=1", "--store", "file://store")
    assert done.status == 0
    assert "quota of 2 GPUs: " in done.out


def test_debug_adds_the_traceback_and_keeps_message_and_status(run: Run) -> None:
    plain = run("plan", "absent.yaml")
    for arguments in (("--debug", "plan", "absent.yaml"), ("plan", "absent.yaml", "--debug")):
        done = run(*arguments)
        assert done.status == plain.status == 2
        assert done.err.startswith("Traceback")
        assert done.err.endswith(f"\n{plain.err}")
    assert "--debug" in run("--help").out


def test_debug_adds_the_traceback_to_an_error_of_the_disk(run: Run) -> None:
    done = run("report", "small.yaml", "--store", "file://store", "--out", "small.yaml", "--debug")
    assert done.status == 1
    assert done.err.startswith("Traceback")
    assert done.err.splitlines()[-1].startswith("xtransfer: small.yaml: ")


def test_no_sweep_at_all_is_said(run: Run) -> None:
    done = run("run", "small.yaml", "--only", "intermediate:mnli", "--store", "file://store")
    assert done.status == 2
    assert done.err == "xtransfer: mnli: no intermediate sweep of that name. There are: none.\n"


@pytest.mark.parametrize(
    "command",
    ["plan small.yaml", "status small.yaml", "run small.yaml", "store gc --plan small.yaml"],
)
def test_what_only_a_plan_shows_names_the_experiment(
    run: Run, tmp_path: Path, command: str
) -> None:
    text = EXPERIMENT.replace("[en]", "[en, sw]") + "data: {files: {xnli: {test: [x.tsv]}}}\n"
    (tmp_path / "small.yaml").write_text(text, encoding="utf-8")
    done = run(*command.split(), "--store", "file://store")
    assert done.status == 2
    assert done.err.startswith("xtransfer: small.yaml: xnli test: x.tsv would be read as en, sw")
