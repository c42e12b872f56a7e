"""The answer to a run whose predictions are in a store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmark.runs import experiment as experiment_of
from tests.benchmark.runs import plan_of, record_run
from tests.command import Run
from xtransfer.config.claims import Claim
from xtransfer.config.experiment import Experiment
from xtransfer.config.judgement import Statistics
from xtransfer.metrics import score
from xtransfer.plan import Plan
from xtransfer.records.predictions import read_gold, read_predictions
from xtransfer.records.record import Record
from xtransfer.report.answer import Answer, answer_json
from xtransfer.report.build import answer_of, collect_results, describe_run
from xtransfer.report.draws import gather
from xtransfer.report.evidence import Evidence
from xtransfer.report.markdown.sections import statistics_section
from xtransfer.report.scores import OVERALL
from xtransfer.report.tables import render
from xtransfer.statistics.corrections import holm
from xtransfer.statistics.resampling import number_of, resample
from xtransfer.store import Store, open_store

SEEDS = (
    "target.seeds=[1, 2]",
    "intermediate.tasks=[squad_v1, mnli]",
    "statistics.bootstrap=300",
)
CLAIMS = tuple(
    Claim.model_validate({"name": name, "says": "so", "holds": holds})
    for name, holds in (
        ("gain", {"gain": {"after": "mnli"}, "greater_than": 0}),
        ("best", {"best": {"after": "mnli"}}),
        ("other", {"gain": {"after": "hellaswag"}, "greater_than": 0}),
    )
)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that is done."""

    experiment: Experiment
    plan: Plan
    store: Store
    records: dict[str, Record]

    def answer(self, store: Store | None = None, **statistics: Any) -> Answer:
        changed = self.experiment.statistics.model_copy(update=statistics)
        experiment = self.experiment.model_copy(update={"statistics": changed, "claims": CLAIMS})
        info = describe_run(experiment, self.plan, self.records)
        results = collect_results(self.plan, self.records)
        return answer_of(
            experiment,
            self.plan,
            results,
            info,
            store=store or self.store,
            records=self.records,
        )

    def evidence(self) -> Evidence:
        results = collect_results(self.plan, self.records)
        return gather(
            self.plan,
            results,
            self.experiment.statistics,
            self.experiment.target.languages,
            store=self.store,
            records=self.records,
        )


