"""A world without misfortunes: orders live to their ends in memory, by the kernel alone, one at a time.

It gives the evidence of a world in which everything holds, which the tests of the checks then doctor.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from stateward import Elapsed, Event, Meta, Refusal, Snapshot, Step, chart_of, start, step, wire_name
from stateward.ledger import Actor, Entity, Record
from stateward.ledger.ids import RecordIds
from stateward.ledger.results import Source
from tests.work.world.checking import Evidence
from tests.work.world.client import events_of
from tests.work.world.faults import draw_traits
from tests.work.world.lifecycle import FINAL_STATES, Cancel, Checkout, Order, OrderLifecycle
from tests.work.world.services import Call, Services

__all__ = ["live"]

_CHART = chart_of(OrderLifecycle)
_MOMENT = timedelta(seconds=1)
_TURNS_MAX = 100


class ModelOrder:
    """An order, and what it asked for."""

    def __init__(self, order: str, services: Services, now: datetime) -> None:
        self.order, self._services, self._now = order, services, now
        self._ids = RecordIds(lambda: int(self._now.timestamp() * 1000))
        self.records: list[Record] = []
        self._asked: list[tuple[int, str, str, dict[str, object]]] = []
        self._timers: dict[str, tuple[str, datetime]] = {}
        self._entered = now
        record = self._ids.mint()
        step = start(_CHART, Order(), Meta(now, order, record, "customer:1"))
        self._snapshot: Snapshot[Order] = step.snapshot
        self._note("Started", Order(), id=record, state_from=None, outcome="applied", source="call", key="made")
        self._take(record, step)

    def send(self, event: Event, *, source: Source = "call", key: str, cause: str | None = None) -> None:
        """Send an event, and record what comes of it."""
        self._now += _MOMENT
        record, before = self._ids.mint(), self._snapshot
        outcome = step(_CHART, before, event, Meta(self._now, self.order, record, "customer:1"))
        if isinstance(outcome, Refusal):
            came: dict[str, str] = {"outcome": "rejected_invalid", "reason": outcome.kind}
        else:
            came = {"outcome": outcome.outcome}
            self._snapshot = outcome.snapshot
        name = event.trigger_label()
        self._note(name, event, id=record, state_from=before.state, key=key, cause=cause, source=source, **came)
        if not isinstance(outcome, Refusal):
            self._take(record, outcome)

    def work(self) -> bool:
        """Do the next effect, or let the next timer fire; whether there was anything to do."""
        if self._asked:
            revision, key, effect, payload = self._asked.pop(0)
            call = Call(effect.lower(), self.order, key, effect, revision, 1, "model")
            call = msgspec.convert({**msgspec.to_builtins(call), **payload}, Call)
            self._services.note(call)
            for n, event in enumerate(events_of(self._services.act(call))):
                self.send(event, source="effect", key=f"effect:{key}{f':{n}' if n else ''}", cause=key)
        elif self._timers:
            name, (record, due_at) = min(self._timers.items(), key=lambda each: each[1][1])
            self._now = max(self._now, due_at)
            self.send(Elapsed(name), source="timer", key=f"timer:{record}:{name}", cause=record)
        else:
            return False
        return True

    def entity(self) -> Entity[Order]:
        """The order as it stands."""
        revision = sum(each.outcome == "applied" for each in self.records)
        return Entity(
            kind="Order", id=self.order, version=1, revision=revision, snapshot=self._snapshot,
            created_at=self._now, updated_at=self._now, entered={}, due_by=None,
        )  # fmt: skip

    def _take(self, record: str, step: Step[Order]) -> None:
        revision = self.records[-1].revision
        for n, effect in enumerate(step.effects):
            self._asked.append((revision, f"{record}:{n}", wire_name(type(effect)), msgspec.to_builtins(effect)))
        for name in step.timers_cancelled:
            self._timers.pop(name, None)
        for timer in step.timers_set:
            self._timers[timer.name] = (record, self._now + timer.delay)

    def _note(self, event: str, payload: Event | Order, **told: Any) -> None:
        revision = sum(each.outcome == "applied" for each in self.records) + (told["outcome"] == "applied")
        told = {"reason": None, "cause": None, **told}
        self.records.append(
            Record(
                kind="Order", entity=self.order, revision=revision, version=1, event=event, **told,
                payload=msgspec.to_builtins(payload), state_to=self._snapshot.state, actor=Actor("customer", "1"),
                occurred_at=self._now, recorded_at=self._now,
            )
        )  # fmt: skip


def live(seed: int, orders: int) -> Evidence:
    """The evidence of a world in which nothing goes wrong but what customers do."""
    services = Services(
        lambda order: draw_traits(seed, order).is_declined, lambda order: draw_traits(seed, order).is_out_of_stock
    )
    made: dict[str, ModelOrder] = {}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(orders):
        name = f"o{number:05}"
        traits = draw_traits(seed, name)
        made[name] = order = ModelOrder(name, services, now + number * timedelta(days=2))
        if traits.checks_out:
            order.send(Checkout(amount=traits.amount), key="checkout")
        for turn in range(_TURNS_MAX):
            if traits.cancels_after is not None and turn == number % 5:
                order.send(Cancel(), key="cancel")
            if not order.work():
                break
        assert order.entity().state in FINAL_STATES
    entities = {name: order.entity() for name, order in made.items()}
    return Evidence(
        entities=entities,
        histories={name: order.records for name, order in made.items()},
        books=services.books,
        census=Counter(each.state for each in entities.values()),
        expected=frozenset(made),
    )
