from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.tiny import DROPPED, WORDS, rows_of, tiny_tokenizer
from xtransfer.data.examples import TaggingExample
from xtransfer.forms import tagging
from xtransfer.forms.encoding import IGNORED, Encoded

LABELS = ("DET", "NOUN", "VERB")
KNOWN = {"words with an unknown tag": 0}


def sentence(*words: str, tags: tuple[str, ...] | None = None) -> TaggingExample:
    default = tuple(LABELS[at % 3] for at in range(len(words)))
    return TaggingExample(id="1", tokens=words, tags=default if tags is None else tags)


def encode(*examples: TaggingExample, max_length: int = 32) -> Encoded:
    return tagging.encode(
        examples, tiny_tokenizer(), labels=LABELS, max_length=max_length, stride=0
    )


def oracle(encoded: Encoded) -> list[torch.Tensor]:
    """Return logits that are sure of the labels; where there is none, of a wrong one."""
    return [
        torch.nn.functional.one_hot(
            torch.tensor([2 if label == IGNORED else label for label in labels]), 3
        ).float()
        for labels in encoded.columns["labels"]
    ]


def decoded(examples: list[TaggingExample], encoded: Encoded) -> list[list[str]]:
    described = [tagging.describe(each) for each in examples]
    return tagging.decode(oracle(encoded), rows_of(encoded), described, LABELS)


def test_a_word_is_labelled_at_its_first_subword() -> None:
    encoded = encode(sentence("the", "zoo", "ran"))
    tokens = tiny_tokenizer().convert_ids_to_tokens(encoded.columns["input_ids"][0])
    assert tokens == ["<s>", "▁the", "▁", "z", "o", "o", "▁ran", "</s>"]
    assert encoded.columns["labels"] == [[IGNORED, 0, 1, IGNORED, IGNORED, IGNORED, 2, IGNORED]]
    assert encoded.columns["words"] == [[1, 2, 6]]
    assert encoded.columns["weight"] == [3]


def test_a_tag_that_is_no_label_takes_no_part_in_the_loss_and_stays_in_the_gold() -> None:
    each = sentence("the", "cat", "sat", tags=("DET", "ADV", "VERB"))
    encoded = encode(each)
    assert encoded.columns["labels"] == [[IGNORED, 0, IGNORED, 2, IGNORED]]
    assert encoded.columns["weight"] == [2]
    assert encoded.counts["words with an unknown tag"] == 1
    assert tagging.describe(each)["gold"] == ["DET", "ADV", "VERB"]
    assert decoded([each], encoded)[0][1] in LABELS


