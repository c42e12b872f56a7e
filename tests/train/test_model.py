from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    Gemma3TextConfig,
    LlamaConfig,
    OPTConfig,
    T5Config,
    T5Model,
)

from tests.tiny import tiny_encoder, tiny_model, tiny_pairs, tiny_part
from tests.train.workers import train_mixed
from xtransfer.errors import StepError
from xtransfer.steps.assembly import make_head
from xtransfer.train.context import Context
from xtransfer.train.course import Outcome
from xtransfer.train.encoder import load_encoder, word_embeddings
from xtransfer.train.model import words_name
from xtransfer.train.prediction import DataSet
from xtransfer.train.rates import decay_product, learning_rate
from xtransfer.train.specification import TrialSpec
from xtransfer.train.vocabulary import compact, renumber, used_tokens
from xtransfer.train.weights import apply_weights, export_weights

VOCABULARY = 60
SPEC = TrialSpec(
    seed=1,
    learning_rate=5e-3,
    epochs=3,
    batch_size=4,
    weight_decay=0.5,  # so much that a row left out of the decay would show
    eval_every=None,
)


def run(
    data: DataSet, before: dict[str, Tensor] | None, *, compacted: bool
) -> tuple[dict[str, Tensor], Outcome]:
    """Train as a trial does, from the base encoder or on from exported weights."""
    encoder = tiny_encoder()
    if before is not None:
        apply_weights(encoder, before)
    tokens = np.arange(VOCABULARY)
    ids: Any = data.rows["input_ids"]
    if compacted:
        tokens = used_tokens([ids.values], vocabulary=VOCABULARY)
        compact(encoder, tokens)
        values = renumber(ids.values, tokens, vocabulary=VOCABULARY)
        data = DataSet(
            rows={**data.rows, "input_ids": type(ids)(values, ids.offsets)}, examples=data.examples
        )
    model = tiny_model(encoder)
    words = words_name(model)
    outcome = train_mixed(SPEC, Context(pad_id=1), model, [tiny_part(data, data, SPEC)])
    rates = [
        learning_rate(step, peak=SPEC.learning_rate, total=outcome.total_steps, warmup=SPEC.warmup)
        for step in range(outcome.best_step)
    ]
    exported = export_weights(
        outcome.weights,
        words=words,
        tokens=tokens,
        decay=decay_product(rates, SPEC.weight_decay),
        before=before,
    )
    return exported, outcome


def restored(weights: dict[str, Tensor]) -> Any:
    encoder = tiny_encoder()
    apply_weights(encoder, weights)
    return encoder


def largest_difference(one: Any, other: Any) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


FIRST = tiny_pairs(24, tokens=tuple(range(10, 30)))
SECOND = tiny_pairs(24, tokens=tuple(range(20, 40)), seed=1)


def test_a_compact_embedding_trains_like_the_whole_one() -> None:
    small, compact_run = run(FIRST, None, compacted=True)
    whole, dense_run = run(FIRST, None, compacted=False)
    assert len(small["token_rows"]) < len(whole["token_rows"]) == VOCABULARY
    assert compact_run.history == dense_run.history
    # fp32 rounds once a step in one case and once in all in the other.
    assert largest_difference(restored(small), restored(whole)) < 1e-6
    trained = word_embeddings(restored(whole)).weight
    untouched = word_embeddings(tiny_encoder()).weight[50]
    assert not torch.allclose(trained[50], untouched, rtol=1e-3)


def test_two_phases_of_other_tokens_add_up() -> None:
    chains: list[Any] = []
    for compacted in (True, False):
        weights: dict[str, Tensor] | None = None
        for data in (FIRST, SECOND):
            weights, _ = run(data, weights, compacted=compacted)
        assert weights is not None
        chains.append((weights, restored(weights)))
    (small, compact_encoder), (_, dense_encoder) = chains
    ids = small["token_ids"].tolist()
    assert ids == sorted(ids)
    assert {*range(8), *range(10, 40)} >= set(ids) > set(range(20, 30))
    # Errors of the first phase go through the second one's training.
    assert largest_difference(compact_encoder, dense_encoder) < 1e-5


def test_weights_without_training_are_the_base_encoder() -> None:
    encoder = tiny_encoder()
    tokens = np.array([0, 1, 2, 3, 4, 5, 6, 7, 11, 12])
    compact(encoder, tokens)
    model = tiny_model(encoder)
    trained = {name: value.detach() for name, value in model.named_parameters()}
    exported = export_weights(
        trained, words=words_name(model), tokens=tokens, decay=1.0, before=None
    )
    assert largest_difference(restored(exported), tiny_encoder()) == 0
    assert {name.split(".")[0] for name in exported} == {
        "encoder",
        "heads",
        "token_ids",
        "token_rows",
        "token_decay",
    }


