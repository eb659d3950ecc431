"""What pages need around them, by their names: nothing of it stands in their prose."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from examples.checkout import Cart, CheckoutLifecycle
from stateward.testing import Clock, engine_on
from tests.docs.running import Fixture

__all__ = ["FIXTURES"]


@contextmanager
def a_ledger_of_last_march(folder: Path) -> Generator[Mapping[str, str]]:
    """A ledger with records of the month that the page archives, in the place of a server's."""
    archives = folder / "archives"
    archives.mkdir()
    march = Clock(datetime(2026, 3, 8, tzinfo=UTC))
    with engine_on(CheckoutLifecycle, ledger=folder / "old.db", clock=march) as engine:
        engine.create(CheckoutLifecycle, "c1", Cart(id="c1"), actor="customer:9")
    yield {"postgresql://orders@db/orders": "sqlite:///old.db", "/archives": str(archives)}
    assert [each.name for each in sorted(archives.iterdir())] == ["record-2026-03.json", "record-2026-03.jsonl.gz"]


FIXTURES: dict[str, Fixture] = {"docs/operations.md": a_ledger_of_last_march}
"""Context managers of the page's folder; what stands in the page is read as what they give."""
