from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests import drafts
from tests.command import Run
from xtransfer.records import audit
from xtransfer.records.checkpoints import save_checkpoint
from xtransfer.records.notes import note_text
from xtransfer.records.record import Record, commit
from xtransfer.store import Store, open_store

draft = partial(drafts.draft, inputs={})
"""A record of a step without parents."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Store:
    return open_store(str(folder))


@pytest.fixture
def record(store: Store, tmp_path: Path) -> Record:
    output = tmp_path / "output"
    output.mkdir()
    (output / "weights").write_bytes(b"0123456789")
    return commit(store, draft(), output)


def test_a_sound_store_ends_with_status_0(run: Run, folder: Path, record: Record) -> None:
    done = run("store", "verify", "--store", folder)
    assert done.status == 0
    assert "1 records, 1 objects, 10 bytes read" in done.out
    assert "nothing is wrong" in done.out
    assert record.folder not in done.out


def test_an_empty_place_is_not_taken_for_a_sound_store(run: Run, tmp_path: Path) -> None:
    done = run("store", "verify", "--store", tmp_path / "mistyped")
    assert done.status == 1
    assert "mistyped: holds nothing at all. Check --store" in done.err
    assert not (tmp_path / "mistyped").exists()


def test_damage_ends_with_status_1_and_changes_nothing(
    run: Run, folder: Path, store: Store, record: Record
) -> None:
    store.write(record.files[0].object, b"9876543210")
    before = {info.name: store.read(info.name) for info in store.list("")}
    done = run("store", "verify", "--store", folder)
    assert done.status == 1
    assert f"altered    {record.files[0].object}: has SHA-256" in done.out
    assert "wrong: 1 altered\nnext: store verify --set-aside" in done.out
    again = run("store", "verify", "--store", folder, "--json")
    assert again.status == 1
    (finding,) = json.loads(again.out)["findings"]
    assert (finding["fault"], finding["step"]) == ("altered", record.folder)
    assert {info.name: store.read(info.name) for info in store.list("")} == before


def test_damaged_steps_can_be_set_aside(
    run: Run, folder: Path, store: Store, record: Record
) -> None:
    store.delete(record.files[0].object)
    done = run("store", "verify", "--store", folder, "--set-aside")
    assert done.status == 1
    assert f"set aside  {record.folder}: now in quarantine/" in done.out
    assert not store.exists(f"{record.folder}/record.json")
    assert run("store", "verify", "--store", folder).status == 0


def test_a_damaged_ruling_of_a_recorded_trial_can_be_set_aside(
    run: Run, folder: Path, store: Store, record: Record
) -> None:
    """No run would write it anew, so that the store were never sound again."""
    ruling, sound = f"rungs/{'1' * 12}/{record.key}-25.json", f"suggestions/{record.key}.json"
    attempt = f"leases/{record.key}/000007.json"
    store.write(sound, note_text(sound, {}))
    store.write(ruling, note_text(sound, {}))
    store.write(attempt, b"[]")
    done = run("store", "verify", "--store", folder)
    assert f"unreadable {ruling}: ValueError: holds {sound}" in done.out
    assert "next: store verify --set-aside moves what is unreadable away" in done.out
    done = run("store", "verify", "--store", folder, "--set-aside")
    assert f"set aside  {ruling}: now in quarantine/" in done.out
    assert f"set aside  {attempt}" not in done.out  # its number is taken
    assert [info.name for info in store.list("rungs/")] == []
    assert store.exists(sound)
    assert run("store", "gc", "--store", folder).status == 0
    assert run("store", "verify", "--store", folder).status == 0


def test_a_ruling_that_was_made_anew_after_it_was_found_is_not_set_aside(
    run: Run, folder: Path, store: Store, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruling = f"rungs/{'1' * 12}/{record.key}-25.json"
    store.write(ruling, b"[]")
    look = audit.audit

    def slow(store: Store) -> audit.Audit:
        found = look(store)
        store.write(ruling, note_text(ruling, {}))
        return found

    monkeypatch.setattr(audit, "audit", slow)
    assert "set aside" not in run("store", "verify", "--store", folder, "--set-aside").out
    assert store.exists(ruling)
    assert not list(store.list("quarantine/"))


def test_what_was_mended_after_it_was_found_is_not_set_aside(
    run: Run, folder: Path, store: Store, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = record.files[0].object
    whole = store.read(name)
    store.delete(name)
    look = audit.audit

    def slow(store: Store) -> audit.Audit:
        found = look(store)
        store.write(name, whole)
        return found

    monkeypatch.setattr(audit, "audit", slow)
    done = run("store", "verify", "--store", folder, "--set-aside")
    assert done.status == 1
    assert "set aside" not in done.out
    assert f"{record.folder} was mended or moved meanwhile" in done.err
    assert store.exists(f"{record.folder}/record.json")
    assert not list(store.list("quarantine/"))


def test_gc_says_what_and_how_much(run: Run, folder: Path, store: Store, record: Record) -> None:
    left = f"{record.folder}/0000/weights"
    store.write(left, b"12345")
    save_checkpoint(store, "a" * 12, state={"step": 1}, tensors={})
    dry = run("store", "gc", "--store", folder, "--dry-run")
    assert dry.status == 0
    assert "would remove 1 objects, 5 bytes" in dry.out
    assert store.exists(left)
    found = json.loads(run("store", "gc", "--store", folder, "--dry-run", "--json").out)
    assert [(each["object"], each["size"]) for each in found["objects"]] == [(left, 5)]
    done = run("store", "gc", "--store", folder)
    assert left in done.out
    assert "removed 1 objects, 5 bytes" in done.out
    assert not store.exists(left)
    assert store.exists(record.files[0].object)
    assert len(list(store.list("resume/"))) == 2
    assert "removed 0 objects" in run("store", "gc", "--store", folder).out


def test_gc_keeps_the_resume_state_of_the_plans_it_is_given(
    run: Run, folder: Path, store: Store
) -> None:
    from xtransfer.cli.options import make_plan
    from xtransfer.config.experiment import load_experiment

    config = Path(__file__).parents[1] / "integration" / "tiny.yaml"
    made, _ = make_plan(load_experiment(config), config, lenient=False)
    planned = next(key for key, step in made.steps.items() if step.kind == "train")
    for key in (planned, "a" * 12):
        save_checkpoint(store, key, state={"step": 1}, tensors={})
    done = run("store", "gc", "--store", folder, "--plan", config)
    assert "removed 2 objects" in done.out
    assert {info.name.split("/")[1] for info in store.list("resume/")} == {planned}


def test_gc_keeps_the_resume_state_of_a_plan_that_runs_with_changed_settings(
    run: Run, folder: Path, store: Store
) -> None:
    from xtransfer.cli.options import make_plan
    from xtransfer.config.experiment import load_experiment

    config = Path(__file__).parents[1] / "integration" / "tiny.yaml"
    change = "training.weight_decay=0.03"
    made, _ = make_plan(load_experiment(config, [change]), config, lenient=False)
    planned = next(key for key, step in made.steps.items() if step.kind == "train")
    save_checkpoint(store, planned, state={"step": 1}, tensors={})
    kept = run("store", "gc", "--store", folder, "--plan", config, "--set", change)
    assert "removed 0 objects" in kept.out
    gone = run("store", "gc", "--store", folder, "--plan", config)
    assert "removed 2 objects" in gone.out
    idle = run("store", "gc", "--store", folder, "--set", change)
    assert idle.status == 2
    assert "--set: no experiment is given. Give it as --plan CONFIG, too." in idle.err


def test_a_bad_plan_removes_nothing(run: Run, folder: Path, store: Store, tmp_path: Path) -> None:
    save_checkpoint(store, "a" * 12, state={"step": 1}, tensors={})
    done = run("store", "gc", "--store", folder, "--plan", tmp_path / "absent.yaml")
    assert done.status == 2
    assert "Traceback" not in done.err
    assert len(list(store.list("resume/"))) == 2


@pytest.mark.usefixtures("record")
def test_names_that_no_object_may_have_stop_no_command(run: Run, folder: Path) -> None:
    """Whoever may write to a store is trusted with results, not with the terminals of its readers."""
    for name in (
        "train/\x1b[2Ja-0123456789ab/record.json",
        "plans/a\nb.json",
        "leases/a\\b/1.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    for command in (["store", "verify"], ["store", "gc"]):
        done = run(*command, "--store", folder)
        assert (done.status, done.err) == (0, "")
        assert "\x1b" not in done.out


def test_what_a_record_holds_does_not_control_the_terminal(
    run: Run, folder: Path, store: Store
) -> None:
    strange = draft(
        inputs={}, spec={"task": "\x1b[31mred", "\x9b2J": 1}, result={"note": ["\x1b[2J", "\x9b"]}
    )
    done = run("explain", commit(store, strange).key, "--store", folder)
    assert done.status == 0
    assert r"task: \x1b[31mred" in done.out
    assert not {"\x1b", "\x9b"} & set(done.out)