def test_the_low_ids_keep_their_place() -> None:
    columns = [np.array([9, 40, 9], dtype=np.int32), np.array([12], dtype=np.int32)]
    tokens = used_tokens(columns, vocabulary=VOCABULARY)
    assert tokens.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 40]
    assert renumber(columns[0], tokens, vocabulary=VOCABULARY).tolist() == [8, 10, 8]
    assert used_tokens([], vocabulary=3).tolist() == [0, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_compact_encoder_lets_go_of_the_file_that_it_was_read_from(tmp_path: Path) -> None:
    tiny_encoder().save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path))
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    compact(encoder, np.arange(9))
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_attention_heads=2),
        OPTConfig(vocab_size=9, hidden_size=8, ffn_dim=8, num_attention_heads=2, word_embed_proj_dim=8),
        BertConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_attention_heads=2, is_decoder=True),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_a_decoder_is_refused(config: Any, tmp_path: Path) -> None:
    """Its first token, from which a class is read, would say the same of every text."""
    config.num_hidden_layers = 1
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(StepError, match=rf"is a decoder \({config.model_type}\).*Give an encoder"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("renamed", "changed", "expected"),
    [
        ("", {}, None),
        ("roberta.", {}, None),  # as in the file of a whole model for a task
        ("module.", {}, r"lack 37 weights that config\.json asks for, such as embeddings\."),
        ("", {"num_hidden_layers": 3}, r"lack 16 weights .* such as encoder\.layer\.2\."),
        ("", {"vocab_size": 70}, r"word_embeddings\.weight is \[60, 16\] .* asks for \[70, 16\]"),
    ],
)
def test_an_encoder_without_all_of_its_weights_is_refused(
    renamed: str, changed: dict[str, int], expected: str | None, tmp_path: Path
) -> None:
    """Those that it does not find transformers draws at random, and says so in a log alone."""
    encoder = tiny_encoder()
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = {f"{renamed}{name}": value for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    encoder.config.update(changed)
    encoder.config.save_pretrained(tmp_path)
    if expected is None:
        found = load_encoder(str(tmp_path)).state_dict()
        assert all(torch.equal(found[name], value) for name, value in encoder.state_dict().items())
        return
    with pytest.raises(StepError, match=expected):
        load_encoder(str(tmp_path))


def test_a_model_that_reads_no_text_alone_is_refused(tmp_path: Path) -> None:
    T5Model(T5Config(vocab_size=9, d_model=8, d_ff=8, num_layers=1)).save_pretrained(tmp_path)
    with pytest.raises(StepError, match=r"cannot be used as an encoder of text \(t5\)"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("types", [1, 2])
def test_token_types_are_for_encoders_that_have_several(
    family: str, types: int, tmp_path: Path
) -> None:
    """KLUE's RoBERTa has one, and BERT's tokenizer, which knows two: it ended in an index error."""
    size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    config = AutoConfig.for_model(
        family, vocab_size=9, num_hidden_layers=1, type_vocab_size=types, **size
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path))
    ids = torch.tensor([[0, 5, 6, 2]])
    plain, typed = (
        encoder(input_ids=ids, token_type_ids=torch.tensor([given])).last_hidden_state
        for given in ([0, 0, 0, 0], [0, 0, 1, 1])
    )
    assert torch.equal(plain, typed) == (types == 1)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_compact_encoder_computes_the_same(padding: int) -> None:
    rows: Sequence[int] = [0, 15, 33, 20, 2, *[1] * padding]
    ids = torch.tensor([rows])
    mask = (ids != 1).long()
    tokens = used_tokens([np.array(rows, dtype=np.int32)], vocabulary=VOCABULARY)
    whole, small = tiny_encoder().eval(), tiny_encoder().eval()
    compact(small, tokens)
    renumbered = renumber(np.array(rows, dtype=np.int32), tokens, vocabulary=VOCABULARY)
    with torch.inference_mode():
        expected = whole(input_ids=ids, attention_mask=mask).last_hidden_state
        found = small(
            input_ids=torch.from_numpy(renumbered)[None].long(), attention_mask=mask
        ).last_hidden_state
    assert torch.equal(found, expected)
    assert word_embeddings(small).weight.shape == (len(tokens), 16)


def test_a_compact_embedding_is_of_the_kind_that_it_was(tmp_path: Path) -> None:
    """As EmbeddingGemma's, which multiplies the rows that it looks up by a number."""
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        layer_types=["full_attention"],
        use_bidirectional_attention=True,
        pad_token_id=0,
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    whole, small = (load_encoder(str(tmp_path)) for _ in range(2))
    compact(small, np.array([*range(8), 15, 33]))
    expected = whole(input_ids=torch.tensor([[2, 15, 33, 1]])).last_hidden_state
    found = small(input_ids=torch.tensor([[2, 8, 9, 1]])).last_hidden_state
    assert torch.equal(found, expected)
    assert word_embeddings(small).num_embeddings == 10
    assert word_embeddings(whole).num_embeddings == VOCABULARY


def test_a_head_fits_an_encoder_whose_embedding_is_none_of_pytorchs() -> None:
    """As I-BERT's, which knows no `embedding_dim`."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model("ibert", vocab_size=60, intermediate_size=24, **sizes)
    encoder = AutoModel.from_config(config)
    assert make_head(encoder, "classification", 3).dense.weight.shape == (16, 16)
    assert make_head(encoder, "mlm", 60).dense.weight.shape == (16, 16)


@pytest.mark.parametrize("kind", ["distilbert", "modernbert", "xlm-roberta"])
def test_dropout_that_is_asked_for_is_that_of_encoder_and_head(kind: str, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model(kind, vocab_size=60, intermediate_size=24, **sizes)
    if kind == "distilbert":
        config.dim, config.n_heads, config.n_layers, config.hidden_dim = 16, 2, 1, 24
    if kind == "modernbert":
        config.pad_token_id = 0
    AutoModel.from_config(config).save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path), dropout=0.25)
    head = make_head(encoder, "classification", 3, dropout=0.25)
    layers = [m for m in (*encoder.modules(), *head.modules()) if isinstance(m, nn.Dropout)]
    assert len(layers) >= 3
    assert {layer.p for layer in layers} == {0.25}
    assert make_head(encoder, "classification", 3).dropout.p == (
        0.25 if kind == "xlm-roberta" else 0.1
    )
