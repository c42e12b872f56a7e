"""What devices can do at best, from their makers' data sheets; names of devices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Device:
    """Peak rates of one device, in floating-point operations a second, without sparsity."""

    bf16: float
    fp32: float
    """Without TF32, as PyTorch multiplies unless told otherwise."""
    sheet: str
    """The data sheet that says so."""

    def peak(self, precision: str) -> float:
        """Return the rate of a precision, `bf16` or `fp32`."""
        return self.bf16 if precision == "bf16" else self.fp32


DEVICES: Mapping[str, Device] = {
    "a100": Device(bf16=312e12, fp32=19.5e12, sheet="NVIDIA A100 Tensor Core GPU data sheet"),
    "h100": Device(
        bf16=989e12, fp32=67e12, sheet="NVIDIA H100 Tensor Core GPU data sheet, SXM, sparse / 2"
    ),
    "h100-pcie": Device(
        bf16=756e12, fp32=51e12, sheet="NVIDIA H100 Tensor Core GPU data sheet, PCIe, sparse / 2"
    ),
    "h200": Device(
        bf16=989e12, fp32=67e12, sheet="NVIDIA H200 Tensor Core GPU data sheet, SXM, sparse / 2"
    ),
    "l40s": Device(bf16=362e12, fp32=91.6e12, sheet="NVIDIA L40S data sheet"),
}
"""Only figures that were found in print; of other devices no estimate is made."""

_FILLING = {"nvidia", "gpu", "tesla", "amd", "sxm", "sxm2", "sxm4", "sxm5", "hbm2", "hbm2e", "hbm3"}


def device_named(name: str) -> str:
    """Return a device's short name: `h100` for "NVIDIA H100 80GB HBM3", `a100` for "a100-sxm4-40gb".

    Memory and form factor are left out, but PCIe and NVL, which say that it is slower.
    """
    words = re.split(r"[^a-z0-9]+", name.lower())
    kept = [w for w in words if w and w not in _FILLING and not re.fullmatch(r"\d+gb?|hbm\w*", w)]
    short = "-".join(kept) or name.lower()
    return "a100" if short == "a100-pcie" else short
