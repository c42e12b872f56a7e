from __future__ import annotations

import copy
import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from tests.tiny import DROPPED, WORDS, rows_of, tiny_tokenizer
from xtransfer.data.examples import SpanExample
from xtransfer.forms import span
from xtransfer.forms.encoding import Encoded
from xtransfer.tasks.task import NO_ANSWER

CONTEXT = "the old cat sat on the mat, the red dog ran near a river."


def example(
    context: str, answer: str, question: str = "who sat where?", *, id_: str = "q"
) -> SpanExample:
    return SpanExample(
        id=id_, question=question, context=context, answers=((answer, context.index(answer)),)
    )


def encode(*examples: SpanExample, max_length: int = 128, stride: int = 24) -> Encoded:
    return span.encode(examples, tiny_tokenizer(), labels=(), max_length=max_length, stride=stride)


def oracle(encoded: Encoded) -> list[torch.Tensor]:
    """Return logits that are sure of the labels, and of nothing where a window has no answer."""
    logits: list[torch.Tensor] = []
    for ids, start, end in zip(
        encoded.columns["input_ids"], encoded.columns["start"], encoded.columns["end"], strict=True
    ):
        scores = torch.zeros(len(ids), 2)
        scores[start, 0] = scores[end, 1] = 10.0
        logits.append(scores)
    return logits


def decoded(examples: list[SpanExample], encoded: Encoded) -> list[str]:
    described = [span.describe(each) for each in examples]
    return span.decode(oracle(encoded), rows_of(encoded), described, ())


@pytest.mark.parametrize(
    "answer", ["the", "cat", "mat", "the red dog", "river", "the mat, the red"]
)
def test_an_answer_is_found_at_its_characters(answer: str) -> None:
    each = example(CONTEXT, answer)
    encoded = encode(each)
    assert decoded([each], encoded) == [answer]
    text = tiny_tokenizer().decode(
        encoded.columns["input_ids"][0][encoded.columns["start"][0] : encoded.columns["end"][0] + 1]
    )
    assert text.replace(" ", "") == answer.replace(" ", "")


def test_the_second_of_two_equal_texts_is_not_taken_for_the_first() -> None:
    first = SpanExample(id="1", question="who", context=CONTEXT, answers=(("the", 0),))
    second = SpanExample(
        id="2", question="who", context=CONTEXT, answers=(("the", CONTEXT.index("the mat")),)
    )
    starts = encode(first, second).columns["start"]
    assert starts[0] < starts[1]


def test_an_answer_inside_a_token_is_the_token() -> None:
    each = SpanExample(id="1", question="who", context="the river", answers=(("ive", 5),))
    assert decoded([each], encode(each)) == ["river"]


def test_a_question_without_an_answer_points_to_the_first_token() -> None:
    encoded = encode(SpanExample(id="1", question="who", context=CONTEXT, answers=()))
    assert encoded.columns["start"] == encoded.columns["end"] == [0]


@pytest.mark.parametrize("context", ["", DROPPED])
def test_a_context_without_tokens_has_the_empty_answer(context: str) -> None:
    each = SpanExample(id="1", question="who", context=context, answers=())
    encoded = encode(each)
    assert encoded.columns["context"] == [[0, 0]]
    assert decoded([each], encoded) == [""]


@st.composite
def long_examples(draw: st.DrawFn) -> SpanExample:
    words = draw(st.lists(st.sampled_from(WORDS), min_size=130, max_size=260))
    first = draw(st.integers(0, len(words) - 1))
    count = draw(st.integers(1, 12))
    context = " ".join(words)
    begin = len(" ".join([*words[:first], ""]))
    answer = " ".join(words[first : first + count])
    return SpanExample(id="1", question="where", context=context, answers=((answer, begin),))


@settings(max_examples=30)
@given(long_examples(), st.integers(100, 128), st.integers(16, 128))
def test_an_overlong_context_is_windowed_and_nothing_of_it_is_lost(
    each: SpanExample, max_length: int, stride: int
) -> None:
    encoded = encode(each, max_length=max_length, stride=stride)
    question = tiny_tokenizer()(each.question, add_special_tokens=False)["input_ids"]
    room = max_length - len(question) - 4  # <s> question </s></s> context </s>
    step = min(stride, room - span.MAX_ANSWER)
    windows = [
        list(zip(offsets[::2], offsets[1::2], strict=True))
        for offsets in encoded.columns["offsets"]
    ]
    assert encoded.counts["contexts windowed"] == 1
    assert len(windows) > 1
    assert all(len(ids) <= max_length for ids in encoded.columns["input_ids"])
    assert all(len(window) == room for window in windows[:-1])
    for before, after in itertools.pairwise(windows):
        assert before[step:] == after[: room - step]
    whole = tiny_tokenizer()(
        each.context, add_special_tokens=False, return_offsets_mapping=True
    ).offset_mapping
    assert windows[0] + [pair for window in windows[1:] for pair in window[room - step :]] == whole
    # No answer here is longer than what windows share, so one at least has all of it.
    assert any(encoded.columns["start"])
    assert decoded([each], encoded) == [each.answers[0][0]]


