"""Work that needs a process of its own, since what it registers with PyTorch cannot be taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.conftest import CHECKOUT


def answer_of(module: str) -> dict[str, Any]:
    """Run a module of the tests; return what its last line says as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", module], capture_output=True, text=True, cwd=CHECKOUT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
