"""The tasks of the study on the Hugging Face hub, for experiments that say `data.hub`.

The hub's copies have columns, labels and splits of their own. They are recorded as the repositories'
cards and loading code state them, and no repository was loaded to check them. Every revision is one that
several public projects pin; none was compared with the hub itself. A copy of a repository in a folder
of its name below the data root is read in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from xtransfer.errors import ConfigError, did_you_mean
from xtransfer.tasks.task import Hub, Source, Task

REVISIONS: Mapping[str, str] = {
    "Rowan/hellaswag": "218ec52e09a7e7462a5400043bb9a69a41d06b76",
    # These two repositories hold a loading script, which `datasets` no longer runs: the commits are
    # those of the hub's own conversion to Parquet.
    "allenai/cosmos_qa": "ed50fe83db62b355759053b1cd5eef344ee371e0",
    "allenai/social_i_qa": "537a2ec8ec565adc0b70b70752893e59e024df26",
    "aps/super_glue": "3de24cf8022e94f4ee4b9d55a6f539891524d646",
    "cambridgeltl/xcopa": "042f78955ba48e6404616762fa6e05e839c3907a",
    "facebook/anli": "8e4813d81f46d313dac7892e1c28076917cfcdf9",
    "facebook/xnli": "b8dd5d7af51114dbda02c0e3f6133f332186418e",
    "google-research-datasets/paws-x": "4cd8187c404bda33cb1f62b49b001115862acf37",
    "google-research-datasets/tydiqa": "da78f23f9119363459acbaf46bf89426ff26c259",
    "google/xquad": "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
    "google/xtreme": "ec5f1f46e9af79639a90684a7a70a956c4998f04",
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "nyu-mll/multi_nli": "da70db2af9d09693783c3320c4249840212ee221",
    "rajpurkar/squad": "7b6d24c440a36b6815f21b70d25016731768db1f",
    "rajpurkar/squad_v2": "3ffb306f725f7d2ce8394bc1873b24868140c412",
    "stanfordnlp/snli": "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
    "tau/commonsense_qa": "94630fe30dad47192a8546eb75f094926d47e155",
}
"""Repository -> full commit hash; an experiment may pin another as `data.revisions`."""

NOT_ON_HUB: Mapping[str, str] = {
    "ccg": "CCGbank is licensed",
    "bucc2018": "the hub's copies hold the gold pairs only, among which nothing need be mined",
    "lareqa": "the hub's copy lacks the borders of sentences, which are its candidates",
    "squad_sentences": "the hub's copy lacks the borders of sentences, which are its candidates",
    "mewslix": "no copy of it is known to be complete",
}
"""Task -> why the hub cannot stand in for its files."""


def on_hub(task: Task, *, revisions: Mapping[str, str], where: str) -> Task:
    """Return the task with the hub as its source.

    Args:
        task: one of the study's.
        revisions: repository -> full commit hash, where it is not the one in `REVISIONS`.
        where: what asks for it, for the error: `data.hub`.

    Raises:
        ConfigError: where the hub has nothing that could be read in place of the task's files.
    """
    if task.name not in HUB:
        reason = NOT_ON_HUB.get(task.name, "no repository is known")
        raise ConfigError(
            where,
            f"'{task.name}' cannot be read from the hub: {reason}",
            "Name the tasks that can: data.hub: [mnli, xnli].",
        )
    source = HUB[task.name]
    places = tuple(
        place.model_copy(update={"revision": revisions.get(place.path, place.revision)})
        for place in source.hub
    )
    return task.model_copy(update={"source": source.model_copy(update={"hub": places})})


def check_revisions(revisions: Mapping[str, str], where: str) -> None:
    """Refuse to pin what no task reads.

    Raises:
        ConfigError: for an unknown repository, with the nearest known one.
    """
    known = {place.path for source in HUB.values() for place in source.hub}
    for repository in revisions:
        if repository not in known:
            raise ConfigError(
                where,
                f"no task reads the repository '{repository}'",
                did_you_mean(repository, known) or f"Known: {', '.join(sorted(known))}.",
            )


def _place(path: str, name: str | None = None, **splits: str) -> Hub:
    """Return a repository at its recorded revision; `splits` are our names -> its own."""
    return Hub.model_validate(
        {"path": path, "name": name, "revision": REVISIONS.get(path), "splits": splits}
    )


_NLI = {"text_a": "premise", "text_b": "hypothesis", "label": "label"}
_PAIR = {"text_a": "sentence1", "text_b": "sentence2", "label": "label"}
_SPAN = {"id": "id", "question": "question", "context": "context", "answers": "answers"}
_CAUSE = {
    "context": "premise",
    "question": "What was the {question}?",
    "choices": "choice1,choice2",
    "label": "label",
}
_MNLI = _place("nyu-mll/multi_nli", dev="validation_matched")

HUB: Mapping[str, Source] = {
    # --- intermediate tasks and training stages
    "mnli": Source(format="hub", hub=(_MNLI,), columns=_NLI),
    "anli+": Source(
        format="hub",
        hub=(
            _place("stanfordnlp/snli"),
            _MNLI,
            *(
                _place("facebook/anli", train=f"train_r{n}", dev=f"dev_r{n}", test=f"test_r{n}")
                for n in (1, 2, 3)
            ),
        ),
        columns=_NLI,
        # The rows that SNLI's own files mark with "-".
        skip_labels=("",),
    ),
    "qqp": Source(
        format="hub",
        hub=(_place("nyu-mll/glue", "qqp"),),
        columns={"text_a": "question1", "text_b": "question2", "label": "label"},
        labels={"not_duplicate": "0", "duplicate": "1"},
    ),
    "squad_v1": Source(format="hub", hub=(_place("rajpurkar/squad"),), columns=_SPAN),
    "squad_v2": Source(format="hub", hub=(_place("rajpurkar/squad_v2"),), columns=_SPAN),
    "hellaswag": Source(
        format="hub",
        hub=(_place("Rowan/hellaswag"),),
        columns={"context": "ctx", "choices": "endings", "label": "label"},
    ),
    "cosmosqa": Source(
        format="hub",
        hub=(_place("allenai/cosmos_qa"),),
        columns={
            "id": "id",
            "context": "context",
            "question": "question",
            "choices": "answer0,answer1,answer2,answer3",
            "label": "label",
        },
    ),
    "commonsenseqa": Source(
        format="hub",
        hub=(_place("tau/commonsense_qa"),),
        columns={
            "id": "id",
            "question": "question",
            "choices": "choices.text",
            "choice_labels": "choices.label",
            "label": "answerKey",
        },
    ),
    "socialiqa": Source(
        format="hub",
        hub=(_place("allenai/social_i_qa"),),
        columns={
            "context": "context",
            "question": "question",
            "choices": "answerA,answerB,answerC",
            "label": "label",
        },
    ),
    "copa": Source(
        format="hub",
        hub=(_place("aps/super_glue", "copa"),),
        columns=_CAUSE,
        labels={"choice1": "0", "choice2": "1"},
    ),
    # --- targets
    "xnli": Source(format="hub", hub=(_place("facebook/xnli", "{lang}"),), columns=_NLI),
    "pawsx": Source(
        format="hub", hub=(_place("google-research-datasets/paws-x", "{lang}"),), columns=_PAIR
    ),
    # Its Greek holds Ancient Greek too (2,809 test sentences where XTREME has 456), its French Old
    # French: scores of these two are not XTREME's.
    "udpos": Source(
        format="hub",
        hub=(_place("google/xtreme", "udpos.{Language}"),),
        columns={"tokens": "tokens", "tags": "pos_tags"},
    ),
    "panx": Source(
        format="hub",
        hub=(_place("google/xtreme", "PAN-X.{lang}"),),
        columns={"tokens": "tokens", "tags": "ner_tags"},
    ),
    "xquad": Source(
        format="hub",
        hub=(_place("google/xquad", "xquad.{lang}", test="validation"),),
        columns=_SPAN,
    ),
    "mlqa": Source(
        format="hub", hub=(_place("google/xtreme", "MLQA.{lang}.{lang}"),), columns=_SPAN
    ),
    "tydiqa": Source(
        format="hub",
        hub=(
            _place(
                "google-research-datasets/tydiqa", "secondary_task", test="validation"
            ).model_copy(update={"rows": {"id": "{language}-"}}),
        ),
        columns=_SPAN,
    ),
    "tatoeba": Source(
        format="hub",
        hub=(_place("google/xtreme", "tatoeba.{lang3}", test="validation"),),
        columns={"foreign": "source_sentence", "english": "target_sentence"},
    ),
    "xcopa": Source(format="hub", hub=(_place("cambridgeltl/xcopa", "{lang}"),), columns=_CAUSE),
}
"""Task -> its source on the hub."""
