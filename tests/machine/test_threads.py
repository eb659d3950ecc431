"""Many threads on one machine: nothing lost, nothing applied twice, each sender's order kept.

Crowds of threads are there to stumble upon what nobody thought of. What was thought of is forced: an action of
these tests does, in the middle of a step, whatever the other sender is to do just then.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Barrier
from threading import Event as Signal
from typing import Any

import pytest

from stateward import (
    ActionFailed,
    ChannelMachine,
    Chart,
    Composite,
    Conflict,
    Context,
    Event,
    Final,
    Lifecycle,
    Machine,
    MutexMachine,
    Parallel,
    Refusal,
    Refused,
    Snapshot,
    State,
    Step,
    SwapMachine,
    always,
    chart_of,
    nested,
    on,
)
from stateward import (
    step as step_purely,
)
from stateward.kernel import tables, tables_of
from stateward.machine import shared
from tests.machine.driving import PATIENCE_S, Add, Close, Tally, TallyLifecycle, beside, in_thread, is_consistent

THREADS, EVENTS = 8, 1000

Shared = MutexMachine[Tally] | SwapMachine[Tally]
Threaded = type[MutexMachine[Any]] | type[SwapMachine[Any]]


@pytest.fixture(autouse=True)
def _threads_are_switched_all_the_time() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


def in_threads(*jobs: Callable[[], object]) -> None:
    """Run all jobs side by side, each in a thread of its own, from one moment on; raise what any raised."""
    begin = Barrier(len(jobs))
    errors: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            begin.wait(PATIENCE_S)
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


def ids_of(sender: int, count: int = EVENTS) -> range:
    return range(sender * 1_000_000, sender * 1_000_000 + count)


def check_nothing_lost(snapshot: Snapshot[Tally], senders: int, count: int = EVENTS) -> None:
    """Each id once, and those of each sender in the order in which it sent them."""
    ids = snapshot.context.ids
    assert len(ids) == senders * count
    for sender in range(senders):
        assert [each for each in ids if each // 1_000_000 == sender] == list(ids_of(sender, count))
    assert is_consistent(snapshot)


# Crowds.


@pytest.mark.parametrize("kind", [MutexMachine, SwapMachine])
def test_nothing_is_lost_or_applied_twice_by_a_crowd(kind: Threaded) -> None:
    told: list[Step[Tally]] = []
    machine: Shared = kind(TallyLifecycle, Tally(), listeners=[told.append])
    returned: list[list[Step[Tally]]] = [[] for _ in range(THREADS)]

    def sends(sender: int) -> Callable[[], None]:
        def run() -> None:
            for number in ids_of(sender):
                returned[sender].append(machine.send(Add(number)))

        return run

    in_threads(*(sends(sender) for sender in range(THREADS)))
    check_nothing_lost(machine.snapshot(), THREADS)
    # Each step follows from the one before: put in order they are the whole history, told once each.
    history = sorted((each for steps in returned for each in steps), key=lambda each: len(each.snapshot.context.ids))
    assert [each.snapshot.context.ids[-1] for each in history] == list(machine.context.ids)
    assert [len(each.snapshot.context.ids) for each in history] == list(range(1, THREADS * EVENTS + 1))
    assert Counter(map(id, told)) == Counter(map(id, history))
    if kind is MutexMachine:
        assert all(one is other for one, other in zip(told, history, strict=True))


@pytest.mark.parametrize("kind", [MutexMachine, SwapMachine])
def test_readers_beside_a_crowd_see_only_what_held(kind: Threaded) -> None:
    machine: Shared = kind(TallyLifecycle, Tally())
    senders = 4
    is_over = Signal()
    finished: list[int] = []

    def sends(sender: int) -> Callable[[], None]:
        def run() -> None:
            for number in ids_of(sender, 500):
                machine.send(Add(number))
            finished.append(sender)
            if len(finished) == senders:
                is_over.set()

        return run

    def reads() -> None:
        seen: tuple[int, ...] = ()
        while not is_over.is_set():
            snapshot = machine.snapshot()
            assert is_consistent(snapshot)
            assert snapshot.context.ids[: len(seen)] == seen
            assert machine.can(Add(0))
            seen = snapshot.context.ids

    in_threads(*(sends(sender) for sender in range(senders)), reads, reads)
    check_nothing_lost(machine.snapshot(), senders, 500)


@pytest.mark.parametrize("kind", [MutexMachine, SwapMachine])
def test_of_a_crowd_that_closes_just_one_does(kind: Threaded) -> None:
    for _ in range(50):
        machine: Shared = kind(TallyLifecycle, Tally())
        answers: list[Step[Tally] | Refusal] = []

        def closes(
            machine: Shared = machine,
            answers: list[Step[Tally] | Refusal] = answers,
        ) -> None:
            answers.append(machine.attempt(Close()))

        in_threads(*[closes] * 4)
        kinds = sorted(each.kind if isinstance(each, Refusal) else each.outcome for each in answers)
        assert kinds == ["applied", "finished", "finished", "finished"]


@pytest.mark.parametrize("kind", [MutexMachine, SwapMachine])
def test_a_crowd_that_starts_and_stops_listening_gets_what_it_asked_for(kind: Threaded) -> None:
    machine: Shared = kind(TallyLifecycle, Tally())
    kept: list[list[int]] = [[] for _ in range(THREADS * 20)]

    def notes(index: int) -> Callable[[Step[Tally]], None]:
        return lambda step: kept[index].append(step.snapshot.context.ids[-1])

    def listens(number: int) -> Callable[[], None]:
        def run() -> None:
            for index in range(number * 20, number * 20 + 20):
                machine.listen(notes(index))
                machine.listen(notes(index))()

        return run

    in_threads(*(listens(number) for number in range(THREADS)))
    machine.send(Add(7))
    assert kept == [[7]] * len(kept)
    assert len(machine._listeners or ()) == len(kept)


def test_tasks_and_threads_share_a_channel() -> None:
    told: list[int] = []
    returned: list[list[int]] = [[] for _ in range(THREADS)]
    count = 500

    async def sends_from_task(machine: ChannelMachine[Tally], sender: int) -> None:
        for number in ids_of(sender, count):
            step = await machine.send(Add(number))
            returned[sender].append(step.snapshot.context.ids[-1])

    def sends_from_thread(machine: ChannelMachine[Tally], sender: int) -> None:
        for number in ids_of(sender, count):
            step = machine.send_from_thread(Add(number))
            returned[sender].append(step.snapshot.context.ids[-1])

    async def main() -> Snapshot[Tally]:
        # Room for fewer than there are senders: some always wait for it.
        machine = ChannelMachine(TallyLifecycle, Tally(), capacity=3)
        machine.listen(lambda step: told.append(step.snapshot.context.ids[-1]))
        async with machine:
            await asyncio.gather(
                *(sends_from_task(machine, sender) for sender in range(4)),
                *(beside(sends_from_thread, machine, sender) for sender in range(4, THREADS)),
            )
        return machine.snapshot()

    snapshot = asyncio.run(main())
    check_nothing_lost(snapshot, THREADS, count)
    assert tuple(told) == snapshot.context.ids
    assert returned == [list(ids_of(sender, count)) for sender in range(THREADS)]


# Forced interleavings.


meanwhile: dict[int, list[Callable[[], object]]] = {}
"""By the id of an Add: what happens while its step is computed, the first time, the second and so on."""
computed: list[tuple[int, tuple[int, ...]]] = []
"""Each computation of a step, also of one that is thrown away: the event's id, and the ids it found."""


