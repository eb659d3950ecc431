"""What must hold of the test world when it has come to rest, whatever went wrong in it.

It is held against three books that know nothing of each other: the ledger's records, run once more through the pure
kernel (`replaying.py`); the journal of the services; and the tables of what is still to be done. Each violation is
said in words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from stateward.ledger import Entity, Record
from tests.work.world.lifecycle import EFFECTS, FINAL_STATES, UNORDERED, Order
from tests.work.world.replaying import Asked, Life, replay
from tests.work.world.services import Account, Books, Call

__all__ = ["CHECKS", "Evidence", "violations"]

TOLERANCE = timedelta(minutes=12)
"""How far the clocks of a world may be apart, or have gone back meanwhile: less than its shortest timer."""

REPLIES: Mapping[str, frozenset[str]] = {
    "Charge": frozenset({"Charged", "Declined", "ChargeAbandoned"}),
    "Refund": frozenset({"Refunded", "RefundAbandoned"}),
    "Reserve": frozenset({"Reserved", "Labelled", "OutOfStock", "ReserveAbandoned"}),
    "Release": frozenset({"Released", "ReleaseAbandoned"}),
}
"""What comes back of an effect."""


class Evidence(msgspec.Struct):
    """What is known of a world at rest."""

    entities: dict[str, Entity[Order]]
    histories: dict[str, list[Record]]
    books: Books
    outbox: list[tuple[Any, ...]] = []
    timers: list[tuple[Any, ...]] = []
    dead: list[tuple[Any, ...]] = []
    census: dict[str, int] = {}
    expected: frozenset[str] = frozenset()
    """The orders that were made."""
    crashes: list[str] = []
    """Workers that ended otherwise than by being stopped or killed."""


class Case(msgspec.Struct):
    """An order with all that is known of it."""

    entity: Entity[Order]
    records: list[Record]
    life: Life
    calls: list[Call]
    account: Account
    books: Books


Check = Callable[[Case], Iterator[str]]


def violations(evidence: Evidence) -> list[str]:
    """Everything that does not hold."""
    found = list(check_whole(evidence))
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.books.calls:
        calls[call.order].append(call)
    for order, entity in evidence.entities.items():
        records = evidence.histories[order]
        account = evidence.books.accounts.get(order, Account())
        case = Case(entity, records, replay(order, records), calls[order], account, evidence.books)
        found += case.life.problems
        for check in CHECKS if not case.life.problems else ():
            found += [f"{order}: {each}" for each in check(case)]
    return found


def check_whole(evidence: Evidence) -> Iterator[str]:
    """What holds of the world as a whole: everybody is there, nothing is left to do, the census is right."""
    yield from (f"a worker crashed: {each}" for each in evidence.crashes)
    yield from (f"{each}: is not there" for each in sorted(evidence.expected - evidence.entities.keys()))
    yield from (f"an effect is left in the outbox: {each}" for each in evidence.outbox)
    yield from (f"a timer is left: {each}" for each in evidence.timers)
    yield from (f"a dead letter is left: {each}" for each in evidence.dead)
    counted = Counter(each.state for each in evidence.entities.values())
    if {state: count for state, count in evidence.census.items() if count} != counted:
        yield f"the census says {evidence.census}, and there are {dict(counted)}"
    yield from (
        f"{each.order}: was called for ({each.effect}), and is not there"
        for each in evidence.books.calls
        if each.order not in evidence.entities
    )
    ids = Counter(record.id for records in evidence.histories.values() for record in records)
    yield from (f"the record id {each} stands for {count} records" for each, count in ids.items() if count > 1)


def check_end(case: Case) -> Iterator[str]:
    """It is in a final state, and that is the one that its history leads to."""
    entity, last = case.entity, case.life.snapshots[-1]
    if entity.state not in FINAL_STATES:
        yield f"ended in {entity.state}, which is not final"
    if entity.revision != len(case.life.snapshots):
        yield f"is at revision {entity.revision}, and has {len(case.life.snapshots)} applied records"
    if (entity.snapshot.position, entity.context) != (last.position, last.context):
        yield f"is {entity.state} {entity.context}, and its history leads to {last.state} {last.context}"


def check_keys(case: Case) -> Iterator[str]:
    """No key was honoured twice; no reply and no timer was recorded twice.

    An effect that was given up, retried, and given up again tells so twice; that counts once if it was taken at all.
    """
    applied = Counter(each.key for each in case.records if each.key is not None and each.outcome == "applied")
    yield from (f"the key {key} was honoured {count} times" for key, count in applied.items() if count > 1)
    replies = [each for each in case.records if each.source == "effect" and not (each.key or "").endswith(":dead")]
    ours = Counter(each.key for each in (*replies, *[each for each in case.records if each.source == "timer"]))
    yield from (f"{count} records stand under {key}" for key, count in ours.items() if count > 1)


def check_timers(case: Case) -> Iterator[str]:
    """A timer fires for the stay that set it, and not before its time; one that runs is not taken for expired."""
    for record in case.records:
        if record.source != "timer":
            continue
        name = record.payload["timer"]
        has_moved = record.outcome == "applied"
        run = case.life.running[record.revision - (2 if has_moved else 1)].get(name)
        is_own = run is not None and record.key == f"timer:{run.record}:{name}"
        if has_moved and run is None:
            yield f"the timer {record.key} fired ({record.id}) when it did not run"
        elif has_moved and not is_own:
            yield f"the timer of another stay fired ({record.id}): {record.key}, and {run} runs"
        elif has_moved and run is not None and record.recorded_at < run.due_at - TOLERANCE:
            yield f"the timer {record.key} fired at {record.recorded_at}, and was due at {run.due_at}"
        elif record.reason == "expired" and is_own:
            yield f"the timer {record.key} is said to have expired ({record.id}), and it runs"


def check_replies(case: Case) -> Iterator[str]:
    """What came back is what the services answered, to an effect that was asked for; and all of it came back."""
    asked = {each.key: each for each in case.life.asked}
    endings: dict[str, set[str]] = defaultdict(set)
    for record in case.records:
        if record.source != "effect":
            continue
        key, ending = split_key(record.key or "")
        effect = asked.get(key)
        if effect is None or record.event not in REPLIES.get(effect.effect, ()):
            yield f"{record.event} came back under {record.key}, where nothing asked for it"
            continue
        if record.cause != key:
            yield f"the cause of {record.key} is {record.cause}"
        endings[key].add(ending)
        if ending != "dead" and not is_answered(case.books, key, record.event):
            yield f"{record.event} came back under {record.key}, which the services never said"
    for each in case.life.asked:
        if each.effect in REPLIES:
            answer = case.books.answers.get(each.key)
            wanted = {"", *[str(number) for number in range(1, 1 + len(answer.further) if answer is not None else 1)]}
            if missing := wanted - endings[each.key]:
                yield f"of the replies to {each.effect} {each.key} some never came: {sorted(missing)}"


def check_callers(case: Case) -> Iterator[str]:
    """Who says by another way that money was taken says the truth."""
    for record in case.records:
        if record.event == "Charged" and record.source in ("call", "reconcile") and not case.account.charges:
            yield f"{record.source} said that it was charged ({record.key}), and it was not"


def split_key(key: str) -> tuple[str, str]:
    """The effect's key in that of its reply, `effect:<record>:<n>[:<ending>]`, and the ending."""
    _, record, n, *ending = [*key.split(":"), "", ""]
    return f"{record}:{n}", ending[0]


