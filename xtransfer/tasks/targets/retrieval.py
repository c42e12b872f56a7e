"""Targets that find a sentence, a passage or an entity: Tatoeba, BUCC 2018, LAReQA, Mewsli-X."""

from __future__ import annotations

from xtransfer.tasks.targets.tagging import PANX
from xtransfer.tasks.task import Size, Source, Split, Stage, Task

_DEV_AND_TEST: tuple[Split, ...] = ("dev", "test")

TATOEBA = Task(
    name="tatoeba",
    form="bitext",
    metric="accuracy",
    languages=tuple(code for code in PANX.languages if code not in {"en", "ms", "my", "yo"}),
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
)

BUCC2018 = Task(
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
)

LAREQA = Task(
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
)

MEWSLIX = Task(
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
)