def test_windows_begin_a_stride_apart_whatever_the_length_of_the_question() -> None:
    context = " ".join(["the", "cat"] * 350)
    asked = [example(context, "cat", question="who" + " cat" * more) for more in (0, 11, 3)]
    encoded = encode(*asked, max_length=384, stride=128)
    begins: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for owner, offsets in zip(encoded.columns["example"], encoded.columns["offsets"], strict=True):
        begins[owner].append(len(context[: offsets[0]].split()))
    # As XTREME's windows of 384 tokens begin: until one holds the end of 700 tokens.
    assert begins == {0: [0, 128, 256, 384], 1: [0, 128, 256, 384], 2: [0, 128, 256, 384]}
    assert encoded.columns["example"] == sorted(encoded.columns["example"])


@pytest.mark.parametrize("end", ["", " now"])
@pytest.mark.parametrize("answer", ["cafe\u0301", "\u1112\u1161\u11ab"])  # é, and han in Hangul
def test_what_makes_one_character_belongs_to_the_letter_before_it(answer: str, end: str) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())  # which others share
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    each = example(f"the drink is {answer}{end}", answer)
    encoded = span.encode([each], tokenizer, labels=(), max_length=128, stride=128)
    assert encoded.counts["answers whole in no window"] == 0
    assert decoded([each], encoded) == [answer]


@settings(max_examples=30)
@given(long_examples())
def test_a_window_is_labelled_only_if_it_has_the_whole_answer(each: SpanExample) -> None:
    encoded = encode(each, max_length=100, stride=0)
    text, begin = each.answers[0]
    for start, end, offsets in zip(
        encoded.columns["start"], encoded.columns["end"], encoded.columns["offsets"], strict=True
    ):
        inside = offsets[0] <= begin and begin + len(text) <= offsets[-1]
        assert (start > 0) == (end > 0) == inside


def sure_of(rows: Encoded, *scores: tuple[float, float]) -> list[torch.Tensor]:
    """Return logits of each window: (null answer, first word of the paragraph), 0 elsewhere."""
    logits: list[torch.Tensor] = []
    for ids, context, (null, word) in zip(
        rows.columns["input_ids"], rows.columns["context"], scores, strict=True
    ):
        window = torch.zeros(len(ids), 2)
        window[0] = null / 2
        window[context[0]] = word / 2
        logits.append(window)
    return logits


def test_where_there_may_be_no_answer_the_odds_of_that_stand_beside_the_best_one() -> None:
    each = example(CONTEXT, "cat")
    encoded = encode(each)
    for null, word, odds in ((6.0, 2.0, 4.0), (1.0, 2.5, -1.5)):
        (found,) = span.decode(
            sure_of(encoded, (null, word)), rows_of(encoded), [span.describe(each)], (NO_ANSWER,)
        )
        assert found == {"text": "the", "null_odds": odds}
    assert decoded([each], encoded) == ["cat"]


def test_the_window_least_sure_of_no_answer_speaks_for_all() -> None:
    each = example(" ".join([*["the", "cat"] * 90, "dog"]), "dog")
    encoded = encode(each, max_length=100, stride=56)
    assert len(encoded.columns["input_ids"]) == 3
    scores = sure_of(encoded, (9.0, 1.0), (2.0, 5.0), (7.0, 3.0))
    (found,) = span.decode(scores, rows_of(encoded), [span.describe(each)], (NO_ANSWER,))
    assert found["null_odds"] == 2.0 - 5.0  # type: ignore[index]


def test_a_context_without_tokens_has_no_odds_but_an_empty_answer() -> None:
    each = SpanExample(id="1", question="who", context="", answers=())
    encoded = encode(each)
    (found,) = span.decode(oracle(encoded), rows_of(encoded), [span.describe(each)], (NO_ANSWER,))
    assert found == {"text": "", "null_odds": 0.0}


