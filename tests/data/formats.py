"""Official file formats as a table: for each, examples and the files that its publishers write of them.

A reader that is added gets its properties tested by one more `Case`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from xtransfer.data.examples import (
    BitextExample,
    ChoiceExample,
    PairExample,
    SpanExample,
    TaggingExample,
)
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Split, Task

Written = dict[str, str]
"""Path below the data root -> content."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One format: what examples can be, and how they are written."""

    name: str
    task: Task
    split: Split
    examples: st.SearchStrategy[list[Any]]
    """Examples as the reader should return them, but for their ids, which are row numbers."""
    write: Callable[[Sequence[Any]], Written]
    numbered: bool = True
    """Ids are the numbers of rows; otherwise they are in the file."""
    texts: tuple[tuple[str, ...], ...] = ()
    """Of a format in JSON: paths to values that must be text. `*` is any item of a list."""

    def __str__(self) -> str:
        return self.name


def as_task(name: str, split: Split, *files: str, **source: Any) -> Task:
    """Return a task of the study that reads the given files."""
    task = TASKS[name]
    changes = {"files": {split: files}, **source}
    return task.model_copy(update={"source": task.source.model_copy(update=changes)})


# --- what texts are -------------------------------------------------------------------------------

ODD = (
    *('"', '""', '"""', '"Yes"', '"He said ""yes"""', "'", "a, b", "#", "_", "-", "null", "NaN"),
    *(
        " ",
        " lead",
        "trail ",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\x85",
        "\x0c",
        "\x1c",
        "e\u0301",
        "👩‍👩‍👧",
    ),
)
PLAIN = st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r\t\ufeff")
TEXT = st.sampled_from(ODD) | st.text(PLAIN, max_size=8)
WITH_ENDS = (
    TEXT
    | st.sampled_from(("a\rb", "\r", '"\r'))
    | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\t\ufeff"), max_size=8
    )
)
"""May hold a carriage return, which csv.writer quotes."""
IN_JSON = TEXT | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
"""Tabs and line ends too: JSON escapes them."""
TOKEN = TEXT.filter(lambda text: bool(text.strip(" ")))


