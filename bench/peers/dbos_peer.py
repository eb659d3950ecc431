"""DBOS: a workflow for each payment, whose id is the idempotency key, on an order of a table of its own.

Two ways, both durable. In the first the step is a transaction of a datasource on the orders' database, so that the
order and the step's checkpoint commit together: exactly once. In the second, the cheaper, it is a plain step, which
may run again after a crash between the update and its checkpoint; the update's condition makes that harmless here.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy
from dbos import DBOS, SetWorkflowID, SQLAlchemyDatasource

__all__ = ["SystemPeer"]

_CONNECTIONS = 20
"""DBOS's own number for its system database; more did not make it faster on two cores."""
_TABLE = sqlalchemy.text("CREATE TABLE dbos_order (id text PRIMARY KEY, state text NOT NULL, paid bigint NOT NULL)")
_CREATE = sqlalchemy.text("INSERT INTO dbos_order VALUES (:id, 'pending', 0)")
_PAY = sqlalchemy.text("UPDATE dbos_order SET state = 'paid', paid = :amount WHERE id = :id AND state = 'pending'")
_COUNT = sqlalchemy.text("SELECT count(*) FROM dbos_order WHERE state = 'paid' AND paid = 4200 AND id = ANY(:ids)")


class SystemPeer:
    """One DBOS on a database, and the two workflows."""

    def __init__(self, address: str) -> None:
        url = sqlalchemy.make_url(address).set(drivername="postgresql+psycopg")
        self._engine = sqlalchemy.create_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
        with self._engine.begin() as connection:
            connection.execute(_TABLE)
        shown = url.render_as_string(hide_password=False)
        DBOS(
            config={
                "name": "bench",
                "system_database_url": shown,
                "sys_db_pool_size": _CONNECTIONS,
                "log_level": "ERROR",
                "application_version": "1",
            }
        )
        source = SQLAlchemyDatasource.create(shown, engine=self._engine)
        DBOS.launch()

        # READ COMMITTED as everybody else here: its default, SERIALIZABLE, costs more and guards nothing more.
        @source.transaction(isolation_level="READ COMMITTED")
        def update_in_transaction(order: str, amount: int) -> None:
            source.sql_session().execute(_PAY, {"id": order, "amount": amount})

        @DBOS.step()
        def update_in_step(order: str, amount: int) -> None:
            with self._engine.begin() as connection:
                connection.execute(_PAY, {"id": order, "amount": amount})

        @DBOS.workflow()
        def pay_by_transaction(order: str, amount: int) -> str:
            update_in_transaction(order, amount)
            return "paid"

        @DBOS.workflow()
        def pay_by_step(order: str, amount: int) -> str:
            update_in_step(order, amount)
            return "paid"

        self._by_transaction: Any = pay_by_transaction
        self._by_step: Any = pay_by_step

    def create(self, names: list[str]) -> None:
        with self._engine.begin() as connection:
            connection.execute(_CREATE, [{"id": name} for name in names])

    def pay_in_transaction(self, name: str) -> None:
        with SetWorkflowID(f"{name}:k"):
            self._by_transaction(name, 4200)

    def pay_in_step(self, name: str) -> None:
        with SetWorkflowID(f"{name}:k"):
            self._by_step(name, 4200)

    def count_paid(self, names: list[str]) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(_COUNT, {"ids": names}).scalar_one())

    def close(self) -> None:
        DBOS.destroy()
        self._engine.dispose()
