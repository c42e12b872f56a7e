from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.prints import FakePrints, FilePrints
from tests.report.evidence import evidence
from tests.report.results import result
from tests.report.studies import make_study
from xtransfer.config.experiment import Experiment
from xtransfer.planner.planner import build_plan
from xtransfer.report.analyses import Shots
from xtransfer.report.build import describe_run
from xtransfer.report.contamination import (
    contamination_text,
    few_shot_trained_on_test,
    known_overlaps,
    selected_on_test,
    selection_notes,
    trained_on_test,
)
from xtransfer.report.page import render_page
from xtransfer.report.results import ReportInfo, tabulate
from xtransfer.report.scores import score_cells
from xtransfer.report.tables import render
from xtransfer.settings import read_settings
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Stage

FILES = "tydiqa/tydiqa-goldp-v1.1-{split}/tydiqa.goldp.{lang}.{split}.json"
TEXT = contamination_text("xnli", ("de", "sw"))
TRAINED = contamination_text("xnli", ("de", "sw"), how="trained")
FEW_SHOT = contamination_text("xnli", ("de", "sw"), how="few-shot")


def experiment(root: Path, *overrides: str) -> Experiment:
    """Return an experiment whose data root has TyDiQA's files in two languages and no others."""
    for split, languages in (("train", ("en",)), ("dev", ("en", "sw"))):
        for language in languages:
            path = root / FILES.format(split=split, lang=language)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{split} {language}", encoding="utf-8")
    settings = [
        "name=small",
        "encoder={name: models/tiny}",
        f"data.root={root}",
        "intermediate.tasks=[mnli]",
        "target.tasks=[tydiqa, xnli, tatoeba]",
        "target.languages={tydiqa: [en, sw]}",
        *overrides,
    ]
    return read_settings(Experiment, None, settings, "test")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), {"tydiqa": ("en",)}),
        (("target.languages={tydiqa: [sw]}",), {}),
        (("data.holdout={tydiqa: 100}",), {}),
        (
            ("target.few_shot={tydiqa: {examples: [5], languages: [sw], split: train}}",),
            {"tydiqa": ("en",)},
        ),
    ],
)
def test_a_dev_set_that_is_a_test_set_is_found(
    tmp_path: Path, overrides: tuple[str, ...], expected: dict[str, tuple[str, ...]]
) -> None:
    plan = build_plan(experiment(tmp_path, *overrides), FilePrints(tmp_path))
    assert selected_on_test(plan) == expected


def test_an_arm_that_was_selected_on_a_targets_test_data_is_found(tmp_path: Path) -> None:
    arm = (
        "{name: in-sw, task: questions, languages: [sw],"
        f" source: {{files: {{train: ['{FILES.format(split='train', lang='en')}'],"
        f" dev: ['{FILES.format(split='dev', lang='sw')}']}}}}}}"
    )
    stage = Stage(task="questions", epochs=1, batch_size=8, max_length=64)
    like = TASKS["tydiqa"].model_copy(update={"name": "questions", "as_intermediate": stage})
    found = experiment(
        tmp_path,
        f"tasks=[{like.model_copy(update={'stages': ()}).model_dump_json()}]",
        f"intermediate.tasks=[{arm}]",
        "data.holdout={tydiqa: 100}",
    )
    assert selected_on_test(build_plan(found, FilePrints(tmp_path))) == {"tydiqa": ("sw",)}


