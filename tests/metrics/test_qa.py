from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from xtransfer.data import read_examples
from xtransfer.data.examples import SpanExample
from xtransfer.metrics.qa import MLQA_LANGUAGES, mlqa, normalise, normalise_english, squad
from xtransfer.tasks import TASKS


def test_english_normalisation() -> None:
    assert normalise_english("  The  Cat's, A-Team (an THE) hat! ") == "cats ateam hat"
    # Only ASCII punctuation goes, in all languages, and articles only as whole words.
    assert normalise_english("«Thé» — theatre") == "«thé» — theatre"


@pytest.mark.parametrize(
    ("answers", "prediction", "em", "f1"),
    [
        (["the Eiffel Tower"], "Eiffel tower!", 100, 100),
        # precision 1/2, recall 1/1
        (["Paris"], "Paris France", 0, 200 / 3),
        # Words are counted as often as both have them: 2 of 3 found, 2 of 2 wanted.
        (["new new"], "new new york", 0, 80),
        # The best of several answers counts, for each of the two scores.
        (["1889", "in the year 1889"], "year 1889", 0, 80),
        (["blue"], "red", 0, 0),
        # evaluate-v1.1.py: both empty once normalised is an exact match without a common word.
        (["The"], "a", 100, 0),
        # Without acceptable answers the answer is the empty one, as in the label file of a submission.
        ([], "", 100, 0),
        ([], "the", 100, 0),
        ([], "blue", 0, 0),
    ],
)
def test_squad_cases_worked_by_hand(
    answers: list[str], prediction: str, em: float, f1: float
) -> None:
    found = squad([answers], [prediction])
    assert found == pytest.approx({"em": em, "f1": f1, "qa": (em + f1) / 2})


@pytest.mark.parametrize("prediction", ["", "the", "blue"])
@pytest.mark.parametrize("language", [None, *MLQA_LANGUAGES])
def test_no_answer_scores_as_the_empty_answer_that_a_label_file_has(
    language: str | None, prediction: str
) -> None:
    metric = squad if language is None else partial(mlqa, language=language)
    assert metric([[]], [prediction]) == metric([[""]], [prediction])


def test_squad_is_a_mean_over_questions() -> None:
    found = squad([["Paris"], ["Rome"]], ["Paris", "Milan"])
    assert found == {"em": 50.0, "f1": 50.0, "qa": 50.0}


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("en", "The «Cat» — an-hat", "cat anhat"),
        ("es", "¿La casa de los Reyes?", "casa de reyes"),
        ("de", "Der Turm, dem Haus", "turm haus"),
        ("vi", "cái nhà của tôi", "nhà tôi"),
        ("hi", "भारत।", "भारत"),
        ("zh", "1889年，巴黎 tower", "1889 年 巴 黎 tower"),
        ("ar", "البيت", "بيت"),
    ],
)
def test_normalisation_by_language(language: str, text: str, normal: str) -> None:
    assert normalise(text, language=language) == normal


def test_mlqa_scores_chinese_by_character() -> None:
    # 2 of 3 characters found, 2 of 2 wanted.
    assert mlqa([["巴黎"]], ["巴黎市"], language="zh") == pytest.approx(
        {"em": 0.0, "f1": 80.0, "mlqa": 40.0}
    )
    assert squad([["巴黎"]], ["巴黎市"])["f1"] == 0.0


# em and f1 that mlqa_evaluation_v1.py gives to each first answer with up to 4 characters of its
# context on either side, on the dev set with questions and contexts in one language.
MLQA_WIDE = {
    "en": (0.9581881533101045, 68.10435692288),
    "es": (3.2, 70.68039166040869),
    "de": (4.296875, 68.97311035431977),
    "ar": (0.38684719535783363, 67.42266277992238),
    "hi": (0.19723865877712032, 66.99379127647559),
    "vi": (1.5655577299412915, 72.15666200550119),
    "zh": (0.0, 56.183173193465294),
}
MLQA_SIZES = {"en": 1_148, "es": 500, "de": 512, "ar": 517, "hi": 507, "vi": 511, "zh": 504}


@pytest.mark.parametrize("language", MLQA_WIDE)
def test_mlqa_scores_its_dev_sets_as_the_official_evaluator(
    language: str, shared_data: Path
) -> None:
    found = read_examples(TASKS["mlqa"], split="dev", language=language, root=shared_data)
    examples = [example for example in found.examples if isinstance(example, SpanExample)]
    assert len(examples) == MLQA_SIZES[language]
    gold = [[text for text, _ in example.answers] for example in examples]
    wide = [
        example.context[max(0, start - 4) : start + len(text) + 4]
        for example in examples
        for text, start in example.answers[:1]
    ]
    scores = mlqa(gold, wide, language=language)
    assert (scores["em"], scores["f1"]) == pytest.approx(MLQA_WIDE[language], abs=1e-9)


def test_mlqa_knows_seven_languages() -> None:
    with pytest.raises(ValueError, match="no rules for language 'fr'"):
        mlqa([["a"]], ["a"], language="fr")
