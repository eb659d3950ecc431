"""What the ledger's tests have beyond the ledgers themselves: they say which PostgreSQL they are run on."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import MakeLedger, binaries_of

__all__ = ["MakeLedger"]


def pytest_report_header(config: pytest.Config) -> str:
    """Say which PostgreSQL is tested."""
    binaries = binaries_of(config)
    version = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return f"postgres: {version.strip()}"


@pytest.fixture
def quick_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of a commit whose reply is lost is looked for at once, for tests in which waiting does not help."""
    for engine in ("threads", "tasks"):
        monkeypatch.setattr(f"stateward.engine.{engine}.SETTLE_DELAYS_S", (0.01, 0.02))