def test_an_oracle_that_looked_at_the_test_data_is_found(tmp_path: Path) -> None:
    files = {"train": (FILES.format(split="train", lang="en"),)}
    files |= dict.fromkeys(("dev", "test"), (FILES.replace("{split}", "dev"),))
    task = TASKS["tydiqa"].model_copy(
        update={
            "name": "questions",
            "single_labelled_split": False,
            "stages": (Stage(task="questions", epochs=1, batch_size=8, max_length=64),),
            "source": TASKS["tydiqa"].source.model_copy(update={"files": files}),
        }
    )
    found = experiment(
        tmp_path,
        f"tasks=[{task.model_dump_json()}]",
        "target={tasks: [questions], languages: {questions: [sw]}, rule: target_dev}",
    )
    assert selected_on_test(build_plan(found, FilePrints(tmp_path))) == {"questions": ("sw",)}
    other = experiment(
        tmp_path,
        f"tasks=[{task.model_dump_json()}]",
        "target={tasks: [questions], languages: {questions: [sw]}}",
    )
    assert selected_on_test(build_plan(other, FilePrints(tmp_path))) == {}


def test_a_threshold_that_was_chosen_on_the_test_data_is_found(tmp_path: Path) -> None:
    (tmp_path / "bucc2018").mkdir()
    for split in ("dev", "test"):
        for ending in ("zh", "en", "gold"):
            path = tmp_path / f"bucc2018/zh-en.{split}.{ending}"
            path.write_text(f"{split} {ending}", encoding="utf-8")
    own = experiment(tmp_path, "target={tasks: [bucc2018], languages: {bucc2018: [zh]}}")
    assert selected_on_test(build_plan(own, FilePrints(tmp_path))) == {}
    dev = [f"bucc2018/{{lang}}-en.dev.{ending}" for ending in ("{lang}", "en", "gold")]
    alike = experiment(
        tmp_path,
        "target={tasks: [bucc2018], languages: {bucc2018: [zh]}}",
        f"data.files={{bucc2018: {{test: {dev}}}}}",
    )
    assert selected_on_test(build_plan(alike, FilePrints(tmp_path))) == {"bucc2018": ("zh",)}


def test_a_copy_of_the_test_data_under_another_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    copied = (tmp_path / FILES.format(split="dev", lang="sw")).parent / "copy.json"
    test = experiment(tmp_path, "data.files.tydiqa.test=['mine/{lang}.json']")
    for language in ("en", "sw"):
        (tmp_path / f"mine/{language}.json").write_text(f"test {language}", encoding="utf-8")
    assert selected_on_test(build_plan(test, FilePrints(tmp_path))) == {}
    copied.write_text("test sw", encoding="utf-8")
    dev = f"data.files.tydiqa.dev=[{copied.relative_to(tmp_path)}]"
    found = experiment(tmp_path, "data.files.tydiqa.test=['mine/{lang}.json']", dev)
    assert selected_on_test(build_plan(found, FilePrints(tmp_path))) == {"tydiqa": ("sw",)}


OWN = """{name: own, form: classification, metric: accuracy, labels: [a, b], languages: [en, de],
stages: [{task: own, epochs: 1, batch_size: 8, max_length: 64}], source: SOURCE}"""
ONE_TABLE = """{format: tsv, files: {train: [train.tsv], dev: [all.tsv], test: [all.tsv]}, header: true,
columns: {text_a: text, label: label}, rows: ROWS}"""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("{language: '{lang}'}", ("en",)),
        ("{id: '{language}-'}", ("en",)),
        ("{language: '{lang}', id: 'x'}", ("en",)),
        ("{}", ("de", "en")),
    ],
)
def test_of_one_table_only_the_rows_that_chose_count(
    tmp_path: Path, rows: str, expected: tuple[str, ...]
) -> None:
    """The dev set is the English rows, and so is the test set in English alone."""
    for name in ("train", "all"):
        (tmp_path / f"{name}.tsv").write_text(name, encoding="utf-8")
    if rows == "{}":
        own = ONE_TABLE.replace("all.tsv]}", "'{lang}.tsv']}").replace("ROWS", rows)
        for language in ("en", "de"):
            (tmp_path / f"{language}.tsv").write_text("all", encoding="utf-8")
    else:
        own = ONE_TABLE.replace("ROWS", rows)
    found = experiment(tmp_path, f"tasks=[{OWN.replace('SOURCE', own)}]", "target={tasks: [own]}")
    assert selected_on_test(build_plan(found, FilePrints(tmp_path))) == {"own": expected}