def is_answered(books: Books, key: str, event: str) -> bool:
    """Whether the services answered a key with an event."""
    answer = books.answers.get(key)
    return answer is not None and event in (answer.event, *[name for name, _ in answer.further])


def check_effects(case: Case) -> Iterator[str]:
    """No effect was lost, and none was made up: each was honoured under its key, and nothing else was called for."""
    asked = {each.key: each for each in case.life.asked}
    for each in case.life.asked:
        if each.key not in case.books.answers:
            yield f"the effect {each.effect} {each.key} was lost: the services never honoured it"
    for call in case.calls:
        effect = asked.get(call.key)
        if effect is None or (effect.effect, effect.revision) != (call.effect, call.revision):
            yield f"call {call.seq} for {call.effect} {call.key}, revision {call.revision}: nothing asked for it"


def check_order(case: Case) -> Iterator[str]:
    """The first calls of the ordered effects come in order of (revision, n)."""
    firsts: dict[str, int] = {}
    for call in case.calls:
        firsts.setdefault(call.key, call.seq)
    ordered = [each for each in case.life.asked if each.effect not in UNORDERED and each.key in firsts]
    before: Asked | None = None
    for each in ordered:
        if before is not None and firsts[before.key] > firsts[each.key]:
            yield (
                f"{each.effect} {each.revision}:{each.n} was first called at {firsts[each.key]}, "
                f"before {before.effect} {before.revision}:{before.n} at {firsts[before.key]}"
            )
        before = each


def check_money(case: Case) -> Iterator[str]:
    """A paid order was charged exactly once; a cancelled one was refunded exactly once if it had been charged."""
    charges, refunds = len(case.account.charges), len(case.account.refunds)
    wanted = {"completed": (1, 0), "declined": (0, 0)}.get(case.entity.state)
    if wanted is None:  # cancelled: charged or not, it is all given back
        wanted = (min(charges, 1), min(charges, 1))
    if (charges, refunds) != wanted:
        yield f"{case.entity.state}, and was charged {charges} times and refunded {refunds} times, not {wanted}"
    if case.account.charged - case.account.refunded != (case.entity.context.amount if wanted == (1, 0) else 0):
        yield f"{case.entity.state}, and has paid {case.account.charged} and got back {case.account.refunded}"
    events = {each.event for each in case.records if each.outcome == "applied"}
    if "Charged" in events and not charges:
        yield "its history says that it was charged, and it was not"
    if case.entity.context.refunded != case.account.refunded:
        yield f"got back {case.account.refunded}, and its context says {case.entity.context.refunded}"


def check_goods(case: Case) -> Iterator[str]:
    """A completed order holds its goods once; a cancelled one holds none."""
    reserved, released = len(case.account.reservations), len(case.account.releases)
    wanted = (1, 0) if case.entity.state == "completed" else (min(reserved, 1), min(reserved, 1))
    if (reserved, released) != wanted:
        yield f"{case.entity.state}, and was reserved {reserved} times and released {released} times, not {wanted}"


CHECKS: Sequence[Check] = (
    check_end, check_keys, check_timers, check_replies, check_callers, check_effects, check_order, check_money,
    check_goods,
)  # fmt: skip

assert set(REPLIES) <= set(EFFECTS), "replies are of effects that there are"
