from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.command import Run
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import StoreError
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.audit import read_contents
from xtransfer.records.logs import JOB_VARIABLE, PART_BYTES, StoreLog, kept_logs, note_job
from xtransfer.store import Store, open_store

PLAN = "0123456789ab"
QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.yaml"


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


class Watched(StoreLog):
    """A log that says when it was flushed."""

    flushed = threading.Event()

    def flush(self) -> None:
        super().flush()
        self.flushed.set()


def test_a_line_reaches_the_store_though_nothing_follows_it(opened: Store) -> None:
    log = Watched(opened, f"study-{PLAN}", flush_every_s=0.01)
    log.write("the last words")
    assert log.flushed.wait(60)
    (text,) = kept_logs(opened, PLAN).values()
    assert text.endswith(" the last words\n")


def test_a_killed_process_leaves_what_it_said(opened: Store) -> None:
    code = (
        "import sys, time\n"
        "from xtransfer.records.logs import StoreLog\n"
        "from xtransfer.store import open_store\n"
        "log = StoreLog(open_store(sys.argv[1]), 'abc', flush_every_s=0.01)\n"
        "log.write('about to hang')\n"
        "while not log.saved: time.sleep(0.01)\n"
        "print('saved', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, opened.url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "saved\n"
        os.kill(process.pid, signal.SIGKILL)
    (text,) = kept_logs(opened, "abc").values()
    assert text.endswith(" about to hang\n")


def test_flushing_writes_all_lines_once(opened: Store) -> None:
    log = StoreLog(opened, "abc", flush_every_s=600)
    log.write("one")
    log.flush()
    log.write("two")
    log.flush()
    log.flush()
    (text,) = kept_logs(opened, "abc").values()
    assert [line.partition(" ")[2] for line in text.splitlines()] == ["one", "two"]
    assert log.timer is None


def test_a_long_log_costs_the_store_in_proportion_to_its_length(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    before = type(opened).write

    def write(store: Store, name: str, data: bytes) -> None:
        written.append(len(data))
        before(store, name, data)

    monkeypatch.setattr(type(opened), "write", write)
    log = StoreLog(opened, "abc", flush_every_s=600)
    spent: list[int] = []
    lines = [f"{number} {'x' * 1_000}" for number in range(400)]
    for line in lines:
        log.write(line)
        log.flush()
        spent.append(sum(written))
    assert max(written) < PART_BYTES + 2_000
    assert spent[-1] < 2.2 * spent[199]
    assert len(list(opened.list("logs/abc/"))) > 10
    assert log.object == max(info.name for info in opened.list("logs/"))
    (text,) = kept_logs(opened, "abc").values()
    assert [line[9:] for line in text.splitlines()] == lines
    assert not read_contents(opened).unnamed


def test_what_a_library_logs_wrongly_fails_nothing(opened: Store) -> None:
    """As transformers did with `logger.warning(text, FutureWarning)`; logging itself raises nothing then."""
    log = StoreLog(opened, "abc", flush_every_s=600)
    library = logging.getLogger("tests.a_library")
    library.propagate = False  # pytest's own handler raises
    library.addHandler(log)
    try:
        library.warning("is deprecated", FutureWarning)
        try:
            raise KeyError("the cause")
        except KeyError:
            library.exception("did not work")
    finally:
        library.removeHandler(log)
    log.flush()
    (text,) = kept_logs(opened, "abc").values()
    assert "WARNING tests.a_library: 'is deprecated' with (<class 'FutureWarning'>,)" in text
    assert "ERROR tests.a_library: did not work\nTraceback" in text
    assert text.endswith("KeyError: 'the cause'\n")


def test_text_that_is_no_unicode_is_kept_as_it_can_be(opened: Store) -> None:
    """Half of a surrogate pair comes from JSON, or from a file's name that is no UTF-8."""
    log = StoreLog(opened, "abc", flush_every_s=600)
    log.write("failed at 'a\ud83d'")
    log.flush()
    (text,) = kept_logs(opened, "abc").values()
    assert text.endswith(" failed at 'a\\ud83d'\n")


def test_a_store_that_is_down_loses_no_line_that_it_can_take_later(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StoreLog(opened, "abc", flush_every_s=600)

    def refuse(*_: object) -> None:
        raise StoreError("store", "is down")

    with monkeypatch.context() as patch:
        patch.setattr(type(opened), "write", refuse)
        log.write("one")
        log.flush()
    assert not kept_logs(opened, "abc")
    log.flush()
    assert len(kept_logs(opened, "abc")) == 1


def test_kept_logs_are_shown_without_a_cluster(run: Run, opened: Store) -> None:
    told = ((f"my-study-{PLAN}", ("begun", "\x1b[2J done")), ("ffff00001111", ("trained",)))
    for folder, lines in told:
        log = StoreLog(opened, folder, flush_every_s=600)
        for line in lines:
            log.write(line)
        log.flush()
    done = run("logs", f"xt-my-study-{PLAN}", "--store", opened.url, "--tail", "1")
    assert done.status == 0
    assert done.out.endswith(" \\x1b[2J done\n")  # it cannot control the terminal
    assert "begun" not in done.out
    assert f"logs/my-study-{PLAN}/" in done.err
    step = run("logs", f"xt-my-study-{PLAN}", "--store", opened.url, "--step", "ffff00001111")
    assert step.out.endswith(" trained\n")
    missing = run("logs", "xt-my-study-000000000000", "--store", opened.url)
    assert (missing.status, missing.out) == (1, "")
    assert "no log of '000000000000'" in missing.err
    assert run("logs", "xt-x", "--step", "abc").status == 2


def test_a_jobs_log_is_found_though_its_plan_has_another_key(run: Run, opened: Store) -> None:
    job, other = "xt-my-study-aaaa00001111", "xt-my-study-bbbb00001111"
    note_job(opened, job, PLAN)
    note_job(opened, f"xt-my-study-{PLAN}", PLAN)
    note_job(opened, "", PLAN)
    log = StoreLog(opened, f"my-study-{PLAN}", flush_every_s=600)
    log.write("done")
    log.flush()
    assert run("logs", job, "--store", opened.url).out.endswith(" done\n")
    assert list(kept_logs(opened, "aaaa00001111")) == list(kept_logs(opened, PLAN)) == [log.object]
    assert run("logs", other, "--store", opened.url).status == 1
    assert (
        len(list(opened.list("logs/"))) == 2
    )  # no note where the keys are the same, or without a job


def test_a_store_that_is_down_fails_no_driver_over_a_note(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("store", "is down")

    monkeypatch.setattr(type(opened), "write", refuse)
    note_job(opened, "xt-my-study-aaaa00001111", PLAN)


def test_a_driver_notes_the_job_that_runs_it(
    run: Run, opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtransfer.driver import runner

    def nothing(*_: object) -> runner.Summary:
        return runner.Summary(total=1, done_before=0, done_now=1, failed={}, blocked={})

    monkeypatch.setattr(runner, "run_plan", nothing)
    monkeypatch.setenv(JOB_VARIABLE, "xt-quickstart-aaaa00001111")
    assert run("run", QUICKSTART, "--store", opened.url).status == 0
    (note,) = [item.name for item in opened.list("logs/xt-quickstart-aaaa00001111/")]
    experiment = load_experiment(QUICKSTART)
    assert note.endswith(f"/plan-{build_plan(experiment, Fingerprints(experiment)).key}")


WARNED = "no node has room"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (StoreError("store", "is away"), 1, "gave up: store: is away"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("by accident"), 1, "ValueError: by accident"),
    ],
)
def test_a_driver_leaves_its_warnings_and_its_last_error(
    run: Run,
    opened: Store,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    words: str,
) -> None:
    from xtransfer.driver import runner

    def warn_and_fail(*_: object) -> None:
        logging.getLogger("xtransfer.driver.room").warning(WARNED)
        raise error

    monkeypatch.setattr(runner, "run_plan", warn_and_fail)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])  # pytest's own
    if isinstance(error, ValueError):
        with pytest.raises(ValueError, match="by accident"):
            run("run", QUICKSTART, "--store", opened.url)
    else:
        done = run("run", QUICKSTART, "--store", opened.url)
        assert done.status == status
        assert done.err.splitlines()[-2] == WARNED  # as without the log
    assert not root.handlers
    kept = run("logs", QUICKSTART, "--store", opened.url).out
    assert f" WARNING xtransfer.driver.room: {WARNED}\n" in kept
    assert kept.rstrip().endswith(words)