def test_labels_that_are_alike_are_no_data(tmp_path: Path) -> None:
    """The same text in two languages has one file of labels; that of the sentences tells them apart."""
    for name in ("train", "dev", "en", "de"):
        (tmp_path / f"{name}.tsv").write_text(name, encoding="utf-8")
        (tmp_path / f"{name}.lst").write_text("a", encoding="utf-8")
    own = """{format: tsv, files: {train: [train.tsv, train.lst], dev: [dev.tsv, dev.lst],
    test: ["{lang}.tsv", "{lang}.lst"]}, header: true, columns: {text_a: text}}"""
    settings = (f"tasks=[{OWN.replace('SOURCE', own)}]", "target={tasks: [own]}")
    plan = build_plan(experiment(tmp_path, *settings), FilePrints(tmp_path))
    assert selected_on_test(plan) == trained_on_test(plan) == {}
    (tmp_path / "de.tsv").write_text("dev", encoding="utf-8")
    plan = build_plan(experiment(tmp_path, *settings), FilePrints(tmp_path))
    assert selected_on_test(plan) == {"own": ("de",)}


@pytest.mark.parametrize(
    ("split", "rows", "expected"),
    [
        ("validation", "", {"own": ("en",)}),
        ("validation", "{language: '{lang}'}", {"own": ("en",)}),
        ("test", "{language: '{lang}'}", {}),
        ("test", "", {}),
    ],
)
def test_of_a_copy_of_a_repository_only_the_split_that_chose_counts(
    tmp_path: Path, split: str, rows: str, expected: dict[str, tuple[str, ...]]
) -> None:
    """Its identity is all its files, whatever is read of them."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/rows.jsonl").write_text("{}", encoding="utf-8")
    name = "" if rows else ", name: 'all-{lang}'"
    hub = f"{{path: folder, splits: {{test: {split}}}, rows: {rows or '{}'}{name}}}"
    own = f"{{format: hub, hub: [{hub}], columns: {{text_a: text, label: label}}}}"
    found = experiment(tmp_path, f"tasks=[{OWN.replace('SOURCE', own)}]", "target={tasks: [own]}")
    assert selected_on_test(build_plan(found, FilePrints(tmp_path))) == expected


DEV_AS_TEST = (
    "target={tasks: [panx], languages: {panx: [en, sw]}}",
    "data.files={panx: {test: ['panx/dev-{lang}.tsv']}}",
    "data.holdout={panx: 100}",
)
"""PAN-X as its note has it: measured on dev, since XTREME's own test files carry no labels."""


def panx_files(root: Path) -> None:
    folder = root / "panx"
    folder.mkdir()
    for name in ("train-en", "dev-en", "dev-sw"):
        (folder / f"{name}.tsv").write_text(name, encoding="utf-8")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), {}),
        (("target.few_shot={panx: {examples: [5], languages: [sw]}}",), {"panx": ("sw",)}),
        (("data.files.panx.train=[panx/dev-en.tsv]",), {"panx": ("en",)}),
    ],
)
def test_a_training_set_that_is_a_test_set_is_found(
    tmp_path: Path, overrides: tuple[str, ...], expected: dict[str, tuple[str, ...]]
) -> None:
    panx_files(tmp_path)
    found = experiment(tmp_path, *DEV_AS_TEST, *overrides)
    assert trained_on_test(build_plan(found, FilePrints(tmp_path))) == expected


def test_only_the_scores_that_are_asked_for_are_looked_at(tmp_path: Path) -> None:
    panx_files(tmp_path)
    shots = "target.few_shot={panx: {examples: [5], languages: [sw]}}"
    plan = build_plan(experiment(tmp_path, *DEV_AS_TEST, shots), FilePrints(tmp_path))
    zero_shot = [cell for cell in plan.cells if not cell.few_shot]
    assert trained_on_test(plan, zero_shot) == {}


