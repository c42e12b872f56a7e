"""What is built of the checkout: a wheel with all that the program reads, and a source distribution of all."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
NOT_SOURCE = (
    *(".git", ".venv", "runs", "build", "dist", "__pycache__", "*.egg-info", ".*_cache"),
    ".hypothesis",
)
BUILD = "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"


def built(what: str, source: Path, folder: Path) -> Path:
    """Return the distribution that is built of `source`, with the setuptools that are here."""
    subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{what}", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (file,) = folder.iterdir()
    return file


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout: building leaves files in it."""
    folder = tmp_path_factory.mktemp("source") / "checkout"
    return shutil.copytree(CHECKOUT, folder, ignore=shutil.ignore_patterns(*NOT_SOURCE))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


def files_of(source: Path, *folders: str) -> set[str]:
    return {
        path.relative_to(source).as_posix()
        for folder in folders
        for path in (source / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_wheel_has_every_file_of_the_packages_and_no_other(source: Path, wheel: Path) -> None:
    found = {name for name in members(wheel) if ".dist-info/" not in name}
    assert found == files_of(source, "xtransfer", "ray_jobs")


def test_a_wheel_says_every_licence_that_it_is_under(wheel: Path) -> None:
    """The distances between languages are of another licence than the code, which asks to be named."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        said = Parser().parsestr(archive.read(info).decode())
    assert said["License-Expression"] == "Apache-2.0 AND CC-BY-SA-4.0"
    folder = info.rpartition("/")[0]
    for name in said.get_all("License-File", []):
        assert f"{folder}/licenses/{name}" in members(wheel)
    assert said.get_all("License-File") == ["LICENSE", "xtransfer/typology/NOTICE"]


def test_a_source_distribution_is_the_checkout(
    source: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever has it can run the tests and build the same wheel."""
    file = built("sdist", source, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(file) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
        archive.extractall(unpacked, filter="data")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    ).stdout.split()
    wanted = files_of(source, "xtransfer", "ray_jobs", "tests", "configs", "k8s")
    assert not wanted - names
    assert not {name for name in listed if (source / name).is_file()} - names
    assert not {name for name in names if name.endswith(".pyc")}
    (root,) = unpacked.iterdir()
    again = built("wheel", root, tmp_path_factory.mktemp("again"))
    assert members(again) == members(wheel)
