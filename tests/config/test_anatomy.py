from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_encoder, tiny_tokenizer
from xtransfer.config.anatomy import anatomy_of, xlm_roberta
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.planner.fingerprints import Fingerprints

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder and its tokenizer."""
    where = tmp_path_factory.mktemp("anatomy") / "encoder"
    tiny_encoder(vocabulary=len(tiny_tokenizer())).save_pretrained(where)
    tiny_tokenizer().save_pretrained(where)
    return where


def looked_up(folder: Path, target: str, *overrides: str) -> None:
    path = folder.parent / "experiment.yaml"
    path.write_text(f"{{name: small, encoder: {folder}, target: {{tasks: [{target}]}}}}")
    Fingerprints(load_experiment(path, overrides), lenient=True).encoder()


def test_the_linear_layers_by_the_files_are_those_of_the_model(folder: Path) -> None:
    from torch import nn

    model = tiny_encoder(vocabulary=len(tiny_tokenizer()))
    linear = {name for name, each in model.named_modules() if isinstance(each, nn.Linear)}
    found = anatomy_of(folder)
    assert set(found.linear or ()) == linear
    assert found.depth == model.config.num_hidden_layers
    # The demo's encoder, which is not there yet, is of the same kind.
    assert set(xlm_roberta(found.depth).linear or ()) == {
        name for name in linear if not name.startswith("pooler")
    }


def test_of_files_that_are_damaged_nothing_is_said(tmp_path: Path) -> None:
    assert anatomy_of(tmp_path) == anatomy_of(tmp_path / "absent")
    for config, weights in ((b"[1]", b""), (b"{", b"\x01"), (b"\xff", b"\xff" * 20)):
        (tmp_path / "config.json").write_bytes(config)
        (tmp_path / "model.safetensors").write_bytes(weights)
        found = anatomy_of(tmp_path)
        assert (found.depth, found.linear) == (None, None)


def test_of_positions_in_a_damaged_file_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 20, "model_type": []}')
    for shape in (["a", "b"], [], [3]):
        header = json.dumps({"position_embeddings.weight": {"shape": shape}}).encode()
        (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        assert anatomy_of(tmp_path).positions is None


def test_the_head_of_pretraining_is_no_layer_of_the_encoder(tmp_path: Path) -> None:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "bert.encoder.layer.0.attention.self.query.weight": {"shape": [4, 4]},
            "bert.embeddings.word_embeddings.weight": {"shape": [9, 4]},
            "bert.encoder.layer.0.output.LayerNorm.weight": {"shape": [4]},
            "cls.predictions.transform.weight": {"shape": [4, 4]},
        }
    ).encode()
    size = len(header).to_bytes(8, "little")
    (tmp_path / "model.safetensors").write_bytes(size + header)
    assert anatomy_of(tmp_path).linear == ("bert.encoder.layer.0.attention.self.query",)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "training.lora={targets: [query, vlaue]}",
            "training.lora.targets[1]: the encoder has no linear layer named 'vlaue'. Did you mean 'value'?",
        ),
        ("training.lora={targets: [LayerNorm]}", "no linear layer named 'LayerNorm'"),
        ("training.lora={targets: [word_embeddings]}", "no linear layer named 'word_embeddings'"),
        ("retrieval.layer=99", "retrieval.layer: the encoder has no layer 99. It has 0 (the"),
        ("retrieval.layers=[1, 99]", "retrieval.layers[1]: the encoder has no layer 99"),
    ],
)
def test_layers_that_the_encoder_lacks_are_refused_before_anything_is_trained(
    folder: Path, override: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        looked_up(folder, "tatoeba", override)
    assert told in str(caught.value)
    with pytest.raises(ConfigError) as caught:  # of the demo's own encoder it is known at once
        load_experiment(CONFIGS / "quickstart.yaml", [override])
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(CONFIGS / "quickstart.yaml"))


def test_an_encoder_below_the_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    with pytest.raises(ConfigError, match="the encoder has no layer 99"):
        looked_up(folder, "tatoeba", "encoder=~/encoder", "retrieval.layer=99")


def test_layers_that_the_encoder_has_are_taken(folder: Path) -> None:
    looked_up(folder, "tatoeba", "retrieval.layers=[0, 1, 1.0]", "training.lora={targets: [dense]}")
    looked_up(folder, "tatoeba", "training.lora={targets: [self.query]}")
    looked_up(folder, "xnli", "retrieval.layer=14")  # nothing is compared by it
