from __future__ import annotations

from pathlib import Path

import pytest

from xtransfer.costs.lineage import Subject
from xtransfer.costs.tables import load_prices, load_speeds
from xtransfer.errors import ConfigError

FIGURES = """
figures:
  - {encoder: xlm-roberta-large, device: NVIDIA H100 80GB HBM3, form: classification,
     max_length: 256, precision: bf16, examples_per_s: 400.0, source: a pilot, date: 2026-11-02}
"""
PRICES = """
h100: {spot: 2, on_demand: 4.5, currency: USD, source: a list, date: 2026-11-02}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_tables_are_read(tmp_path: Path) -> None:
    (figure,) = load_speeds(write(tmp_path, FIGURES)).figures
    assert (figure.device, figure.examples_per_s) == ("h100", 400)
    price = load_prices(write(tmp_path, PRICES)).root["h100"]
    assert (price.spot, price.on_demand) == (2, 4.5)


def test_a_figure_of_as_many_devices_comes_before_one_in_proportion(tmp_path: Path) -> None:
    one = FIGURES.strip().splitlines()[-2:]
    eight = [one[0].replace("{encoder", "{devices: 8, encoder"), one[1].replace("400.0", "2000.0")]
    table = load_speeds(write(tmp_path, "\n".join(["figures:", *one, *eight])))
    subject = Subject(
        kind="train",
        encoder="",
        tasks=("mnli",),
        forms=("classification",),
        lengths=(256,),
        precision="bf16",
    )
    speeds = [
        table.speed(subject, "FacebookAI/xlm-roberta-large", "h100", devices)
        for devices in (1, 2, 8)
    ]
    assert [each and each.examples_per_s for each in speeds] == [400, 800, 2000]
    assert {each and each.trust for each in speeds} == {"table"}
    assert table.speed(subject, "xlm-roberta-base", "h100", 1) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((", source: a pilot", ""), "figures[0].source: is required but absent"),
        (("400.0", "0"), "figures[0].examples_per_s: input should be greater than 0"),
        (("form: classification", "form: clasification"), "figures[0].form: input should be"),
        (("form: classification,", ""), "figures[0]: needs either `task` or `form`"),
        (("{encoder", "{gpus: 2, encoder"), "figures[0].gpus: unknown key 'gpus'"),
        (("2026-11-02", "lately"), "figures[0].date: input should be a valid date"),
    ],
)
def test_a_wrong_speed_is_named_with_its_place(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    path = write(tmp_path, FIGURES.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_speeds(path)
    assert f"{path}: {words}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((", currency: USD", ""), "h100.currency: is required but absent"),
        (("spot: 2,", "spot: -2,"), "h100.spot: input should be greater than or equal to 0"),
        (("spot: 2, on_demand: 4.5, ", ""), "h100: needs `spot`, `on_demand` or both"),
        (
            ("h100", "NVIDIA H100: {spot: 3, currency: EUR, source: a, date: 2026-11-02}\nh100"),
            "two entries are of h100, the second as 'h100'",
        ),
    ],
)
def test_a_wrong_price_is_named_with_its_place(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    path = write(tmp_path, PRICES.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_prices(path)
    assert f"{path}: {words}" in str(caught.value)
