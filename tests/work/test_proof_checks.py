"""The checks of the test world can fail: a sound world is doctored, and what was done to it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from stateward.ledger import Record
from tests.work.world.checking import Evidence, violations
from tests.work.world.lifecycle import Order
from tests.work.world.model import live
from tests.work.world.services import Call

SEED = 3


@pytest.fixture
def world() -> Evidence:
    """A world in which everything holds."""
    return live(SEED, 60)


def test_a_sound_world_has_no_violations(world: Evidence) -> None:
    assert violations(world) == []
    assert set(world.census) == {"completed", "declined", "cancelled"}, "it has orders of all kinds"


def an_order(world: Evidence, state: str, *, is_charged: bool | None = None) -> str:
    """The first order that ended so."""
    return next(
        name
        for name, entity in world.entities.items()
        if entity.state == state and is_charged in (None, bool(world.books.accounts[name].charges))
    )


def position_of(records: list[Record], event: str) -> int:
    return next(place for place, each in enumerate(records) if each.event == event and each.outcome == "applied")


def change(world: Evidence, order: str, event: str, **changes: Any) -> None:
    """Change the record of an event."""
    records = world.histories[order]
    place = position_of(records, event)
    records[place] = replace(records[place], **changes)


def call_of(world: Evidence, order: str, operation: str) -> Call:
    return next(each for each in world.books.calls if (each.order, each.operation) == (order, operation))


# What is done to the world.


def charge_twice(world: Evidence) -> None:
    world.books.accounts[an_order(world, "completed")].charges.append("another:0")


def charge_a_cancelled_one(world: Evidence) -> None:
    world.books.accounts[an_order(world, "cancelled", is_charged=False)].charges.append("another:0")


def charge_a_declined_one(world: Evidence) -> None:
    world.books.accounts[an_order(world, "declined")].charges.append("another:0")


def charge_nothing(world: Evidence) -> None:
    world.books.accounts[an_order(world, "completed")].charges.clear()


def charge_too_much(world: Evidence) -> None:
    world.books.accounts[an_order(world, "completed")].charged += 1


def refund_twice(world: Evidence) -> None:
    world.books.accounts[an_order(world, "cancelled", is_charged=True)].refunds.append("another:0")


def refund_nothing(world: Evidence) -> None:
    world.books.accounts[an_order(world, "cancelled", is_charged=True)].refunds.clear()


def refund_a_completed_one(world: Evidence) -> None:
    world.books.accounts[an_order(world, "completed")].refunds.append("another:0")


def reserve_twice(world: Evidence) -> None:
    world.books.accounts[an_order(world, "completed")].reservations.append("another:0")


def release_nothing(world: Evidence) -> None:
    account = next(each for each in world.books.accounts.values() if each.releases)
    account.releases.clear()


def lose_an_effect(world: Evidence) -> None:
    call = call_of(world, an_order(world, "completed"), "notify")
    world.books.calls.remove(call)
    del world.books.answers[call.key]


def make_an_effect_up(world: Evidence) -> None:
    call = call_of(world, an_order(world, "completed"), "notify")
    world.books.calls.append(replace(call, key=f"{call.key}7"))


def call_for_another_revision(world: Evidence) -> None:
    call_of(world, an_order(world, "completed"), "notify").revision += 1


def call_in_the_wrong_order(world: Evidence) -> None:
    order = an_order(world, "completed")
    receipt, reserve = call_of(world, order, "receipt"), call_of(world, order, "reserve")
    receipt.seq, reserve.seq = reserve.seq, receipt.seq


def lose_a_reply(world: Evidence) -> None:
    order = an_order(world, "completed")
    records = world.histories[order]
    late = next(each for each in records if each.event == "Labelled")
    records.remove(late)
    world.histories[order] = [
        each if each.revision < late.revision else replace(each, revision=each.revision - 1) for each in records
    ]


def apply_a_reply_twice(world: Evidence) -> None:
    order = an_order(world, "completed")
    records = world.histories[order]
    charged = records[position_of(records, "Charged")]
    records.append(replace(charged, id=f"{charged.id[:-2]}00", outcome="already_done", state_from=charged.state_to))


def apply_a_reply_that_was_never_given(world: Evidence) -> None:
    order = an_order(world, "completed")
    call = call_of(world, order, "charge")
    world.books.answers[call.key] = replace(world.books.answers[call.key], event="Declined")


def reply_to_nothing(world: Evidence) -> None:
    change(world, an_order(world, "completed"), "Charged", key="effect:nothing:0")


def forget_a_cause(world: Evidence) -> None:
    change(world, an_order(world, "completed"), "Charged", cause=None)


def lose_a_record(world: Evidence) -> None:
    records = world.histories[an_order(world, "completed")]
    del records[position_of(records, "Charged")]


def record_another_state(world: Evidence) -> None:
    change(world, an_order(world, "completed"), "Charged", state_to="packing")


def record_another_origin(world: Evidence) -> None:
    change(world, an_order(world, "completed"), "Charged", state_from="packing")


def apply_what_is_refused(world: Evidence) -> None:
    records = world.histories[an_order(world, "completed")]
    place = position_of(records, "Reserved")
    records[place] = replace(records[place], event="Refunded", payload={"amount": 1})


def refuse_what_applies(world: Evidence) -> None:
    order = an_order(world, "completed")
    records = world.histories[order]
    charged = records[position_of(records, "Charged")]
    refused = replace(
        charged, id=f"{charged.id[:-2]}00", revision=charged.revision - 1, outcome="rejected_invalid", reason="illegal",
        state_to=charged.state_from, source="call", key="told",
    )  # fmt: skip
    records.append(refused)


def end_elsewhere(world: Evidence) -> None:
    order, other = an_order(world, "completed"), an_order(world, "declined")
    world.entities[order] = replace(world.entities[order], snapshot=world.entities[other].snapshot)


def end_with_another_context(world: Evidence) -> None:
    order = an_order(world, "completed")
    snapshot = world.entities[order].snapshot
    world.entities[order] = replace(world.entities[order], snapshot=replace(snapshot, context=Order(amount=1)))


def end_before_the_end(world: Evidence) -> None:
    order = an_order(world, "completed")
    history = world.histories[order]
    del history[position_of(history, "elapsed(ship@packing)") :]


def skip_a_revision(world: Evidence) -> None:
    order = an_order(world, "completed")
    world.entities[order] = replace(world.entities[order], revision=world.entities[order].revision + 1)


def honour_a_key_twice(world: Evidence) -> None:
    change(world, an_order(world, "completed"), "Reserved", key="checkout", source="call")


def use_an_id_twice(world: Evidence) -> None:
    records = world.histories[an_order(world, "completed")]
    records[1] = replace(records[1], id=records[0].id)


def fire_too_early(world: Evidence) -> None:
    order = an_order(world, "completed")
    last = world.histories[order][-1]
    change(world, order, last.event, recorded_at=last.recorded_at - timedelta(minutes=15))


def fire_for_another_stay(world: Evidence) -> None:
    order = an_order(world, "completed")
    change(world, order, "elapsed(ship@packing)", key="timer:another:ship@packing")


def expire_what_runs(world: Evidence) -> None:
    order = an_order(world, "completed")
    records = world.histories[order]
    fired = records[position_of(records, "elapsed(ship@packing)")]
    expired = replace(
        fired, id=f"{fired.id[:-2]}00", revision=fired.revision - 1, outcome="rejected_invalid", reason="expired",
        state_to=fired.state_from,
    )  # fmt: skip
    records.append(expired)


def tell_of_a_charge_that_was_none(world: Evidence) -> None:
    order = an_order(world, "completed")
    change(world, order, "Charged", source="call", key="told")
    charge_nothing(world)


def lose_an_order(world: Evidence) -> None:
    order = an_order(world, "completed")
    del world.entities[order], world.histories[order]


def miscount(world: Evidence) -> None:
    world.census["completed"] += 1


def leave_an_effect(world: Evidence) -> None:
    world.outbox.append(("Order", "o00001", 2, 0, "Charge"))


def leave_a_timer(world: Evidence) -> None:
    world.timers.append(("Order", "o00001", "ship@packing", 3))


def leave_a_dead_letter(world: Evidence) -> None:
    world.dead.append(("Order", "o00001", 2, 0, "Charge"))


def crash(world: Evidence) -> None:
    world.crashes.append("w1 ended with 1")


class Doctored(NamedTuple):
    """What is done to a world, and what then is told."""

    do: Callable[[Evidence], None]
    told: str


CASES = (
    Doctored(charge_twice, "charged 2 times"),
    Doctored(charge_a_cancelled_one, "cancelled, and was charged 1 times and refunded 0 times"),
    Doctored(charge_a_declined_one, "declined, and was charged 1 times"),
    Doctored(charge_nothing, "completed, and was charged 0 times"),
    Doctored(charge_too_much, "has paid"),
    Doctored(refund_twice, "refunded 2 times"),
    Doctored(refund_nothing, "cancelled, and was charged 1 times and refunded 0 times"),
    Doctored(refund_a_completed_one, "completed, and was charged 1 times and refunded 1 times"),
    Doctored(reserve_twice, "reserved 2 times"),
    Doctored(release_nothing, "released 0 times"),
    Doctored(lose_an_effect, "was lost"),
    Doctored(make_an_effect_up, "nothing asked for it"),
    Doctored(call_for_another_revision, "nothing asked for it"),
    Doctored(call_in_the_wrong_order, "was first called at"),
    Doctored(lose_a_reply, "never came"),
    Doctored(apply_a_reply_twice, "2 records stand under effect:"),
    Doctored(apply_a_reply_that_was_never_given, "which the services never said"),
    Doctored(reply_to_nothing, "where nothing asked for it"),
    Doctored(forget_a_cause, "the cause of effect:"),
    Doctored(lose_a_record, "is missing"),
    Doctored(record_another_state, "and is recorded as packing"),
    Doctored(record_another_origin, "comes from packing"),
    Doctored(apply_what_is_refused, "was applied in reserving"),
    Doctored(refuse_what_applies, "is applied in paying"),
    Doctored(end_elsewhere, "and its history leads to completed"),
    Doctored(end_with_another_context, "and its history leads to completed"),
    Doctored(end_before_the_end, "and its history leads to packing"),
    Doctored(skip_a_revision, "is at revision"),
    Doctored(honour_a_key_twice, "was honoured 2 times"),
    Doctored(use_an_id_twice, "stands for 2 records"),
    Doctored(fire_too_early, "and was due at"),
    Doctored(fire_for_another_stay, "the timer of another stay fired"),
    Doctored(expire_what_runs, "is said to have expired"),
    Doctored(tell_of_a_charge_that_was_none, "said that it was charged"),
    Doctored(lose_an_order, "is not there"),
    Doctored(miscount, "the census says"),
    Doctored(leave_an_effect, "left in the outbox"),
    Doctored(leave_a_timer, "a timer is left"),
    Doctored(leave_a_dead_letter, "a dead letter is left"),
    Doctored(crash, "a worker crashed"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.do.__name__)
def test_what_was_done_to_a_world_is_told(world: Evidence, case: Doctored) -> None:
    case.do(world)
    found = violations(world)
    assert [each for each in found if case.told in each], found


def test_an_order_in_no_final_state_is_told(world: Evidence) -> None:
    order = an_order(world, "completed")
    end_before_the_end(world)
    records = world.histories[order]
    world.entities[order] = replace(
        world.entities[order], revision=records[-1].revision, snapshot=live_until(order, len(records))
    )
    assert [each for each in violations(world) if "ended in packing, which is not final" in each]


def live_until(order: str, records: int) -> Any:
    """The snapshot behind so many records of an order."""
    from tests.work.world.replaying import replay

    return replay(order, live(SEED, 60).histories[order][:records]).snapshots[-1]


def test_equal_seeds_are_equal_worlds() -> None:
    one, two, other = live(SEED, 20), live(SEED, 20), live(SEED + 1, 20)
    calls = [[(each.operation, each.order) for each in world.books.calls] for world in (one, two, other)]
    assert calls[0] == calls[1] != calls[2]
