"""eventsourcing: an aggregate for each order, got from its repository and saved with one more event.

It has no idempotency keys, so the event carries the key and the aggregate remembers the last: a payment that comes
again is found when the aggregate is read, which it is anyway.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

__all__ = ["AggregatePeer"]


class Order(Aggregate):
    @event("Created")
    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.state = "pending"
        self.paid = 0
        self.key = ""

    @staticmethod
    def create_id(name: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/orders/{name}")

    @event("Paid")
    def record_payment(self, amount: int, key: str) -> None:
        self.state = "paid"
        self.paid = amount
        self.key = key


class AggregatePeer:
    """One application on a database."""

    def __init__(self, address: str) -> None:
        given = conninfo_to_dict(address)
        self._application: Any = Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": str(given.get("dbname", "postgres")),
                "POSTGRES_HOST": str(given.get("host", "")),
                "POSTGRES_PORT": str(given.get("port", 5432)),
                "POSTGRES_USER": str(given.get("user", "postgres")),
                "POSTGRES_PASSWORD": str(given.get("password", "")),
            }
        )

    def create(self, names: list[str]) -> None:
        self._application.save(*(Order(name, 4200) for name in names))

    def pay(self, name: str) -> None:
        order: Any = self._application.repository.get(Order.create_id(name))
        if order.state == "pending" and order.key != "k":
            order.record_payment(4200, "k")
            self._application.save(order)

    def count_paid(self, names: list[str]) -> int:
        orders: list[Any] = [self._application.repository.get(Order.create_id(name)) for name in names]
        return sum(order.state == "paid" and order.paid == 4200 and order.version == 2 for order in orders)

    def close(self) -> None:
        self._application.close()
