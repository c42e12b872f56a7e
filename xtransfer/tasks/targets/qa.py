"""Targets that find the answer to a question in a text: XQuAD, MLQA, TyDi QA."""

from __future__ import annotations

from xtransfer.tasks.task import Size, Source, Stage, Task

XQUAD = Task(
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
)

MLQA = Task(
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
)

TYDIQA = Task(
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
)