def rows(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Return lists of one to five."""
    return st.lists(strategy, min_size=1, max_size=5)


def pairs(text: st.SearchStrategy[str], labels: Sequence[str]) -> st.SearchStrategy[PairExample]:
    """Return labelled sentence pairs."""
    return st.builds(
        PairExample, id=st.just(""), text_a=text, text_b=text, label=st.sampled_from(labels)
    )


@st.composite
def choices(
    draw: st.DrawFn, text: st.SearchStrategy[str], count: int, *, context: bool, question: bool
) -> ChoiceExample:
    """Return a question with `count` answers."""
    return ChoiceExample(
        id="",
        context=draw(text) if context else "",
        question=draw(text) if question else "",
        choices=tuple(draw(text) for _ in range(count)),
        label=draw(st.integers(0, count - 1)),
    )


@st.composite
def questions(draw: st.DrawFn, *, impossible: bool) -> list[SpanExample]:
    """Return questions on a few paragraphs, each answer where it says that it is."""
    found: list[SpanExample] = []
    for context in draw(rows(IN_JSON.filter(bool))):
        for text in draw(rows(IN_JSON)):
            start = draw(st.integers(0, len(context) - 1))
            end = draw(st.integers(start + 1, len(context)))
            none = impossible and draw(st.booleans())
            answers = () if none else ((context[start:end], start),)
            name = f"q{len(found)}"
            found.append(SpanExample(id=name, question=text, context=context, answers=answers))
    return found


@st.composite
def sentences(
    draw: st.DrawFn, token: st.SearchStrategy[str], labels: Sequence[str] | None
) -> TaggingExample:
    """Return a sentence with its tags, or without (`labels` None)."""
    tokens = tuple(draw(rows(token)))
    tags = None if labels is None else tuple(draw(st.sampled_from(labels)) for _ in tokens)
    return TaggingExample(id="", tokens=tokens, tags=tags)


@st.composite
def bitext(draw: st.DrawFn) -> list[BitextExample]:
    """Return all foreign sentences, then all English ones."""
    lines = draw(rows(st.tuples(TEXT, TEXT)))
    return [
        BitextExample(id=str(at), side=side, text=line[column], match=(str(at),))
        for column, side in enumerate(("foreign", "english"))
        for at, line in enumerate(lines)
    ]


# --- how their publishers write them ---------------------------------------------------------------


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _csv(path: str, header: Sequence[str], fields: Callable[[Any], list[Any]], **dialect: Any):
    def write(examples: Sequence[Any]) -> Written:
        text = io.StringIO(newline="")
        writer = csv.writer(text, **{"lineterminator": "\n", **dialect})
        writer.writerows([*([header] if header else []), *map(fields, examples)])
        return {path: text.getvalue()}

    return write


def _raw_qqp(examples: Sequence[PairExample]) -> Written:
    lines = [f"{each.text_a}\t{each.text_b}\t{each.label}" for each in examples]
    return {"a.tsv": _lines(["question1\tquestion2\tis_duplicate", *lines])}


def _json_lines(path: str, row: Callable[[Any], Mapping[str, Any]]):
    def write(examples: Sequence[Any]) -> Written:
        return {path: _lines([json.dumps(row(each), ensure_ascii=False) for each in examples])}

    return write


def _mnli(example: PairExample) -> dict[str, Any]:
    names = ("sentence1", "sentence2", "gold_label")
    return dict(zip(names, (example.text_a, example.text_b, example.label), strict=True))


def _commonsenseqa(example: ChoiceExample) -> dict[str, Any]:
    answers = [
        {"label": name, "text": text} for name, text in zip("ABCDE", example.choices, strict=True)
    ]
    stem = {"stem": example.question, "choices": answers}
    return {"id": "", "answerKey": "ABCDE"[example.label or 0], "question": stem}


def _hellaswag(example: ChoiceExample) -> dict[str, Any]:
    return {"ctx": example.context, "endings": list(example.choices), "label": example.label}


def _social(example: ChoiceExample) -> dict[str, Any]:
    answers = dict(zip(("answerA", "answerB", "answerC"), example.choices, strict=True))
    return {"context": example.context, "question": example.question, **answers}


def _socialiqa(examples: Sequence[ChoiceExample]) -> Written:
    written = _json_lines("dev.jsonl", _social)(examples)
    return {**written, "dev-labels.lst": _lines([str(each.label + 1) for each in examples])}  # type: ignore[operator]


def _squad(examples: Sequence[SpanExample]) -> Written:
    paragraphs: list[dict[str, Any]] = []
    for each in examples:
        if not paragraphs or paragraphs[-1]["context"] != each.context:
            paragraphs.append({"context": each.context, "qas": []})
        answers = [{"text": text, "answer_start": start} for text, start in each.answers]
        question: dict[str, Any] = {"id": each.id, "question": each.question, "answers": answers}
        paragraphs[-1]["qas"].append(question if answers else {**question, "is_impossible": True})
    articles = [{"title": "t", "paragraphs": [paragraph]} for paragraph in paragraphs]
    return {"a.json": json.dumps({"version": "1.1", "data": articles})}


def _flat_squad(example: SpanExample) -> dict[str, Any]:
    texts, starts = zip(*example.answers, strict=True)
    answers = {"text": list(texts), "answer_start": list(starts)}
    return {
        "id": example.id,
        "question": example.question,
        "context": example.context,
        "answers": answers,
    }


def _conll(examples: Sequence[TaggingExample]) -> Written:
    lines: list[str] = []
    for each in examples:
        tags = each.tags or ("",) * len(each.tokens)
        lines += [f"{token}\t{tag}".removesuffix("\t") for token, tag in zip(each.tokens, tags)]  # noqa: B905
        lines.append("")
    return {"a.tsv": _lines(lines)}


def _conllu(examples: Sequence[TaggingExample]) -> Written:
    lines: list[str] = []
    for each in examples:
        lines.append("# sent_id = 1")
        for at, (token, tag) in enumerate(zip(each.tokens, each.tags or (), strict=True), 1):
            lines += [f"{at}-{at + 1}\tam" + "\t_" * 8] if at == 1 else []
            lines.append(f"{at}\t{token}\tlemma\t{tag}" + "\t_" * 6)
        lines += ["9.1\tleft" + "\t_" * 8, ""]
    return {"a.conllu": _lines(lines)}


def _bank(examples: Sequence[TaggingExample]) -> Written:
    lines = ["### Generated by the command:", "# newdoc id = p00/d0001"]
    for each in examples:
        lines.append("# raw sent = a\tb")
        for token, tag in zip(each.tokens, each.tags or (), strict=True):
            word = token.replace(" ", "~")
            lines.append(f"{word}\t{word}\tlemma\tCON\t{tag}\tO\t[]")
        lines.append("")
    return {"a.conll": _lines(lines)}


def _derivations(examples: Sequence[TaggingExample]) -> Written:
    """Write a tree that branches to the right over each sentence, as CCGbank's AUTO files do."""
    lines: list[str] = []
    for number, each in enumerate(examples):
        lines.append(f"ID=wsj_0001.{number} PARSER=GOLD NUMPARSE=1")
        tree = ""
        for token, tag in zip(each.tokens[::-1], (each.tags or ())[::-1], strict=True):
            leaf = f"(<L {tag} NN NN {token} {tag}_1>) "
            tree = f"(<T S[dcl] 0 2> {leaf}{tree}) " if tree else leaf
        lines.append(tree.rstrip())
    return {"a.auto": _lines(lines)}


def _pipes(examples: Sequence[TaggingExample]) -> Written:
    return {
        "a.pipes": _lines(
            [
                " ".join(f"{w}|NN|{t}" for w, t in zip(each.tokens, each.tags or (), strict=True))
                for each in examples
            ]
        )
    }


def _parallel(examples: Sequence[BitextExample]) -> Written:
    return {
        path: _lines([each.text for each in examples if each.side == side])
        for path, side in (("a.de", "foreign"), ("a.en", "english"))
    }


def _unquoted(example: PairExample) -> bool:
    """Tell a raw pair that cannot be taken for the work of csv.writer."""
    return not any(
        text[:1] == '"' and text[-1:] == '"' for text in (example.text_a, example.text_b)
    )  # type: ignore[index]


NLI = TASKS["mnli"].labels
CATEGORIES = ("N", "NP/N", "(S[dcl]\\NP)/NP", ".", "s:dcl\\np")
UNSPACED = TOKEN.map(lambda token: token.replace(" ", "_"))
SQUAD_TEXTS = (
    ("data", "*", "paragraphs", "*", "context"),
    ("data", "*", "paragraphs", "*", "qas", "*", "question"),
    ("data", "*", "paragraphs", "*", "qas", "*", "id"),
    ("data", "*", "paragraphs", "*", "qas", "*", "answers", "*", "text"),
)

CASES: tuple[Case, ...] = (
    Case(
        name="tsv by csv.writer (XTREME)",
        task=as_task("xnli", "test", "a.tsv"),
        split="test",
        examples=rows(pairs(WITH_ENDS, NLI)),
        write=_csv(
            "a.tsv",
            (),
            lambda each: [each.text_a, each.text_b, each.label],
            delimiter="\t",
            lineterminator="\r\n",
        ),
    ),
    Case(
        name="tsv raw with header (QQP)",
        task=as_task("qqp", "train", "a.tsv"),
        split="train",
        examples=rows(pairs(TEXT, "01").filter(_unquoted)),
        write=_raw_qqp,
    ),
    Case(
        name="csv (CosmosQA)",
        task=as_task(
            "cosmosqa",
            "dev",
            "a.csv",
            columns={
                "context": "context",
                "question": "question",
                "choices": "answer0,answer1,answer2,answer3",
                "label": "label",
            },
        ),
        split="dev",
        examples=rows(
            choices(
                st.text(
                    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"),
                    max_size=8,
                )
                | TEXT,
                4,
                context=True,
                question=True,
            )
        ),
        write=_csv(
            "a.csv",
            ("context", "question", "answer0", "answer1", "answer2", "answer3", "label"),
            lambda each: [each.context, each.question, *each.choices, each.label],
        ),
    ),
    Case(
        name="jsonl (MNLI)",
        task=as_task("mnli", "train", "a.jsonl"),
        split="train",
        examples=rows(pairs(IN_JSON, NLI)),
        write=_json_lines("a.jsonl", _mnli),
        texts=(("sentence1",), ("sentence2",)),
    ),
    Case(
        name="json array (MNLI's rows)",
        task=as_task("mnli", "train", "a.json", format="json"),
        split="train",
        examples=rows(pairs(IN_JSON, NLI)),
        write=lambda examples: {"a.json": json.dumps([_mnli(each) for each in examples])},
        texts=(("*", "sentence1"), ("*", "sentence2")),
    ),
    Case(
        name="jsonl nested (CommonsenseQA)",
        task=as_task(
            "commonsenseqa",
            "train",
            "a.jsonl",
            columns={
                name: column
                for name, column in TASKS["commonsenseqa"].source.columns.items()
                if name != "id"
            },
        ),
        split="train",
        examples=rows(choices(IN_JSON, 5, context=False, question=True)),
        write=_json_lines("a.jsonl", _commonsenseqa),
        texts=(("question", "stem"), ("question", "choices", "*", "text")),
    ),
    Case(
        name="jsonl (HellaSwag)",
        task=as_task("hellaswag", "dev", "a.jsonl"),
        split="dev",
        examples=rows(choices(IN_JSON, 4, context=True, question=False)),
        write=_json_lines("a.jsonl", _hellaswag),
        texts=(("ctx",), ("endings", "*")),
    ),
    Case(
        name="jsonl with a file of labels (SocialIQA)",
        task=as_task("socialiqa", "dev", "dev.jsonl", "dev-labels.lst"),
        split="dev",
        examples=rows(choices(IN_JSON, 3, context=True, question=True)),
        write=_socialiqa,
        texts=(("context",), ("question",), ("answerB",)),
    ),
    Case(
        name="squad json (v1.1)",
        task=as_task("squad_v1", "train", "a.json"),
        split="train",
        examples=questions(impossible=False),
        write=_squad,
        numbered=False,
        texts=SQUAD_TEXTS,
    ),
    Case(
        name="squad json (v2.0)",
        task=as_task("squad_v2", "dev", "a.json"),
        split="dev",
        examples=questions(impossible=True),
        write=_squad,
        numbered=False,
        texts=SQUAD_TEXTS[:3],
    ),
    Case(
        name="squad as flat rows (hub)",
        task=as_task("squad_v1", "train", "a.jsonl", format="jsonl", columns={}),
        split="train",
        examples=questions(impossible=False),
        write=_json_lines("a.jsonl", _flat_squad),
        numbered=False,
        texts=(("context",), ("question",), ("answers", "text", "*")),
    ),
    Case(
        name="token tab tag (UDPOS)",
        task=as_task("udpos", "test", "a.tsv"),
        split="test",
        examples=rows(sentences(TOKEN, TASKS["udpos"].labels)),
        write=_conll,
    ),
    Case(
        name="tokens without tags (XTREME's test files)",
        task=as_task("panx", "test", "a.tsv"),
        split="test",
        examples=rows(sentences(TOKEN, None)),
        write=_conll,
    ),
    Case(
        name="CoNLL-U",
        task=as_task("udpos", "train", "a.conllu"),
        split="train",
        examples=rows(sentences(TOKEN, TASKS["udpos"].labels)),
        write=_conllu,
    ),
    Case(
        name="token tab category (CCG)",
        task=as_task("ccg", "train", "a.tsv"),
        split="train",
        examples=rows(sentences(TOKEN, CATEGORIES)),
        write=_conll,
    ),
    Case(
        name="derivations (CCGbank)",
        task=as_task("ccg", "train", "a.auto"),
        split="train",
        examples=rows(sentences(UNSPACED, CATEGORIES)),
        write=_derivations,
    ),
    Case(
        name="word, part of speech and category (C&C)",
        task=as_task("ccg", "train", "a.pipes"),
        split="train",
        examples=rows(sentences(UNSPACED, CATEGORIES)),
        write=_pipes,
    ),
    Case(
        name="columns (Parallel Meaning Bank)",
        task=as_task("ccg", "train", "a.conll"),
        split="train",
        examples=rows(sentences(TOKEN.filter(lambda token: "~" not in token), CATEGORIES)),
        write=_bank,
    ),
    Case(
        name="bitext (Tatoeba)",
        task=as_task("tatoeba", "test", "a.de", "a.en"),
        split="test",
        examples=bitext(),
        write=_parallel,
        numbered=False,
    ),
)
