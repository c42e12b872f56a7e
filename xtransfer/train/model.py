"""The model of a trial: a pretrained encoder, of which only used embedding rows are trained, and heads.

English fine-tuning touches a few percent of a multilingual vocabulary. Rows that no example uses have no
gradient; AdamW only decays them, by a factor known in closed form. So the embedding is cut to the used
rows for training and put back on export: the same mathematics, without the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xtransfer.errors import KNOWN_ENCODER, StepError, shown
from xtransfer.train.kernels.attention import use_cpu_attention
from xtransfer.train.kernels.dropout import use_fast_dropout
from xtransfer.train.kernels.feed_forward import use_lean_feed_forward
from xtransfer.train.kernels.first_token import first_token_alone

DROPOUT_FIELDS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)


class TransferModel(nn.Module):
    """Encoder and a head for each part of a trial; only the encoder goes on to a dependent trial."""

    def __init__(self, encoder: Any, heads: Sequence[nn.Module], *, bf16: bool) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.heads = nn.ModuleList(heads)
        self.bf16 = bf16
        use_fast_dropout(self)
        use_cpu_attention(encoder)
        use_lean_feed_forward(encoder)

    def forward(
        self, *, head: int = 0, positions: Tensor | None = None, **inputs: Tensor
    ) -> Tensor:
        """Map `input_ids` (and `attention_mask`, `token_type_ids`) [batch, length] to logits.

        Args:
            head: number of the head that reads the states.
            positions: numbers among the batch x length positions; the head sees only the states there.
            inputs: of the encoder.
        """
        first = positions is None and getattr(self.heads[head], "first_token", False)
        with torch.autocast(inputs["input_ids"].device.type, torch.bfloat16, enabled=self.bf16):
            with first_token_alone(self.encoder) if first else nullcontext():
                states = self.encoder(**inputs).last_hidden_state
            asked = states if positions is None else states.flatten(0, 1).index_select(0, positions)
            logits = self._read(head, asked)
            if self.training and len(self.heads) > 1:
                # The other heads get a gradient of zero instead of none: engines disagree on what
                # none means, and under ZeRO every weight takes part in every step.
                for other in range(len(self.heads)):
                    if other != head:
                        logits = logits + 0.0 * self._read(other, states[:1, :1]).sum()
            return logits

    def tied(self) -> list[tuple[nn.Module, Tensor]]:
        """Return the heads that read the token embedding, each with that weight."""
        words = word_embeddings(self.encoder).weight
        return [(head, words) for head in self.heads if getattr(head, "tied", False)]

    def _read(self, head: int, states: Tensor) -> Tensor:
        module = self.heads[head]
        if getattr(module, "tied", False):
            return module(states, word_embeddings(self.encoder).weight)
        return module(states)


def load_encoder(name: str, *, revision: str | None = None, dropout: float | None = None) -> Any:
    """Load a pretrained encoder without pooling layer from a folder or, pinned, from the hub."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    if dropout is not None:
        for field in DROPOUT_FIELDS:
            if hasattr(config, field):
                setattr(config, field, dropout)
    # Never the other format, a pickle.
    options = {
        "config": config,
        "revision": revision,
        "dtype": torch.float32,
        "use_safetensors": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # they are told below
    }
    try:
        model, found = AutoModel.from_pretrained(
            name, add_pooling_layer=False, trust_remote_code=False, **options
        )
    except TypeError:  # an encoder without a pooling layer does not know the option
        model, found = AutoModel.from_pretrained(name, trust_remote_code=False, **options)
    _check_whole(found, name)
    _check_both_ways(model, name)
    if getattr(model.config, "type_vocab_size", 2) < 2:
        model.register_forward_pre_hook(_without_types, with_kwargs=True)
    use_cpu_attention(model)
    return model


def _check_whole(found: dict[str, Any], name: str) -> None:
    """Refuse an encoder of which the files lack weights: transformers draws such at random.

    Args:
        found: what transformers says of having read it.
        name: of the encoder.

    Raises:
        StepError: naming the first weight that is not there, or has another shape; a pooling layer, which no head
            reads, may lack.
    """
    lacking = sorted(each for each in found["missing_keys"] if "pooler" not in each.split("."))
    what = ""
    for weight, has, wanted in sorted(found["mismatched_keys"])[:1]:
        what = f"the weight {weight} is {list(has)} in its files, and config.json asks for {list(wanted)}"
    if lacking:
        what = f"its files lack {len(lacking)} weights that config.json asks for, such as {shown(lacking[0])}"
    if what:
        remedy = (
            "Are both of one model, and do weights have the names that transformers gives them?"
        )
        raise StepError(name, what, remedy)


