"""Leases: parts are shared, given back and taken over, and no part is ever two workers' at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Generator
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from stateward import Call
from stateward.engine import Engine
from stateward.errors import LeaseLost
from stateward.ledger.after_commit import (
    AddWorker,
    FetchParts,
    FetchWorkers,
    HoldLease,
    RaiseBeat,
    RemoveWorker,
    TakeParts,
)
from stateward.ledger.contract import Trip, Trips
from stateward.ledger.ids import PARTS
from stateward.ledger.memory import MemoryLedger
from stateward.work import WorkerSettings
from stateward.work.ground import Ground
from stateward.work.leases import Lease, share_of
from tests.conftest import MakeLedger
from tests.work.conftest import (
    WAIT_S,
    Watched,
    ask,
    ask_many,
    be_away,
    has,
    lose_the_reply,
    once,
    owners_of,
    read,
    shift_of,
    trail,
)
from tests.work.lifecycles import JobLifecycle, Task, Told

LEASE_S = 15.0
ALL_OF_HEALTH: Any = list(HealthCheck)


class Monotonic:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lease_on(ledger: Any, clock: Monotonic, busy: set[int] | None = None) -> Lease:
    async def run(trips: Trips[Any]) -> Any:
        return ledger.run(trips)

    ground = Ground(run, ledger.capabilities, {}, now=lambda: 0, mint=str, monotonic=clock)
    return Lease(ground, LEASE_S, lambda part: busy is not None and part in busy)


# Sharing.


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 70])
def test_shares_are_fair(count: int) -> None:
    ids = [f"w{n:02}" for n in range(count)]
    shares = [share_of(each, ids) for each in ids]
    assert sum(shares) == PARTS
    assert max(shares) - min(shares) <= 1


def prepared(make_ledger: MakeLedger) -> Any:
    ledger: Any = make_ledger()
    if hasattr(ledger, "prepare"):
        ledger.prepare()
    return ledger


def test_parts_are_shared_as_workers_come_and_go(make_ledger: MakeLedger) -> None:
    ledger, clock = prepared(make_ledger), Monotonic()

    async def come_and_go() -> None:
        leases = [lease_on(ledger, clock) for _ in range(3)]
        for n, lease in enumerate(leases):
            await lease.begin()
            for _ in range(2):
                for each in leases[: n + 1]:
                    await each.keep()
            assert sorted(len(each.parts) for each in leases[: n + 1]) == sorted(
                share_of(each.worker, [every.worker for every in leases[: n + 1]]) for each in leases[: n + 1]
            )
            assert sorted(part for each in leases for part in each.parts) == list(range(PARTS))
        await leases[1].end()
        for each in (leases[0], leases[2]):
            await each.keep()
        assert sorted(len(each.parts) for each in leases) == [0, 32, 32]
        assert not leases[0].taken_over, "what was given back is not taken over"
        assert not leases[2].taken_over

    asyncio.run(come_and_go())


def test_what_was_given_back_at_a_stop_is_nobody_s(engine: Engine) -> None:
    engine.handles(Task)(lambda effect, call: None)
    ask(engine, "j1", "task:a")
    engine.start()
    while engine.pending(JobLifecycle, "j1"):
        pass
    assert len(owners_of(engine)) == 1
    engine.stop()
    assert owners_of(engine) == {None}
    assert read(engine, FetchWorkers()) == []


def test_one_that_has_always_something_to_do_gives_parts_to_another(make_ledger: MakeLedger) -> None:
    """It takes what it has not begun out of its lines, and gives each part back when what goes on there has ended."""

    async def come_to_help() -> None:
        ledger = make_ledger()
        with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
            ask_many(engine, [f"j{n}" for n in range(600)], "task:a")
            release = asyncio.Event()

            @engine.handles(Task)
            async def slow(effect: Task, call: Call) -> None:
                await release.wait()

            one, other = shift_of(engine), shift_of(engine)
            await one.lease.begin()
            await one.dispatcher.fetch()
            read_parts = {row.part for row in one.dispatcher.in_hand.values()}
            assert len(read_parts) > 48
            await other.lease.begin()
            assert not other.lease.parts
            await one.lease.keep()
            leaving = one.lease.leaving
            going = {part for part in leaving if one.dispatcher.is_busy(part)}
            assert going
            assert {row.part for row in one.dispatcher.in_hand.values()} & leaving == going
            await one.dispatcher.fetch()
            assert {part for part in leaving if one.dispatcher.is_busy(part)} == going, "nothing more is begun"
            await one.lease.keep()
            await other.lease.keep()
            assert len(other.lease.parts) == 32 - len(going)
            release.set()
            while one.dispatcher.running:
                await one.dispatcher.has_outcomes.wait()
                await one.dispatcher.settle()
            await one.lease.keep()
            await other.lease.keep()
            assert (len(one.lease.parts), len(other.lease.parts)) == (32, 32)
            assert not other.lease.taken_over
            for each in (one, other):
                each.dispatcher.stop()
                each.caller.close()

    asyncio.run(come_to_help())


# Beginning and ending.


@pytest.mark.parametrize("kind", [AddWorker, RaiseBeat, TakeParts])
@pytest.mark.parametrize("is_before", [True, False])
def test_a_lease_begins_although_the_ledger_goes_away_meanwhile(
    make_ledger: MakeLedger, kind: type, is_before: bool
) -> None:
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        done = Event()
        engine.handles(Task)(lambda effect, call: done.set())
        ask(engine, "j1", "task:a")
        if is_before:
            ledger.before = once(lambda trip: has(trip, kind), be_away)
        else:
            ledger.after = once(lambda trip: has(trip, kind), lose_the_reply)
        engine.start()
        assert done.wait(WAIT_S)
        engine.stop()
        assert owners_of(engine) == {None}


def test_no_part_is_taken_while_all_are_given_back(make_ledger: MakeLedger) -> None:
    """A beat that is under way when the lease ends would take parts for a worker that is gone."""
    ledger, clock = prepared(make_ledger), Monotonic()

    async def end_amid_a_beat() -> None:
        lease, other = lease_on(ledger, clock), lease_on(ledger, clock)
        await other.begin()
        await lease.begin()
        await other.end()
        asked = asyncio.Event()
        go_on = asyncio.Event()
        run = lease._ground.run

        async def wait_before_taking(trips: Any) -> Any:
            trip = next(trips)
            trips.close()

            def again() -> Any:
                pages = yield trip
                return list(pages)

            if has(trip, TakeParts):
                asked.set()
                await go_on.wait()
            if has(trip, RemoveWorker):
                await beat  # which is over by then, or would take its parts right before
            return await run(again())

        lease._ground.run = wait_before_taking
        beat = asyncio.create_task(lease.keep())
        await asyncio.wait_for(asked.wait(), WAIT_S)
        ending = asyncio.create_task(lease.end())
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(beat, ending)
        assert {row.owner for row in ledger.run(fetch(FetchParts()))} == {None}
        assert ledger.run(fetch(FetchWorkers())) == []

    asyncio.run(end_amid_a_beat())


def fetch(operation: Any) -> Trips[Any]:
    [rows] = yield Trip((operation,), begins=True, commits=True)
    return list(rows)


# Taking over.


def test_one_that_gives_no_sign_of_life_loses_its_lease(make_ledger: MakeLedger) -> None:
    """By the clock of who watches, and from when it first saw the beat; whatever the time of day is anywhere."""
    ledger = prepared(make_ledger)

    async def fall_silent() -> None:
        clock = Monotonic()
        silent, alive = lease_on(ledger, clock), lease_on(ledger, clock)
        await silent.begin()
        assert len(silent.parts) == PARTS
        clock.now += 10 * LEASE_S
        await alive.begin()  # sees it for the first time
        assert not alive.parts
        clock.now += LEASE_S - 0.001
        await alive.keep()
        assert not alive.parts
        clock.now += 0.001
        await alive.keep()
        assert len(alive.parts) == PARTS
        assert alive.taken_over.keys() == set(range(PARTS))
        with pytest.raises(LeaseLost):
            await silent.keep()

    asyncio.run(fall_silent())


def test_each_sign_of_life_counts(make_ledger: MakeLedger) -> None:
    ledger = prepared(make_ledger)

    async def live_on() -> None:
        clock = Monotonic()
        slow, other = lease_on(ledger, clock), lease_on(ledger, clock)
        await slow.begin()
        await other.begin()
        for _ in range(10):
            clock.now += LEASE_S - 0.001
            await slow.keep()
            await other.keep()
        assert (len(slow.parts), len(other.parts)) == (32, 32)

    asyncio.run(live_on())


def test_one_whose_process_has_ended_loses_its_lease_at_once(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one of which that is not certain does not."""
    ledger = prepared(make_ledger)
    here = "another machine's boot/pid:[1]#"

    async def see_it_gone() -> None:
        clock = Monotonic()
        ended, elsewhere, alive = (lease_on(ledger, clock) for _ in range(3))
        monkeypatch.setattr("stateward.work.leases.this_process", gone_process)
        await ended.begin()
        await ended._release(list(range(10)))
        monkeypatch.setattr("stateward.work.leases.this_process", lambda: f"{here}1/1")
        await elsewhere.begin()
        await alive.begin()
        assert set(alive.parts) >= set(ended.parts) - set(elsewhere.parts)
        workers = {row.id for row in ledger.run(fetch(FetchWorkers()))}
        assert workers == {elsewhere.worker, alive.worker}

    asyncio.run(see_it_gone())


