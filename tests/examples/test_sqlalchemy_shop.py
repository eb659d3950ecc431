"""The example of a SQLAlchemy application: its rows and the transition commit together, or neither does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from examples.sqlalchemy_shop import HandOver, Line, Pack, Parcel, ParcelLifecycle, Shop
from stateward import Refused, UnknownEntity, chart_of
from stateward.chart.lint import lint


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    address = f"sqlite:///{tmp_path / 'shop.db'}"
    if request.param == "postgres":
        address = request.getfixturevalue("postgres_dsn")
    made = Shop(address)
    made.add_article("anvil", weight=25_000, stock=3)
    made.add_article("feather", weight=1, stock=100)
    yield made
    made.close()


def lines(shop: Shop) -> int:
    with shop.session() as session:
        return session.scalar(select(func.count()).select_from(Line)) or 0


def test_a_commit_keeps_both(shop: Shop) -> None:
    shop.order("P-1", anvil=1, feather=10)
    parcel = shop.engine.get(ParcelLifecycle, "P-1")
    assert (parcel.state, parcel.context.weight) == ("packed", 25_010)
    assert (shop.stock(), lines(shop)) == ({"anvil": 2, "feather": 90}, 2)
    shop.engine.drain()
    assert shop.labels == ["P-1: 25010 g"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_rollback_takes_both_back(shop: Shop, error: type[BaseException]) -> None:
    def pack_and_raise() -> None:
        with shop.session() as session:
            parcels = shop.engine.joining(session)
            parcels.create(ParcelLifecycle, "P-1", Parcel(), actor="shop:web")
            session.add(Line(parcel="P-1", article="feather", count=1))
            session.flush()
            parcels.send(ParcelLifecycle, "P-1", Pack(weight=1), actor="shop:web")
            raise error

    with pytest.raises(error):
        pack_and_raise()
    with pytest.raises(UnknownEntity):
        shop.engine.get(ParcelLifecycle, "P-1")
    assert (list(shop.engine.tail()), lines(shop)) == ([], 0)
    shop.engine.drain()
    assert shop.labels == []


def test_a_refusal_takes_back_what_was_done_before_it(shop: Shop) -> None:
    with pytest.raises(Refused):
        shop.order("P-1", feather=5, anvil=2)
    assert (shop.stock(), lines(shop)) == ({"anvil": 3, "feather": 100}, 0)
    assert shop.engine.get_many(ParcelLifecycle, ["P-1"]) == {}


def test_rows_that_the_database_refuses_take_the_transition_along(shop: Shop) -> None:
    def hand_over_and_break() -> None:
        with shop.session() as session:
            shop.engine.joining(session).send(ParcelLifecycle, "P-1", HandOver(), actor="shop:web")
            session.add(Line(parcel="P-1", article="feather", count=None))

    shop.order("P-1", feather=1)
    with pytest.raises(IntegrityError):
        hand_over_and_break()
    assert shop.engine.get(ParcelLifecycle, "P-1").state == "packed"


def test_a_parcel_that_is_called_off_fills_the_stock_again_once(shop: Shop) -> None:
    shop.order("P-1", anvil=1)
    shop.call_off("P-1")
    with pytest.raises(Refused):
        shop.call_off("P-1")
    assert (shop.stock(), lines(shop)) == ({"anvil": 3, "feather": 100}, 0)


def test_a_parcel_that_is_gone_is_not_called_off(shop: Shop) -> None:
    shop.order("P-1", anvil=1)
    shop.engine.send(ParcelLifecycle, "P-1", HandOver(), actor="carrier:1")
    with pytest.raises(Refused):
        shop.call_off("P-1")
    assert (shop.stock()["anvil"], lines(shop)) == (2, 1)


def test_two_who_want_the_last_one_do_not_both_get_it(shop: Shop) -> None:
    both = Barrier(2)
    errors: list[Any] = []

    def order(parcel: str) -> None:
        both.wait()
        try:
            shop.order(parcel, feather=60)
        except LookupError as error:
            errors.append(error)

    threads = [Thread(target=order, args=(f"P-{n}",)) for n in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [str(each) for each in errors] == ["there are 40 of feather, and not 60"]
    assert (shop.stock()["feather"], shop.engine.census(ParcelLifecycle)) == (40, {"packed": 1})


def test_it_passes_the_checks() -> None:
    assert lint(chart_of(ParcelLifecycle)) == []


def test_it_runs_and_says_what_happened(printed: Callable[[str], str]) -> None:
    lines = printed("sqlalchemy_shop").splitlines()
    assert lines[0] == "P-1 packed {'anvil': 2, 'feather': 90}"
    assert [line[:8] for line in lines] == ["P-1 pack", "P-2: Par", "P-3: the", "labels: ", "P-1 call"]
    assert lines[-1] == "P-1 called_off {'anvil': 3, 'feather': 100}"