@pytest.fixture(scope="module")
def run_(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("run")
    experiment = experiment_of(root / "data", *SEEDS)
    plan = plan_of(experiment)
    store = open_store(f"file://{root}/store")
    records = record_run(store, plan, root / "scratch")
    return Finished(experiment=experiment, plan=plan, store=store, records=records)


@pytest.fixture(scope="module")
def answer(run_: Finished) -> Answer:
    return run_.answer()


def test_every_target_has_draws_that_scatter_around_its_score(run_: Finished) -> None:
    evidence = run_.evidence()
    assert evidence.problems == ()
    assert set(evidence.targets) == set(run_.experiment.target.tasks)
    for (target, after), sample in evidence.samples.items():
        figure = evidence.score(target, after)
        assert figure is not None
        assert figure.value == pytest.approx(sample.values.mean())
        assert sample.draws is not None
        assert sample.draws.shape == (len(sample.languages), 300)
        # Chunk scores and small test sets are a little biased, hence the wide berth.
        assert abs(sample.draws.mean() - figure.value) < 6


def test_a_resample_is_scored_as_a_test_set_of_its_own(run_: Finished) -> None:
    """The first draw of udpos, made by hand from the files."""
    evidence = run_.evidence()
    sample = evidence.samples["udpos", "mnli"]
    task, language = run_.plan.tasks["udpos"], "de"
    record = run_.records[sample.keys[0]]
    gold = read_gold(run_.store, run_.records, record, task, language)
    seed = [0, number_of("udpos"), number_of(*gold), len(gold)]
    drawn = np.random.default_rng(seed).integers(0, len(gold), size=(300, len(gold)))[0]
    values: list[float] = []
    for key in sample.keys:
        found = read_predictions(run_.store, run_.records[key], language)
        rows = [(gold[name], found[name]) for name in (list(gold)[at] for at in drawn)]
        scores = score(task, [g for g, _ in rows], [p for _, p in rows], language=language)
        values.append(scores["xtreme_f1"])
    at = sample.languages.index(language)
    assert sample.draws is not None
    assert sample.draws[at, 0] == pytest.approx(np.mean(values))


def test_claims_of_all_arms_or_of_some_languages_wait_for_what_is_planned(run_: Finished) -> None:
    holds: dict[str, Any] = {
        "best": {"best": {"after": "mnli"}},
        "some": {"gain": {"after": "mnli", "languages": ("de",)}, "greater_than": -100},
        "highest": {"best_gain": {"targets": ("xnli",)}, "greater_than": -100},
    }
    claims = tuple(
        Claim.model_validate({"name": name, "says": "so", "holds": each, "decided_by": "value"})
        for name, each in holds.items()
    )
    experiment = run_.experiment.model_copy(update={"claims": claims})
    done = {
        key: record
        for key, record in run_.records.items()
        if not any(
            cell.key == key and (cell.intermediate == "squad_v1" or cell.target == "udpos")
            for cell in run_.plan.cells
        )
    }
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for name, records in (("partial", done), ("whole", run_.records)):
        info = describe_run(experiment, run_.plan, records)
        results = collect_results(run_.plan, records)
        answer = answer_of(experiment, run_.plan, results, info)
        found[name] = {each.name: (each.verdict, each.reason) for each in answer.claims}
    assert {verdict for verdict, _ in found["partial"].values()} == {"not decidable"}
    assert found["partial"]["some"][1] == "udpos after mnli has no score yet"
    assert found["partial"]["highest"][1] == "xnli after squad_v1 has no score yet"
    assert all(verdict != "not decidable" for verdict, _ in found["whole"].values())


def test_gains_are_tested_and_corrected_over_targets(answer: Answer) -> None:
    own = [gain for gain in answer.gains if gain.after == "mnli" and gain.target != OVERALL]
    assert len(own) == len(answer.targets)
    p_values = [gain.p for gain in own]
    assert all(p is not None for p in p_values)
    assert [gain.p_holm for gain in own] == pytest.approx(holm([p or 0 for p in p_values]))
    for gain in own:
        assert gain.low is not None
        assert gain.high is not None
        assert gain.low < gain.value + 8
        assert gain.significant == (gain.p_holm is not None and gain.p_holm <= 0.05)
    assert {gain.target: gain.with_seeds for gain in own} == {
        target: "none" if target in ("tatoeba", "bucc2018") else "all" for target in answer.targets
    }
    overall = answer.gain(OVERALL, "mnli")
    assert overall is not None
    assert overall.value == pytest.approx(np.mean([gain.value for gain in own]))
    assert (overall.p_holm, overall.with_seeds) == (None, "some")


@pytest.mark.parametrize(("bootstrap", "said"), [(358, True), (359, False)])
def test_too_few_resamples_for_any_significance_are_said(
    run_: Finished, bootstrap: int, said: bool
) -> None:
    """Nine targets are corrected over: 9 x 2 / (n + 1) is at most 0.05 from n = 359 on."""
    found = run_.answer(bootstrap=bootstrap)
    note = "it takes 359 (statistics.bootstrap)"
    assert (note in found.resamples_note) == said
    assert (note in statistics_section(found)) == said
    least = holm([2 / (bootstrap + 1)] * len(found.targets))
    assert (max(least) > 0.05) == said


@pytest.mark.parametrize(("bootstrap", "without"), [(10, True), (38, True), (39, False)])
def test_too_few_resamples_for_an_interval_give_none(
    run_: Finished, bootstrap: int, without: bool
) -> None:
    """95 % of 38 draws have no draw beyond either end: what stands there is narrower, and by chance."""
    found = run_.answer(bootstrap=bootstrap)
    cells = [
        *found.scores,
        *found.gains,
        *(each for cell in found.scores for each in cell.languages),
    ]
    assert found.typology is not None
    bounds = [(each.low, each.high) for each in (*cells, *found.typology.groups)]
    assert bounds
    assert all((low is None) == without and (high is None) == without for low, high in bounds)
    note = "there is no interval of 95 %: it takes 39 (statistics.bootstrap)"
    assert (note in found.resamples_note) == without
    assert (note in statistics_section(found)) == without


def test_claims_are_decided_with_numbers(answer: Answer) -> None:
    found = {claim.name: claim for claim in answer.claims}
    assert found["other"].verdict == "not decidable"
    assert "no scores after hellaswag" in found["other"].reason
    assert len(found["best"].comparisons) == 2
    overall = answer.gain(OVERALL, "mnli")
    assert overall is not None
    assert found["gain"].comparisons[0].value == pytest.approx(overall.value)


def test_the_power_note_counts_seeds(answer: Answer) -> None:
    notes = {note.target: note for note in answer.powers}
    assert set(notes) == set(answer.targets) - {"tatoeba", "bucc2018"}
    assert all(note.freedom == 3 and (note.seeds or 2) >= 2 for note in notes.values())


def numbers(value: Any, at: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every number but 0 below a value, with the innermost object that says where it is from."""
    if isinstance(value, dict):
        # What has keys of its own must have some: those around it would be too many.
        own = value if "keys" in value or value.get("source") else at
        for name, item in value.items():
            yield from numbers(item, own, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, at, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool) and value:
        yield path, at


def test_every_number_is_traced_to_records(run_: Finished, answer: Answer) -> None:
    found = list(numbers(json.loads(answer_json(answer)), {}, ""))
    assert len(found) > 500
    sources = {"configuration"}
    if answer.typology:
        sources |= {each.source for each in answer.typology.distances}
    for path, origin in found:
        keys = origin.get("keys", [])
        if not keys:
            assert origin.get("source") in sources, path
        for key in keys:
            assert run_.records[key].kind == "evaluate", path


def test_every_score_is_what_its_records_say(run_: Finished, answer: Answer) -> None:
    for cell in answer.scores:
        task = run_.plan.tasks[cell.target]
        recorded = [
            np.mean([
                each["metrics"][task.metric]
                for each in run_.records[key].result["languages"].values()
            ])
            for key in cell.keys
        ]  # fmt: skip
        assert cell.mean == pytest.approx(np.mean(recorded))
        assert [run.value for run in cell.runs] == pytest.approx(recorded)
        assert [run.keys for run in cell.runs] == [(key,) for key in cell.keys]
        for language in cell.languages:
            values = [
                run_.records[key].result["languages"][language.language]["metrics"][task.metric]
                for key in cell.keys
            ]
            assert language.value == pytest.approx(np.mean(values))


def test_the_same_results_give_the_same_bytes(run_: Finished, answer: Answer) -> None:
    assert answer_json(run_.answer()) == answer_json(answer)
    assert answer_json(run_.answer(seed=1)) != answer_json(answer)


def test_the_report_says_it_all(run_: Finished, answer: Answer) -> None:
    info = describe_run(run_.experiment, run_.plan, run_.records)
    results = collect_results(run_.plan, run_.records)
    files = render(results, experiment=info, answer=answer)
    page = files["report.md"]
    assert json.loads(files["report.json"])["plan"] == run_.plan.key
    assert "## How sure the gains are" in page
    assert "300 paired resamples" in page
    assert "## Claims" in page
    assert "| other | so | **not decidable** |" in page
    assert "## Distance and resources" in page
    assert "No significance is tested" not in page


def test_without_resamples_nothing_is_tested(run_: Finished) -> None:
    bare = run_.answer(bootstrap=0)
    assert not bare.tested
    assert {claim.verdict for claim in bare.claims} == {"not decidable"}
    info = describe_run(run_.experiment, run_.plan, run_.records)
    results = collect_results(run_.plan, run_.records)
    page = render(results, experiment=info, answer=bare)["report.md"]
    assert "No significance is tested" in page
    assert "How sure the gains are" not in page


def test_a_lost_file_costs_its_target_the_interval_alone(run_: Finished, tmp_path: Path) -> None:
    shutil.copytree(run_.store.url.removeprefix("file://"), tmp_path / "store")
    record = next(
        r for r in run_.records.values() if r.kind == "evaluate" and r.name.startswith("udpos")
    )
    file = next(f for f in record.files if f.name.startswith("predictions/"))
    (tmp_path / "store" / file.object).unlink()
    hurt = run_.answer(open_store(f"file://{tmp_path}/store"))
    (problem,) = hurt.problems
    assert problem.startswith("udpos: no interval: ")
    for gain in hurt.gains:
        if gain.target != OVERALL:
            assert (gain.p is None) == (gain.target == "udpos")
    assert all(claim.verdict == "not decidable" for claim in hurt.claims)


def test_predictions_that_do_not_score_as_recorded_are_not_resampled(run_: Finished) -> None:
    key = next(k for k, r in run_.records.items() if r.kind == "evaluate" and "xnli" in r.name)
    record = run_.records[key]
    result = json.loads(json.dumps(record.result))
    result["languages"]["de"]["metrics"]["accuracy"] += 1.0
    records = {**run_.records, key: record.model_copy(update={"result": result})}
    (problem,) = replace(run_, records=records).answer().problems
    assert problem.startswith(
        f"xnli: no interval: evaluate step {key}: its predictions of de score"
    )


def test_languages_with_the_same_examples_are_resampled_together(
    run_: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the made-up run both languages of mlqa have the same ids, as translations have."""
    seeds: list[tuple[int, ...]] = []

    def spy(tallies: Any, score: Any, *, draws: int, seed: Any) -> Any:
        seeds.append(tuple(seed))
        return resample(tallies, score, draws=draws, seed=seed)

    monkeypatch.setattr("xtransfer.report.draws.resample", spy)
    run_.evidence()
    found = {number: [s for s in seeds if s[1] == number] for number in {s[1] for s in seeds}}
    mlqa = found[number_of("mlqa")]
    assert len(mlqa) == 2
    assert len(set(mlqa)) == 1
    assert len(set(seeds)) == len(run_.experiment.target.tasks)


def test_the_command_takes_resamples_and_claims(
    run_: Finished, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The encoder of the made-up run is nowhere, so its plan cannot be made again.
    monkeypatch.setattr("xtransfer.cli.results.make_plan", lambda *_, **__: (run_.plan, []))
    config = tmp_path / "run.yaml"
    config.write_text(run_.experiment.model_dump_json(), encoding="utf-8")
    claims = tmp_path / "claims.yaml"
    claims.write_text(
        "claims: [{name: mine, says: so, holds: {gain: {after: mnli}, greater_than: 90}}]"
    )
    done = run(
        "report", str(config), "--store", run_.store.url, "--out", str(tmp_path / "out"),
        "--bootstrap", "100", "--claims", str(claims),
    )  # fmt: skip
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["settings"]["bootstrap"] == 100
    assert [(each["name"], each["verdict"]) for each in found["claims"]] == [("mine", "refuted")]


def test_statistics_and_claims_are_in_no_key(run_: Finished) -> None:
    changed = run_.experiment.model_copy(
        update={"claims": CLAIMS, "statistics": Statistics(bootstrap=5)}
    )
    assert list(plan_of(changed).steps) == list(run_.plan.steps)
