"""A pretrained encoder: read from its files, and refused where they lack weights or no head could use it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xtransfer.errors import KNOWN_ENCODER, StepError, shown
from xtransfer.train.kernels.attention import use_cpu_attention

DROPOUT_FIELDS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)


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


def word_embeddings(encoder: Any) -> nn.Embedding:
    """Return the encoder's token embedding."""
    return encoder.get_input_embeddings()


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
