"""A tiny XLM-R made from scratch: tokenizer, masked language modelling, aligned by translations.

The demo's stand-in for a public encoder. Three objectives take turns, one a step:
    text       masked LM on monolingual paragraphs (Devlin et al. 2019: 15 %, 80/10/10)
    concat     masked LM on a sentence and its translation in one input (Conneau & Lample 2019)
    ranking    masked LM on both sides apart, and each sentence must find its translation in the
               batch by the mean of the hidden states of one layer (Feng et al. 2022, no margin)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM

from xtransfer.config.pretraining import Objective, PretrainSpec
from xtransfer.data.files import read_lines
from xtransfer.errors import DataError

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
PAD, MASK = 1, 4
IGNORED = -100

Example = tuple[list[int], ...]
"""Token ids of one input, or of the two sides of a pair."""
Report = Callable[[Mapping[str, float]], None]
"""Takes step, loss, ranking_loss and examples_per_second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Text to pretrain on."""

    text: tuple[str, ...]
    """Paragraphs in any language."""
    pairs: tuple[tuple[str, str], ...]
    """Sentences and their translations."""


def read_corpus(folder: Path) -> Corpus:
    """Read `{lang}.txt`, one paragraph a line, and `{lang}-en.tsv`, one translation pair a line.

    Raises:
        DataError: where there is no text, or a line of pairs has no two columns.
    """
    text = [line for path in sorted(folder.glob("*.txt")) for _, line in _lines(path)]
    if not text:
        raise DataError(str(folder), "no *.txt file with text", "Write one line per paragraph.")
    pairs: list[tuple[str, str]] = []
    for path in sorted(folder.glob("*.tsv")):
        for number, line in _lines(path):
            columns = line.split("\t")
            if len(columns) != 2:
                raise DataError(f"{path}:{number}", f"{len(columns)} column(s), not 2")
            pairs.append((columns[0], columns[1]))
    return Corpus(text=tuple(text), pairs=tuple(pairs))


def pretrain(corpus: Corpus, folder: Path, *, spec: PretrainSpec, report: Report) -> Path:
    """Train a tokenizer and an encoder on `corpus`; write both to `folder` and return it.

    The folder is what `AutoModel.from_pretrained(folder, add_pooling_layer=False)` and
    `AutoTokenizer.from_pretrained(folder)` load. On one CPU and thread count the same corpus and
    spec give the same weights. The caller's random state is left as it was.

    Raises:
        DataError: where an objective has nothing to train on.
    """
    _check_corpus(corpus, spec)
    tokenizer = train_tokenizer(corpus, spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        model = XLMRobertaForMaskedLM(_config(tokenizer, spec))
        _train(model, tokenizer, corpus, spec, report)
    model.roberta.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_tokenizer(corpus: Corpus, spec: PretrainSpec) -> PreTrainedTokenizerFast:
    """Return a byte-pair-encoding tokenizer with the special tokens and templates of XLM-R, whose own is unigram."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Metaspace(),
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    lines = [*corpus.text, *(side for pair in corpus.pairs for side in pair)]
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=spec.max_length,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def _check_corpus(corpus: Corpus, spec: PretrainSpec) -> None:
    """Refuse a corpus with no whole block for an objective: one without batches would be waited for without end."""
    for name in spec.objectives:
        found, what = len(corpus.pairs), "translation pair(s) in *.tsv"
        if name == "text":
            found, what = len(corpus.text), "paragraph(s) in *.txt"
        least = spec.neighbours if name == "ranking" else 1
        if found < least:
            lower = "lower `neighbours`, " if least > 1 else ""
            raise DataError(
                f"corpus for the objective '{name}'",
                f"has {found} {what}, and needs {least}",
                f"Add some, {lower}or leave '{name}' out of `objectives`.",
            )


def _config(tokenizer: PreTrainedTokenizerFast, spec: PretrainSpec) -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.width,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        intermediate_size=4 * spec.width,
        max_position_embeddings=spec.max_length + PAD + 1,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
        bos_token_id=0,
        eos_token_id=2,
    )


