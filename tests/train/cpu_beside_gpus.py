"""A step of DeepSpeed on the CPU, in a process that is told of a GPU which it was not given.

`python -m tests.train.cpu_beside_gpus` prints as JSON where that was.
"""

from __future__ import annotations

import json
import os

import torch
from torch import nn

from xtransfer.steps.worker import ensure_process_group
from xtransfer.train.engine import make_engine


def main() -> None:
    """Take one step, and say which device DeepSpeed has chosen."""
    os.environ.pop("DS_ACCELERATOR", None)
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    ensure_process_group("cpu")
    engine = make_engine(
        nn.Linear(4, 2),
        kind="deepspeed",
        world_size=1,
        weight_decay=0.1,
        epsilon=1e-8,
        betas=(0.9, 0.98),
        clip=1.0,
        zero_stage=0,
    )
    engine.backward(engine.forward(input=torch.ones(3, 4)).sum(), last=True)
    finite = bool(engine.step(0.1))
    from deepspeed.accelerator import get_accelerator

    found = {
        "accelerator": get_accelerator()._name,
        "finite": finite,
        "devices": sorted({parameter.device.type for parameter in engine.module.parameters()}),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