def _byte_level() -> Tokenizer:
    """Return byte-level BPE without a space before a text, as RoBERTa's and ModernBERT's is."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: at for at, token in enumerate(("<unk>", *letters, "Ġs", "Ġsa", "Ġsat"))}
    merges = [("Ġ", "s"), ("Ġs", "a"), ("Ġsa", "t")]
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return inner


def _spaces_replaced() -> Tokenizer:
    """Return BPE that replaces each space and puts none before a text, as Gemma's and mmBERT's does."""
    letters = ("<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz")
    vocabulary = {token: at for at, token in enumerate((*letters, "▁s", "▁sa", "▁sat"))}
    merges = [("▁", "s"), ("▁s", "a"), ("▁sa", "t")]
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    inner.normalizer = normalizers.Replace(" ", "▁")
    return inner


@pytest.mark.parametrize("make", [_byte_level, _spaces_replaced, None])
def test_words_have_the_tokens_that_they_have_in_a_text(
    make: Callable[[], Tokenizer] | None,
) -> None:
    tokenizer = tiny_tokenizer()
    if make is not None:
        inner = make()
        inner.add_special_tokens(["<s>", "</s>"])
        ends = [(name, inner.token_to_id(name)) for name in ("<s>", "</s>")]
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A $B </s>", special_tokens=ends
        )
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    found = tagging.encode(
        [sentence("cat", "sat", "zoo")], tokenizer, labels=LABELS, max_length=32, stride=0
    )
    ids = found.columns["input_ids"][0]
    assert ids == tokenizer("cat sat zoo")["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokens[found.columns["words"][0][1]] in ("Ġsat", "▁sat")
    assert found.columns["weight"] == [3]


def test_a_word_that_the_tokenizer_drops_keeps_its_place() -> None:
    each = sentence("the", DROPPED, "cat")
    encoded = encode(each)
    unknown = tiny_tokenizer().unk_token_id
    assert encoded.columns["input_ids"][0][2] == unknown
    assert decoded([each], encoded) == [list(LABELS)]


def test_a_word_longer_than_a_row_is_cut_and_counted() -> None:
    each = sentence("the", "z" * 40, "cat")
    encoded = encode(each, max_length=16)
    assert encoded.counts == {"sentences split": 1, "words cut": 1, **KNOWN}
    assert [len(ids) for ids in encoded.columns["input_ids"]] == [3, 16, 3]
    assert decoded([each], encoded) == [list(LABELS)]


def test_a_sentence_that_fits_exactly_is_not_split() -> None:
    encoded = encode(sentence(*["cat"] * 14), max_length=16)
    assert encoded.counts == {"sentences split": 0, "words cut": 0, **KNOWN}
    assert len(encode(sentence(*["cat"] * 15), max_length=16).columns["input_ids"]) == 2


words = st.sampled_from([*WORDS, DROPPED, "zebra", "xyzzyxyzzy", "q.q", "Ω"])
sentences = st.lists(words, min_size=1, max_size=40).map(lambda found: sentence(*found))


@settings(max_examples=60)
@given(st.lists(sentences, min_size=1, max_size=4), st.integers(8, 24))
def test_splitting_keeps_every_word_and_the_oracle_gives_the_gold_tags(
    examples: list[TaggingExample], max_length: int
) -> None:
    encoded = encode(*examples, max_length=max_length)
    columns = encoded.columns
    for ids, labels, starts, weight in zip(
        columns["input_ids"], columns["labels"], columns["words"], columns["weight"], strict=True
    ):
        assert len(ids) == len(labels) <= max_length
        assert (ids[0], ids[-1]) == (0, 2)
        assert [at for at, label in enumerate(labels) if label != IGNORED] == starts
        assert weight == len(starts) > 0
    assert columns["example"] == sorted(columns["example"])
    counts = [0] * len(examples)
    for owner, starts in zip(columns["example"], columns["words"], strict=True):
        counts[owner] += len(starts)
    assert counts == [len(each.tokens) for each in examples]
    assert decoded(examples, encoded) == [list(each.tags or ()) for each in examples]


@settings(max_examples=30)
@given(sentences)
def test_rows_joined_are_the_sentence_as_one_row(each: TaggingExample) -> None:
    whole = encode(each, max_length=1000).columns["input_ids"]
    parts = encode(each, max_length=24).columns["input_ids"]
    assert [token for ids in parts for token in ids[1:-1]] == whole[0][1:-1]


def test_sentences_without_tags_can_be_tagged() -> None:
    each = TaggingExample(id="1", tokens=("the", "cat"), tags=None)
    encoded = encode(each)
    assert set(encoded.columns["labels"][0]) == {IGNORED}
    assert encoded.columns["words"] == [[1, 2]]
    assert tagging.describe(each) == {"id": "1", "gold": None}


def test_an_empty_sentence_is_a_row_without_words() -> None:
    each = TaggingExample(id="1", tokens=(), tags=())
    encoded = encode(each)
    assert encoded.columns["weight"] == [1]
    assert decoded([each], encoded) == [[]]


def test_the_loss_is_summed_over_words() -> None:
    encoded = encode(sentence("the", "zoo"), sentence("cat"))
    gold = tagging.gold_tensors(rows_of(encoded), [0, 1])
    assert gold["labels"].shape == (2, 7)
    logits = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    scores = logits.log_softmax(-1)
    expected = -(scores[0, 1, 0] + scores[0, 2, 1] + scores[1, 1, 0])
    assert tagging.loss(logits, gold).item() == pytest.approx(expected.item())


def test_the_head_scores_every_position() -> None:
    assert tagging.Head(8, 3, 0.1)(torch.zeros(2, 5, 8)).shape == (2, 5, 3)
