"""A step is done when its record exists, and what the record names is exactly what was written."""

from __future__ import annotations

import errno
import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.disk import MIB
from tests.drafts import FILES, KEY, contents, draft, object_of, write_files
from xtransfer.errors import ConfigError, IdentityError, IntegrityError, NotFound, StoreError
from xtransfer.execution.execute import sound_record
from xtransfer.records.audit import audit
from xtransfer.records.lookup import find
from xtransfer.records.outputs import fetch, read_file
from xtransfer.records.record import Record, commit, load_records, read_record
from xtransfer.records.seal import sealed_text
from xtransfer.store import ObjectInfo, Store, open_store
from xtransfer.store.folder import disk_errors


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_files(tmp_path / "output")


# --- the round trip ------------------------------------------------------------------------------


def test_what_is_committed_is_fetched(store: Store, output: Path, tmp_path: Path) -> None:
    record = commit(store, draft(), output)
    assert [file.name for file in record.files] == sorted(FILES)
    assert record == read_record(store, "train", record.name, KEY)
    assert fetch(store, record, tmp_path / "got") == tmp_path / "got"
    assert contents(tmp_path / "got") == FILES
    assert read_file(store, record, "z.json") == FILES["z.json"]


def test_a_record_may_have_no_files(store: Store, tmp_path: Path) -> None:
    record = commit(store, draft(kind="select", result={"chosen": KEY}))
    assert record.files == ()
    assert [info.name for info in store.list("")] == [f"{record.folder}/record.json"]
    fetch(store, record, tmp_path / "got")
    assert list((tmp_path / "got").iterdir()) == []


def test_a_record_reads_well_and_always_alike(store: Store) -> None:
    record = commit(store, draft(name="é"))
    text = store.read(f"{record.folder}/record.json").decode()
    assert text.startswith('{\n  "environment": {\n    "torch": "2.13.0"\n  },\n  "files": [],')
    assert text.endswith('  "version": 1\n}\n')
    assert '"name": "é"' in text
    assert list(json.loads(text)) == sorted(Record.model_fields)
    assert Record.model_validate_json(text) == record


def test_files_come_first_and_the_record_last(
    store: Store, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[ObjectInfo]] = []
    create = type(store).create

    def watched(self: Store, name: str, data: bytes) -> bool:
        seen.append(list(self.list("")))
        return create(self, name, data)

    monkeypatch.setattr(type(store), "create", watched)
    record = commit(store, draft(), output)
    expected = {(file.object, file.size) for file in record.files}
    assert [set(infos) for infos in seen] == [expected]


def test_what_json_cannot_say_is_not_committed(store: Store) -> None:
    with pytest.raises(IdentityError, match=r"\$\.result\.loss: nan has no JSON form"):
        commit(store, draft(result={"loss": math.nan}))
    assert list(store.list("")) == []


def test_a_missing_output_folder_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="absent: is no folder"):
        commit(store, draft(), tmp_path / "absent")


# --- one record for ever -------------------------------------------------------------------------


def test_a_second_commit_returns_the_first_record(store: Store, output: Path) -> None:
    first = commit(store, draft(), output)
    before = {info.name: store.read(info.name) for info in store.list("")}
    (output / "z.json").write_bytes(b"other")
    assert commit(store, draft(result={"dev": {"en": 1.0}}), output) == first
    assert {info.name: store.read(info.name) for info in store.list("")} == before


@pytest.mark.parametrize("same", [False, True], ids=["different files", "same files"])
def test_concurrent_commits_keep_one_winner_intact(
    store: Store, tmp_path: Path, same: bool
) -> None:
    def write(writer: int) -> Record:
        folder = tmp_path / f"writer{writer}"
        folder.mkdir()
        text = "same" if same else f"written by {writer}"
        (folder / "model").write_text(text * 1000)
        return commit(store, draft(result={"writer": writer}), folder)

    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(write, range(8)))
    winner = records[0]
    assert records == [winner] * 8
    expected = "same" if same else f"written by {winner.result['writer']}"
    assert read_file(store, winner, "model").decode() == expected * 1000
    # The losers have cleared up behind themselves.
    left = [info.name for info in store.list("")]
    assert sorted(left) == sorted([f"{winner.folder}/record.json", winner.files[0].object])


def test_a_writer_that_died_before_its_record_is_no_hindrance(
    store: Store, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "create", die)
        with pytest.raises(KeyboardInterrupt):
            commit(store, draft(), output)
    assert read_record(store, "train", draft().name, KEY) is None
    assert load_records(store, ["train"]) == {}
    record = commit(store, draft(), output)
    assert read_file(store, record, "z.json") == FILES["z.json"]


