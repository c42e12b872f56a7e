from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_encoder
from xtransfer.costs.devices import DEVICES, device_named
from xtransfer.costs.principles import PUBLISHED, Shape, shape_of


def test_parameters_are_those_of_the_layers() -> None:
    encoder = tiny_encoder()
    counted = sum(weight.numel() for weight in encoder.encoder.parameters())
    assert Shape(layers=2, hidden=16, inner=24, source="").parameters == counted


def test_published_sizes() -> None:
    assert PUBLISHED["xlm-roberta-base"].parameters == 85_054_464
    assert PUBLISHED["xlm-roberta-large"].parameters == 302_309_376


def test_a_folder_tells_its_own_size(tmp_path: Path) -> None:
    folder = tmp_path / "xlm-roberta-base"
    folder.mkdir()
    config = {"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert shape_of(str(folder)) == Shape(layers=2, hidden=8, inner=16, source="its config.json")
    assert shape_of("FacebookAI/xlm-roberta-base") == PUBLISHED["xlm-roberta-base"]
    assert shape_of("org/unheard-of") is None


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA A100-PCIE-40GB", "a100"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
        ("h100", "h100"),
        ("cpu", "cpu"),
    ],
)
def test_names_of_devices(name: str, short: str) -> None:
    assert device_named(name) == short


def test_devices_are_known_by_their_short_names() -> None:
    assert all(device_named(name) == name for name in DEVICES)