@pytest.fixture(autouse=True)
def _nothing_happens_meanwhile() -> Iterator[None]:
    meanwhile.clear()
    computed.clear()
    yield
    meanwhile.clear()


def add_slowly(tally: Tally, event: Add) -> Tally:
    computed.append((event.id, tally.ids))
    if meanwhile.get(event.id):
        meanwhile[event.id].pop(0)()
    return Tally((*tally.ids, event.id))


def is_allowed(tally: Tally, event: Add) -> bool:
    return event.id not in tally.ids


def never(context: Context, event: Event) -> bool:
    return False


def sending(machine: Shared, *events: Event) -> list[Callable[[], object]]:
    """What sends each event from a thread of its own, and is done when that is done."""
    return [partial(in_thread, machine.send, event) for event in events]


class Leave(Event):
    pass


class Slow(Lifecycle[Tally]):
    even = State(initial=True)
    odd = State()
    closed = Final()
    add = on(Add, even.to(odd, when=is_allowed, do=add_slowly), odd.to(even, when=is_allowed, do=add_slowly))
    close = on(Close, (even | odd).to(closed))


def test_two_swaps_from_one_snapshot_one_wins_and_the_other_sees_the_new_state() -> None:
    both_have_computed = Barrier(2)
    meanwhile.update({number: [lambda: both_have_computed.wait(PATIENCE_S)] for number in (1, 2)})
    told: list[Step[Tally]] = []
    machine = SwapMachine(Slow, Tally(), listeners=[told.append])
    in_threads(*sending(machine, Add(1), Add(2)))
    first, second = machine.context.ids
    assert {first, second} == {1, 2}
    assert sorted(computed[:2]) == [(1, ()), (2, ())]
    assert computed[2:] == [(second, (first,))]
    assert machine.state == "even"
    assert sorted(each.snapshot.context.ids for each in told) == sorted([(first,), (first, second)])


