"""What an encoder brings that is no data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xtransfer.errors import StepError
from xtransfer.steps.encoder import load_tokenizer, longest_input
from xtransfer.train.encoder import load_encoder


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an encoder of a kind of its own, whose code says that it ran; whoever is asked agrees."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    folder = tmp_path / "encoder"
    folder.mkdir()
    code = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": code}))
    tokenizer = {
        "tokenizer_class": "Tokenizer",
        "auto_map": {"AutoTokenizer": [None, "own.Tokenizer"]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return folder


def test_code_of_an_encoder_is_not_run_though_one_would_agree(strange: Path) -> None:
    for load in (load_tokenizer, longest_input):
        with pytest.raises(StepError, match=f"^{strange}: needs code that comes with it"):
            load(str(strange), None)
    with pytest.raises(ValueError, match="custom code"):
        load_encoder(str(strange))
    assert not (strange.parent / "ran").exists()
