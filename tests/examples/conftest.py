"""Examples are run as a reader would run them: as modules, from the repository's root."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def printed() -> Callable[[str], str]:
    """What an example prints."""

    def run(name: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"examples.{name}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run