def test_who_loses_a_swap_computes_again_from_what_has_won() -> None:
    machine = SwapMachine(Slow, Tally())
    meanwhile[1] = sending(machine, Add(2))
    step = machine.send(Add(1))
    assert computed == [(1, ()), (2, ()), (1, (2,))]
    assert step.snapshot is machine.snapshot()
    assert step.snapshot.context.ids == (2, 1)
    assert step.microsteps[0].transitions == ("add:odd",)


def test_who_loses_a_swap_may_be_refused_by_what_has_won() -> None:
    told: list[str] = []
    machine = SwapMachine(Slow, Tally(), listeners=[lambda step: told.append(step.state)])
    meanwhile[1] = sending(machine, Close())
    with pytest.raises(Refused) as caught:
        machine.send(Add(1))
    assert (caught.value.kind, caught.value.state) == ("finished", "closed")
    assert machine.context.ids == ()
    assert told == ["closed"]
    guarded = SwapMachine(Slow, Tally())
    meanwhile[3] = sending(guarded, Add(3))
    answer = guarded.attempt(Add(3))
    assert isinstance(answer, Refusal)
    assert answer.kind == "guarded"
    assert guarded.context.ids == (3,)


def test_who_loses_a_swap_to_a_failing_step_does_not_lose() -> None:
    machine = SwapMachine(Slow, Tally())

    def fails() -> None:
        with pytest.raises(ActionFailed):
            in_thread(machine.send, Add(2))

    meanwhile.update({1: [fails], 2: [lambda: 1 // 0]})
    machine.send(Add(1))
    assert computed == [(1, ()), (2, ())]


def test_a_step_without_change_makes_nobody_lose() -> None:
    class Already(Lifecycle[Tally]):
        opened = State(initial=True)
        left = State()
        closed = Final()
        add = on(Add, opened.stay(do=add_slowly))
        leave = on(Leave, opened.to(left))
        close = on(Close, left.to(closed), already=opened)

    machine = SwapMachine(Already, Tally())
    meanwhile[1] = sending(machine, Close())
    assert machine.send(Add(1)).snapshot.context.ids == (1,)
    assert computed == [(1, ())]


def test_many_lost_swaps_end_in_a_step_that_holds() -> None:
    machine = SwapMachine(Slow, Tally())
    others = range(100, 200)
    meanwhile[1] = sending(machine, *map(Add, others))
    machine.send(Add(1))
    assert machine.context.ids == (*others, 1)
    assert [found for number, found in computed if number == 1] == [tuple(range(100, end)) for end in range(100, 201)]


def test_too_many_lost_swaps_are_a_conflict_that_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "SWAP_LIMIT", 5)
    told: list[int] = []
    machine = SwapMachine(Slow, Tally())
    machine.listen(lambda step: told.append(step.snapshot.context.ids[-1]))
    meanwhile[1] = sending(machine, *map(Add, range(100, 106)))
    with pytest.raises(Conflict, match="Slow: Add lost 5 swaps to other senders") as caught:
        machine.send(Add(1))
    assert caught.value.lifecycle == "Slow"
    assert machine.context.ids == (100, 101, 102, 103, 104)
    assert told == [100, 101, 102, 103, 104]
    meanwhile.clear()
    machine.send(Add(1))  # neither busy nor locked
    assert in_thread(machine.send, Add(2)).snapshot.context.ids[-2:] == (1, 2)


def test_an_event_that_loses_its_last_swap_but_one_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "SWAP_LIMIT", 5)
    machine = SwapMachine(Slow, Tally())
    meanwhile[1] = sending(machine, *map(Add, range(100, 104)))
    assert machine.send(Add(1)).snapshot.context.ids == (100, 101, 102, 103, 1)


def test_swapping_senders_compute_side_by_side_and_readers_are_not_held_up() -> None:
    is_inside, may_go = Signal(), Signal()
    machine = SwapMachine(Slow, Tally())

    def waits() -> None:
        is_inside.set()
        assert may_go.wait(PATIENCE_S)

    meanwhile[1] = [waits]

    def others() -> None:
        assert is_inside.wait(PATIENCE_S)
        for number in range(10, 20):
            machine.send(Add(number))
        assert machine.context.ids == tuple(range(10, 20))
        may_go.set()

    in_threads(*sending(machine, Add(1)), others)
    assert machine.context.ids == (*range(10, 20), 1)


class Watched:
    """A lock that tells when somebody comes for it."""

    def __init__(self, lock: Any, arrived: Signal) -> None:
        self._lock = lock
        self._arrived = arrived

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._arrived.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("place", ["action", "listener"])
def test_a_second_sender_waits_until_the_first_is_through_the_mutex(place: str) -> None:
    is_inside, is_waiting = Signal(), Signal()
    order: list[str] = []
    machine = MutexMachine(Slow, Tally())
    lock: Any = Watched(machine._lock, is_waiting)
    machine._lock = lock

    def waits() -> None:
        order.append("first is inside")
        is_inside.set()
        assert is_waiting.wait(PATIENCE_S)  # the other is at the lock, and can't be past it
        assert machine.context.ids == (() if place == "action" else (1,))  # who reads does not wait
        order.append("first goes on")

    if place == "action":
        meanwhile[1] = [waits]
    else:

        def waits_once(step: Step[Tally]) -> None:
            end()
            waits()

        end = machine.listen(waits_once)
    meanwhile[2] = [lambda: order.append("second is inside")]

    def second() -> None:
        assert is_inside.wait(PATIENCE_S)
        machine.send(Add(2))

    in_threads(*sending(machine, Add(1)), second)
    assert order == ["first is inside", "first goes on", "second is inside"]
    assert computed == [(1, ()), (2, (1,))]


@pytest.mark.parametrize("kind", [MutexMachine, SwapMachine])
def test_the_thread_that_is_inside_is_told_and_the_other_is_not(kind: Threaded) -> None:
    """Busy is who sends from within; another thread's send is not from within."""
    machine: Shared = kind(Slow, Tally())
    errors: list[str] = []

    def tries() -> None:
        try:
            machine.send(Add(2))
        except Exception as error:
            errors.append(type(error).__name__)

    meanwhile[1] = [tries]
    machine.send(Add(1))
    assert errors == ["MachineBusy"]
    in_threads(*sending(machine, *map(Add, range(10, 14))))
    assert sorted(machine.context.ids) == [1, 10, 11, 12, 13]


# Tables that many threads fill at once.


class Marks(Context):
    n: int = 0


class North(Event):
    pass


class South(Event):
    pass


class East(Event):
    pass


class West(Event):
    pass


class Reset(Event):
    pass


def is_third(marks: Marks, event: Event) -> bool:
    return marks.n % 3 == 0


def is_odd(marks: Marks, event: Event) -> bool:
    return marks.n % 2 == 1


def counts(marks: Marks, event: Event) -> Marks:
    return Marks(marks.n + 1)


class Compass(Lifecycle[Marks]):
    @nested(initial=True)
    class both(Parallel):
        class one(Composite):
            a = State(initial=True)
            b = State()
            c = State()
            north = on(North, a.to(b), b.to(c, when=is_odd), b.to(a), do=None)
            south = on(South, (b | c).to(a), when=is_third, do=counts)
            slide = always(c.to(a, when=is_third))

        class two(Composite):
            a = State(initial=True)

            class deep(Composite):
                x = State(initial=True, entry=counts)
                y = State()
                east = on(East, x.to(y), y.to(x, when=is_odd, do=counts))

            west = on(West, a.to(deep), deep.to(a))
            north = on(North, a.stay(do=counts))

        class three(Composite):
            a = State(initial=True)
            b = State(exit=counts)
            east = on(East, a.to(b), b.to(a))
            south = on(South, a.to(b, when=is_odd))

    away = State()
    over = Final()
    leave = on(Reset, both.to(away, when=is_third, do=counts))
    back = on(Reset, away.to(both.history(deep=True)))
    end = on(West, away.to(over, when=never))


def fresh_compass() -> Chart[Marks]:
    """The same chart without anything learnt about it."""
    chart = chart_of(Compass)
    return Chart.from_document(chart.to_document(), context=Marks, events=chart.events, handlers=chart.handlers)


def walk(chart: Chart[Marks], seed: int, length: int) -> list[Step[Marks] | Refusal]:
    chance = random.Random(seed)
    kinds: list[type[Event]] = [North, South, East, West, Reset]
    machine = Machine(chart, Marks())
    return [machine.attempt(chance.choice(kinds)()) for _ in range(length)]


@contextmanager
def front_limit(limit: int, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(tables, "FRONT_LIMIT", limit)
        yield


def check_walks(rounds: int, length: int) -> list[Chart[Marks]]:
    charts: list[Chart[Marks]] = []
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    known = fresh_compass()
    for number in range(rounds):
        chart = fresh_compass()
        walks: dict[int, list[Step[Marks] | Refusal]] = {}

        def walks_along(
            index: int,
            chart: Chart[Marks] = chart,
            number: int = number,
            walks: dict[int, list[Step[Marks] | Refusal]] = walks,
        ) -> Callable[[], None]:
            def run() -> None:
                walks[index] = walk(chart, seed + number * THREADS + index, length)

            return run

        in_threads(*(walks_along(index) for index in range(THREADS)))
        for index in range(THREADS):
            assert walks[index] == walk(known, seed + number * THREADS + index, length)
        charts.append(chart)
    return charts


def test_the_walks_go_everywhere() -> None:
    steps = walk(fresh_compass(), 1, 2000)
    seen = {each.state for each in steps if isinstance(each, Step)}
    assert len(seen) > 15
    assert {each.kind for each in steps if isinstance(each, Refusal)} == {"guarded", "illegal"}


def test_cold_tables_filled_by_many_threads_give_the_steps_of_one() -> None:
    check_walks(rounds=12, length=60)


@pytest.mark.parametrize("limit", [1, 7])
def test_tables_dropped_under_way_by_many_threads_give_the_steps_of_one(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front_limit(limit, monkeypatch):
        for chart in check_walks(rounds=6, length=60):
            assert tables_of(chart).statistics()["front"] <= limit + THREADS


def test_one_machine_on_tables_that_are_dropped_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with front_limit(2, monkeypatch):
        for kind in (MutexMachine, SwapMachine):
            machine: Shared = kind(fresh_tally(), Tally())

            def sends(sender: int, machine: Shared = machine) -> Callable[[], None]:
                def run() -> None:
                    for number in ids_of(sender, 200):
                        machine.send(Add(number))

                return run

            in_threads(*(sends(sender) for sender in range(THREADS)))
            check_nothing_lost(machine.snapshot(), THREADS, 200)


def fresh_tally() -> Chart[Tally]:
    chart = chart_of(TallyLifecycle)
    return Chart.from_document(chart.to_document(), context=Tally, events=chart.events, handlers=chart.handlers)


def test_equal_charts_with_tables_of_their_own_agree_on_snapshots() -> None:
    one, other = fresh_compass(), fresh_compass()
    walked = walk(one, 3, 50)
    last = next(each for each in reversed(walked) if isinstance(each, Step))
    machine = Machine.restore(other, last.snapshot)
    assert machine.snapshot() == last.snapshot
    assert step_purely(other, last.snapshot, North()) == step_purely(one, last.snapshot, North())
