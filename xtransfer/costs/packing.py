"""Several trials on one GPU: as many as its memory holds, by a model of what each takes.

The study's batches are small and leave a large card idle most of the time. A trial that shares its card with
n - 1 others asks Ray for 1/n of it; nothing else of it changes, and no key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtransfer.config.placement import section_of
from xtransfer.costs.memory import peak_bytes
from xtransfer.costs.principles import shape_of
from xtransfer.train.batching import PREDICTION_TOKENS

if TYPE_CHECKING:
    from xtransfer.config.placement import Packing, Placement, TrainResources
    from xtransfer.plan import Step

SEQUENCES = {"choice": 5, "retrieval": 2}
"""Form -> most inputs of one example in the study's tasks, where not 1."""
UNCUT = ("retrieval",)
"""Forms whose batches are not cut into micro-batches (`WHOLE_BATCH` of the form, which loads torch)."""
GRAIN = 10_000
"""Ray counts shares of a GPU to four digits."""


def gpus_of(step: Step, steps: Mapping[str, Step], placement: Placement) -> float:
    """Return the GPUs that one worker of a step takes.

    Args:
        step: of a plan.
        steps: of that plan.
        placement: says what steps take, and whether trials share GPUs.
    """
    if step.kind == "pretrain":
        return 0.0  # the tiny encoder of `xtransfer.train.pretrain` is made on the CPU
    train = placement.train
    if step.kind != "train" or train.packing is None:
        return placement.resources_for(step.kind).gpus
    together = trials_together(step, steps, train, train.packing)
    return math.floor(GRAIN / together) / GRAIN if together > 1 else train.gpus


def resources_of(step: Step, steps: Mapping[str, Step], placement: Placement) -> dict[str, Any]:
    """Return what a step's record says of resources: the placement's, and in it the GPUs that it took itself."""
    found = placement.model_dump(include={"train", "evaluate", "prepare"})
    found[section_of(step.kind)]["gpus"] = gpus_of(step, steps, placement)
    return found


def trials_together(
    step: Step, steps: Mapping[str, Step], train: TrainResources, packing: Packing
) -> int:
    """Return how many trials like this one a GPU holds; 1 for an encoder of unknown size."""
    needed = bytes_of(step, steps, train)
    if needed is None:
        return 1
    room = (1 - packing.free) * packing.gpu_memory_gb * 1e9
    return max(1, min(packing.most, int(room // (needed + packing.beside_gb * 1e9))))


def bytes_of(step: Step, steps: Mapping[str, Step], train: TrainResources) -> int | None:
    """Return the most bytes of tensors of a trial; None where the size of its encoder is not known.

    Every input is taken as long as it may be, and every embedding row as trained.
    """
    place = step.where.get("encoder")
    shape = shape_of(place["name"]) if place else None
    if shape is None or not shape.vocabulary:
        return None
    sequences, length = 0, 0
    for role, key in step.inputs.items():
        if role.startswith("train "):
            length = max(length, steps[key].spec["max_length"])
    for part in step.spec["parts"]:
        cut = None if part["form"] in UNCUT else train.micro_batch
        inputs = SEQUENCES.get(part["form"], 1)
        if part["form"] == "choice":  # an own task may have more answers than those of the study
            inputs = max(inputs, len(part["labels"] or ()))
        sequences = max(sequences, inputs * min(step.spec["batch_size"], cut or math.inf))
    if step.spec["text"] is not None:
        sequences = max(sequences, step.spec["batch_size"])
    return peak_bytes(
        shape,
        sequences=int(sequences),
        length=length,
        precision=step.spec["precision"],
        predicted=PREDICTION_TOKENS["cuda"],
        masked=0.0 if step.spec["text"] is None else step.spec["text"]["mask"],
    )
