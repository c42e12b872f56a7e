"""A stand-in for the base image where no registry is reached: Debian with its Python, by debootstrap."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

BASE = "localhost/xtransfer-base:bookworm"
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv", "python-is-python3")


def make_base(mirror: str) -> str:
    """Make the image if it is not there, and return its name. As root.

    Args:
        mirror: of Debian's packages.

    Raises:
        CalledProcessError: debootstrap or buildah fails.
    """
    if not _has(BASE):
        with tempfile.TemporaryDirectory(prefix="xtransfer-base-") as folder:
            root = Path(folder) / "root"
            include = f"--include={','.join(PACKAGES)}"
            _do("debootstrap", "--variant=minbase", include, SUITE, str(root), mirror)
            container = _do("buildah", "from", "scratch")
            try:
                _do("buildah", "add", "--quiet", container, str(root), "/")
                _do("buildah", "config", "--cmd", "python", container)
                _do("buildah", "commit", "--quiet", container, BASE)
            finally:
                _do("buildah", "rm", container)
    return BASE


def _has(image: str) -> bool:
    return (
        subprocess.run(["buildah", "inspect", image], capture_output=True, check=False).returncode
        == 0
    )


def _do(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
