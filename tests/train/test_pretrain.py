from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel, AutoTokenizer

from xtransfer.config.pretraining import Objective, PretrainSpec
from xtransfer.data.synthetic import Sizes, World, write_world
from xtransfer.errors import DataError
from xtransfer.train.pretrain import (
    IGNORED,
    MASK,
    PAD,
    SPECIAL_TOKENS,
    Corpus,
    mask_tokens,
    pretrain,
    ranking_loss,
    read_corpus,
    train_tokenizer,
)

SPEC = PretrainSpec(
    vocabulary=600,
    layers=2,
    width=32,
    heads=2,
    ranking_layer=2,
    steps=30,
    batch_size=16,
    learning_rate=4e-3,
    report_every=10,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("world")
    sizes = Sizes(
        text=150, parallel=100, pair_train=3, pair_dev=3, pair_test=3, span_train=1, span_dev=1,
        span_test=1, tagging_train=1, tagging_dev=1, tagging_test=1, choice_train=1, choice_dev=1,
        bitext=1,
    )  # fmt: skip
    write_world(World(sizes=sizes), folder)
    return read_corpus(folder / "text")


@pytest.fixture(scope="module")
def trained(
    corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, float]]]:
    facts: list[dict[str, float]] = []
    folder = tmp_path_factory.mktemp("encoder")
    pretrain(corpus, folder, spec=SPEC, report=lambda row: facts.append(dict(row)))
    return folder, facts


def load(folder: Path) -> tuple[Any, Any]:
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def test_corpus_has_the_text_and_the_pairs_of_every_language(corpus: Corpus) -> None:
    assert len(corpus.text) == 5 * 150
    assert len(corpus.pairs) == 4 * 100


def test_loss_falls_and_progress_is_reported(
    trained: tuple[Path, list[dict[str, float]]],
) -> None:
    _, facts = trained
    assert [row["step"] for row in facts] == [10, 20, 30]
    assert facts[-1]["loss"] < facts[0]["loss"] - 0.3
    assert all(row["examples_per_second"] > 0 for row in facts)


def test_folder_holds_the_encoder_that_was_trained(
    trained: tuple[Path, list[dict[str, float]]], corpus: Corpus, tmp_path: Path
) -> None:
    folder, _ = trained
    again = pretrain(corpus, tmp_path, spec=SPEC, report=lambda _: None)
    states: list[torch.Tensor] = []
    for where in (folder, again):
        model, tokenizer = load(where)
        batch = tokenizer(list(corpus.text[:8]), padding=True, return_tensors="pt")
        with torch.no_grad():
            states.append(
                model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
            )
    assert states[0].std() > 0.1
    assert torch.equal(*states)
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names == {path.name for path in folder.iterdir()}


def test_seed_changes_the_weights(
    trained: tuple[Path, list[dict[str, float]]], corpus: Corpus, tmp_path: Path
) -> None:
    spec = SPEC.model_copy(update={"seed": 1, "steps": 1})
    other, _ = load(pretrain(corpus, tmp_path, spec=spec, report=lambda _: None))
    first, _ = load(trained[0])
    weights = [m.embeddings.word_embeddings.weight for m in (first, other)]
    assert weights[0].shape == weights[1].shape
    assert not torch.allclose(*weights, atol=0.01)