def _check_both_ways(encoder: Any, name: str) -> None:
    """Refuse a model in which a token knows nothing of those behind it: heads read the first token's state.

    Raises:
        StepError: where the first token's state is the same whatever the last token is, or the model does not
            make states of token ids alone.
    """
    config = encoder.config
    first, second, third = [x for x in range(4) if x != config.pad_token_id][:3]
    ids = torch.tensor([[first, second, second], [first, second, third]])
    try:
        with torch.no_grad():
            states = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    except (AttributeError, TypeError, ValueError) as error:  # it asks for more, or gives no states
        raise StepError(
            name,
            f"cannot be used as an encoder of text ({config.model_type}): {shown(str(error))}",
            KNOWN_ENCODER,
        ) from error
    if torch.equal(states[0, 0], states[1, 0]):
        raise StepError(
            name,
            f"is a decoder ({config.model_type}): the state of its first token, which heads read, knows "
            "nothing of the text behind it",
            KNOWN_ENCODER,
        )


def _without_types(
    _: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Leave out token types before an encoder that has one type alone.

    Some have a tokenizer that knows two, as KLUE's RoBERTa has BERT's.
    """
    return args, {name: value for name, value in inputs.items() if name != "token_type_ids"}


def word_embeddings(encoder: Any) -> nn.Embedding:
    """Return the encoder's token embedding."""
    return encoder.get_input_embeddings()


def words_name(model: TransferModel) -> str:
    """Return the name that the token embedding has among the model's parameters."""
    weight = word_embeddings(model.encoder).weight
    return next(name for name, value in model.named_parameters() if value is weight)


def used_tokens(columns: list[npt.NDArray[np.int32]], *, vocabulary: int) -> npt.NDArray[np.int64]:
    """Return the sorted token ids that occur, plus the first ones, where special tokens stand.

    XLM-R derives positions from the id of the padding token, so low ids must keep their place.
    """
    used = np.zeros(vocabulary, dtype=bool)
    used[: min(8, vocabulary)] = True
    for column in columns:
        used[column] = True
    return np.flatnonzero(used)


def compact(encoder: Any, tokens: npt.NDArray[np.int64]) -> None:
    """Cut the token embedding down to the rows in `tokens`; row i is then token `tokens[i]`.

    The module stays, as it may do more than to look up: Gemma's scales what it finds. Weights are views of
    the file that they were read from. They become copies, so that the file, most of which is rows that
    nobody needs any more, leaves the process's memory.
    """
    words = word_embeddings(encoder)
    words.weight = nn.Parameter(words.weight.detach()[torch.from_numpy(tokens)])
    words.num_embeddings = len(tokens)
    for parameter in encoder.parameters():
        parameter.data = parameter.data.clone()


def renumber(
    ids: npt.NDArray[np.int32], tokens: npt.NDArray[np.int64], *, vocabulary: int
) -> npt.NDArray[np.int32]:
    """Map token ids to the rows of a compact embedding."""
    table = np.full(vocabulary, -1, dtype=np.int32)
    table[tokens] = np.arange(len(tokens), dtype=np.int32)
    return table[ids]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read exported weights: `encoder.*` and `heads.*`, with token embeddings as compact rows."""
    from safetensors.torch import load_file

    return load_file(path)


def head_weights(weights: dict[str, Tensor], number: int = 0) -> dict[str, Tensor]:
    """Return the weights of one head among exported ones, by their names inside it."""
    prefix = f"heads.{number}."
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def apply_weights(encoder: Any, weights: dict[str, Tensor]) -> None:
    """Put exported weights into the base encoder that they were made from.

    `token_rows` are written at `token_ids`; all other rows are the base's times `token_decay`.
    """
    prefix = "encoder."
    names = dict(encoder.named_parameters())
    embedding = word_embeddings(encoder).weight
    with torch.no_grad():
        embedding.mul_(float(weights["token_decay"]))
        embedding[weights["token_ids"].long()] = weights["token_rows"]
        for name, value in weights.items():
            if name.startswith(prefix):
                names[name.removeprefix(prefix)].copy_(value)


def export_weights(
    trained: dict[str, Tensor],
    *,
    words: str,
    tokens: npt.NDArray[np.int64],
    decay: float,
    before: dict[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Return the weights to store: everything trained, and the embedding rows that ever were.

    Args:
        trained: parameters of the `TransferModel` by name.
        words: name of the token embedding among them, [len(tokens), hidden].
        tokens: token id of each embedding row.
        decay: what decay alone made of the rows that were left out.
        before: the exported weights that the trial started from, None for the base encoder.
    """
    out = {name: value for name, value in trained.items() if name != words}
    ids = torch.from_numpy(tokens)
    rows = trained[words]
    total = decay
    if before is not None:
        old_ids = before["token_ids"].long()
        kept = ~torch.isin(old_ids, ids)
        # Rows an earlier phase trained and this one did not use: they have only decayed since.
        ids = torch.cat([ids, old_ids[kept]])
        rows = torch.cat([rows, before["token_rows"][kept] * decay])
        order = ids.argsort()
        ids, rows = ids[order], rows[order]
        total = decay * float(before["token_decay"])
    out["token_ids"] = ids.to(torch.int32)
    out["token_rows"] = rows.contiguous()
    out["token_decay"] = torch.tensor(total, dtype=torch.float64)
    return out
