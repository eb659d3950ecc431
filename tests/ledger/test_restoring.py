"""The runbook of docs/operations.md for a lost ledger, as it is written: a backup, work after it, and the backup again.

A payment provider stands for the world. It keeps what it did under each key, and does it once.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from stateward import Actions, Call, Context, Effect, Event, Final, Lifecycle, Refused, State, chart_of, on
from stateward.engine import Engine
from stateward.ledger import Applied
from stateward.ledger.checking import find_faults, open_database
from tests.ledger.servers import Server


class Pay(Event):
    amount: int = 100


class Charged(Event):
    charge: str


class Cancel(Event):
    pass


class Refunded(Event):
    pass


class Charge(Effect):
    order: str
    amount: int


class Refund(Effect):
    order: str
    charge: str


class Order(Context):
    number: str
    charge: str = ""


def ask_for_money(order: Order, event: Pay) -> Actions[Order]:
    yield Charge(order=order.number, amount=event.amount)
    return order


def note_charge(order: Order, event: Charged) -> Order:
    return order.replace(charge=event.charge)


def give_back(order: Order, event: Cancel) -> Actions[Order]:
    yield Refund(order=order.number, charge=order.charge)
    return order


class OrderLifecycle(Lifecycle[Order], name="BackedUpOrder"):
    """An order that is charged, and may be refunded."""

    placed = State(initial=True)
    paying = State()
    paid = State()
    refunding = State()
    refunded = Final()

    pay = on(Pay, placed.to(paying), do=ask_for_money, already=paying | paid | refunding)
    charged = on(Charged, paying.to(paid), do=note_charge, already=paid)
    cancel = on(Cancel, paid.to(refunding), do=give_back, already=refunding)
    refund = on(Refunded, refunding.to(refunded))


class Act(NamedTuple):
    """What the provider did."""

    what: str
    order: str
    key: str


class Provider:
    """Does what it is asked for once under each key, and gives the same answer whenever that key comes again."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self.calls: Counter[str] = Counter()

    def do(self, what: str, order: str, key: str) -> str:
        self.calls[key] += 1
        self.acts.setdefault(key, Act(what, order, key))
        return f"{what} of {order}"

    def done(self) -> Counter[tuple[str, str]]:
        return Counter((act.what, act.order) for act in self.acts.values())


