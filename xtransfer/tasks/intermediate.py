"""The intermediate tasks of the study, and the tasks that only serve as a stage of a target.

Epochs and batch sizes are recalled from the study's paper and unverified: they were not read in a source.
So is the input length of 256 for sentence pairs and choices; 384 with stride 128 is known for squad_v2
only and taken for squad_v1 too. An experiment may change them all.
"""

from __future__ import annotations

from xtransfer.tasks.task import NO_ANSWER, Size, Source, Stage, Task

NLI = ("entailment", "neutral", "contradiction")

INTERMEDIATE = (
    Task(
        name="mnli",
        form="classification",
        metric="accuracy",
        labels=NLI,
        source=Source(
            format="jsonl",
            files={
                "train": ("mnli/multinli_1.0_train.jsonl",),
                "dev": ("mnli/multinli_1.0_dev_matched.jsonl",),
            },
            columns={"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"},
            skip_labels=("-",),
        ),
        as_intermediate=Stage(task="mnli", epochs=2, batch_size=24, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 392_702}, "dev": {"en": 9815}},
            source="Williams et al. 2018; dev_matched",
        ),
        note="Licences by genre: OANC, CC BY 3.0, CC BY-SA 3.0. Dev is dev_matched.",
    ),
    Task(
        name="squad_v1",
        form="span",
        metric="qa",
        source=Source(
            format="squad",
            files={"train": ("squad/train-v1.1.json",), "dev": ("squad/dev-v1.1.json",)},
        ),
        as_intermediate=Stage(task="squad_v1", epochs=3, batch_size=8, max_length=384),
        max_length=384,
        size=Size(
            examples={"train": {"en": 87_599}, "dev": {"en": 10_570}},
            source="Rajpurkar et al. 2016",
        ),
        note="CC BY-SA 4.0. The paragraphs of XQuAD and LAReQA are in its dev set.",
    ),
    Task(
        name="commonsenseqa",
        form="choice",
        metric="accuracy",
        labels=("A", "B", "C", "D", "E"),
        source=Source(
            format="jsonl",
            files={
                "train": ("commonsenseqa/train_rand_split.jsonl",),
                "dev": ("commonsenseqa/dev_rand_split.jsonl",),
                "test": ("commonsenseqa/test_rand_split_no_answers.jsonl",),
            },
            columns={
                "id": "id",
                "question": "question.stem",
                "choices": "question.choices[].text",
                "choice_labels": "question.choices[].label",
                "label": "answerKey",
            },
        ),
        as_intermediate=Stage(task="commonsenseqa", epochs=10, batch_size=4, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 9741}, "dev": {"en": 1221}},
            source="counted in the published files",
        ),
        note="MIT. The published test file has no answers.",
    ),
    Task(
        name="qqp",
        form="classification",
        metric="accuracy_and_f1",
        labels=("0", "1"),
        source=Source(
            format="tsv",
            header=True,
            files={"train": ("qqp/train.tsv",), "dev": ("qqp/dev.tsv",)},
            columns={"text_a": "question1", "text_b": "question2", "label": "is_duplicate"},
            skip_short_rows=True,
        ),
        as_intermediate=Stage(task="qqp", epochs=3, batch_size=24, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 363_846}, "dev": {"en": 40_430}},
            source="GLUE (Wang et al. 2019)",
        ),
        note="Quora terms of service: non-commercial use only.",
    ),
    Task(
        name="hellaswag",
        form="choice",
        metric="accuracy",
        labels=("0", "1", "2", "3"),
        source=Source(
            format="jsonl",
            files={
                "train": ("hellaswag/hellaswag_train.jsonl",),
                "dev": ("hellaswag/hellaswag_val.jsonl",),
            },
            columns={"context": "ctx", "choices": "endings", "label": "label"},
        ),
        as_intermediate=Stage(task="hellaswag", epochs=7, batch_size=24, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 39_905}, "dev": {"en": 10_042}}, source="Zellers et al. 2019"
        ),
        note="MIT.",
    ),
    Task(
        name="cosmosqa",
        form="choice",
        metric="accuracy",
        labels=("0", "1", "2", "3"),
        source=Source(
            format="csv",
            header=True,
            files={
                "train": ("cosmosqa/train.csv",),
                "dev": ("cosmosqa/valid.csv",),
                "test": ("cosmosqa/test.jsonl",),
            },
            columns={
                "id": "id",
                "context": "context",
                "question": "question",
                "choices": "answer0,answer1,answer2,answer3",
                "label": "label",
            },
        ),
        as_intermediate=Stage(task="cosmosqa", epochs=15, batch_size=4, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 25_262}, "dev": {"en": 2985}}, source="Huang et al. 2019"
        ),
        note="CC BY 4.0. The published test file has no answers.",
    ),
    Task(
        name="socialiqa",
        form="choice",
        metric="accuracy",
        labels=("1", "2", "3"),
        source=Source(
            format="jsonl",
            files={
                "train": ("socialiqa/train.jsonl", "socialiqa/train-labels.lst"),
                "dev": ("socialiqa/dev.jsonl", "socialiqa/dev-labels.lst"),
            },
            columns={
                "context": "context",
                "question": "question",
                "choices": "answerA,answerB,answerC",
                # Version 1.4, which XTREME takes, has the letter of the right answer in the row.
                "label": "label|correct",
            },
            labels={"A": "1", "B": "2", "C": "3"},
        ),
        max_length=128,
        size=Size(
            examples={"train": {"en": 33_410}, "dev": {"en": 1954}}, source="Sap et al. 2019"
        ),
        note="CC BY 4.0. First training stage of xcopa.",
    ),
    Task(
        name="copa",
        form="choice",
        metric="accuracy",
        labels=("0", "1"),
        source=Source(
            format="jsonl",
            files={"train": ("xcopa/train-en.jsonl",), "dev": ("xcopa/val-en.jsonl",)},
            columns={
                "context": "premise",
                # The words of XTREME's run_xcopa.py, English in every language.
                "question": "What was the {question}?",
                "choices": "choice1,choice2",
                "label": "label",
            },
        ),
        max_length=128,
        size=Size(
            examples={"train": {"en": 400}, "dev": {"en": 100}},
            source="counted in the published files",
        ),
        note="BSD-2. Second training stage of xcopa.",
    ),
    Task(
        name="text",
        form="mlm",
        metric="loss",
        source=Source(format="text", files={"train": ("text/{lang}.txt",)}),
        max_length=256,
        note="Any UTF-8 text, a paragraph a line: what an arm's `text` trains on.",
    ),
    Task(
        name="squad_sentences",
        form="retrieval",
        metric="map20",
        source=Source(
            format="squad",
            files={"train": ("squad/train-v1.1.json",), "dev": ("squad/dev-v1.1.json",)},
        ),
        max_length=256,
        note="CC BY-SA 4.0. SQuAD v1.1 as questions and sentences: training stage of lareqa.",
    ),
    Task(
        name="anli+",
        form="classification",
        metric="accuracy",
        labels=NLI,
        source=Source(
            format="jsonl",
            # Five data sets joined under one head: rows are drawn alike from all, which is sampling in
            # proportion to size. The dev sets are joined too, as the study counts them (22,857 rows):
            # the score is accuracy over all rows, where jiant averages over the five.
            files={
                "train": (
                    "snli/snli_1.0_train.jsonl",
                    "mnli/multinli_1.0_train.jsonl",
                    "anli/R1/train.jsonl",
                    "anli/R2/train.jsonl",
                    "anli/R3/train.jsonl",
                ),
                "dev": (
                    "snli/snli_1.0_dev.jsonl",
                    "mnli/multinli_1.0_dev_matched.jsonl",
                    "anli/R1/dev.jsonl",
                    "anli/R2/dev.jsonl",
                    "anli/R3/dev.jsonl",
                ),
            },
            columns={
                "text_a": "sentence1|context",
                "text_b": "sentence2|hypothesis",
                "label": "gold_label|label",
            },
            labels={"e": "entailment", "n": "neutral", "c": "contradiction"},
            skip_labels=("-",),
        ),
        as_intermediate=Stage(task="anli+", epochs=2, batch_size=24, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 1_104_934}, "dev": {"en": 22_857}},
            source="the study, table of its tasks",
        ),
        note="SNLI is CC BY-SA 4.0; ANLI is CC BY-NC 4.0: non-commercial use only.",
    ),
    Task(
        name="squad_v2",
        form="span",
        metric="squad_v2",
        labels=(NO_ANSWER,),
        source=Source(
            format="squad",
            files={"train": ("squad/train-v2.0.json",), "dev": ("squad/dev-v2.0.json",)},
        ),
        as_intermediate=Stage(task="squad_v2", epochs=3, batch_size=8, max_length=384),
        max_length=384,
        size=Size(
            examples={"train": {"en": 130_319}, "dev": {"en": 11_873}},
            source="Rajpurkar et al. 2018",
        ),
        note="CC BY-SA 4.0. Half of its dev questions have no answer in their paragraph.",
    ),
    Task(
        name="ccg",
        form="tagging",
        metric="accuracy",
        labels_from_data=True,
        source=Source(
            format="ccg",
            # The split of the literature: sections 02 to 21 of the treebank, and section 00.
            files={"train": ("ccg/train.auto",), "dev": ("ccg/dev.auto",)},
        ),
        as_intermediate=Stage(task="ccg", epochs=15, batch_size=24, max_length=256),
        max_length=256,
        size=Size(
            examples={"train": {"en": 38_015}, "dev": {"en": 5484}},
            source="the study, table of its tasks",
        ),
        note="CCGbank (LDC2005T13) is licensed: bring its AUTO files, joined, or other supertagged "
        "files, the Parallel Meaning Bank's for example.",
    ),
)
