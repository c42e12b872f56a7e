from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from xtransfer.config.claims import load_claims
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.tasks import TASKS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
EXPERIMENT = {"name": "small", "encoder": "encoder", "target": {"tasks": ["xnli"]}}


def written(folder: Path, *claims: dict[str, Any]) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(claims)}), encoding="utf-8")
    return path


def claim(holds: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "one", "says": "so", "holds": holds, **more}


@pytest.mark.parametrize("name", ["paper.yaml", "typology.yaml"])
def test_the_files_that_come_with_it_load(name: str) -> None:
    claims = load_claims(CONFIGS / "claims" / name, TASKS)
    assert all(each.says and each.source for each in claims)


def test_the_papers_claims_are_there() -> None:
    names = [each.name for each in load_claims(CONFIGS / "claims" / "paper.yaml", TASKS)]
    assert names == ["C1", "C2", "C3", "C4", "C5", "C6"]


@pytest.mark.parametrize(
    ("holds", "where", "what"),
    [
        ({"gain": {"after": "mnli"}}, "claims[0].holds", "`gain` needs one of greater_than"),
        (
            {"gain": {"after": "mnli"}, "score": {"after": "mnli"}, "at_least": 1},
            "claims[0].holds",
            "needs exactly one of gain, score",
        ),
        ({"at_least": 1}, "claims[0].holds", "not none"),
        (
            {"gain": {"after": "mnli", "tragets": "all"}, "at_least": 1},
            "claims[0].holds.gain.tragets",
            "unknown key",
        ),
        ({"best": {"after": "mnli"}, "at_least": 1}, "claims[0].holds", "`best` takes no"),
        ({"all": []}, "claims[0].holds", "`all` needs at least one entry"),
        (
            {"all": [{"gain": {"after": "mnli", "targets": ["xnil"]}, "at_least": 1}]},
            "claims[0].holds (one)",
            "no task 'xnil'. Did you mean 'xnli'?",
        ),
        (
            {"arms_that_gain": {}, "at_least": {"gain": {"after": "mnli"}}},
            "claims[0].holds",
            "compared with a number of arms",
        ),
        (
            {"gain": {"after": "mnli", "over": "mnli"}, "at_least": 1},
            "claims[0].holds (one)",
            "is about the gain of 'mnli' over itself. Name another arm in `over`",
        ),
        (
            {"gain": {"after": "mnli"}, "at_least": 1, "by": 2},
            "claims[0].holds",
            "`by` is for `arms_that_gain`, and does nothing to `gain`",
        ),
        *(
            (
                {"gain": {"after": "mnli", field: value}, "at_least": 1},
                f"claims[0].holds.gain.{field}",
                what,
            )
            for field in ("targets", "languages")
            for value, what in (
                ([], "needs 1 or more entries"),
                (["xnli", "xnli"], "has a repeated entry"),
            )
        ),
        (
            {"best_gain": {"among": ["mnli", "mnli"]}, "at_least": 1},
            "claims[0].holds.best_gain.among",
            "has a repeated entry",
        ),
        (
            {"gain": {"after": "mnli", "languages": "low"}, "at_least": 1},
            "claims[0].holds.gain.languages",
            "must be 'all', 'low_resource', 'zero_shot' or a list, not 'low'",
        ),
        (
            {"best_gain": {"targets": {"but": ["tatoba"]}}, "greater_than": 0},
            "claims[0].holds (one)",
            "no task 'tatoba'",
        ),
    ],
)
def test_a_mistake_names_the_file_and_the_place(
    holds: dict[str, Any], where: str, what: str, tmp_path: Path
) -> None:
    path = written(tmp_path, claim(holds))
    with pytest.raises(ConfigError) as caught:
        load_claims(path, TASKS)
    assert caught.value.where == f"{path}: {where}"
    assert what in str(caught.value)


def test_two_claims_of_one_name_are_refused(tmp_path: Path) -> None:
    one = claim({"gain": {"after": "mnli"}, "at_least": 1})
    with pytest.raises(ConfigError, match="repeated entry"):
        load_claims(written(tmp_path, one, one), TASKS)


def test_an_experiment_names_files_or_has_claims_of_its_own(tmp_path: Path) -> None:
    written(tmp_path, claim({"gain": {"after": "mnli"}, "at_least": 1}))
    own = claim({"score": {"after": "baseline"}, "less_than": 50}, name="two")
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, "claims": ["claims.yaml", own]}))
    experiment = load_experiment(path)
    assert [each.name for each in experiment.claims] == ["one", "two"]
    assert experiment.claims[0].holds.at_least == 1.0
    # As it travels to a cluster: without the file.
    again = tmp_path / "elsewhere" / "experiment.yaml"
    again.parent.mkdir()
    again.write_text(experiment.model_dump_json())
    assert load_experiment(again) == experiment


def test_a_named_file_may_be_below_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, claim({"gain": {"after": "mnli"}, "at_least": 1}))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "elsewhere.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, "claims": ["~/claims.yaml"]}))
    assert [each.name for each in load_experiment(path).claims] == ["one"]


def test_a_mistake_in_a_named_file_names_that_file(tmp_path: Path) -> None:
    claims = written(tmp_path, claim({"at_least": 1}))
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, "claims": ["claims.yaml"]}))
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert caught.value.where == f"{claims}: claims[0].holds"
    path.write_text(yaml.safe_dump({**EXPERIMENT, "claims": ["absent.yaml"]}))
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment(path)
