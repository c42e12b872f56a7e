"""Builds the image by docker, or without a daemon by buildah: `make image` runs it.

    python k8s/image/build.py --variant cpu --base python:3.11-slim-bookworm@sha256:... --tag xtransfer:0.1.0-cpu

pip works in the build as it does here: its configuration (an index, perhaps with credentials, a certificate,
constraints) is a secret of the build and in no layer. Where it names an index or folder of its own, torch comes
from there; else from the Dockerfile's. Folders that it names are mounted, which docker cannot.

This file needs Python and nothing else.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCKERFILE = Path("k8s/image/Dockerfile")
ENGINES = ("docker", "buildah")
SECRETS = {"cert": "pip-cert", "constraint": "pip-constraints"}
"""pip's setting that names a file -> the build's secret that holds it, below /run/secrets."""
SOURCES = ("index-url", "extra-index-url", "find-links")
"""pip's settings that say where packages are."""


def pip_settings(listing: str) -> dict[str, str]:
    """Return pip's settings from what `pip config list` prints; variables win over files."""
    found: dict[str, str] = {}
    for line in sorted(listing.splitlines()):  # `:env:` sorts before `global`, `install` ...
        scope, _, rest = line.partition(".")
        name, _, value = rest.partition("=")
        if value and scope in (":env:", "global", "install"):
            found.setdefault(name, value.strip("'\"").replace("\\n", "\n"))
    return found


def folders(settings: Mapping[str, str]) -> list[str]:
    """Return the folders of this machine that pip's settings name, a local index with what is beside it."""
    words = [word for name in SOURCES for word in settings.get(name, "").split()]
    indices = [word.removeprefix("file://") for word in words if word.startswith("file://")]
    plain = [word for word in words if word.startswith("/")]
    return sorted({*(str(Path(index).parent) for index in indices), *plain})


def configuration(settings: Mapping[str, str]) -> str:
    """Return pip's settings as a file whose files are the build's secrets."""
    lines = ["[global]"]
    for name, value in settings.items():
        secret = SECRETS.get(name)
        lines.append(f"{name} = {f'/run/secrets/{secret}' if secret else value}")
    return "\n".join(lines) + "\n"


def build_command(
    engine: str,
    settings: Mapping[str, str],
    *,
    secrets: Mapping[str, Path],
    arguments: Mapping[str, str],
    tag: str,
    options: Iterable[str] = (),
) -> list[str]:
    """Return the command that builds the image.

    Args:
        engine: of ENGINES.
        settings: pip's.
        secrets: name -> file.
        arguments: the Dockerfile's.
        tag: of the image.
        options: more of the engine's.

    Raises:
        SystemExit: pip's settings name a folder, and the engine mounts none.
    """
    command = [engine, "build" if engine == "docker" else "bud"]
    if engine == "buildah":
        command += ["--layers", "--isolation", "oci", "--format", "docker", "--network", "host"]
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        command += ["--ulimit", f"nofile={most}:{most}"]
        if shutil.which("runc"):  # crun refuses a machine with both versions of control groups
            command += ["--runtime", "runc"]
    mounted = folders(settings)
    if mounted and engine == "docker":
        sys.exit(
            f"build: pip is set up with {mounted[0]}, which docker cannot mount. Use --engine buildah, or "
            "set PIP_CONFIG_FILE to a file that names an index by URL."
        )
    for folder in mounted:
        command += ["--volume", f"{folder}:{folder}:ro"]
    for name, file in secrets.items():
        command += ["--secret", f"id={name},src={file}"]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    return [*command, *options, "--file", str(DOCKERFILE), "--tag", tag, "."]


def choose_engine(settings: Mapping[str, str], installed: Sequence[str]) -> str:
    """Return the first engine that can build with pip's settings; the last one where none can.

    Raises:
        SystemExit: none is installed.
    """
    if not installed:
        sys.exit("build: neither docker nor buildah is installed. Debian: apt install buildah runc")
    return installed[-1] if folders(settings) else installed[0]


def main() -> int:
    """Build it; return the engine's exit status."""
    parser = argparse.ArgumentParser(prog="build.py", description="Builds the image.")
    parser.add_argument("--variant", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--base", help="image with Python, by digest; default: the Dockerfile's")
    parser.add_argument("--tag", default="xtransfer:0.1.0-cpu")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="default: docker, else buildah; buildah where folders have to be mounted",
    )
    parser.add_argument("options", nargs="*", help="more options of the engine, after --")
    asked = parser.parse_args()
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = pip_settings(listing.stdout)
    engine = asked.engine or choose_engine(settings, [e for e in ENGINES if shutil.which(e)])
    arguments = {"VARIANT": asked.variant}
    if asked.base:
        arguments["BASE"] = asked.base
    if any(name in settings for name in SOURCES):
        arguments |= {"TORCH_INDEX_CPU": "", "TORCH_INDEX_CUDA": ""}
    with tempfile.TemporaryDirectory(prefix="xtransfer-build-") as folder:
        conf = Path(folder) / "pip.conf"
        conf.write_text(configuration(settings), encoding="utf-8")
        conf.chmod(0o600)
        files = {
            secret: Path(settings[name]) for name, secret in SECRETS.items() if name in settings
        }
        command = build_command(
            engine,
            settings,
            secrets={"pip-conf": conf, **files},
            arguments=arguments,
            tag=asked.tag,
            options=asked.options,
        )
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
