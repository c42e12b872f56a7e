from __future__ import annotations

import gzip

import pytest

from tests.doctor.conftest import Patient
from tests.prints import FakePrints
from tests.recorded import record_steps
from xtransfer.doctor import first_look
from xtransfer.plan import Plan
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.planner.remembered import RememberedData
from xtransfer.store import Store


def plan_of(patient: Patient, *overrides: str) -> Plan:
    return build_plan(patient.experiment(*overrides), FakePrints())


def prepared(plan: Plan) -> set[str]:
    return {key for key, step in plan.steps.items() if step.kind == "prepare"}


def test_sound_files_are_passed_over(patient: Patient) -> None:
    assert first_look(plan_of(patient)) == []


def test_every_problem_is_told(patient: Patient) -> None:
    (patient.root / "xnli/test-de.tsv").unlink()
    patient.text("xnli/test-en.tsv", "a\tb\tneutrl\n")
    whole = gzip.compress(b"{}\n" * 9)
    (patient.root / "mnli/multinli_1.0_train.jsonl").rename(patient.root / "moved")
    (patient.root / "mnli/multinli_1.0_train.jsonl.gz").write_bytes(whole[:12])
    patient.text("mnli/multinli_1.0_dev_matched.jsonl", "")
    found = first_look(plan_of(patient), missing=["encoder: none"])
    assert len(found) == 5
    assert found[0] == "encoder: none"
    for part in ("test-de.tsv nor", "unknown label 'neutrl'", "cut short", "holds no examples"):
        assert sum(part in text for text in found) == 1


def test_later_rows_are_left_to_the_whole_check(patient: Patient) -> None:
    patient.text("xnli/test-en.tsv", "a\tb\tneutral\n" * 60 + "a\tb\tneutrl\n")
    assert first_look(plan_of(patient)) == []
    assert [each.kind for each in patient.examined().findings if each.level == "error"] == [
        "unreadable"
    ]


def test_a_test_set_without_labels_is_told_before_anything_is_trained(patient: Patient) -> None:
    patient.text("xnli/test-de.tsv", "a\tb\n" * 3)
    (found,) = first_look(plan_of(patient))
    assert found.startswith("xnli test de: none of the first 3 rows has a label")


def test_a_wrong_root_is_one_problem(patient: Patient) -> None:
    found = first_look(plan_of(patient, "data.root=absent"), missing=["xnli", "encoder: none"])
    assert len(found) == 2
    assert found[0] == "encoder: none"
    assert found[1].startswith("data.root: no folder ")


def test_recorded_steps_need_no_data(patient: Patient) -> None:
    plan = plan_of(patient, "data.root=absent")
    assert first_look(plan, recorded=prepared(plan)) == []
    assert len(first_look(plan, recorded=list(prepared(plan))[1:])) == 1


def test_artificial_languages_have_no_files(patient: Patient) -> None:
    assert first_look(plan_of(patient, "data.root=absent", "data.synthetic={seed: 1}")) == []


# --- data that were there when their steps were done ----------------------------------------------


def fingerprinted(patient: Patient, store: Store, *overrides: str) -> tuple[Plan, Fingerprints]:
    prints = Fingerprints(
        patient.experiment(*overrides), lenient=True, remembered=RememberedData(store)
    )
    return build_plan(prints.experiment, prints), prints


def test_data_that_are_gone_keep_the_identity_that_records_have(
    patient: Patient, store: Store
) -> None:
    before, _ = fingerprinted(patient, store)
    record_steps(store, before, "prepare")
    for name in ("xnli/test-de.tsv", "mnli/multinli_1.0_train.jsonl"):
        (patient.root / name).unlink()
    after, prints = fingerprinted(patient, store)
    assert after.key == before.key
    assert prints.missing == []
    assert len(prints.recalled) == 2
    assert first_look(after, recorded=prepared(before)) == []


def test_a_missing_file_below_a_relative_root_is_told_once(
    patient: Patient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (patient.root / "xnli/test-de.tsv").unlink()
    monkeypatch.chdir(patient.root.parent)
    plan, prints = fingerprinted(patient, store, f"data.root={patient.root.name}")
    (found,) = first_look(plan, missing=prints.missing)
    assert f"neither {patient.root}/xnli/test-de.tsv nor" in found


def test_a_step_that_is_not_done_needs_its_data_all_the_same(
    patient: Patient, store: Store
) -> None:
    before, _ = fingerprinted(patient, store)
    record_steps(store, before, "prepare")
    (patient.root / "mnli/multinli_1.0_train.jsonl").unlink()
    longer, _ = fingerprinted(patient, store, "target.overrides.xnli.max_length=64")
    (found,) = first_look(longer, recorded=prepared(before))
    assert "multinli_1.0_train.jsonl" in found


@pytest.mark.parametrize("change", ["bytes", "name", "task"])
def test_nothing_is_recalled_where_it_would_be_a_guess(
    patient: Patient, store: Store, change: str
) -> None:
    before, _ = fingerprinted(patient, store)
    record_steps(store, before, "prepare")
    overrides: tuple[str, ...] = ()
    if change == "bytes":  # two versions were used: which one is meant?
        patient.pairs("xnli/test-de.tsv", patient.rows("new", 4))
        again, _ = fingerprinted(patient, store)
        record_steps(store, again, "prepare")
    elif change == "name":
        overrides = ("data.files.xnli.test=['other/{lang}.tsv']",)
    else:
        patient.root = patient.root.parent / "elsewhere"
        overrides = ("target={tasks: [pawsx], languages: {pawsx: [de]}}",)
    (patient.root / "xnli/test-de.tsv").unlink(missing_ok=True)
    _, prints = fingerprinted(patient, store, *overrides)
    assert prints.recalled == []
    assert prints.missing
