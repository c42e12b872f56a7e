"""The image's build takes pip as it is set up here, and leaves nothing of it in a layer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

IMAGE = Path(__file__).resolve().parents[2] / "k8s" / "image"
LISTING = """\
:env:.default-timeout='60'
:env:.index-url='https://me:secret@index.example.com/simple'
global.cert='/etc/ssl/own.crt'
global.extra-index-url='file:///srv/pypi/simple https://two.example.com/simple'
global.find-links='/srv/wheels'
global.index-url='https://old.example.com/simple'
list.format='json'
"""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image_build", IMAGE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def command(build: ModuleType, engine: str, listing: str) -> list[str]:
    found: list[str] = build.build_command(
        engine,
        build.pip_settings(listing),
        secrets={"pip-conf": Path("/run/pip.conf")},
        arguments={"VARIANT": "cpu"},
        tag="x:1",
    )
    return found


def test_variables_win_over_files_and_other_commands_settings_are_left(build: ModuleType) -> None:
    found = build.pip_settings(LISTING)
    assert found["index-url"] == "https://me:secret@index.example.com/simple"
    assert found["default-timeout"] == "60"
    assert "format" not in found


def test_a_file_that_pip_reads_becomes_a_secret(build: ModuleType) -> None:
    text = build.configuration(build.pip_settings(LISTING))
    assert "cert = /run/secrets/pip-cert\n" in text
    assert "find-links = /srv/wheels\n" in text
    assert "own.crt" not in text


def test_buildah_mounts_folders_of_packages_and_no_credentials_are_arguments(
    build: ModuleType,
) -> None:
    line = command(build, "buildah", LISTING)
    mounted = [line[at + 1] for at, word in enumerate(line) if word == "--volume"]
    assert mounted == ["/srv/pypi:/srv/pypi:ro", "/srv/wheels:/srv/wheels:ro"]
    assert "id=pip-conf,src=/run/pip.conf" in line
    assert not any("secret@" in word for word in line)


def test_docker_refuses_folders_that_it_cannot_mount(build: ModuleType) -> None:
    with pytest.raises(SystemExit, match="docker cannot mount"):
        command(build, "docker", LISTING)
    line = command(build, "docker", "global.index-url='https://one.example.com/simple'\n")
    assert line[:2] == ["docker", "build"]
    assert line[-5:] == ["--file", "k8s/image/Dockerfile", "--tag", "x:1", "."]


def test_the_engine_is_the_first_that_can_mount_what_pip_needs(build: ModuleType) -> None:
    plain, local = build.pip_settings(""), build.pip_settings(LISTING)
    assert build.choose_engine(plain, ["docker", "buildah"]) == "docker"
    assert build.choose_engine(local, ["docker", "buildah"]) == "buildah"
    assert build.choose_engine(local, ["docker"]) == "docker"
    with pytest.raises(SystemExit, match="neither docker nor buildah"):
        build.choose_engine(plain, [])


def test_every_secret_of_the_build_is_mounted_where_pip_installs(build: ModuleType) -> None:
    text = (IMAGE / "Dockerfile").read_text(encoding="utf-8")
    for name in ("pip-conf", *build.SECRETS.values()):
        assert f"--mount=type=secret,id={name},target=" in text