def test_random_state_of_the_caller_is_left_alone(corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    pretrain(corpus, tmp_path, spec=SPEC.model_copy(update={"steps": 1}), report=lambda _: None)
    assert torch.equal(torch.rand(3), expected)


def test_tokenizer_survives_saving_and_frames_input_as_xlm_r_does(
    trained: tuple[Path, list[dict[str, float]]], corpus: Corpus
) -> None:
    _, saved = load(trained[0])
    fresh = train_tokenizer(corpus, SPEC)
    lines = list(corpus.text[::100])
    assert saved(lines)["input_ids"] == fresh(lines)["input_ids"]
    tokens = saved.convert_ids_to_tokens(saved("the dog", "a cat?")["input_ids"])
    assert tokens[0] == "<s>"
    assert tokens[-1] == "</s>"
    first = tokens.index("</s>")
    assert tokens[first : first + 2] == ["</s>", "</s>"]
    assert saved.pad_token_id == PAD
    assert saved.mask_token_id == MASK
    assert saved.convert_ids_to_tokens(list(range(5))) == list(SPECIAL_TOKENS)
    assert saved.decode(saved("the big dog.")["input_ids"], skip_special_tokens=True).startswith(
        "the big dog"
    )


def test_tokenizer_keeps_words_apart(trained: tuple[Path, list[dict[str, float]]]) -> None:
    _, tokenizer = load(trained[0])
    encoded = tokenizer(["the", "dog", "sees", "."], is_split_into_words=True)
    assert sorted({i for i in encoded.word_ids() if i is not None}) == [0, 1, 2, 3]


def test_masks_follow_the_80_10_10_rule() -> None:
    torch.manual_seed(0)
    vocabulary = 1000
    ids = torch.randint(len(SPECIAL_TOKENS), vocabulary, (200, 100))
    ids[:, 0], ids[:, -1] = 0, PAD
    masked, gold = mask_tokens(ids, share=0.15, vocabulary=vocabulary)
    chosen = gold != IGNORED
    assert not chosen[:, [0, -1]].any()
    assert chosen[:, 1:-1].float().mean() == pytest.approx(0.15, abs=0.01)
    assert torch.equal(gold[chosen], ids[chosen])
    assert torch.equal(masked[~chosen], ids[~chosen])
    assert (masked[chosen] == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (masked[chosen] == ids[chosen]).float().mean() == pytest.approx(0.1, abs=0.02)


def test_ranking_loss_is_low_when_translations_are_nearest() -> None:
    pairs, width = 4, 8
    sides = torch.eye(width)[:pairs].repeat_interleave(2, 0).unsqueeze(1)
    states = torch.cat([sides, torch.full_like(sides, 9.0)], 1)
    present = torch.tensor([[True, False]] * 2 * pairs)
    aligned = ranking_loss(states, present, temperature=0.1)
    assert aligned == pytest.approx(torch.log1p(torch.tensor(3 * torch.e**-10)).item(), abs=1e-6)
    assert ranking_loss(states.roll(1, 0), present, temperature=0.1) > 5


def test_corpus_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \*.txt file"):
        read_corpus(tmp_path)
    (tmp_path / "en.txt").write_text("the dog sleeps.\n")
    (tmp_path / "qa-en.tsv").write_text("one\ttwo\n\none column\n")
    with pytest.raises(DataError, match=r"qa-en.tsv:3: 1 column"):
        read_corpus(tmp_path)


PARAGRAPHS = tuple(f"a word, and word {number}" for number in range(8))
PAIRS = tuple(zip(PARAGRAPHS, reversed(PARAGRAPHS), strict=True))


@pytest.mark.parametrize(
    ("objectives", "pairs", "what"),
    [
        (
            ("text", "ranking"),
            PAIRS[:1],
            r"'ranking': has 1 translation pair\(s\) in \*.tsv, and needs 2",
        ),
        (("ranking",), (), "'ranking': has 0 translation"),
        (("concat",), (), "'concat': has 0 translation"),
    ],
)
def test_a_corpus_with_too_little_for_an_objective_is_refused(
    tmp_path: Path, objectives: tuple[Objective, ...], pairs: tuple[tuple[str, str], ...], what: str
) -> None:
    spec = SPEC.model_copy(update={"objectives": objectives, "steps": 2})
    corpus = Corpus(text=PARAGRAPHS, pairs=pairs)
    with pytest.raises(DataError, match=what):
        pretrain(corpus, tmp_path, spec=spec, report=lambda _: None)


def test_text_alone_needs_no_pairs(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"objectives": ("text",), "steps": 2})
    folder = pretrain(Corpus(text=PARAGRAPHS, pairs=()), tmp_path, spec=spec, report=lambda _: None)
    assert (folder / "model.safetensors").is_file()


def test_settings_that_make_no_batch_are_refused() -> None:
    with pytest.raises(ValidationError, match="`neighbours` 2 do not fit into a `batch_size` of 1"):
        PretrainSpec(batch_size=1)
    assert PretrainSpec(batch_size=1, neighbours=1).batch_size == 1
    assert PretrainSpec(batch_size=1, objectives=("text",)).neighbours == 2
    with pytest.raises(ValidationError, match="objectives"):
        PretrainSpec(objectives=())
