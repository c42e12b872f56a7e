from __future__ import annotations

import pytest
import torch

from xtransfer.train.rates import decay_product, learning_rate


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.1), (7, 0.5), (1, 0.1), (33, 0.0)])
def test_the_learning_rate_is_that_of_transformers(total: int, warmup: float) -> None:
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-5)
    schedule = get_linear_schedule_with_warmup(optimizer, int(warmup * total), total)
    for step in range(total):
        ours = learning_rate(step, peak=3e-5, total=total, warmup=warmup)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=0)
        optimizer.step()
        schedule.step()
    assert learning_rate(total, peak=3e-5, total=total, warmup=warmup) == 0


def test_decay_alone_is_what_adamw_does_to_a_weight_without_gradient() -> None:
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=0.0, weight_decay=0.1)
    rates = [0.1, 0.2, 0.05]
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert weight.item() == pytest.approx(decay_product(rates, 0.1), rel=1e-12)
    assert decay_product([], 0.1) == 1