def test_asked_of_no_scores_nothing_is_found(tmp_path: Path) -> None:
    panx_files(tmp_path)
    settings = ("data.files.panx.train=[panx/dev-en.tsv]", "data.holdout={}")
    found = experiment(tmp_path, *DEV_AS_TEST, *settings)
    plan = build_plan(found, FilePrints(tmp_path))
    for find in (selected_on_test, trained_on_test, few_shot_trained_on_test):
        assert find(plan, []) == {}
    assert trained_on_test(plan)
    assert selected_on_test(plan)
    overlapping = build_plan(
        experiment(tmp_path, "target={tasks: [xquad]}"), FakePrints(distinct=True)
    )
    assert known_overlaps(overlapping)
    assert known_overlaps(overlapping, []) == {}


SHOTS = "target.few_shot={panx: {examples: [5], languages: [en, sw]}}"


@pytest.mark.parametrize(
    ("overrides", "zero_shot", "few_shot"),
    [
        ((), {}, {"panx": ("en", "sw")}),
        (("data.files.panx.train=[panx/dev-en.tsv]",), {"panx": ("en",)}, {"panx": ("sw",)}),
    ],
)
def test_few_shot_stages_leave_zero_shot_scores_clean(
    tmp_path: Path,
    overrides: tuple[str, ...],
    zero_shot: dict[str, tuple[str, ...]],
    few_shot: dict[str, tuple[str, ...]],
) -> None:
    panx_files(tmp_path)
    found = experiment(tmp_path, *DEV_AS_TEST, SHOTS, *overrides)
    plan = build_plan(found, FilePrints(tmp_path))
    info = describe_run(found, plan, {})
    assert info.trained_on_test == zero_shot
    assert info.few_shot_trained_on_test == few_shot
    for cell in plan.cells:
        if not cell.few_shot:
            continue
        (language,) = plan.steps[cell.key].spec["languages"]
        notes = list(selection_notes(plan, cell))
        own = language in few_shot["panx"]
        alone = contamination_text("panx", (language,), how="few-shot")
        assert (f"trained on test data: {alone}" in notes) == own
        trained = contamination_text("panx", (language,), how="trained")
        assert (f"trained on test data: {trained}" in notes) == (not own)


@pytest.mark.parametrize(
    ("selected_on", "oracle"),
    [
        ("oracle: xnli dev de", True),
        ("mnli dev en, then oracle: xnli dev de", True),
        ("coracle dev en", False),
        ("mnli dev en, then coracle dev en", False),
        ("oracle dev en", False),
    ],
)
def test_a_task_that_is_called_so_is_no_oracle(
    tmp_path: Path, selected_on: str, oracle: bool
) -> None:
    plan = build_plan(experiment(tmp_path), FakePrints(distinct=True))
    cell = replace(plan.cells[0], selected_on=selected_on)
    assert any("no zero-shot scores" in note for note in selection_notes(plan, cell)) == oracle
    samples = evidence({("xnli", "baseline"): [50.0]}, languages=("en",))
    (scored,) = score_cells(samples, tabulate([result(selected_on=selected_on)], {}))
    assert scored.oracle == oracle


