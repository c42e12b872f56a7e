"""Kubernetes quantities as numbers."""

from __future__ import annotations

import re
from fractions import Fraction

_FACTORS = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
}


def quantity(value: object) -> Fraction | None:
    """Return a quantity such as "500m", "1.5Gi" or 2 exactly; None for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(value))
    if match is None or match.group(2) not in _FACTORS:
        return None
    return Fraction(match.group(1)) * _FACTORS[match.group(2)]
