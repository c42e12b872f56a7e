"""Makes `uriel.csv` from the lang2vec package's own data.

    pip download --no-deps lang2vec==1.1.2
    python -m xtransfer.typology.derive lang2vec-1.1.2-py3-none-any.whl > xtransfer/typology/uriel.csv

lang2vec 1.1.2, the newest release on PyPI that was found, brings URIEL's feature vectors but not its
precomputed distances (and needs `pkg_resources` and writes to standard output, so it is no dependency).
The distances are computed here as their authors describe them (Littell et al., EACL 2017; the package's
later documentation: "in most cases they correspond to cosine distances between the corresponding feature
vectors"):

    syntactic, phonological, inventory   1 - cosine of the vectors with missing values predicted (kNN)
    featural                             the same of the three together
    genetic                              1 - cosine of the memberships in families and subfamilies
    geographic                           great-circle distance as a share of half the circumference

Unverified: they were not compared with the precomputed ones.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xtransfer.tasks.languages import LANGUAGES
from xtransfer.typology.distances import KINDS, MACRO

Array = npt.NDArray[np.float64]
_PREFIXES = {"syntactic": "S_", "phonological": "P_", "inventory": "INV_"}
_HEAD = """\
# Distances between the languages of XTREME and XTREME-R, from URIEL (Littell et al., EACL 2017),
# computed from the feature vectors of lang2vec 1.1.2 by xtransfer/typology/derive.py.
# Licence of this file: CC BY-SA 4.0, as that of URIEL and lang2vec. Empty: no value.
"""


def main(wheel: Path) -> None:
    """Print the table of all pairs of languages."""
    vectors = {code: _vectors(wheel, code) for code in LANGUAGES}
    sys.stdout.write(_HEAD)
    sys.stdout.write(",".join(("one", "other", *KINDS)) + "\n")
    codes = sorted(vectors)
    for at, one in enumerate(codes):
        for other in codes[at + 1 :]:
            row = [_distance(kind, vectors[one], vectors[other]) for kind in KINDS]
            sys.stdout.write(
                ",".join((one, other, *("" if d is None else f"{d:.4f}" for d in row))) + "\n"
            )


def _vectors(wheel: Path, code: str) -> dict[str, Array | None]:
    name = MACRO.get(code, LANGUAGES[code].iso3)
    known = _row(wheel, "feature_predictions", name)
    found: dict[str, Array | None] = {
        kind: None
        if known is None
        else np.array([value for feature, value in known.items() if feature.startswith(prefix)])
        for kind, prefix in _PREFIXES.items()
    }
    found["featural"] = None if known is None else np.array(list(known.values()))
    family = _row(wheel, "family_features", name)
    found["genetic"] = None if family is None else np.array(list(family.values()))
    places = _row(wheel, "geocoord_features", name)
    found["geographic"] = None if places is None else _place(places)
    return found


def _distance(kind: str, one: dict[str, Array | None], other: dict[str, Array | None]) -> Any:
    a, b = one[kind], other[kind]
    if a is None or b is None or (a == -1).any() or (b == -1).any():
        return None
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    if size == 0:
        return None
    cosine = min(1.0, max(-1.0, float(a @ b) / size))
    return float(np.arccos(cosine) / np.pi) if kind == "geographic" else max(0.0, 1 - cosine)


def _place(distances: dict[str, float]) -> Array:
    """Return the point on the unit sphere that has these distances from fixed points on it.

    Each is a great-circle distance as a share of half the circumference, from the point named
    `GC_<latitude>_<longitude>`, so the cosines are linear in the point looked for.
    """
    names = [name.split("_") for name in distances]
    points = np.array([_point(float(lat), float(lon)) for _, lat, lon in names])
    cosines = np.cos(np.pi * np.array(list(distances.values())))
    found = np.linalg.lstsq(points, cosines, rcond=None)[0]
    return found / np.linalg.norm(found)


def _point(latitude: float, longitude: float) -> list[float]:
    lat, lon = np.radians([latitude, longitude])
    return [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]


_OPEN: dict[str, Any] = {}


def _row(wheel: Path, table: str, name: str) -> dict[str, float] | None:
    """Return feature -> value of a language; None where the table does not have it."""
    if table not in _OPEN:
        with zipfile.ZipFile(wheel) as archive:
            data = np.load(io.BytesIO(archive.read(f"lang2vec/data/{table}.npz")))
            _OPEN[table] = {key: data[key] for key in data.files}
    found = _OPEN[table]
    at = np.flatnonzero(found["langs"] == name)
    if not at.size:
        return None
    values = found["data"][at[0], :, 0].astype(float)
    return dict(zip(map(str, found["feats"]), values, strict=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
