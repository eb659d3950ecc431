"""The fixtures, as an application's own suite uses them; and the kit without pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stateward.testing import Clock
from tests.testing.shop import Order, OrderLifecycle

ROOT = Path(__file__).resolve().parents[2]

SUITE = '''
"""An application's tests."""

from datetime import timedelta

import pytest

from tests.testing.shop import Order, OrderLifecycle


def test_the_time_of_an_engine_is_the_clock(make_engine, clock):
    engine = make_engine(OrderLifecycle)
    engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
    clock.move(timedelta(hours=24))
    engine.drain()
    assert engine.get(OrderLifecycle, "A-1").state == "expired"


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "orders.db"


def test_two_engines_share_a_file(make_engine):
    make_engine(OrderLifecycle).create(OrderLifecycle, "A-1", Order(), actor="customer:9")
    assert make_engine(OrderLifecycle).get(OrderLifecycle, "A-1").state == "cart"


def test_an_option_goes_to_the_engine(make_engine):
    engine = make_engine(OrderLifecycle, ledger="memory://", authorize=lambda *_: False)
    with pytest.raises(Exception, match="unauthorized"):
        engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
'''


def test_a_suite_that_names_the_plugin_has_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\nfilterwarnings = ['error']\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["stateward.testing.fixtures"]\n')
    (tmp_path / "test_shop.py").write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        f"pythonpath={ROOT}",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


WITHOUT = """
import sys
sys.modules["pytest"] = None  # as if it were not installed
import stateward.testing
from stateward.testing import *
with engine_on(clock=Clock()) as engine:
    engine.drain()
try:
    import stateward.testing.fixtures
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_the_kit_needs_no_pytest_and_its_fixtures_say_what_is_missing() -> None:
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "ExtraMissing pytest is not installed: pip install 'stateward[testing]'\n", done.stderr


def test_a_fixture_can_be_imported_where_it_is_wanted(request: pytest.FixtureRequest) -> None:
    from stateward.testing import fixtures

    assert isinstance(fixtures.clock.__wrapped__(), Clock)  # type: ignore[attr-defined]
    make = fixtures.make_engine.__wrapped__(Clock(), "sqlite://")  # type: ignore[attr-defined]
    engine = next(make)(OrderLifecycle)
    engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
    assert engine.census(OrderLifecycle) == {"cart": 1}
    assert next(make, None) is None