class Ledger:
    """A database that is backed up, lost, and restored."""

    def __init__(self, tmp_path: Path, server: Server | None, binaries: Path | None, address: str, way: str) -> None:
        self.address, self._server, self._binaries, self._way = address, server, binaries, way
        self._backup = tmp_path / "backup"

    def back_up(self) -> None:
        if self._server is None:
            with closing(sqlite3.connect(self.address, isolation_level=None)) as connection:
                if self._way == "vacuum":
                    connection.execute("VACUUM INTO ?", (str(self._backup),))
                else:
                    with closing(sqlite3.connect(self._backup)) as target:
                        connection.backup(target)
        else:
            self._tool("pg_dump", "--format=custom", f"--file={self._backup}", self.address)

    def restore(self) -> None:
        """The database is gone; what the backup holds is put in a new one."""
        if self._server is None:
            for each in Path(self.address).parent.glob(f"{Path(self.address).name}*"):
                each.unlink()
            self.address += ".restored"
            self._backup.rename(self.address)
            return
        lost, name = conninfo_to_dict(self.address)["dbname"], f"t{uuid4().hex}"
        with psycopg.connect(self._server.uri(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {lost} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        self.address = self._server.uri(name)
        self._tool("pg_restore", "--exit-on-error", f"--dbname={self.address}", str(self._backup))

    def drop(self) -> None:
        if self._server is not None:
            with psycopg.connect(self._server.uri(), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {conninfo_to_dict(self.address)['dbname']} WITH (FORCE)".encode())

    def _tool(self, name: str, *given: str) -> None:
        assert self._binaries is not None
        done = subprocess.run([self._binaries / name, *given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(params=["vacuum", "backup", "dump"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param != "dump":
        yield Ledger(tmp_path, None, None, str(tmp_path / "orders.db"), request.param)
        return
    server: Server = request.getfixturevalue("postgres_server")
    name = f"t{uuid4().hex}"
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made = Ledger(tmp_path, server, request.getfixturevalue("postgres_binaries"), server.uri(name), "dump")
    yield made
    made.drop()


@pytest.fixture
def provider() -> Provider:
    return Provider()


def open_engine(ledger: Ledger, provider: Provider) -> Engine:
    engine = Engine(ledger.address, lifecycles=[OrderLifecycle])

    @engine.handles(Charge, timeout=timedelta(seconds=5))
    def charge(effect: Charge, call: Call) -> Charged:
        return Charged(charge=provider.do("charge", effect.order, call.key))

    @engine.handles(Refund, timeout=timedelta(seconds=5))
    def refund(effect: Refund, call: Call) -> Refunded:
        provider.do("refund", effect.order, call.key)
        return Refunded()

    return engine


Sent = tuple[str, Event | None]
BEFORE: list[Sent] = [("A", None), ("A", Pay()), ("B", None)]
AFTER: list[Sent] = [("B", Pay()), ("A", Cancel()), ("C", None), ("C", Pay())]


def send(engine: Engine, sent: list[Sent]) -> list[Applied[Order] | str]:
    """What clients send, under the keys that they send it under each time; None makes the order."""
    answers: list[Applied[Order] | str] = []
    for order, event in sent:
        key = f"{order}-{'made' if event is None else type(event).__name__}"
        try:
            if event is None:
                answers.append(engine.create(OrderLifecycle, order, Order(number=order), actor="c:1", key=key))
            else:
                answers.append(engine.send(OrderLifecycle, order, event, actor="c:1", key=key))
        except Refused as refused:
            answers.append(refused.kind)
    return answers


def work_until_the_ledger_is_lost(ledger: Ledger, provider: Provider) -> None:
    """A is paid and B's effect waits when the backup is made; then B is charged, A is refunded, and C comes."""
    with open_engine(ledger, provider) as engine:
        send(engine, BEFORE)
        engine.drain()
        send(engine, AFTER[:1])
        ledger.back_up()
        engine.drain()
        send(engine, AFTER[1:])
        engine.drain()
        states = [engine.get(OrderLifecycle, each).state for each in "ABC"]
        assert states == ["refunded", "paid", "paid"]
    assert provider.done() == {("charge", each): 1 for each in "ABC"} | {("refund", "A"): 1}
    ledger.restore()


def reconcile(engine: Engine, provider: Provider, *, since: set[str]) -> None:
    """Before clients come back: bring orders to where the world is, by what asks for nothing."""
    state_after = {"charge": "paid", "refund": "refunded"}
    for act in [each for key, each in provider.acts.items() if key not in since]:
        known = engine.list(OrderLifecycle)
        if act.order not in [each.id for each in known]:
            send(engine, [(act.order, None)])
        if act.key in [each.key for each in engine.pending(OrderLifecycle, act.order)]:
            continue  # it will be asked for again, under the very same key
        engine.repair(
            OrderLifecycle, act.order, state_after[act.what], reason=f"{act.key} was lost with the ledger", actor="op:1"
        )


def test_after_the_runbook_all_is_done_once_and_all_is_where_it_was(ledger: Ledger, provider: Provider) -> None:
    work_until_the_ledger_is_lost(ledger, provider)
    before_the_backup = {key for key, act in provider.acts.items() if act == Act("charge", "A", key)}
    with open_database(ledger.address) as database:
        assert find_faults(database.read_facts(), [chart_of(OrderLifecycle)], outbox_age_s=3600) == []
    with open_engine(ledger, provider) as engine:
        assert [each.id for each in engine.list(OrderLifecycle)] == ["A", "B"], "C is lost"
        [waiting] = engine.pending(OrderLifecycle, "B")
        assert waiting.key in provider.acts, "what was done after the backup waits to be done"
        reconcile(engine, provider, since=before_the_backup)
        engine.drain()
        assert provider.calls[waiting.key] == 2, "it was asked for again, under the same key"
        answers = send(engine, BEFORE + AFTER)
        engine.drain()
        assert [engine.get(OrderLifecycle, each).state for each in "ABC"] == ["refunded", "paid", "paid"]
    assert [isinstance(each, Applied) and each.is_repetition for each in answers[:4]] == [True] * 4
    assert answers[4] == "finished", "A is refunded already"
    assert isinstance(answers[6], Applied)
    assert answers[6].outcome == "already_done", "C is paid already"
    assert provider.done() == {("charge", each): 1 for each in "ABC"} | {("refund", "A"): 1}


def test_what_was_lost_and_is_sent_again_without_reconciling_is_done_twice(ledger: Ledger, provider: Provider) -> None:
    """What the runbook says is not covered: the events are new to the ledger, so that their effects have new keys."""
    work_until_the_ledger_is_lost(ledger, provider)
    with open_engine(ledger, provider) as engine:
        send(engine, BEFORE + AFTER)
        engine.drain()
        send(engine, AFTER)
        engine.drain()
    assert provider.done()["charge", "B"] == 1, "its effect was in the backup"
    assert provider.done()["charge", "C"] == 2


def test_a_restored_ledger_keeps_its_promises(ledger: Ledger, provider: Provider) -> None:
    """Constraints, triggers and functions are in the backup."""
    work_until_the_ledger_is_lost(ledger, provider)
    with open_engine(ledger, provider) as engine:
        assert [each.revision for each in engine.history(OrderLifecycle, "A")] == [1, 2, 3]
    if ledger.address.startswith("postgresql"):
        with psycopg.connect(ledger.address, autocommit=True) as connection:
            for statement in ("DELETE FROM record", "UPDATE record SET event = 'x'", "TRUNCATE record"):
                with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
                    connection.execute(statement.encode())
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute("UPDATE entity SET revision = 0")
    else:
        with closing(sqlite3.connect(ledger.address)) as file:
            for statement in ("DELETE FROM record", "INSERT OR REPLACE INTO record SELECT * FROM record"):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    file.execute(statement)
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
