"""What a task is: a frozen record. What a task does is its form's business (`xtransfer.forms`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

FormName = Literal["classification", "choice", "tagging", "span", "bitext", "retrieval", "mlm"]
Format = Literal[
    "tsv",
    "csv",
    "jsonl",
    "json",
    "squad",
    "conll",
    "ccg",
    "bitext",
    "mining",
    "mentions",
    "text",
    "hub",
]
Split = Literal["train", "dev", "test", "pool"]
"""`pool`: candidates for the queries of every language's test set."""
Scoring = Literal["cosine", "ratio", "csls"]
"""How two sentence vectors are compared: by cosine, or by a margin over their nearest neighbours."""

NO_ANSWER = "no answer"
"""The one label of a span task whose questions may have no answer in their context (SQuAD v2.0)."""


class Record(BaseModel):
    """Base of the strict, immutable records below: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def files_fault(templates: tuple[str, ...]) -> str:
    """Return what is wrong with the files of one split, empty where nothing is."""
    if not templates:
        return "are none: name some, or leave the split out"
    if not all(template.strip() for template in templates):
        return "have an empty name"
    if len(set(templates)) != len(templates):
        return f"have one twice, whose rows would count twice: {list(templates)}"
    return ""


class Hub(Record):
    """A data set on the Hugging Face hub, or a local folder or script-free builder of `datasets`."""

    path: str
    """Repository name, for example `facebook/xnli`, or a builder such as `json`."""
    name: str | None = None
    """Configuration of the data set. `{lang}` is replaced by the two-letter code, `{lang3}` by the ISO
    639-3 code, `{language}` and `{Language}` by the English name, small and capital."""
    revision: str | None = None
    """Full commit hash. Required for a repository: an unpinned data set has no identity."""
    splits: Mapping[Split, str] = Field(default_factory=dict[Split, str])
    """Our split name -> the data set's own; a missing `dev` is `validation`, others keep their name."""
    rows: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Column -> what its text must be, where that is `{lang}` or another name alone, or else how it must begin, for a
    data set that keeps all languages together; the names of languages are put in as in `name`. Other rows are no part
    of the split."""

    @field_validator("path")
    @classmethod
    def _below_the_root(cls, value: str) -> str:
        parts = value.split("/")
        if not all(re.fullmatch(r"[\w.-]+", part) and part.strip(".") for part in parts):
            raise ValueError(
                "is the name of a repository, or of a folder below the data root, such as 'facebook/xnli'"
            )
        return value


LABELS = ".lst"
"""How the names of files end that hold labels alone."""


class Source(Record):
    """Where the examples of a task are and how to read them, for every split and language."""

    format: Format
    """Of a table, how its files are written, but for those named `.jsonl`."""
    files: Mapping[Split, tuple[str, ...]] = Field(default_factory=dict[Split, tuple[str, ...]])
    """Split -> path templates below the data root, into which `{lang}`, `{lang3}`, `{language}` and `{Language}`
    put codes and names of the language as in `Hub.name`. A path may lack `.gz`: the compressed neighbour is then taken. Of tables, a file
    named `.lst` holds the labels of the file before it, one a line, as column `label`."""
    header: bool = False
    """tsv, csv: the first row names the columns; otherwise columns are named "0", "1", ..."""
    columns: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Field of the example -> column. A dotted path enters nested JSON (`question.stem`), `[]`
    collects over a list (`question.choices[].text`), commas join columns into a list
    (`answer0,answer1`), `|` takes the first that the row has (`sentence1|context`), and columns in
    braces are put into a text (`What was the {question}?`)."""
    labels: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Label as the file writes it -> the task's label; labels absent here are taken as they are."""
    skip_labels: tuple[str, ...] = ()
    """Rows with one of these labels are left out and counted (MNLI's `-`: no gold label); "" stands
    for a row that has none. Of tagged sentences, it is the tokens with such a tag."""
    rows: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Of tables with all languages in one file: column -> its text or, where the language is but a part of it, how it
    begins, as in `Hub.rows`: `{language: "{lang}"}`, `{id: "{lang}-"}`. Other rows are no part of the split."""
    skip_short_rows: bool = False
    """tsv, csv: rows with fewer columns than the first are left out and counted, as GLUE's own loaders do
    with questions of QQP that hold a tab or a line end; otherwise such a row is refused."""

    hub: tuple[Hub, ...] = ()
    """Set instead of `files` to load through the `datasets` library; the rows of several are joined."""

    def identity(self) -> dict[str, Any]:
        """Return how examples are read, as JSON: which files they are read from is told by digests.

        `rows` is younger than the first keys and in it only where it says something, so that they stay as they are.
        `skip_short_rows` is not: a file that has such rows is read in one way or not at all.
        """
        fields = self.model_dump(exclude={"files", "hub", "skip_short_rows"})
        return {name: value for name, value in fields.items() if value or name != "rows"}


class Stage(Record):
    """One fine-tuning run on the training set of `task`; values are defaults a config may change."""

    task: str
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    """Examples per optimizer step over all workers (global batch)."""
    max_length: int = Field(ge=8)
    learning_rate: float = Field(default=1e-5, gt=0, lt=1)
    stride: int = Field(default=128, ge=0)
    """Context tokens from the beginning of one window of an overlong input to that of the next (span
    tasks; BERT's `doc_stride`). Where windows are short, less."""


class Size(Record):
    """How many examples the published files hold: what a plan is reckoned with before they are read."""

    examples: Mapping[Split, Mapping[str, Annotated[int, Field(ge=0)]]]
    """Split -> language, or `*` for any -> examples."""
    source: str
    """Where the numbers are from."""


class Task(Record):
    """A data set with its form, metric, languages and the stages that train for it."""

    name: str
    form: FormName
    metric: str
    """Name of the main score, the one that selection and tables use (0 to 100)."""
    labels: tuple[str, ...] = ()
    """In the order of the head's outputs. Span tasks: empty, or `NO_ANSWER` alone."""
    labels_from_data: bool = False
    """True: the labels are those of the training data, too many or too various to list here."""
    languages: tuple[str, ...] = ("en",)
    """Languages of the test split: those of `benchmark`, over which the task's score is the mean."""
    more_languages: tuple[str, ...] = ()
    """Further languages with a test split (XTREME-R's); an experiment may ask for them."""
    source: Source
    train_language: str = "en"
    as_intermediate: Stage | None = None
    """Set where the task can be an intermediate task: how it is trained then."""
    stages: tuple[Stage, ...] | None = None
    """Set where the task can be a target: the training stages in order; () is no training."""
    scoring: Scoring = "cosine"
    """Of bitext: how sentences are compared, where the experiment does not say."""
    max_length: int = Field(default=128, ge=8)
    """Longest input at evaluation, in subword tokens, of a task without training; with `stages`, that of
    the last one is taken."""
    group: Literal["classification", "tagging", "qa", "retrieval", ""] = ""
    """Benchmark group."""
    benchmark: Literal["xtreme", "xtreme-r", ""] = ""
    single_labelled_split: bool = False
    """True for XQuAD, TyDiQA and Tatoeba: any selection on target-language data is contamination."""
    size: Size | None = None
    """Of the files that `source` names; None where it is not known."""
    note: str = ""
    """Licence or provenance that a user must know; shown by `xtransfer tasks --json`."""