def test_windows_of_several_examples_are_told_apart() -> None:
    long = example(" ".join([*["the", "cat"] * 90, "dog"]), "dog", id_="long")
    short = example(CONTEXT, "red dog", id_="short")
    encoded = encode(long, short, max_length=100, stride=56)
    assert encoded.columns["example"] == [0, 0, 0, 1]
    assert encoded.counts["contexts windowed"] == 1
    assert decoded([long, short], encoded) == ["dog", "red dog"]


def test_an_overlong_question_is_cut_and_counted() -> None:
    encoded = encode(example(CONTEXT, "mat", question="the" + " the" * 69), max_length=160)
    assert encoded.counts["questions cut"] == 1
    assert encoded.columns["context"][0][0] == span.MAX_QUESTION + 3


def test_a_question_leaves_room_for_the_context_however_short_the_input() -> None:
    each = example(CONTEXT, "red dog", question="the" + " the" * 39)
    encoded = encode(each, max_length=32)
    assert encoded.counts["questions cut"] == 1
    assert max(len(ids) for ids in encoded.columns["input_ids"]) <= 32
    assert decoded([each], encoded) == ["red dog"]


def test_no_examples_are_no_rows() -> None:
    assert encode().columns["input_ids"] == []


@given(st.data(), st.integers(1, 60))
def test_the_best_span_is_that_of_trying_all(data: st.DataObject, length: int) -> None:
    scores = st.lists(st.integers(-50, 50), min_size=length, max_size=length)
    start, end = (np.array(data.draw(scores), dtype=np.float32) for _ in range(2))
    score, first, last = span.best_span(start, end)
    assert first <= last < min(length, first + span.MAX_ANSWER)
    assert score == start[first] + end[last]
    assert score == max(
        start[i] + end[j] for i in range(length) for j in range(i, min(length, i + 30))
    )


def test_the_loss_is_that_of_the_paragraph_and_the_null_answer_alone() -> None:
    logits = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0))
    batch = {
        "start": torch.tensor([4, 0]),
        "end": torch.tensor([5, 0]),
        "context": torch.tensor([[4, 8], [3, 6]]),
    }
    expected = 0.0
    for row, (start, end) in enumerate([(4, 5), (0, 0)]):
        first, last = batch["context"][row].tolist()
        allowed = [0, *range(first, last)]
        for side, gold in enumerate((start, end)):
            scores = logits[row, allowed, side].log_softmax(0)
            expected -= 0.5 * scores[allowed.index(gold)].item()
    assert span.loss(logits, batch).item() == pytest.approx(expected, rel=1e-6)
    outside = logits.clone()
    outside[:, 8] = 100.0
    assert torch.equal(span.loss(outside, batch), span.loss(logits, batch))


def test_gold_tensors_are_the_labels_of_the_chosen_rows() -> None:
    encoded = encode(*(example(CONTEXT, text) for text in ("cat", "mat", "river")))
    gold = span.gold_tensors(rows_of(encoded), [2, 0])
    assert gold["start"].tolist() == [encoded.columns["start"][at] for at in (2, 0)]
    assert gold["end"].tolist() == [encoded.columns["end"][at] for at in (2, 0)]
    assert gold["context"].tolist() == [encoded.columns["context"][at] for at in (2, 0)]


def test_the_head_scores_every_position_twice() -> None:
    assert span.Head(8, 0, 0.1)(torch.zeros(2, 5, 8)).shape == (2, 5, 2)


def test_rows_take_little_memory() -> None:
    """A list of Python's integers takes 36 bytes for each; SQuAD has 50 million tokens in three columns."""
    many = [example(" ".join(["the", "cat"] * 2000), "cat", id_=str(at)) for at in range(20)]
    encode(many[0])
    tracemalloc.start()
    encoded = encode(*many, max_length=384, stride=128)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tokens = sum(map(len, encoded.columns["input_ids"]))
    assert tokens > 200_000
    assert held / tokens < 16


def test_a_span_may_come_from_a_window_with_less_context_around_it() -> None:
    """Not as in run_squad, whose rule of most context lets a token begin an answer in one window alone."""
    each = example(" ".join(["the", "cat"] * 90), "cat")
    encoded = encode(each, max_length=100, stride=56)
    before, after = encoded.columns["offsets"][:2]
    shared = list(before[::2]).index(after[0])  # late in the first window, the second's first token
    word = each.context[after[0] : after[1]].strip()
    for window, place in ((0, shared), (1, 0)):
        logits = [torch.zeros(len(ids), 2) for ids in encoded.columns["input_ids"]]
        logits[window][encoded.columns["context"][window][0] + place] = 5.0
        found = span.decode(logits, rows_of(encoded), [span.describe(each)], ())
        assert found == [word]
