"""Targets that label words: parts of speech (UD-POS) and names (PAN-X)."""

from __future__ import annotations

from xtransfer.tasks.task import Size, Source, Stage, Task

UPOS = tuple(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
)
"""The 17 universal parts of speech of Universal Dependencies v2."""

UDPOS = Task(
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
)

PANX = Task(
    name="panx",
    form="tagging",
    metric="span_f1",
    labels=("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"),
    languages=tuple(
        "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th "
        "sw yo my zh kk tr et fi hu".split()
    ),
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
)
