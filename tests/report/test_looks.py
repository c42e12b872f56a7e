"""report.html in a browser, where there is one: Chromium, and Node with playwright and axe-core.

apt-get install chromium nodejs npm
npm install --prefix FOLDER playwright axe-core
NODE_PATH=FOLDER/node_modules pytest tests/report/test_looks.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.analysed import run_analysed
from tests.report.studies import small_study
from xtransfer.records.failures import Failure
from xtransfer.report.build import answer_of, collect_results, describe_run
from xtransfer.report.numbers import number, signed
from xtransfer.report.page import render_page
from xtransfer.report.study import study_of
from xtransfer.watching import AtWork, Sight, SweepProgress

pytestmark = pytest.mark.slow
LOOK = Path(__file__).with_name("look.cjs")


@pytest.fixture(scope="module")
def browser() -> str:
    """Return the path of Chromium; skip where it or what drives it is absent."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    places = [Path(each) for each in os.environ.get("NODE_PATH", "").split(os.pathsep) if each]
    there = all(any((p / name).is_dir() for p in places) for name in ("playwright", "axe-core"))
    if found is None or shutil.which("node") is None or not there:
        pytest.skip("no chromium, or no node with playwright and axe-core in NODE_PATH")
    return found


def look(browser: str, page: str, folder: Path) -> list[dict[str, Any]]:
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    done = subprocess.run(
        ["node", str(LOOK), str(path), str(folder / "shots"), browser],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["made-up", "analysed"])
def looks(
    browser: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("looks")
    page = made_up() if request.param == "made-up" else analysed(folder)
    return look(browser, page, folder)


def made_up() -> str:
    made = small_study()
    return render_page(made.answer, made.study, made.info)


def analysed(folder: Path) -> str:
    """Return the page of a run with every analysis, as it is served while half of it is done."""
    ran = run_analysed(folder)
    info = describe_run(ran.experiment, ran.plan, ran.records)
    results = collect_results(ran.plan, ran.records)
    answer = answer_of(
        ran.experiment, ran.plan, results, info, store=ran.bench.store, records=ran.records
    )
    step = next(iter(ran.plan.steps.values()))
    sight = Sight(
        experiment=ran.plan.experiment,
        plan=ran.plan.key,
        sweeps=(
            SweepProgress(
                phase="target", name="reviews after moods", steps=9, recorded=4, running=1
            ),
            SweepProgress(phase="evaluation", name="evaluate", steps=4, failed=1, blocked=3),
        ),
        at_work=(AtWork(step=step, host="node-1", seconds=75.0),),
        failures=(
            Failure(step=step, error="low on memory", tries=2, log="logs/a.log", blocked=(step,)),
        ),
        left_s=480.0,
        unknown=2,
    )
    study = study_of(ran.experiment, ran.plan, ran.records)
    return render_page(answer, study, info, sight=sight)


def test_nothing_is_fetched_and_nothing_goes_wrong(looks: list[dict[str, Any]]) -> None:
    assert [(each["width"], each["scheme"]) for each in looks] == [
        (width, scheme) for width in (360, 1024, 1920) for scheme in ("light", "dark")
    ]
    for each in looks:
        assert each["messages"] == []
        assert len(each["requests"]) == 1


def test_the_page_never_scrolls_sideways(looks: list[dict[str, Any]]) -> None:
    assert [each["sideways"] for each in looks] == [0] * 6


def test_axe_finds_nothing(looks: list[dict[str, Any]]) -> None:
    for each in looks:
        assert each["checks"] > 20
        assert each["violations"] == []


def test_the_keyboard_opens_a_record_and_comes_back(looks: list[dict[str, Any]]) -> None:
    for each in looks:
        assert each["moved"] == each["back"] == 2
        assert each["opened"]
        assert each["closed"]
        assert each["focus"] == "record-head"
        assert "xtransfer explain" in each["dialog"]
        assert "--only model:" in each["dialog"]


def test_a_table_is_copied_as_cells(browser: str, tmp_path: Path) -> None:
    made = small_study()
    gain = next(g for g in made.answer.gains if (g.target, g.after) == ("xnli", "mnli"))
    others = [each for each in made.answer.gains if each is not gain]
    answer = replace(made.answer, gains=(replace(gain, significant=True), *others))
    looked = look(browser, render_page(answer, made.study, made.info), tmp_path)
    scores = {(e.target, e.after): f"{number(e.mean)} ± {e.sd:.1f}" for e in answer.scores if e.sd}
    for each in looked:
        text, html = each["copied"]
        lines = [line.split("\t") for line in text.split("\n")]
        assert lines[0] == ["target", "baseline", "mnli", "squad_v1"]
        assert lines[1][:3] == [
            "xnli", scores["xnli", "baseline"], f"{scores['xnli', 'mnli']} ({signed(gain.value)}*)",
        ]  # fmt: skip
        assert {len(line) for line in lines} == {4}
        assert html.count("<td>") == 4 * len(lines)
        assert "<button" not in html
        assert each["said"] == "Copied."


def test_everything_is_unfolded_in_print(looks: list[dict[str, Any]]) -> None:
    printed = [each for each in looks if "folded" in each]
    assert [each["folded"] for each in printed] == [0]
    assert printed[0]["buttons"] == 0


def test_a_table_of_many_arms_is_printed_and_walked_through_whole(
    browser: str, tmp_path: Path
) -> None:
    made = small_study()
    names = [f"arm{at}, mean of last 4 over seeds" for at in range(40)]
    (own, *_) = [each for each in made.answer.scores if each.after == "mnli"]
    answer = replace(
        made.answer,
        arms=(*made.answer.arms, *names),
        scores=(*made.answer.scores, *(replace(own, after=name) for name in names)),
    )
    study = replace(made.study, curves=(), choices=())
    looked = look(browser, render_page(answer, study, made.info), tmp_path)
    assert [each["cut"] for each in looked if "cut" in each] == [[]]
    # Nor does what the arrow keys go to lie behind the fixed labels.
    assert all(each["clearance"] >= -1 for each in looked)


def test_axe_would_find_something(browser: str, tmp_path: Path) -> None:
    made = small_study(drawn=False)
    page = render_page(made.answer, made.study, made.info)
    worse = page.replace("</main>", '<button type="button"></button></main>')
    assert worse != page
    found = look(browser, worse, tmp_path)
    assert {v["id"] for v in found[0]["violations"]} == {"button-name"}
