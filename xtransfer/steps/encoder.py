"""The base encoder of a step's lineage: where it is, that it is the planned one, and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from xtransfer.errors import KNOWN_ENCODER, DataError, StepError
from xtransfer.identity import digest_once
from xtransfer.plan import Plan, Step
from xtransfer.process.workbench import Workbench

_POSITIONS = ("position_embeddings", "embed_positions")
"""Names that the embedding of positions has in encoders."""


def encoder_place(step: Step, bench: Workbench) -> tuple[str, str | None]:
    """Return (folder or hub name, revision) of the base encoder of a step's lineage.

    Raises:
        DataError: when a folder no longer holds what the plan was made from.
    """
    pretrain = base_key(step, bench.plan)
    if pretrain is not None:
        return str(bench.files(bench.record(pretrain))), None
    place = step.where["encoder"]
    if place.get("revision"):
        return place["name"], place["revision"]
    for name, digest in place["digests"].items():
        path = Path(place["name"]) / name
        if not path.is_file() or digest_once(path) != digest:
            raise DataError(
                str(path),
                "is not the file that the plan was made from",
                "Bring it back, or start the run again to plan anew with this one.",
            )
    return place["name"], None


def base_key(step: Step, plan: Plan) -> str | None:
    """Return the key of the pretrain step that a step descends from, None with a public encoder."""
    at = step
    while at.kind != "pretrain":
        parent = next(
            (
                at.inputs[role]
                for role in ("encoder", "start", "model", "trial-000")
                if role in at.inputs
            ),
            None,
        )
        if parent is None:
            return None
        at = plan.steps[parent]
    return at.key


@lru_cache(maxsize=2)
def load_tokenizer(name: str, revision: str | None) -> Any:
    """Load the fast tokenizer of an encoder; kept, since a large vocabulary takes seconds.

    Raises:
        StepError: where it is none that the forms can use. transformers makes one of special tokens alone
            where the file of its vocabulary is missing, and one that adds none to a text of some
            sentencepiece files (RemBERT's).
    """
    from transformers import AutoTokenizer

    with _own_code_refused(name):
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, use_fast=True, trust_remote_code=False
        )
    if not tokenizer.is_fast:
        raise StepError(
            name,
            "has no fast tokenizer, which character offsets need",
            "Take an encoder with a tokenizer.json, by encoder.name.",
        )
    if tokenizer.get_vocab().keys() <= set(tokenizer.all_special_tokens):
        raise StepError(
            name,
            "its tokenizer knows no words, so every text would be unknown tokens",
            "Is the file of its vocabulary missing? Best is a tokenizer.json.",
        )
    try:
        tokenizer("hello world")
    except Exception as error:  # the library of tokenizers raises nothing narrower
        raise StepError(
            name,
            f"its tokenizer fails: {error}",
            "Is tokenizer_config.json missing? It says of which kind a tokenizer.json is.",
        ) from error
    from xtransfer.forms.encoding import special_tokens

    before, _ = special_tokens(tokenizer)
    if not before:
        raise StepError(
            name,
            "its tokenizer puts no token before a text, and heads read that token's state",
            "Best is a tokenizer.json with a post-processor, as the encoder's publishers have it.",
        )
    tokenizer.model_max_length = int(1e9)  # lengths are this project's business
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save what `load_tokenizer` returned, with the longest input that its publishers gave it.

    Whoever loads it then has texts cut there by `truncation=True`, as with the base encoder's own tokenizer.
    """
    lifted = tokenizer.model_max_length
    tokenizer.model_max_length = tokenizer.init_kwargs.get("model_max_length", lifted)
    try:
        tokenizer.save_pretrained(folder)
    finally:
        tokenizer.model_max_length = lifted


def mask_token(tokenizer: Any, where: str) -> int:
    """Return the id of the token that hides others in training on text.

    Raises:
        StepError: where the tokenizer has none.
    """
    if tokenizer.mask_token_id is None:
        raise StepError(
            where,
            "the encoder's tokenizer has no mask token, which training on text needs",
            "Take an encoder that was trained with one, or leave text out of the arms.",
        )
    return tokenizer.mask_token_id


@lru_cache(maxsize=2)
def longest_input(name: str, revision: str | None) -> int | None:
    """Return how many tokens an encoder has positions for; None where it has no embedding of them.

    Read off the model that transformers makes of its settings, without weights. Kinds of encoder that keep a place
    for padding among their positions, as RoBERTa, begin behind it.
    """
    import torch
    from transformers import AutoModel

    config = _settings(name, revision)
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
    except (TypeError, ValueError, ImportError):  # loading it will tell
        return None
    return positions_of(model)


def positions_of(encoder: Any) -> int | None:
    """Return what `longest_input` does, of a model that is loaded."""
    from torch import nn

    for place, module in encoder.named_modules():
        if isinstance(module, nn.Embedding) and place.rpartition(".")[2] in _POSITIONS:
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return min(module.num_embeddings - unused, encoder.config.max_position_embeddings)
    return None


def vocabulary_size(name: str, revision: str | None) -> int | None:
    """Return how many token ids an encoder has embeddings for; None where its settings do not say."""
    return getattr(_settings(name, revision), "vocab_size", None)


@lru_cache(maxsize=2)
def _settings(name: str, revision: str | None) -> Any:
    from transformers import AutoConfig

    with _own_code_refused(name):
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    if getattr(config, "is_encoder_decoder", False):
        raise StepError(
            name,
            f"is a model of an encoder and a decoder ({config.model_type}), whose states are the decoder's",
            KNOWN_ENCODER,
        )
    return config


@contextmanager
def _own_code_refused(name: str) -> Iterator[None]:
    """Say in words that an encoder needs code of its own: left unsaid, transformers asks a terminal for leave."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise StepError(
            name,
            "needs code that comes with it, which is never run",
            KNOWN_ENCODER,
        ) from error