def gone_process() -> str:
    """A process of this machine that has ended."""
    import subprocess
    import sys

    from stateward.work.processes import this_process

    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    where, _, _ = this_process().partition("#")
    return f"{where}#{int(child.stdout)}/1"


def test_a_slow_handler_keeps_its_lease(make_ledger: MakeLedger) -> None:
    """Beats go on for as long as it takes: so many that a peer would have taken it for dead several times."""
    ledger = Watched(make_ledger())
    settings = WorkerSettings(lease=timedelta(milliseconds=500), poll=timedelta(milliseconds=50))
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine, Engine(make_ledger(), lifecycles=[JobLifecycle]) as peer:
        begun, beaten = Event(), Event()
        beats = 0

        def count(trip: Trip) -> None:
            nonlocal beats
            if begun.is_set() and has(trip, RaiseBeat):
                beats += 1
                if beats == 12:
                    beaten.set()

        ledger.after = count
        calls: list[str] = []

        def slow(effect: Task, call: Call) -> Told:
            calls.append(call.key)
            begun.set()
            assert beaten.wait(WAIT_S)
            return Told(what="slow")

        engine.handles(Task)(slow)
        peer.handles(Task)(slow)
        engine.start(settings)
        ask(engine, "j1", "task:a")
        assert begun.wait(WAIT_S)
        peer.start(settings)
        assert beaten.wait(WAIT_S)
        worker = engine._worker
        assert worker is not None
        engine.stop()
        peer.stop()
        assert (len(calls), trail(engine, "j1")) == (1, ("slow",))
        assert worker._leases_lost == 0


