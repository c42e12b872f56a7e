"""Inputs that may be longer than the encoder takes are refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Run
from tests.tiny import tiny_encoder, tiny_tokenizer

MNLI = '{"sentence1": "the cat", "sentence2": "a dog", "gold_label": "neutral"}\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An experiment with an encoder of few positions, and its data."""
    tiny_encoder(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    (tmp_path / "mnli").mkdir()
    for name in ("train", "dev_matched"):
        (tmp_path / f"mnli/multinli_1.0_{name}.jsonl").write_text(MNLI, encoding="utf-8")
    path = tmp_path / "small.yaml"
    path.write_text(
        f"{{name: small, encoder: {tmp_path}/encoder, data: {{root: {tmp_path}}}, intermediate: {{tasks: [mnli]}}, "
        "target: {tasks: [tatoeba], languages: {tatoeba: [de]}, overrides: {all: {max_length: 32}}}}",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("command", [["plan"], ["run", "--dry-run"], ["run"]])
def test_a_length_without_positions_is_refused(
    run: Run, config: Path, tmp_path: Path, command: list[str]
) -> None:
    store = ["--store", f"file://{tmp_path}/store"]
    long = "intermediate.overrides={mnli: {max_length: 4096}}"
    done = run(command[0], config, *command[1:], *store, "--set", long)
    assert done.status == 2
    assert "small.yaml: mnli train: max_length is 4096, and the encoder has positions" in done.err
    if command != ["run"]:
        short = "intermediate.overrides={mnli: {max_length: 32}}"
        assert run(command[0], config, *command[1:], *store, "--set", short).status == 0