def test_sets_of_their_own_are_not(tmp_path: Path) -> None:
    plan = build_plan(experiment(tmp_path), FakePrints(distinct=True))
    assert selected_on_test(plan) == trained_on_test(plan) == {}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), ("selected on squad_v1 dev: XQuAD translates",)),
        (
            ("intermediate.tasks=[squad_v2]",),
            (
                "selected on squad_v1 dev: XQuAD translates",
                "selected on squad_v2 dev: XQuAD translates",
            ),
        ),
        (("data.holdout={squad_v1: 100}",), ()),
        (("data.files={squad_v1: {dev: [own.json]}}",), ()),
        (("data.files={xquad: {test: ['own.{lang}.json']}}",), ()),
        (("data={synthetic: {seed: 0}}", "target.languages={xquad: [en]}"), ()),
    ],
)
def test_known_overlaps_are_named(
    tmp_path: Path, overrides: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    found = experiment(tmp_path, "target={tasks: [xquad, tydiqa, xnli]}", *overrides)
    overlaps = known_overlaps(build_plan(found, FakePrints(distinct=True)))
    assert set(overlaps) == ({"xquad"} if expected else set())
    texts = overlaps.get("xquad", ())
    assert len(texts) == len(expected)
    assert all(text.startswith(start) for text, start in zip(texts, expected, strict=True))


def test_lareqa_is_selected_on_the_paragraphs_that_it_asks_about(tmp_path: Path) -> None:
    found = experiment(tmp_path, "intermediate.tasks=[]", "target={tasks: [lareqa]}")
    (text,) = known_overlaps(build_plan(found, FakePrints(distinct=True)))["lareqa"]
    assert text.startswith("selected on squad_sentences dev: LAReQA asks XQuAD's questions")
    held = experiment(tmp_path, "target={tasks: [lareqa]}", "data.holdout={squad_sentences: 100}")
    assert known_overlaps(build_plan(held, FakePrints(distinct=True))) == {}


def test_the_report_says_so() -> None:
    info = ReportInfo(
        name="x",
        encoder="e",
        selected_on_test={"xnli": ("de", "sw"), "gone": ("de",)},
        trained_on_test={"xnli": ("de", "sw"), "gone": ("de",)},
        few_shot_trained_on_test={"xnli": ("de", "sw"), "gone": ("de",)},
        known_overlaps={"xnli": ("selected on a: b",), "gone": ("selected on c: d",)},
    )
    shots = [result(), result(few_shot=5, key="1" * 12)]
    _, _, few_shot = render(shots, experiment=info)["report.md"].partition("### xnli, few-shot")
    assert f"**Caution:** Trained on test data: {FEW_SHOT}\n" in few_shot
    page = render([result()], experiment=info)["report.md"]
    assert FEW_SHOT not in page
    assert f"**Caution:** Selected on test data: {TEXT}\n" in page
    assert f"**Caution:** Trained on test data: {TRAINED}\n" in page
    assert "**Caution:** models of xnli were selected on a: b.\n" in page
    assert "gone" not in page
    clean = render([result()], experiment=replace(info, selected_on_test={}))["report.md"]
    assert "Selected on test data" not in clean


def test_the_page_says_so() -> None:
    made = make_study(targets={"xnli": ("de", "en")}, arms=["mnli"], drawn=False)
    overlaps = {"xnli": ("selected on a: b",)}
    info = replace(made.info, selected_on_test={"xnli": ("de", "sw")}, known_overlaps=overlaps)
    assert "Models of xnli were selected on a: b." in render_page(made.answer, made.study, info)
    assert f"Selected on test data: {TEXT}" in render_page(made.answer, made.study, info)
    trained = replace(made.info, trained_on_test={"xnli": ("de", "sw")})
    assert f"Trained on test data: {TRAINED}" in render_page(made.answer, made.study, trained)
    assert "Selected on test data" not in render_page(made.answer, made.study, made.info)


def test_the_page_says_so_of_few_shot_models_beside_their_scores() -> None:
    made = make_study(targets={"xnli": ("de", "en")}, arms=["mnli"])
    info = replace(made.info, few_shot_trained_on_test={"xnli": ("de", "sw")})
    shown = Shots(
        after="mnli", target="xnli", language="de", metric="accuracy", values={0: 50.0, 5: 60.0},
        spreads={0: None, 5: None}, keys=(),
    )  # fmt: skip
    answer = replace(made.answer, analysed=replace(made.answer.analysed, shots=(shown,)))
    before, _, after = render_page(answer, made.study, info).partition('<section id="shots"')
    assert FEW_SHOT not in before
    assert f"Trained on test data: {FEW_SHOT}" in after