# Under any interleaving.


class Turn:
    """Where a worker's trip waits for its turn."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Peer:
    """A worker whose trips are made one at a time, when the machine says so."""

    def __init__(self, ledger: MemoryLedger, clock: Monotonic) -> None:
        self.busy: set[int] = set()
        self.acts: Coroutine[Any, Any, None] | None = None
        self.is_over = False
        """It has ended, has lost its lease, or has crashed."""

        async def run(trips: Trips[Any]) -> Any:
            await Turn()  # the request is under way
            pages = ledger.run(trips)
            await Turn()  # the reply is
            return pages

        ground = Ground(run, ledger.capabilities, {}, now=lambda: 0, mint=str, monotonic=clock)
        self.lease = Lease(ground, LEASE_S, lambda part: part in self.busy)

    def step(self) -> bool:
        """Go on until the next trip, or the reply to one; whether it is done."""
        assert self.acts is not None
        try:
            self.acts.send(None)
        except StopIteration:
            self.acts = None
        except LeaseLost:
            self.acts, self.is_over = None, True
        return self.acts is None


def test_one_that_shows_at_the_last_moment_that_it_lives_keeps_its_lease() -> None:
    """Its beat rises between a peer's look and the peer's verdict."""
    ledger, clock = MemoryLedger(), Monotonic()
    slow, other = Peer(ledger, clock), Peer(ledger, clock)
    for each in (slow, other):
        each.acts = each.lease.begin()
        while not each.step():
            pass
    clock.now += LEASE_S
    other.acts = other.lease.keep()
    for _ in range(3):  # asked, answered, about to end the lease of the one that it takes for dead
        assert not other.step()
    slow.acts = slow.lease.keep()
    while not slow.step():
        pass
    while not other.step():
        pass
    assert {row.id for row in ledger.run(fetch(FetchWorkers()))} == {slow.lease.worker, other.lease.worker}
    assert not slow.is_over


def test_a_part_is_nobody_s_before_it_is_another_s() -> None:
    """Whoever gives it back does not believe any more that it has it, when another can take it."""
    ledger, clock = MemoryLedger(), Monotonic()
    one, other = Peer(ledger, clock), Peer(ledger, clock)
    for each in (one, other):
        each.acts = each.lease.begin()
        while not each.step():
            pass
    one.acts = one.lease.keep()
    is_over = False
    while not is_over:
        is_over = one.step()
        other.acts = other.lease.keep()
        while not other.step():
            pass
        assert not one.lease.parts.keys() & other.lease.parts.keys()
    assert (len(one.lease.parts), len(other.lease.parts)) == (32, 32)


class Leasing(RuleBasedStateMachine):
    """Workers come, go, crash and fall silent; each trip of each may come between any two of the others."""

    peers = Bundle("peers")

    @initialize()
    def begin(self) -> None:
        self.ledger, self.clock = MemoryLedger(), Monotonic()
        self.all: list[Peer] = []
        self.written: dict[int, tuple[int, str]] = {}

    @rule(target=peers)
    def come(self) -> Any:
        peer = Peer(self.ledger, self.clock)
        peer.acts = peer.lease.begin()
        self.all.append(peer)
        return peer

    @rule(peer=peers, count=st.integers(1, 12))
    def go_on(self, peer: Peer, count: int) -> None:
        for _ in range(count):
            if peer.is_over:
                return
            if peer.acts is None:
                peer.acts = peer.lease.keep()
            peer.step()

    @rule(peer=peers)
    def end(self, peer: Peer) -> None:
        if peer.acts is None and not peer.is_over:
            peer.acts = peer.lease.end()

    @rule(peer=peers)
    def crash(self, peer: Peer) -> None:
        if peer.acts is not None:
            peer.acts.close()
        peer.acts, peer.is_over = None, True

    @rule(peer=peers, parts=st.sets(st.integers(0, PARTS - 1), max_size=PARTS))
    def work(self, peer: Peer, parts: set[int]) -> None:
        """Something goes on in these of its parts, and in the others nothing does any more."""
        peer.busy = parts & peer.lease.open_parts.keys()

    @rule(seconds=st.sampled_from([1.0, LEASE_S / 5, LEASE_S / 2, LEASE_S, 2 * LEASE_S]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(peer=peers)
    def write(self, peer: Peer) -> None:
        """Whoever believes that parts are its own writes something of them; a zombie, too."""
        try:
            self.ledger.run(fetch(HoldLease(peer.lease.worker)))
        except LeaseLost:
            return
        for part, epoch in peer.lease.parts.items():
            before = self.written.get(part, (0, ""))
            assert epoch >= before[0], "who had it before writes nothing any more"
            assert epoch > before[0] or before[1] == peer.lease.worker, "an epoch is one worker's"
            self.written[part] = (epoch, peer.lease.worker)

    @invariant()
    def no_part_is_two_workers(self) -> None:
        alive = {row.id for row in self.ledger.run(fetch(FetchWorkers()))}
        claims = Counter(part for each in self.all if each.lease.worker in alive for part in each.lease.parts)
        assert all(count == 1 for count in claims.values())

    @invariant()
    def nothing_goes_on_in_parts_that_were_given_back(self) -> None:
        owners = {row.part: row.owner for row in self.ledger.run(fetch(FetchParts()))}
        for each in self.all:
            for part in each.busy:
                assert owners[part] == each.lease.worker or each.lease.worker not in self.ledger._work._workers

    def teardown(self) -> None:
        """Left alone, those that live share all parts, whatever has happened."""
        for _ in range(8):
            self.clock.now += LEASE_S / 5
            for peer in self.all:
                peer.busy = set()
                while not peer.is_over:
                    if peer.acts is None:
                        peer.acts = peer.lease.keep()
                    if peer.step():
                        break
        alive = [row.id for row in self.ledger.run(fetch(FetchWorkers()))]
        working = [each.lease for each in self.all if not each.is_over]
        if working:
            assert sorted(alive) == sorted(each.worker for each in working)
            assert sorted(part for each in working for part in each.parts) == list(range(PARTS))
            assert all(len(each.parts) == share_of(each.worker, alive) for each in working)


Leasing.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=ALL_OF_HEALTH
)
test_no_part_is_two_workers_under_any_interleaving = Leasing.TestCase
