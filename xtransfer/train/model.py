"""The model of a trial: a pretrained encoder and heads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.train.encoder import word_embeddings
from xtransfer.train.kernels.attention import use_cpu_attention
from xtransfer.train.kernels.dropout import use_fast_dropout
from xtransfer.train.kernels.feed_forward import use_lean_feed_forward
from xtransfer.train.kernels.first_token import first_token_alone


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


def words_name(model: TransferModel) -> str:
    """Return the name that the token embedding has among the model's parameters."""
    weight = word_embeddings(model.encoder).weight
    return next(name for name, value in model.named_parameters() if value is weight)
