"""The device that a step was given: a processor, a GPU, or a share of one."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import torch

from xtransfer.costs.packing import gpus_of
from xtransfer.errors import StepError
from xtransfer.plan import Step

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Variables by which PyTorch's allocator is set up: today's name and the former one, which still counts."""
GROWING = "expandable_segments:True"

log = logging.getLogger(__name__)


def take_device(step: Step, bench: Workbench) -> str:
    """Return the torch device of a step, ready for its first tensor: call this before there is one.

    Who has a share of a GPU is kept to it: PyTorch's allocator keeps what it once took, and would take the memory
    of the others.

    Raises:
        StepError: when the step was given a GPU, and PyTorch finds none.
    """
    gpus = gpus_of(step, bench.plan.steps, bench.placement)
    if not gpus:
        return "cpu"
    if not torch.cuda.is_available():
        raise _no_gpu(step)
    _let_segments_grow(graphs=bench.placement.train.cuda_graphs)
    if gpus < 1:
        torch.cuda.set_per_process_memory_fraction(_tensors_share(step, bench, gpus))
    if step.spec.get("precision") == "bf16":
        _warn_of_emulation(step)
    return "cuda"


def _no_gpu(step: Step) -> StepError:
    section = "evaluate" if step.kind in ("evaluate", "estimate") else "train"
    built = torch.version.cuda
    next_ = (
        "See by `nvidia-smi` whether this machine has one, and whether its driver is new enough for that CUDA (13 needs "
        "driver 580 or later)"
        if built
        else "Install a build of torch with CUDA (of the image: VARIANT=cuda)"
    )
    build = f"built for CUDA {built}" if built else "built without CUDA"
    return StepError(
        step.folder,
        f"was given a GPU, and torch {torch.__version__}, {build}, finds none",
        f"{next_}, or set {section}.gpus=0 for the CPU.",
    )


def _let_segments_grow(*, graphs: bool) -> None:
    """Have PyTorch's allocator extend its segments, so that batches of ever other lengths leave fewer gaps in them.

    PyTorch reads it with the first allocation. What the user has set stays. Not where passes are captured as CUDA
    graphs, whose memory is in pools of their own: whether both go together was not seen on a GPU.
    """
    if not graphs and not any(name in os.environ for name in ALLOCATOR):
        os.environ[ALLOCATOR[0]] = GROWING


def _tensors_share(step: Step, bench: Workbench, gpus: float) -> float:
    """Return the part of a GPU's memory that tensors of a step with a share of it may take.

    Of trials that are packed it is known what a process takes besides, which the allocator does not count.
    """
    packing = bench.placement.train.packing
    if step.kind != "train" or packing is None:
        return gpus
    return gpus - packing.beside_gb / packing.gpu_memory_gb


def _warn_of_emulation(step: Step) -> None:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return
    major, minor = torch.cuda.get_device_capability()
    log.warning(
        "%s: %s (compute capability %d.%d) has no bf16 arithmetic and emulates it, which is slow: take a GPU of 8.0 or "
        "later, or training.precision: fp32, which makes other steps",
        step.folder, torch.cuda.get_device_name(), major, minor,
    )  # fmt: skip
