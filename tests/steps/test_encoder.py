"""Encoders of several families: how much they take, and which tokenizers are none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import processors

from tests.small import bench_of, write_small
from tests.tiny import WORDS, tiny_encoder, tiny_tokenizer
from xtransfer.config.anatomy import anatomy_of
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError, StepError, UserError
from xtransfer.execution.execute import run_step
from xtransfer.export import export_model
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.steps.encoder import load_tokenizer, longest_input

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 20,
    "pad_token_id": 1,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Albert": {"embedding_size": 4},
    "Bert": {},
    "BigBird": {"attention_type": "original_full"},
    "Camembert": {},
    "ConvBert": {"embedding_size": 8},
    "Data2VecText": {},
    "Deberta": {},
    "DebertaV2": {},
    "DistilBert": {"dim": 8, "hidden_dim": 8, "n_heads": 2, "n_layers": 1},
    "Electra": {"embedding_size": 4},
    "Ernie": {},
    "FNet": {},
    "Longformer": {"attention_window": 4},
    "MegatronBert": {},
    "MPNet": {},
    "MobileBert": {"embedding_size": 8, "intra_bottleneck_size": 8, "true_hidden_size": 8},
    "Nystromformer": {},
    "RemBert": {"input_embedding_size": 4, "output_embedding_size": 4},
    "Roberta": {},
    "RoFormer": {},
    "XLM": {"emb_dim": 8, "n_layers": 1, "n_heads": 2},
    "XLMRoberta": {},
    "XLMRobertaXL": {},
    "Xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
}
"""Family of encoders with an embedding for every position -> its own settings."""


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_input_is_the_longest_that_an_encoder_takes(
    tmp_path: Path, family: str
) -> None:
    config = getattr(transformers, f"{family}Config")(**{**SMALL, **FAMILIES[family]})
    config.save_pretrained(tmp_path)
    model = getattr(transformers, f"{family}Model")(config).eval()
    longest = longest_input(str(tmp_path), None)
    assert longest is not None
    assert model(torch.full((1, longest), 5)).last_hidden_state.shape[1] == longest
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, longest + 1), 5))
    model.save_pretrained(tmp_path)
    assert anatomy_of(tmp_path).positions == longest  # as a plan finds it, without a model


def test_relative_positions_have_no_end(tmp_path: Path) -> None:
    """As mDeBERTa has them."""
    relative: dict[str, Any] = {"relative_attention": True, "position_biased_input": False}
    config = transformers.DebertaV2Config(**SMALL, **relative)
    config.save_pretrained(tmp_path)
    assert longest_input(str(tmp_path), None) is None
    model = transformers.DebertaV2Model(config).eval()
    assert model(torch.full((1, 60), 5)).last_hidden_state.shape[1] == 60
    model.save_pretrained(tmp_path)
    assert anatomy_of(tmp_path).positions is None


@pytest.mark.parametrize("family", ["Bart", "T5"])
def test_an_encoder_with_a_decoder_behind_it_is_refused(tmp_path: Path, family: str) -> None:
    getattr(transformers, f"{family}Config")().save_pretrained(tmp_path)
    with pytest.raises(
        StepError, match=r"is a model of an encoder and a decoder.* Give an encoder"
    ):
        longest_input(str(tmp_path), None)


def test_a_tokenizer_of_another_kind_than_its_encoder_needs_its_settings(tmp_path: Path) -> None:
    """As e5's, XLM-R's tokenizer beside a BERT: transformers goes by the encoder where nothing else is said."""
    transformers.BertConfig(**SMALL).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path), None).tokenize("the cat") == ["▁the", "▁cat"]
    load_tokenizer.cache_clear()
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(StepError, match=r"its tokenizer fails: .*tokenizer_config\.json missing"):
        load_tokenizer(str(tmp_path), None)


def test_a_tokenizer_without_its_vocabulary_is_none(tmp_path: Path) -> None:
    """What transformers makes then special tokens alone: every text is unknown to it."""
    made = transformers.XLMRobertaTokenizer(
        vocab=[("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        + [(f"▁{word}", -2.0) for word in WORDS]
    )
    transformers.XLMRobertaConfig(**SMALL).save_pretrained(tmp_path)
    made.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path), None).tokenize("the cat") == ["▁the", "▁cat"]
    load_tokenizer.cache_clear()
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(StepError, match=r"knows no words.*Is the file of its vocabulary missing"):
        load_tokenizer(str(tmp_path), None)


@pytest.mark.parametrize("template", [None, "$A </s>", "$A </s> <s>"])
def test_a_tokenizer_that_puts_no_token_before_a_text_is_none(
    tmp_path: Path, template: str | None
) -> None:
    """As GPT-2's, T5's and XLNet's."""
    tokenizer = copy.deepcopy(tiny_tokenizer())
    if template is not None:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=template, pair="$A $B", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    tokenizer.save_pretrained(tmp_path)
    if template is None:
        path = tmp_path / "tokenizer.json"
        written = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**written, "post_processor": None}), encoding="utf-8")
    with pytest.raises(StepError, match="puts no token before a text"):
        load_tokenizer(str(tmp_path), None)


