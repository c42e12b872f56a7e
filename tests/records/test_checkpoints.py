from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.reading import note_reads
from xtransfer.errors import StepBusy
from xtransfer.records.checkpoints import drop_checkpoints, load_checkpoint, save_checkpoint
from xtransfer.store import Store

KEY = "0123456789ab"


def save(store: Store, step: int, key: str = KEY) -> None:
    state = {"step": step, "best_score": float("-inf"), "history": [{"step": 1, "loss": 0.1}]}
    tensors = {
        "weights/a": torch.full((3, 2), float(step)),
        "best/a": torch.arange(4, dtype=torch.float64) * 1e-300,
    }
    save_checkpoint(store, key, state=state, tensors=tensors)


def loaded(store: Store, key: str = KEY) -> tuple[dict[str, Any], dict[str, Any]]:
    found = load_checkpoint(store, key)
    assert found is not None
    return found


def names(store: Store) -> list[str]:
    return [item.name for item in store.list("")]


def step_of(store: Store) -> int:
    return loaded(store)[0]["step"]


def test_a_checkpoint_comes_back_as_it_was(store: Store) -> None:
    assert load_checkpoint(store, KEY) is None
    save(store, 12)
    state, tensors = loaded(store)
    expected = {"step": 12, "best_score": float("-inf"), "history": [{"step": 1, "loss": 0.1}]}
    assert state == expected
    assert set(tensors) == {"weights/a", "best/a"}
    assert torch.equal(tensors["weights/a"], torch.full((3, 2), 12.0))
    assert torch.equal(tensors["best/a"], torch.arange(4, dtype=torch.float64) * 1e-300)


def test_the_newest_two_are_kept(store: Store) -> None:
    for step in (9, 10, 100):
        save(store, step)
    assert step_of(store) == 100
    assert {name.split("/")[2] for name in names(store)} == {"000000010", "000000100"}
    assert len(names(store)) == 4


def test_the_placement_says_how_many_are_kept(store: Store) -> None:
    for step in range(1, 6):
        save_checkpoint(store, KEY, state={"step": step}, tensors={}, kept=3)
    assert {name.split("/")[2] for name in names(store)} == {f"{step:09d}" for step in (3, 4, 5)}


def test_saving_the_same_step_again_is_harmless(store: Store) -> None:
    save(store, 5)
    save(store, 5)
    assert step_of(store) == 5
    assert len(names(store)) == 2


def test_trials_do_not_see_each_other(store: Store) -> None:
    save(store, 1)
    save(store, 2, key="ba9876543210")
    assert step_of(store) == 1
    drop_checkpoints(store, KEY)
    assert load_checkpoint(store, KEY) is None
    assert loaded(store, "ba9876543210")[0]["step"] == 2


def test_dropping_leaves_nothing(store: Store) -> None:
    for step in (1, 2):
        save(store, step)
    drop_checkpoints(store, KEY)
    drop_checkpoints(store, KEY)
    assert names(store) == []


def manifest_of(store: Store, step: int) -> tuple[str, dict[str, Any]]:
    name = f"resume/{KEY}/{step:09d}/manifest.json"
    return name, json.loads(store.read(name))


def flip_a_byte(store: Store) -> None:
    name = manifest_of(store, 2)[1]["object"]
    data = bytearray(store.read(name))
    data[-1] ^= 1
    store.write(name, bytes(data))


def cut_short(store: Store) -> None:
    name = manifest_of(store, 2)[1]["object"]
    store.write(name, store.read(name)[:-8])


def lose_the_tensors(store: Store) -> None:
    store.delete(manifest_of(store, 2)[1]["object"])


def lose_the_manifest(store: Store) -> None:
    store.delete(manifest_of(store, 2)[0])


def break_the_manifest(store: Store) -> None:
    store.write(manifest_of(store, 2)[0], b'{"state": ')


def empty_the_manifest(store: Store) -> None:
    store.write(manifest_of(store, 2)[0], b"[]")


def alter_the_state(store: Store) -> None:
    name, manifest = manifest_of(store, 2)
    manifest["state"]["step"] = 3
    store.write(name, json.dumps(manifest, sort_keys=True).encode())


def point_at_another_trial(store: Store) -> None:
    save(store, 7, key="ba9876543210")
    foreign = store.read("resume/ba9876543210/000000007/manifest.json")
    store.write(manifest_of(store, 2)[0], foreign)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        cut_short,
        lose_the_tensors,
        lose_the_manifest,
        break_the_manifest,
        empty_the_manifest,
        alter_the_state,
        point_at_another_trial,
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(store: Store, damage: Any) -> None:
    save(store, 1)
    save(store, 2)
    damage(store)
    assert step_of(store) == 1
    # And the run goes on from there.
    save(store, 2)
    assert step_of(store) == 2


