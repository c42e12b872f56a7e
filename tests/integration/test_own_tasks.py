"""The experiment that CONTRIBUTING shows: two tasks by YAML alone, run to a report."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.integration.test_pipeline import records_of, xtransfer
from tests.test_documentation import blocks
from tests.tiny import tiny_encoder, tiny_tokenizer

pytestmark = pytest.mark.slow

GOOD, BAD, PLACES = ("cat", "dog", "bird"), ("old", "under", "near"), ("tree", "river", "mat")


def write_reviews(path: Path, count: int, seed: int) -> None:
    """Write `text<TAB>label`; the label follows from the words."""
    draw = random.Random(seed)
    rows: list[str] = []
    for _ in range(count):
        label = draw.choice(["good", "bad"])
        words = draw.choices(GOOD if label == "good" else BAD, k=4)
        rows.append(f"{' '.join(words)}\t{label}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(rows), encoding="utf-8")


def write_places(path: Path, count: int, seed: int) -> None:
    """Write `token<TAB>tag`, a blank line between sentences."""
    draw = random.Random(seed)
    sentences: list[str] = []
    for _ in range(count):
        place = draw.choice(PLACES)
        sentences.append(f"the\tO\n{draw.choice(GOOD)}\tO\nnear\tO\nthe\tB-LOC\n{place}\tI-LOC\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(sentences), encoding="utf-8")


def test_two_tasks_by_yaml_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [block for block in blocks("CONTRIBUTING.md", "yaml") if "own-tasks" in block]
    config = tmp_path / "own-tasks.yaml"
    config.write_text(shown, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    tiny_encoder(vocabulary=70).save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    for split, count in (("train", 64), ("dev", 24)):
        write_reviews(tmp_path / f"data/reviews/{split}.tsv", count, seed=len(split))
    for split, language in (("train", "en"), ("dev", "en"), ("test", "en"), ("test", "sw")):
        write_places(
            tmp_path / f"data/places/{split}-{language}.tsv", 24, seed=len(split) + len(language)
        )
    checked = xtransfer("data", "check", str(config))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    store = f"file://{tmp_path}/store"
    rates = ("--set", "intermediate.learning_rates=[1e-2]", "--set", "target.learning_rates=[1e-2]")
    # The processes of two steps at once would load the libraries twice.
    run = xtransfer("run", str(config), "--store", store, *rates, "--place", "ray.cpus=1")
    assert run.returncode == 0, run.stderr
    report = xtransfer("report", str(config), "--store", store, *rates, "--json")
    rows = json.loads(report.stdout)
    assert {(row["intermediate"], row["language"]) for row in rows} == {
        (arm, language) for arm in ("baseline", "reviews", "both") for language in ("en", "sw")
    }
    assert {row["metric"] for row in rows} == {"span_f1"}
    # Every sentence has the one form, so a model that learns at all finds its places.
    assert max(row["value"] for row in rows) > 90
    trained = [record for record in records_of(store).values() if record.kind == "train"]
    both = next(record for record in trained if len(record.spec["parts"]) == 2)
    assert [part["name"] for part in both.result["parts"]] == ["reviews", "places"]
    scores = both.result["history"][-1]
    assert {"dev reviews accuracy", "dev places span_f1"} <= set(scores)
