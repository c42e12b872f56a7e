"""The target tasks of XTREME and XTREME-R.

Epochs, batch sizes and lengths of the stages are those of jiant's X-STILTs scripts and of XTREME's own
(SPEC, phase 2). Files default to the layout in which XTREME prepares them, but Tatoeba to LASER's:
XTREME sorts the English side, so that its two files are no longer parallel.
"""

from __future__ import annotations

from xtransfer.tasks.intermediate import NLI
from xtransfer.tasks.task import Size, Source, Split, Stage, Task

UPOS = tuple(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
)
"""The 17 universal parts of speech of Universal Dependencies v2."""

_DEV_AND_TEST: tuple[Split, ...] = ("dev", "test")
_PAIR_TSV = {"text_a": "0", "text_b": "1", "label": "2"}
_XPANX = tuple(
    "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th "
    "sw yo my zh kk tr et fi hu".split()
)

TARGETS = (
    Task(
        name="xnli",
        form="classification",
        metric="accuracy",
        labels=NLI,
        languages=tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
        source=Source(
            format="tsv",
            files={"dev": ("xnli/dev-{lang}.tsv",), "test": ("xnli/test-{lang}.tsv",)},
            columns=_PAIR_TSV,
            labels={"contradictory": "contradiction"},
        ),
        stages=(Stage(task="mnli", epochs=2, batch_size=32, max_length=256),),
        max_length=256,
        group="classification",
        benchmark="xtreme",
        size=Size(
            examples={"dev": {"*": 2490}, "test": {"*": 5010}},
            source="counted in the published files",
        ),
        note="CC BY-NC 4.0. XTREME's own test files carry no labels: bring labelled ones.",
    ),
    Task(
        name="xquad",
        form="span",
        metric="qa",
        languages=tuple("en es de el ru tr ar vi th zh hi".split()),
        more_languages=("ro",),
        source=Source(format="squad", files={"test": ("xquad/xquad.{lang}.json",)}),
        stages=(Stage(task="squad_v1", epochs=2, batch_size=16, max_length=384),),
        max_length=384,
        group="qa",
        benchmark="xtreme",
        single_labelled_split=True,
        size=Size(examples={"test": {"*": 1190}}, source="counted in the published files"),
        note="CC BY-SA 4.0. Its paragraphs are in SQuAD v1.1 dev, on which models are selected.",
    ),
    Task(
        name="udpos",
        form="tagging",
        metric="xtreme_f1",
        labels=UPOS,
        languages=tuple(
            "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr "
            "ur vi yo zh".split()
        ),
        more_languages=tuple("lt pl uk wo ro".split()),
        source=Source(
            format="conll",
            files={
                "train": ("udpos/train-{lang}.tsv",),
                "dev": ("udpos/dev-{lang}.tsv",),
                "test": ("udpos/test-{lang}.tsv",),
            },
            # A range of words or an empty node has no part of speech of its own. None of XTREME's
            # files has one left; a user's conversion may.
            skip_labels=("_",),
        ),
        stages=(Stage(task="udpos", epochs=10, batch_size=32, max_length=256),),
        max_length=256,
        group="tagging",
        benchmark="xtreme",
        size=Size(
            examples={
                "train": {"en": 21_253},
                "dev": {"en": 3974},
                "test": {
                    "af": 425,
                    "ar": 1680,
                    "bg": 1116,
                    "de": 20_436,
                    "el": 456,
                    "en": 5440,
                    "es": 3147,
                    "et": 3760,
                    "eu": 1799,
                    "fa": 600,
                    "fi": 4422,
                    "fr": 5009,
                    "he": 491,
                    "hi": 2684,
                    "hu": 449,
                    "id": 1557,
                    "it": 3518,
                    "ja": 2372,
                    "kk": 1047,
                    "ko": 4276,
                    "lt": 739,
                    "mr": 47,
                    "nl": 1471,
                    "pl": 4942,
                    "pt": 2681,
                    "ro": 2272,
                    "ru": 8976,
                    "ta": 120,
                    "te": 146,
                    "th": 1000,
                    "tl": 55,
                    "tr": 4785,
                    "uk": 892,
                    "ur": 535,
                    "vi": 800,
                    "wo": 470,
                    "yo": 100,
                    "zh": 3455,
                },
            },
            source="counted in the published files; de by Hu et al. 2020, table 1, unverified",
        ),
        note="Each treebank has its own licence, most CC BY-SA or CC BY-NC-SA.",
    ),
    Task(
        name="tatoeba",
        form="bitext",
        metric="accuracy",
        languages=tuple(code for code in _XPANX if code not in {"en", "ms", "my", "yo"}),
        more_languages=tuple("az lt pl uk ro".split()),
        source=Source(
            format="bitext",
            files={
                "test": (
                    "tatoeba/tatoeba.{lang3}-eng.{lang3}",
                    "tatoeba/tatoeba.{lang3}-eng.eng",
                )
            },
        ),
        stages=(),
        max_length=512,
        group="retrieval",
        benchmark="xtreme",
        single_labelled_split=True,
        size=Size(
            examples={
                "test": {
                    "*": 2000,
                    "jv": 410,
                    "ml": 1374,
                    "ta": 614,
                    "te": 468,
                    "ka": 1492,
                    "th": 1096,
                    "sw": 780,
                    "kk": 1150,
                }
            },
            source="counted in the published files, two sentences a pair",
        ),
        note="CC BY 2.0 FR. Take LASER's files: XTREME sorts the English side.",
    ),
    Task(
        name="pawsx",
        form="classification",
        metric="accuracy",
        labels=("0", "1"),
        languages=tuple("de en es fr ja ko zh".split()),
        source=Source(
            format="tsv",
            files={
                "train": ("pawsx/train-{lang}.tsv",),
                "dev": ("pawsx/dev-{lang}.tsv",),
                "test": ("pawsx/test-{lang}.tsv",),
            },
            columns=_PAIR_TSV,
        ),
        stages=(Stage(task="pawsx", epochs=5, batch_size=32, max_length=256),),
        max_length=256,
        group="classification",
        benchmark="xtreme",
        size=Size(
            examples={"train": {"*": 49_401}, "dev": {"*": 2000}, "test": {"*": 2000}},
            source="Yang et al. 2019",
        ),
    ),
    Task(
        name="panx",
        form="tagging",
        metric="span_f1",
        labels=("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"),
        languages=_XPANX,
        more_languages=tuple("qu pl uk az lt pa gu ro".split()),
        source=Source(
            format="conll",
            files={
                "train": ("panx/train-{lang}.tsv",),
                "dev": ("panx/dev-{lang}.tsv",),
                "test": ("panx/test-{lang}.tsv",),
            },
        ),
        stages=(Stage(task="panx", epochs=10, batch_size=32, max_length=256),),
        max_length=256,
        group="tagging",
        benchmark="xtreme",
        size=Size(
            examples={"train": {"en": 20_000}, "dev": {"en": 10_000}},
            source="counted in the published files",
        ),
        note="XTREME's own test files carry no labels: bring labelled ones, or measure on dev.",
    ),
    Task(
        name="mlqa",
        form="span",
        metric="mlqa",
        languages=tuple("en es de ar hi vi zh".split()),
        source=Source(
            format="squad",
            files={
                "dev": ("mlqa/MLQA_V1/dev/dev-context-{lang}-question-{lang}.json",),
                "test": ("mlqa/MLQA_V1/test/test-context-{lang}-question-{lang}.json",),
            },
        ),
        stages=(Stage(task="squad_v1", epochs=2, batch_size=16, max_length=384),),
        max_length=384,
        group="qa",
        benchmark="xtreme",
        size=Size(
            examples={
                "dev": {
                    "en": 1148,
                    "de": 512,
                    "es": 500,
                    "ar": 517,
                    "hi": 507,
                    "vi": 511,
                    "zh": 504,
                },
                "test": {
                    "en": 11_590,
                    "de": 4517,
                    "es": 5253,
                    "ar": 5335,
                    "hi": 4918,
                    "vi": 5495,
                    "zh": 5137,
                },
            },
            source="dev counted; test by Lewis et al. 2020, unverified",
        ),
        note="CC BY-SA 3.0. Question and context are in the same language.",
    ),
    Task(
        name="tydiqa",
        form="span",
        metric="qa",
        languages=tuple("en ar bn fi id ko ru sw te".split()),
        source=Source(
            format="squad",
            files={
                "train": ("tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{lang}.train.json",),
                "dev": ("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json",),
                "test": ("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json",),
            },
        ),
        stages=(Stage(task="tydiqa", epochs=2, batch_size=16, max_length=384),),
        max_length=384,
        group="qa",
        benchmark="xtreme",
        single_labelled_split=True,
        size=Size(
            examples={
                "train": {"en": 3696},
                "dev": {
                    "en": 440,
                    "ar": 921,
                    "bn": 113,
                    "fi": 782,
                    "id": 565,
                    "ko": 276,
                    "ru": 812,
                    "sw": 499,
                    "te": 669,
                },
                "test": {
                    "en": 440,
                    "ar": 921,
                    "bn": 113,
                    "fi": 782,
                    "id": 565,
                    "ko": 276,
                    "ru": 812,
                    "sw": 499,
                    "te": 669,
                },
            },
            source="counted in the published files",
        ),
        note="Apache-2.0. One labelled split: the English dev set is part of the test set.",
    ),
    Task(
        name="xcopa",
        form="choice",
        metric="accuracy",
        labels=("0", "1"),
        languages=tuple("et ht id it qu sw ta th tr vi zh".split()),
        source=Source(
            format="jsonl",
            files={"dev": ("xcopa/val-{lang}.jsonl",), "test": ("xcopa/test-{lang}.jsonl",)},
            columns={
                "context": "premise",
                # The words of XTREME's run_xcopa.py, English in every language.
                "question": "What was the {question}?",
                "choices": "choice1,choice2",
                "label": "label",
            },
        ),
        stages=(
            Stage(task="socialiqa", epochs=5, batch_size=32, max_length=128),
            Stage(task="copa", epochs=5, batch_size=32, max_length=128),
        ),
        max_length=128,
        group="classification",
        benchmark="xtreme-r",
        size=Size(
            examples={"dev": {"*": 100}, "test": {"*": 500}},
            source="counted in the published files",
        ),
        note="CC BY 4.0.",
    ),
    Task(
        name="bucc2018",
        form="bitext",
        metric="f1",
        languages=tuple("de fr ru zh".split()),
        source=Source(
            format="mining",
            files={
                split: (
                    f"bucc2018/{{lang}}-en.{split}.{{lang}}",
                    f"bucc2018/{{lang}}-en.{split}.en",
                    f"bucc2018/{{lang}}-en.{split}.gold",
                )
                for split in _DEV_AND_TEST
            },
        ),
        stages=(),
        scoring="ratio",
        max_length=512,
        group="retrieval",
        benchmark="xtreme",
        note="BUCC 2018's own terms. XTREME's test sets have no gold pairs: bring labelled ones.",
    ),
    Task(
        name="lareqa",
        form="retrieval",
        metric="map20",
        languages=tuple("ar de el en es hi ru th tr vi zh".split()),
        source=Source(format="squad", files={"test": ("lareqa/xquad-r/{lang}.json",)}),
        # 256 is the length of a sentence with its paragraph; a question is cut at 96.
        stages=(Stage(task="squad_sentences", epochs=3, batch_size=16, max_length=256),),
        max_length=256,
        group="retrieval",
        benchmark="xtreme-r",
        single_labelled_split=True,
        note="CC BY-SA 4.0. Candidates of all languages together, so scores need all of them. Its "
        "paragraphs are in SQuAD v1.1 dev, on which models are selected.",
    ),
    Task(
        name="mewslix",
        form="retrieval",
        metric="mrr20",
        languages=tuple("ar de en es fa ja pl ro ta tr uk".split()),
        source=Source(
            format="mentions",
            files={
                "train": ("mewslix/wikipedia_pairs-train.jsonl",),
                "dev": ("mewslix/wikipedia_pairs-dev.jsonl",),
                "test": ("mewslix/wikinews_mentions/test-{lang}.jsonl",),
                "pool": ("mewslix/candidate_set_entities.jsonl",),
            },
        ),
        stages=(Stage(task="mewslix", epochs=2, batch_size=32, max_length=64),),
        max_length=64,
        group="retrieval",
        benchmark="xtreme-r",
        note="XTREME-R names its mean reciprocal rank at 20 map@20, and takes the labels off the test "
        "set: bring Mewsli-X's own, or a file of labels.",
    ),
)