def test_new_checkpoints_stay_after_the_newest_ones_were_damaged(store: Store) -> None:
    for step in (8, 9):
        save(store, step)
        store.write(manifest_of(store, step)[1]["object"], b"damaged")
    # The trial went back to its start, and none of its new checkpoints has as many steps.
    assert load_checkpoint(store, KEY) is None
    for step in (1, 2, 3):
        save(store, step)
        assert step_of(store) == step
    assert {name.split("/")[2] for name in names(store)} == {"000000002", "000000003"}


def test_later_checkpoints_of_another_attempt_stay(store: Store) -> None:
    """Whoever goes on with the trial may be far ahead of one that slept on the way to the store."""
    for step in (880, 900):
        save(store, step)
    store.write(manifest_of(store, 880)[1]["object"], b"damaged")
    save_checkpoint(
        store, KEY, state={"step": 120}, tensors={}, passed_over=[manifest_of(store, 880)[0]]
    )
    assert step_of(store) == 900
    kept = {name.split("/")[2] for name in names(store)}
    assert kept == {f"{step:09d}" for step in (120, 900)}


def test_what_is_passed_over_is_told(store: Store) -> None:
    for step, rows in ((1, "a"), (2, "b"), (3, "a"), (4, "a")):
        save_checkpoint(store, KEY, state={"step": step}, tensors={}, rows=rows, kept=4)
    for step in (3, 4):
        store.write(manifest_of(store, step)[1]["object"], b"damaged")
    told: list[str] = []
    assert load_checkpoint(store, KEY, rows="a", passed_over=told.append)
    assert told == [manifest_of(store, step)[0] for step in (4, 3, 2)]


@pytest.mark.parametrize("lost_at", [1, 2])
def test_who_has_lost_the_trial_writes_no_checkpoint_and_deletes_none(
    store: Store, lost_at: int
) -> None:
    for step in (880, 900):
        save(store, step)
    before = {name: store.read(name) for name in names(store)}
    asked: list[int] = []

    def fence() -> None:
        asked.append(len(asked))
        if len(asked) == lost_at:
            raise StepBusy("step", "another has taken over")

    with pytest.raises(StepBusy):
        save_checkpoint(store, KEY, state={"step": 901}, tensors={"a": torch.ones(1)}, fence=fence)
    left = {name: store.read(name) for name in names(store) if name in before}
    assert left == before
    assert step_of(store) == 900
    assert (len(names(store)) == len(before)) == (lost_at == 1)  # else tensors without a manifest


def test_tensors_come_through_a_file_that_is_gone_afterwards(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, 2)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    read = note_reads(store, monkeypatch)
    found = load_checkpoint(store, KEY, scratch=scratch)
    assert found is not None
    assert torch.equal(found[1]["weights/a"], torch.full((3, 2), 2.0))
    assert read == [
        f"resume/{KEY}/000000002/manifest.json"
    ]  # a read holds the whole object in memory
    assert list(scratch.iterdir()) == []


def test_a_checkpoint_of_other_rows_is_passed_over(store: Store, caplog: Any) -> None:
    for step, rows in ((1, "a"), (2, "b")):
        save_checkpoint(store, KEY, state={"step": step}, tensors={}, rows=rows)
    for rows, step in (("a", 1), ("b", 2), ("", 2)):
        found = load_checkpoint(store, KEY, rows=rows)
        assert found is not None
        assert found[0]["step"] == step
    assert "000000002/manifest.json: passed over a checkpoint whose embedding has other rows" in (
        caplog.text
    )
    assert load_checkpoint(store, KEY, rows="c") is None
    # One that does not say it is taken.
    save(store, 3)
    assert load_checkpoint(store, KEY, rows="c") is not None


def test_a_trial_with_nothing_but_damage_starts_anew(store: Store) -> None:
    save(store, 2)
    flip_a_byte(store)
    assert load_checkpoint(store, KEY) is None


def test_a_manifest_that_is_nested_too_deeply_is_passed_over(store: Store) -> None:
    save_checkpoint(store, KEY, state={"step": 1}, tensors={"a": torch.ones(1)})
    store.write(f"resume/{KEY}/{2:09d}/manifest.json", b"[" * 100_000)
    found = load_checkpoint(store, KEY)
    assert found is not None
    assert found[0]["step"] == 1


def test_a_checkpoint_that_is_damaged_only_on_the_way_is_fetched_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        save(store, step)
    asked: list[str] = []
    download = type(store).download

    def flipped(store: Store, name: str, path: Path) -> None:
        download(store, name, path)
        asked.append(name)
        if len(asked) == 1:
            path.write_bytes(path.read_bytes()[:-1] + b"?")

    monkeypatch.setattr(type(store), "download", flipped)
    assert step_of(store) == 2
    assert len(asked) == 2