def _train(
    model: XLMRobertaForMaskedLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    spec: PretrainSpec,
    report: Report,
) -> None:
    data = _token_ids(corpus, tokenizer, spec)
    batches = {
        name: _batches(data[name], spec, block=spec.neighbours if name == "ranking" else 1)
        for name in spec.objectives
    }
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=spec.learning_rate,
        betas=(0.9, 0.98),  # steadier than 0.999 in so few steps
        weight_decay=spec.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, spec))
    model.train()
    losses: dict[str, list[float]] = {"loss": [], "ranking_loss": []}
    began, seen = time.perf_counter(), 0
    for step in range(1, spec.steps + 1):
        objective = spec.objectives[step % len(spec.objectives)]
        batch = next(batches[objective])
        found = _losses(model, batch, objective, spec, vocabulary=len(tokenizer))
        for name, value in found.items():
            losses[name].append(value.item())
        loss = found["loss"]
        if "ranking_loss" in found:
            loss = loss + spec.ranking_weight * found["ranking_loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen += len(batch)
        if step % spec.report_every == 0 or step == spec.steps:
            means = {name: sum(v) / len(v) if v else math.nan for name, v in losses.items()}
            speed = seen / (time.perf_counter() - began)
            report({"step": step, **means, "examples_per_second": speed})
            losses = {name: [] for name in losses}
            began, seen = time.perf_counter(), 0


def _token_ids(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, spec: PretrainSpec
) -> dict[Objective, list[Example]]:
    """Return what each of the objectives trains on; a translation pair is concatenated both ways round."""

    def encode(first: list[str], second: list[str] | None = None) -> list[list[int]]:
        return tokenizer(first, second, truncation=True, max_length=spec.max_length)["input_ids"]

    left, right = [pair[0] for pair in corpus.pairs], [pair[1] for pair in corpus.pairs]
    found: dict[Objective, list[Example]] = {}
    if "text" in spec.objectives:
        found["text"] = [(ids,) for ids in encode(list(corpus.text))]
    if "concat" in spec.objectives:
        found["concat"] = [(ids,) for ids in encode(left, right) + encode(right, left)]
    if "ranking" in spec.objectives:
        found["ranking"] = list(zip(encode(left), encode(right), strict=True))
    return found


def _rate(step: int, spec: PretrainSpec) -> float:
    """Return the share of the learning rate in step `step`, counted from 0: a linear rise, then a fall."""
    rise = max(1, round(spec.warmup * spec.steps))
    return min((step + 1) / rise, (spec.steps - step) / max(1, spec.steps - rise))


def _losses(
    model: XLMRobertaForMaskedLM,
    batch: Sequence[Example],
    objective: Objective,
    spec: PretrainSpec,
    *,
    vocabulary: int,
) -> dict[str, Tensor]:
    """Return `loss`, of masked tokens, and where the objective is `ranking`, `ranking_loss`; scalars."""
    ids = _pad([ids for example in batch for ids in example])
    masked, gold = mask_tokens(ids, share=spec.mask, vocabulary=vocabulary)
    states = model.roberta(
        masked, attention_mask=ids != PAD, output_hidden_states=objective == "ranking"
    )
    chosen = gold != IGNORED
    logits = model.lm_head(states.last_hidden_state[chosen])
    losses = {"loss": functional.cross_entropy(logits, gold[chosen])}
    if objective == "ranking":
        losses["ranking_loss"] = ranking_loss(
            states.hidden_states[spec.ranking_layer], ids != PAD, temperature=spec.temperature
        )
    return losses


def _batches(data: Sequence[Example], spec: PretrainSpec, *, block: int) -> Iterator[list[Example]]:
    """Yield batches of like lengths without end, in a new order every epoch.

    Every `block` neighbours of the data stay together: hard negatives where they are ranked.
    """
    pool, size = 32 * spec.batch_size // block, spec.batch_size // block
    while True:
        order = torch.randperm(len(data) // block).tolist()
        for start in range(0, len(order), pool):
            near = sorted(order[start : start + pool], key=lambda i: len(data[i * block][0]))
            groups = [near[i : i + size] for i in range(0, len(near), size)]
            for index in torch.randperm(len(groups)).tolist():
                yield [data[i * block + j] for i in groups[index] for j in range(block)]


def _pad(rows: Sequence[list[int]]) -> Tensor:
    """Return token ids (rows, longest row)."""
    width = max(len(row) for row in rows)
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


def mask_tokens(ids: Tensor, *, share: float, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return masked input and gold ids, both like `ids`; gold is -100 where nothing is asked."""
    special = ids < len(SPECIAL_TOKENS)
    chosen = (torch.rand(ids.shape) < share) & ~special
    fate = torch.rand(ids.shape)
    other = torch.randint(len(SPECIAL_TOKENS), vocabulary, ids.shape)
    masked = torch.where(chosen & (fate < 0.8), torch.full_like(ids, MASK), ids)
    masked = torch.where(chosen & (fate >= 0.9), other, masked)
    return masked, torch.where(chosen, ids, torch.full_like(ids, IGNORED))


def ranking_loss(states: Tensor, present: Tensor, *, temperature: float) -> Tensor:
    """Return the in-batch cross-entropy, both ways, of rows 2i and 2i + 1 finding each other.

    `states` is (2 pairs, tokens, width), `present` (2 pairs, tokens) is False at padding. The mean
    runs over all tokens including specials, as retrieval pools them.
    """
    weights = present.unsqueeze(-1).to(states.dtype)
    pooled = functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)
    scores = pooled[0::2] @ pooled[1::2].T / temperature
    gold = torch.arange(len(scores))
    return (functional.cross_entropy(scores, gold) + functional.cross_entropy(scores.T, gold)) / 2


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank."""
    return ((number, line) for number, line in read_lines(path) if line.strip())
