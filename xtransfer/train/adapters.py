"""Low-rank adapters in an encoder, by peft, and their product put into the encoder's own weights.

    W' = W + alpha / rank * B A     (Hu et al. 2022, "LoRA", eq. 3)

with A [rank, in] drawn by the trial's seed, B [out, rank] zero at the start, and W [out, in] left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xtransfer.errors import StepError

_BASE, _A, _B = ".base_layer", ".lora_A.default.weight", ".lora_B.default.weight"
"""How peft names what it puts in the place of a layer."""


def add_adapters(encoder: Any, lora: Mapping[str, Any], *, seed: int) -> None:
    """Put adapters beside the encoder's layers that `lora` names; all else of it is frozen.

    Args:
        encoder: changed in place.
        lora: fields of `xtransfer.config.adapters.Lora`.
        seed: of torch's generator, from which the matrices A are drawn.

    Raises:
        StepError: when peft is absent, or no linear layer, or another one, has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise StepError(
            "training.lora",
            "needs peft, which is not installed",
            "pip install 'xtransfer[adapters]'",
        ) from None
    names = [name for name, _ in encoder.named_modules()]
    for target in lora["targets"]:
        found = [name for name in names if name == target or name.endswith(f".{target}")]
        other = [name for name in found if not isinstance(encoder.get_submodule(name), nn.Linear)]
        if not found or other:
            what = f"'{other[0]}' is no linear layer" if other else f"no layer is named '{target}'"
            last = sorted(
                {
                    name.rpartition(".")[2]
                    for name, module in encoder.named_modules()
                    if isinstance(module, nn.Linear)
                }
            )
            raise StepError("training.lora.targets", what, f"Linear are: {', '.join(last)}.")
    torch.manual_seed(seed)
    inject_adapter_in_model(
        LoraConfig(
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=list(lora["targets"]),
        ),
        encoder,
    )


def frozen_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model that are not trained, without copying them."""
    return {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}


def merged(weights: Mapping[str, Tensor], lora: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return all weights by the names that they have without adapters, the products added.

    Args:
        weights: of a model with adapters, frozen ones included.
        lora: as in `add_adapters`.
    """
    scale = lora["alpha"] / lora["rank"]
    out: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith((_A, _B)):
            continue
        if f"{_BASE}." not in name:
            out[name] = value
            continue
        layer, _, rest = name.rpartition(f"{_BASE}.")
        if rest == "weight":
            value = value + scale * (weights[layer + _B] @ weights[layer + _A])  # noqa: PLW2901
        out[f"{layer}.{rest}"] = value
    return out