@pytest.mark.parametrize(("number", "kept"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_nothing_is_left_where_a_disk_without_space_had_no_room_for_the_record(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, number: int, kept: bool
) -> None:
    """After another error there may be a record that names the files."""
    store = open_store(f"file://{tmp_path}/store")

    def create(*_: object) -> bool:
        with disk_errors(tmp_path):
            raise OSError(number, "no")

    monkeypatch.setattr(type(store), "create", create)
    with pytest.raises(StoreError):
        commit(store, draft(), output)
    assert bool(list(store.list(""))) == kept


def test_a_record_that_is_there_keeps_its_files_though_its_folder_had_no_room(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over NFS and under quotas, that may be found out when the folder is written back."""
    store = open_store(f"file://{tmp_path}/store")
    create = type(store).create

    def create_and_fail(*arguments: Any) -> bool:
        assert create(*arguments)
        with disk_errors(tmp_path):
            raise OSError(errno.EDQUOT, "no")

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "create", create_and_fail)
        with pytest.raises(StoreError):
            commit(store, draft(), output)
    record = commit(store, draft(), output)
    assert read_file(store, record, "z.json") == FILES["z.json"]


def test_nothing_is_left_where_a_disk_without_space_had_no_room_for_a_file(
    tiny_disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "a.small").write_bytes(b"1")
    (folder / "b.large").write_bytes(bytes(5 * MIB))
    store = open_store(f"file://{tiny_disk}/store")
    with pytest.raises(StoreError, match="no space is left"):
        commit(store, draft(), folder)
    assert list(store.list("")) == []


# --- damage --------------------------------------------------------------------------------------


VALID = json.loads(draft().model_dump_json())
HASH = "0" * 64


def with_file(**changes: Any) -> dict[str, Any]:
    file = {"name": "a", "object": f"{draft().folder}/1/a", "size": 1, "sha256": HASH}
    return {**VALID, "files": [{**file, **changes}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed record: Invalid JSON"),
        ('{"key": "0123', "malformed record: Invalid JSON"),
        ("[]", "malformed record"),
        (json.dumps({**VALID, "extra": 1}), "malformed record: extra: Extra inputs"),
        (json.dumps({**VALID, "version": "one"}), "malformed record: version"),
        (json.dumps({**VALID, "kind": "select"}), "holds the record of select/"),
        (json.dumps({**VALID, "version": 2}), "what it says it computed has the key [0-9a-f]{12}"),
        (json.dumps({**VALID, "spec": {"task": "pawsx"}}), "what it says it computed has the key"),
        (json.dumps({**VALID, "inputs": {"data": "0" * 12}}), "what it says it computed has"),
        (json.dumps({**VALID, "seal": HASH}), "the record was altered after it was written"),
        (json.dumps({**VALID, "key": "ba9876543210"}), "holds the record of train/"),
        (json.dumps(with_file(name="../../escaped")), r"files\.0\.name.*'\.\.' segment"),
        (json.dumps(with_file(name="/escaped")), "begins with '/'"),
        (json.dumps(with_file(name="a\\b")), "has a backslash"),
        (json.dumps(with_file(object="other/step/1/a")), "outside of the record's folder"),
        (json.dumps(with_file(object=f"{draft().folder}/../x/a")), "'..' segment"),
        (json.dumps(with_file(size=-1)), r"files\.0\.size"),
        (json.dumps(with_file(sha256="abc")), r"files\.0\.sha256"),
        (json.dumps({**VALID, "files": with_file()["files"] * 2}), "two files have one name"),
    ],
)
def test_a_malformed_record_is_named(tmp_path: Path, text: str, message: str) -> None:
    store = open_store(str(tmp_path))
    name = f"{draft().folder}/record.json"
    store.write(name, text.encode())
    for attempt in (
        lambda: read_record(store, "train", draft().name, KEY),
        lambda: load_records(store, ["train"]),
        lambda: find(store, KEY),
    ):
        with pytest.raises(IntegrityError, match=f"^{store.url}/{name}: .*{message}"):
            attempt()


@pytest.mark.parametrize("digit", range(0, 700, 7))
def test_no_flipped_bit_in_a_record_passes(tmp_path: Path, digit: int) -> None:
    store = open_store(str(tmp_path))
    record = commit(store, draft())
    name = f"{record.folder}/record.json"
    data = bytearray(store.read(name))
    data[digit % len(data)] ^= 1 << digit % 8
    store.write(name, bytes(data))
    with pytest.raises(IntegrityError, match=f"^{store.url}/{name}: "):
        read_record(store, "train", draft().name, KEY)


def test_what_a_newer_version_adds_to_a_record_is_left_out_of_it(
    store: Store, output: Path, tmp_path: Path
) -> None:
    """Who goes back to the old version reads what the new one has recorded, and sets nothing aside."""
    record = commit(store, draft(), output)
    name = f"{record.folder}/record.json"
    value = json.loads(store.read(name))
    more = {"carbon_g": 12.5, "files": [{**each, "mode": "0644"} for each in value["files"]]}
    newer = sealed_text({**value, **more})
    store.write(name, newer.encode())
    found = read_record(store, record.kind, record.name, record.key)
    assert found is not None
    assert found.model_copy(update={"seal": record.seal}) == record
    assert load_records(store, ["train"]) == {record.key: found}
    assert contents(fetch(store, found, tmp_path / "got")) == FILES
    assert audit(store).damaged_steps == {}
    step: Any = SimpleNamespace(
        kind=record.kind, name=record.name, key=record.key, folder=record.folder
    )
    assert sound_record(store, step) == found
    assert store.read(name).decode() == newer
    # Its seal vouches for what this version does not know, too.
    store.write(name, newer.replace("12.5", "12.6").encode())
    with pytest.raises(IntegrityError, match="malformed record: carbon_g"):
        read_record(store, record.kind, record.name, record.key)


@pytest.mark.parametrize("files", [5, [5], [[]], "x", None])
def test_a_seal_does_not_make_a_record_of_what_is_none(store: Store, files: Any) -> None:
    text = sealed_text({**VALID, "files": files})
    store.write(f"{draft().folder}/record.json", text.encode())
    with pytest.raises(IntegrityError, match="malformed record: files"):
        read_record(store, "train", draft().name, KEY)


def test_records_from_before_there_were_seals_are_read(store: Store) -> None:
    old = {name: value for name, value in VALID.items() if name != "seal"}
    store.write(f"{draft().folder}/record.json", json.dumps(old).encode())
    found = read_record(store, "train", draft().name, KEY)
    assert found is not None
    assert found.model_dump(mode="json") == VALID


def test_damaged_records_are_left_out_and_told(store: Store, output: Path) -> None:
    sound, short, lost, broken = (
        commit(store, draft(spec={"n": i}, name=f"n{i}"), output) for i in range(4)
    )
    store.write(object_of(short, "z.json"), b"{}")
    store.delete(object_of(lost, "logs/a.txt"))
    store.write(f"{broken.folder}/record.json", b"{")
    told: list[IntegrityError] = []
    assert load_records(store, ["train"], damaged=told.append) == {sound.key: sound}
    texts = sorted(str(error) for error in told)
    assert len(texts) == 3
    assert "n1" in texts[0]
    assert "has 2 bytes, its record says 3" in texts[0]
    assert "absent" in texts[1]
    assert "malformed record" in texts[2]


def test_only_the_records_that_are_wanted_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    ours, theirs, broken = (commit(store, draft(spec={"n": i}, name=f"n{i}")) for i in range(3))
    store.write(f"{broken.folder}/record.json", b"{")
    read: list[str] = []
    before = type(store).read
    monkeypatch.setattr(type(store), "read", lambda s, name: read.append(name) or before(s, name))
    told: list[IntegrityError] = []
    wanted = {ours.key, "ba9876543210"}
    found = load_records(store, ["train"], keys=wanted, damaged=told.append)
    assert found == {ours.key: ours}
    assert read == [f"{ours.folder}/record.json"]
    assert told == []
    assert set(load_records(store, ["train"], damaged=told.append)) == {ours.key, theirs.key}
    assert len(told) == 1


# --- finding -------------------------------------------------------------------------------------


def test_records_of_some_kinds(store: Store, output: Path) -> None:
    train = [commit(store, draft(spec={"n": i}, name=f"n{i}"), output) for i in range(3)]
    chosen = commit(store, draft(kind="select"))
    commit(store, draft(kind="evaluate"))
    store.write("train/stray/record.json", b"not one of ours")
    store.write(f"train/n0-{0:012x}/1/record.json", b"a file of a step, not its record")
    store.write("training/x-000000000009/record.json", b"another kind")
    assert load_records(store, ["train", "select", "absent"]) == {
        record.key: record for record in [*train, chosen]
    }
    assert load_records(store, []) == {}


def test_a_record_by_the_head_of_its_key(store: Store) -> None:
    first = commit(store, draft())
    head = KEY[:2]
    likes = (draft(kind="select", spec={"n": i}) for i in range(10_000))
    second = commit(store, next(like for like in likes if like.key.startswith(head)))
    assert find(store, KEY) == first
    assert find(store, second.key) == second
    with pytest.raises(ConfigError, match=rf"key '{head}': fits 2 records: select/.*Give more"):
        find(store, head)
    absent = f"{(int(head, 16) + 1) % 256:02x}"
    with pytest.raises(NotFound, match=rf"begins with '{absent}'\. Keys have 12 hex digits"):
        find(store, absent)


def test_two_records_of_one_step_are_of_one_step(store: Store) -> None:
    """Prune steps and analyses were once named after one of the targets that share them."""
    one, two = (commit(store, draft(name=name)) for name in ("one", "two"))
    assert one.key == two.key
    assert find(store, KEY) == load_records(store, ["train"])[KEY] == two
    store.write(f"{two.folder}/record.json", b"{")
    told: list[IntegrityError] = []
    assert load_records(store, ["train"], damaged=told.append) == {KEY: one}
    assert told == []
    store.write(f"{one.folder}/record.json", b"{")
    assert load_records(store, ["train"], damaged=told.append) == {}
    assert len(told) == 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates are no UTF-8 text.
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), JSON, max_size=4))
def test_any_json_survives(tmp_path_factory: pytest.TempPathFactory, result: Any) -> None:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    record = commit(store, draft(result=result))
    assert record.result == result
    assert record.seal
    assert read_record(store, "train", record.name, KEY) == record
