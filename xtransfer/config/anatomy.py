"""What an encoder has by its files alone: how many layers, and which linear ones; nothing of it is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xtransfer.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from xtransfer.config.adapters import Lora
    from xtransfer.config.retrieval import Retrieval

_DEPTHS = ("num_hidden_layers", "n_layers", "num_layers")
"""How config.json of one kind of encoder or another calls its number of layers."""
_HEADS = re.compile(
    r"(lm_head|cls|predictions|decoder|head|vocab_\w+|(generator|discriminator|lm|mask)_\w+)\."
)
"""Weights of the head that an encoder was pretrained with; models of a task have none of it."""
_POSITIONS = re.compile(r"(^|\.)(position_embeddings|embed_positions)\.weight$")
"""Weights of the embedding of positions; encoders with relative positions, as DeBERTa and ModernBERT, have none."""
_BEHIND_PADDING = (
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert", "roberta-prelayernorm"),
    *("data2vec-text", "ibert", "longformer", "luke", "mpnet"),
)
"""Kinds of encoder whose positions begin behind that of padding."""
_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors itself reads no longer one."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What settings of layers are held against; of what is None, nothing is known."""

    depth: int | None
    """Layers; hidden states are 0, the embeddings, to this."""
    linear: tuple[str, ...] | None
    """Full names of the linear layers."""
    positions: int | None = None
    """Tokens that it has positions for."""


def anatomy_of(folder: Path) -> Anatomy:
    """Read what an encoder's folder says; what cannot be read is for those to tell who load it."""
    config = _config(folder / "config.json")
    depth = next((config[name] for name in _DEPTHS if isinstance(config.get(name), int)), None)
    shapes = _shapes(folder / "model.safetensors")
    linear = tuple(
        name.removesuffix(".weight")
        for name, shape in shapes.items()
        if name.endswith(".weight")
        and len(shape) == 2
        and not re.search(r"embeddings?\.weight$", name)
        and not _HEADS.match(name)
    )
    return Anatomy(depth=depth, linear=linear or None, positions=_positions(config, shapes))


def xlm_roberta(layers: int) -> Anatomy:
    """Return that of an XLM-R with so many layers, as the demo pretrains it."""
    inside = ("attention.self.query", "attention.self.key", "attention.self.value")
    inside += ("attention.output.dense", "intermediate.dense", "output.dense")
    return Anatomy(
        depth=layers,
        linear=tuple(f"encoder.layer.{at}.{name}" for at in range(layers) for name in inside),
    )


def check_layers(retrieval: Retrieval, anatomy: Anatomy, where: str = "") -> None:
    """Refuse layers that the encoder does not have.

    Args:
        retrieval: the experiment's settings.
        anatomy: of its encoder.
        where: stands before the settings in errors.

    Raises:
        ConfigError: naming the setting, and the layers that there are.
    """
    if anatomy.depth is None:
        return
    further = () if retrieval.layers == "all" else retrieval.layers
    places = [("layer", retrieval.layer), *((f"layers[{at}]", e) for at, e in enumerate(further))]
    for name, layer in places:
        if isinstance(layer, int) and layer > anatomy.depth:
            raise ConfigError(
                f"{where}retrieval.{name}",
                f"the encoder has no layer {layer}",
                f"It has 0 (the embeddings) to {anatomy.depth}; a share of the depth such as 0.58 fits any.",
            )


def check_adapters(lora: Lora | None, anatomy: Anatomy, where: str = "") -> None:
    """Refuse adapters beside layers that the encoder does not have; the arguments are those of `check_layers`.

    Raises:
        ConfigError: naming the setting, and the linear layers that there are.
    """
    if lora is None or anatomy.linear is None:
        return
    last = sorted({name.rpartition(".")[2] for name in anatomy.linear})
    for at, target in enumerate(lora.targets):
        if not any(name == target or name.endswith(f".{target}") for name in anatomy.linear):
            near = did_you_mean(target, last)
            raise ConfigError(
                f"{where}training.lora.targets[{at}]",
                f"the encoder has no linear layer named '{target}'",
                f"{near} It has: {', '.join(last)}.".strip(),
            )


def check_length(max_length: int, anatomy: Anatomy, where: str) -> None:
    """Refuse inputs that may be longer than what the encoder has positions for.

    Args:
        max_length: tokens of the longest input that there may be.
        anatomy: of the encoder.
        where: whose inputs they are.

    Raises:
        ConfigError: saying how long they may be.
    """
    if anatomy.positions is not None and max_length > anatomy.positions:
        raise ConfigError(
            where,
            f"max_length is {max_length}, and the encoder has positions for {anatomy.positions} tokens",
            "Set a smaller one: in intermediate.overrides or target.overrides, of an arm's text, or of a task's own "
            "record.",
        )


def _positions(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> int | None:
    """Return how many tokens there are positions for, None where no embedding of them is in the weights.

    As `longest_input` (`xtransfer/steps/encoder.py`) counts them off the model; of kinds that are not known to begin
    behind padding, never fewer.
    """
    found = (shape for name, shape in shapes.items() if _POSITIONS.search(name))
    rows = next((shape[0] for shape in found if len(shape) == 2), None)
    most, padding = config.get("max_position_embeddings"), config.get("pad_token_id", 1)
    if not isinstance(rows, int) or not isinstance(most, int):
        return None
    behind = config.get("model_type") in _BEHIND_PADDING and isinstance(padding, int)
    return min(rows - (padding + 1 if behind else 0), most)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _shapes(path: Path) -> Mapping[str, Sequence[int]]:
    """Return name -> shape of the tensors of a safetensors file, nothing of one that is none.

    Such a file begins with the size of its header, 8 bytes little-endian, and the header, which is JSON.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: Any = json.loads(file.read(size)) if size <= _LONGEST_HEADER else {}
        return {name: about["shape"] for name, about in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
