"""Kubernetes quantities as numbers (apimachinery, pkg/api/resource/quantity.go)."""

from __future__ import annotations

import re
from fractions import Fraction

_FACTORS = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_FORM = re.compile(
    r"\+?(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<power>[eE][+-]?[0-9]{1,3})?(?P<unit>[a-zA-Z]*)"
)


def quantity(value: object) -> Fraction | None:
    """Return a quantity such as "500m", "1.5Gi", "1e9" or 2 exactly; None for what is none, or below 0."""
    match = _FORM.fullmatch(str(value))
    if match is None or match["unit"] not in _FACTORS or (match["power"] and match["unit"]):
        return None
    return Fraction(match["number"] + (match["power"] or "")) * _FACTORS[match["unit"]]
