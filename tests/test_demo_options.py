"""The demo's settings are checked before anything is planned, as all others are."""

from __future__ import annotations

from pathlib import Path

import pytest

from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[1]
DEMO = CHECKOUT / "configs" / "quickstart.yaml"
TINY = CHECKOUT / "tests" / "integration" / "tiny.yaml"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.synthetic.options={pair_tran: 60}", "data.synthetic.options: .* 'pair_train'"),
        ("data.synthetic.options={languages: 3}", "unknown key 'languages'. Known: text, parallel"),
        ("data.synthetic.options={text: many}", "`text` is a number of examples, from 1"),
        ("data.synthetic.options={text: 0}", "`text` is a number of examples, from 1"),
        ("data.synthetic.options={text: 1.5}", "`text` is a number of examples, from 1"),
        ("encoder.pretrain.options={layer: 2}", "encoder.pretrain: .*Did you mean 'layers'"),
        ("encoder.pretrain.options={xyz: 2}", "unknown key 'xyz'. Known: batch_size"),
        ("encoder.pretrain.options={steps: 9}", "`options` has steps, which stands beside it"),
        ("encoder.pretrain.options={layers: many}", "`options.layers`: .*valid integer"),
        ("encoder.pretrain.options={layers: 0}", "`options.layers`: "),
        ("encoder.pretrain.options={mask: 2.0}", "`options.mask`: .*less than 1"),
        ("encoder.pretrain.options={learning_rate: -1.0}", "`options.learning_rate`: .*than 0"),
        ("encoder.pretrain.options={width: 63}", "`width` 63 is no multiple of `heads` 4"),
        ("encoder.pretrain.options={layers: 2}", "`ranking_layer` 3 is none of 2 `layers`"),
    ],
)
def test_an_option_of_the_demo_that_is_none_is_refused(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_experiment(DEMO, [change])


def test_options_of_the_demo_enter_the_experiment_as_they_are_written() -> None:
    experiment = load_experiment(TINY)
    assert experiment.encoder.pretrain is not None
    assert experiment.data.synthetic is not None
    assert dict(experiment.encoder.pretrain.options) == {
        "layers": 2,
        "width": 32,
        "heads": 2,
        "vocabulary": 400,
        "ranking_layer": 1,
    }
    assert experiment.data.synthetic.options["pair_train"] == 60
