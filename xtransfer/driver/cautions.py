"""What a placement asks for in vain: said before the first step."""

from __future__ import annotations

from importlib.metadata import version

from xtransfer.config.placement import Placement


def cautions(placement: Placement) -> list[str]:
    """Return a line for each thing that a placement asks for and steps will not have, and what to do.

    Of torch on the machines of a cluster that is joined nothing is known here.
    """
    train, found = placement.train, []
    if train.zero_stage and train.chosen_engine == "torch":
        found.append(
            f"placement: train.zero_stage: {train.zero_stage} does nothing with one worker, as engine auto is plain "
            "torch then, which shards nothing. Leave it out, or set train.engine=deepspeed or several train.workers"
        )
    torch = version("torch")
    if placement.ray.address == "local" and torch.endswith("+cpu"):
        found += [
            f"placement: {section}.gpus: torch {torch} is built without CUDA, so steps that are given a GPU will fail. "
            f"Install a build with CUDA, or set {section}.gpus=0"
            for section, gpus in (("train", train.gpus), ("evaluate", placement.evaluate.gpus))
            if gpus
        ]
    return found
