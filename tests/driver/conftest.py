"""Fixtures of drivers."""

from __future__ import annotations

import pytest

from tests.driver.untuned import made_plan
from xtransfer.plan import Plan


@pytest.fixture
def plan() -> Plan:
    return made_plan()