def test_a_folder_with_a_tokenizers_settings_alone_is_refused(tmp_path: Path) -> None:
    experiment = load_experiment(write_small(tmp_path))
    (tmp_path / "encoder/tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"holds no tokenizer, only tokenizer_config\.json"):
        Fingerprints(experiment).encoder()


def test_weights_in_several_files_are_all_part_of_the_identity(tmp_path: Path) -> None:
    """As transformers writes large encoders; each file is looked at again before the encoder is read."""
    experiment = load_experiment(write_small(tmp_path))
    _, _, before = Fingerprints(experiment).encoder()
    (tmp_path / "encoder/model.safetensors").unlink()
    tiny_encoder(vocabulary=len(tiny_tokenizer())).save_pretrained(
        tmp_path / "encoder", max_shard_size="4KB"
    )
    shards = {path.name for path in (tmp_path / "encoder").glob("model-*.safetensors")}
    assert len(shards) > 1
    identity, _, where = Fingerprints(experiment).encoder()
    assert set(identity) == {"config.json", "model.safetensors.index.json", *shards}
    assert set(where["digests"]) - set(before["digests"]) == set(identity) - {"config.json"}
    bench = bench_of(experiment, tmp_path)
    records = [run_step(step, bench) for step in bench.plan.steps.values()]
    trained = next(record for record in records if record.kind == "train")
    export_model(bench.store, trained.key, tmp_path / "model")
    (tmp_path / "encoder" / min(shards)).unlink()
    with pytest.raises(ConfigError, match=rf"{min(shards)} does not exist"):
        Fingerprints(experiment).encoder()
    with pytest.raises(UserError, match=rf"{min(shards)}: is not the file that train/"):
        export_model(bench.store, trained.key, tmp_path / "again")


@pytest.mark.parametrize(
    "index", ["", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../a.safetensors"}}']
)
def test_an_index_that_names_no_weights_beside_it_is_refused(tmp_path: Path, index: str) -> None:
    experiment = load_experiment(write_small(tmp_path))
    (tmp_path / "encoder/model.safetensors").unlink()
    (tmp_path / "encoder/model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ConfigError, match="does not name the files of weights beside it"):
        Fingerprints(experiment).encoder()


def test_pickled_weights_are_refused_with_what_to_do(tmp_path: Path) -> None:
    experiment = load_experiment(write_small(tmp_path))
    weights = tmp_path / "encoder/model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(
        ConfigError, match=r"model\.safetensors does not exist\. Its weights are pickled"
    ):
        Fingerprints(experiment).encoder()


def test_a_vocabulary_that_stands_alone_is_part_of_the_identity(tmp_path: Path) -> None:
    """Beside a tokenizer.json, which transformers reads first, it is not: keys stay."""
    experiment = load_experiment(write_small(tmp_path))
    before = Fingerprints(experiment).encoder()
    vocabulary = tmp_path / "encoder/spm.model"
    vocabulary.write_bytes(b"one")
    assert Fingerprints(experiment).encoder() == before
    (tmp_path / "encoder/tokenizer.json").unlink()
    _, one, where = Fingerprints(experiment).encoder()
    vocabulary.write_bytes(b"two")
    _, two, _ = Fingerprints(experiment).encoder()
    assert one != two
    assert "spm.model" in where["digests"]
