"""Tensors on their way to a device and back.

The processor gives a GPU its work and goes on before that is done, until it asks for a result. While it waits for
one, it gives the GPU nothing to do. So tensors are sent from memory that a GPU reads by itself, and results are
asked for once more work is on its way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def sent(values: Tensor | npt.NDArray[np.generic], device: str) -> Tensor:
    """Return values of the processor on a device, without waiting for the device."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class Arriving:
    """A tensor on its way to the processor. The present stream of its device is not waited for until it is read."""

    def __init__(self, tensor: Tensor) -> None:
        self._values = tensor.detach().to("cpu", non_blocking=True)
        self._there: Any = None
        if tensor.device.type != "cpu":
            self._there = torch.get_device_module(tensor.device).Event()
            self._there.record()

    def read(self) -> Tensor:
        """Return the tensor, on the processor, once it is there."""
        if self._there is None:
            return self._values
        self._there.synchronize()
        # Out of the memory that a GPU writes to by itself, of which there is little.
        return self._values.clone()
