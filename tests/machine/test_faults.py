"""Whatever is raised, wherever: a machine is where it was before the event or where it is after it.

The points are enumerated, not hoped for: a first run counts how often any handler or listener is reached, then
each point raises in turn. The same is done for the instructions between which the interpreter looks for
signals; and real signals come in storms on top.
"""

from __future__ import annotations

import asyncio
import dis
import logging
import random
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar, cast

import pytest

import stateward
from stateward import (
    ActionFailed,
    Actions,
    ChannelMachine,
    Chart,
    Composite,
    Context,
    ContextMarker,
    Done,
    Effect,
    Elapsed,
    Event,
    Final,
    Lifecycle,
    Machine,
    MachineStopped,
    MutexMachine,
    Parallel,
    Raise,
    State,
    Step,
    SwapMachine,
    after,
    always,
    chart_of,
    done,
    nested,
    on,
)
from tests.machine.driving import (
    KINDS,
    PATIENCE_S,
    Add,
    AnyMachine,
    Driver,
    Kind,
    Tally,
    TallyLifecycle,
    in_thread,
    is_consistent,
)

C = TypeVar("C", bound=ContextMarker)
F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M")

SynchronousMachine = Machine[C] | MutexMachine[C] | SwapMachine[C]
Synchronous = type[Machine[Any]] | type[MutexMachine[Any]] | type[SwapMachine[Any]]
SYNCHRONOUS: list[Synchronous] = [Machine, MutexMachine, SwapMachine]

# The lifecycle: every place that a handler can stand in, and events that run through several microsteps.


class Trip(Context):
    log: tuple[str, ...] = ()


class Go(Event):
    pass


class Inner(Event):
    pass


class Back(Event):
    pass


class End(Event):
    pass


class Note(Effect):
    text: str


class Fuse:
    """Counts the points that are reached, and raises at the one that it is set to."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self._at = 0
        self._error: type[BaseException] = Exception

    def set(self, at: int, error: type[BaseException]) -> None:
        """Raise at the `at`-th point from now; 0: nowhere."""
        self.reached.clear()
        self._at, self._error = at, error

    def reach(self, point: str) -> None:
        self.reached.append(point)
        if len(self.reached) == self._at:
            raise self._error


fuse = Fuse()


def named(name: str, function: F) -> F:
    function.__qualname__ = name
    return function


def acts(name: str) -> Callable[[Trip, Event], Trip]:
    def act(trip: Trip, event: Event) -> Trip:
        fuse.reach(name)
        return trip.replace(log=(*trip.log, name))

    return named(name, act)


def asks(name: str, *, verdict: bool = True) -> Callable[[Trip, Event], bool]:
    def ask(trip: Trip, event: Event) -> bool:
        fuse.reach(name)
        return verdict

    return named(name, ask)


def yields(name: str, item: Effect | Raise) -> Callable[[Trip, Event], Actions[Trip]]:
    def act(trip: Trip, event: Event) -> Actions[Trip]:
        fuse.reach(f"{name}, before")
        yield Note(name)
        fuse.reach(f"{name}, between")
        yield item
        fuse.reach(f"{name}, after")
        return trip.replace(log=(*trip.log, name))

    return named(name, act)


def gives(name: str) -> Callable[[Trip, Event], str]:
    def give(trip: Trip, event: Event) -> str:
        fuse.reach(name)
        return name

    return named(name, give)


def delays(name: str) -> Callable[[Trip], timedelta]:
    def delay(trip: Trip) -> timedelta:
        fuse.reach(name)
        return timedelta(minutes=len(trip.log))

    return named(name, delay)


class TripLifecycle(Lifecycle[Trip]):
    idle = State(initial=True, exit=acts("exit idle"))

    @nested(entry=acts("enter active"), exit=acts("exit active"))
    class active(Parallel):
        @nested(entry=yields("enter left", Note("left")))
        class left(Composite):
            one = State(initial=True, entry=acts("enter one"), exit=acts("exit one"))
            two = State(entry=acts("enter two"))
            three = Final(data=gives("data of left"))
            onward = always(one.to(two, when=asks("guard of onward"), do=acts("do onward")))
            inner = on(Inner, two.to(three, when=asks("guard of inner"), do=acts("do inner")))

        @nested(exit=yields("exit right", Note("right")))
        class right(Composite):
            slow = State(initial=True)
            fast = Final()
            wait = after(delays("delay of wait"), slow.to(slow))
            hurry = on(Inner, slow.to(fast), do=acts("do hurry"))

    wrapping = State(entry=acts("enter wrapping"), exit=acts("exit wrapping"))

    class shelf(Composite):
        low = State(initial=True, entry=acts("enter low"))
        high = State(entry=acts("enter high"))
        lift = on(Go, low.to(high))

    over = Final(data=gives("data of over"), entry=acts("enter over"))

    go = on(
        Go,
        idle.to(over, when=asks("guard that says no", verdict=False)),
        idle.to(active, when=asks("guard of go"), do=yields("do go", Raise(Inner()))),
    )
    finish = done(active.to(wrapping, when=asks("guard of finish"), do=acts("do finish")))
    back = on(Back, wrapping.to(shelf.history(default=shelf.high)), do=acts("do back"))
    end = on(End, shelf.to(over, do=acts("do end")))
    expire = after(delays("delay of expire"), wrapping.to(over))


@cache
def trip_chart() -> Chart[Trip]:
    """TripLifecycle with the two kinds of actions that only documents have: of an initial and of a history."""
    chart = chart_of(TripLifecycle)
    document = chart.to_document()
    of = {state["name"]: state for top in document["states"] for state in top.get("states", [])}
    of["left"]["initial_actions"] = ["initial of left"]
    of["H"]["default_actions"] = ["default of history"]
    handlers = {
        **chart.handlers,
        "initial of left": acts("initial of left"),
        "default of history": acts("default of history"),
    }
    return Chart.from_document(
        document,
        context=Trip,
        events={"Go": Go, "Inner": Inner, "Back": Back, "End": End, "Done": Done, "Elapsed": Elapsed},
        handlers=handlers,
    )


EVENTS: list[Event] = [Go(), Back(), End()]
STATES = ["idle", "wrapping", "shelf.high", "over"]
LISTENERS = ["first listener", "second listener"]

ERRORS: list[type[Exception]] = [ValueError, MemoryError, RecursionError]
INTERRUPTS: list[type[BaseException]] = [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit]


def listens(name: str) -> Callable[[Step[Any]], None]:
    return lambda _: fuse.reach(name)


@contextmanager
def trip(kind: Kind, until: int) -> Generator[Driver[Trip]]:
    """A machine with two listeners that has come through the first events, with the fuse out."""
    fuse.set(0, Exception)
    with Driver.start(kind, trip_chart(), Trip(), [listens(name) for name in LISTENERS]) as driver:
        for event in EVENTS[:until]:
            driver.send(event)
        assert driver.machine.state == STATES[until]
        yield driver
        fuse.set(0, Exception)


@cache
def points(number: int) -> tuple[str, ...]:
    """What the event of that number reaches, in order."""
    with trip(Machine, number) as driver:
        fuse.set(0, Exception)
        driver.send(EVENTS[number])
        return tuple(fuse.reached)


@cache
def expected(number: int) -> Step[Trip]:
    with trip(Machine, number) as driver:
        return driver.send(EVENTS[number])


def test_the_points_are_all_there() -> None:
    assert len(points(0)) > 25
    assert points(2) == ("do end", "enter over", "data of over", *LISTENERS)
    reached = {point.split(",")[0] for number in range(3) for point in points(number)}
    assert set(trip_chart().handlers) | set(LISTENERS) == reached | {"enter low"}
    assert len(expected(0).microsteps) == 4


def send_again(driver: Driver[Trip], event: Event) -> Step[Trip]:
    """The same event once more; from another thread where that may be, which a held lock would block."""
    if isinstance(driver.machine, (MutexMachine, SwapMachine)):
        return in_thread(driver.machine.send, event)
    return driver.send(event)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_at_any_point_leaves_no_machine_half_moved(
    kind: Kind, error: type[Exception], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    for at, point in enumerate(points(number), start=1):
        with trip(kind, number) as driver:
            machine = driver.machine
            before = machine.snapshot()
            caplog.clear()
            fuse.set(at, error)
            if point in LISTENERS:
                assert driver.send(EVENTS[number]) == expected(number)
                assert tuple(fuse.reached) == points(number)
                assert [each.exc_info[0] for each in caplog.records if each.exc_info] == [error]
            else:
                with pytest.raises(ActionFailed) as caught:
                    driver.send(EVENTS[number])
                assert type(caught.value.__cause__) is error
                assert (caught.value.lifecycle, caught.value.state) == ("Trip", STATES[number])
                assert point.startswith(caught.value.function)
                assert machine.snapshot() is before
                fuse.set(0, error)
                assert send_again(driver, EVENTS[number]) == expected(number)
            assert machine.snapshot() == expected(number).snapshot


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("error", INTERRUPTS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_at_any_point_leaves_no_machine_half_moved(
    kind: Kind, error: type[BaseException], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    for at, point in enumerate(points(number), start=1):
        with trip(kind, number) as driver:
            machine = driver.machine
            before = machine.snapshot()
            fuse.set(at, error)
            if kind is not ChannelMachine or error in (KeyboardInterrupt, SystemExit):
                with pytest.raises(error):
                    driver.send(EVENTS[number])
            elif point in LISTENERS:  # it was applied, so its sender is told so; the owner is dead all the same
                assert driver.send(EVENTS[number]) == expected(number)
            else:
                with pytest.raises(MachineStopped):
                    driver.send(EVENTS[number])
            fuse.set(0, error)
            if point in LISTENERS:
                assert machine.snapshot() == expected(number).snapshot
            else:
                assert machine.snapshot() is before
            driver.mend()
            if point not in LISTENERS:
                assert send_again(driver, EVENTS[number]) == expected(number)
            if number < 2:
                assert driver.send(EVENTS[number + 1]) == expected(number + 1)
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_while_asking_changes_nothing(kind: Kind, error: type[BaseException]) -> None:
    with trip(kind, 0) as driver:
        before = driver.machine.snapshot()
        for at in (1, 2):  # the two guards
            fuse.set(at, error)
            with pytest.raises(ActionFailed if error is ValueError else error):
                driver.machine.can(Go())
        for at in range(1, len(points(0)) - 1):  # why runs the actions too, for what it throws away
            fuse.set(at, error)
            if error is ValueError:
                driver.machine.why(Go())
            else:
                with pytest.raises(error):
                    driver.machine.why(Go())
        fuse.set(0, error)
        assert driver.machine.snapshot() is before
        assert driver.send(Go()) == expected(0)


@pytest.mark.parametrize("kind", KINDS)
def test_recursion_without_end_in_an_action_is_a_failed_step(kind: Kind) -> None:
    def sinks(tally: Tally, event: Event) -> Tally:
        return sinks(tally, event)

    class Deep(Lifecycle[Tally]):
        a = State(initial=True)
        b = Final()
        go = on(Go, a.to(b), do=sinks)
        end = on(End, a.to(b))

    with Driver.start(kind, Deep, Tally()) as driver:
        with pytest.raises(ActionFailed, match="raised RecursionError"):
            driver.send(Go())
        assert driver.machine.state == "a"
        assert driver.send(End()).state == "b"


# Generators.


generators: list[str] = []


def keeps_a_log(trip: Trip, event: Event) -> Actions[Trip]:
    try:
        yield Note("one")
        yield cast("Effect", "no effect")
        return trip
    finally:
        generators.append("closed")


def never_ends(trip: Trip, event: Event) -> Actions[Trip]:
    try:
        while True:
            yield Note("again")
    finally:
        generators.append("closed")


def stays_once(trip: Trip, event: Event) -> Actions[Trip]:
    try:
        yield cast("Effect", "no effect")
    except GeneratorExit:
        yield Note("I'd rather stay")
    return trip


def is_interrupted(trip: Trip, event: Event) -> Actions[Trip]:
    try:
        yield Note("one")
        raise KeyboardInterrupt
    finally:
        generators.append("closed")


class Odd(Event):
    pass


class Generators(Lifecycle[Trip]):
    a = State(initial=True)
    b = Final()
    go = on(Go, a.to(b), do=keeps_a_log)
    inner = on(Inner, a.to(b), do=never_ends)
    back = on(Back, a.to(b), do=stays_once)
    odd = on(Odd, a.to(b), do=is_interrupted)
    end = on(End, a.to(b))


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_is_closed_whatever_ends_its_step(kind: Kind) -> None:
    with Driver.start(kind, Generators, Trip()) as driver:
        for event, error in ((Go(), ActionFailed), (Inner(), ActionFailed), (Odd(), KeyboardInterrupt)):
            generators.clear()
            with pytest.raises(error):
                driver.send(event)
            assert generators == ["closed"]
            assert driver.machine.state == "a"
            driver.mend()
        assert driver.send(End()).state == "b"


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_that_will_not_be_closed_does_not_hang_its_machine(kind: Kind) -> None:
    with Driver.start(kind, Generators, Trip()) as driver:
        with pytest.raises((ActionFailed, RuntimeError)):
            driver.send(Back())
        assert driver.machine.state == "a"
        assert driver.send(End()).state == "b"


# Interrupts between any two instructions.

SOURCES = Path(stateward.__file__).parent
STEERING = (str(SOURCES / "machine"), str(SOURCES / "kernel" / "step.py"))
"""Where a send is steered; what goes wrong further down comes up through here."""


@cache
def fall_through(code: CodeType) -> dict[int, tuple[str, int]]:
    """Of each instruction's offset: its name, and the offset of the one that stands after it."""
    listed = [(each.offset, each.opname) for each in dis.get_instructions(code)]
    after = [offset for offset, _ in listed[1:]] + [-1]
    return {offset: (name, behind) for (offset, name), behind in zip(listed, after, strict=True)}


class Interruption:
    """Raises KeyboardInterrupt before one instruction of the code that steers a send.

    The interpreter looks for signals when a function begins, behind a call, and at a loop's jump back; these
    points are counted, or all of them with `everywhere`, which is more than can happen.
    """

    def __init__(self, at: int, *, everywhere: bool) -> None:
        self.count = 0
        self._at = at
        self._everywhere = everywhere
        self._before: dict[FrameType, int] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> Interruption | None:
        if not frame.f_code.co_filename.startswith(STEERING):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            before = self._before.get(frame)
            self._before[frame] = frame.f_lasti
            if self._everywhere or (before is not None and self._is_looked_for(frame, before)):
                self.count += 1
                if self.count == self._at:
                    raise KeyboardInterrupt
        return self

    def _is_looked_for(self, frame: FrameType, before: int) -> bool:
        name, behind = fall_through(frame.f_code)[before]
        if name.startswith("JUMP_BACKWARD"):
            return True
        # If it is not the next one, an exception has led here.
        return name.startswith(("RESUME", "CALL")) and frame.f_lasti == behind


@contextmanager
def traced(function: Any) -> Generator[None]:
    former = sys.gettrace()
    sys.settrace(function)
    try:
        yield
    finally:
        sys.settrace(former)


def interruptions(
    make: Callable[[], M], send: Callable[[M], object], *, everywhere: bool
) -> Iterator[tuple[M, KeyboardInterrupt]]:
    """A fresh machine, interrupted at the first point of a send; another one at the second, until one comes through."""
    send(make())  # so that the tables are warm, and each send passes the same points
    for at in count(1):
        for _ in range(2):  # CPython 3.12 and later may trace a function only from its second run on
            machine = make()
            try:
                with traced(Interruption(at, everywhere=everywhere)):
                    send(machine)
            except KeyboardInterrupt as error:
                yield machine, error
                break
        else:
            return


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_a_signal_at_any_point_where_it_can_be_seen_leaves_the_machine_usable(kind: Synchronous) -> None:
    told: list[Step[Trip]] = []

    def make() -> SynchronousMachine[Trip]:
        return kind(trip_chart(), Trip(), listeners=[told.append])

    before, after_it = make().snapshot(), make().send(Go()).snapshot
    seen = {"before": 0, "after": 0}
    for machine, _ in interruptions(make, lambda machine: machine.send(Go()), everywhere=False):
        if machine.state == "idle":
            seen["before"] += 1
            assert machine.snapshot() == before
            assert in_thread(machine.send, Go()).snapshot == after_it
        else:
            seen["after"] += 1
            assert machine.snapshot() == after_it
        assert machine.send(Back()).state == "shelf.high"
    assert seen["before"] > 100
    assert seen["after"] > 3


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_an_interrupt_before_any_instruction_leaves_no_machine_half_moved(kind: Synchronous) -> None:
    told: list[Step[Tally]] = []
    snapshot = kind(TallyLifecycle, Tally((1, 2))).snapshot()

    def make() -> SynchronousMachine[Tally]:
        return kind.restore(TallyLifecycle, snapshot, listeners=[told.append])

    found = [
        machine.snapshot() for machine, _ in interruptions(make, lambda machine: machine.send(Add(3)), everywhere=True)
    ]
    assert len(found) > 100
    assert {each.context.ids for each in found} == {(1, 2), (1, 2, 3)}
    assert all(is_consistent(each) for each in found)


def opens(trip: Trip, event: Event) -> Actions[Trip]:
    generators.append("opened")
    try:
        yield Note("one")
        yield Raise(Inner())
        return trip
    finally:
        generators.append("closed")


class Opening(Lifecycle[Trip]):
    a = State(initial=True)
    b = Final()
    go = on(Go, a.to(b), do=opens)
    inner = on(Inner, a.to(b))


def test_a_generator_that_an_interrupt_finds_half_way_is_closed_before_the_sender_knows() -> None:
    def make() -> Machine[Trip]:
        generators.clear()
        return Machine(Opening, Trip())

    half_way = 0
    for _, error in interruptions(make, lambda machine: machine.send(Go()), everywhere=False):
        assert error.__traceback__ is not None  # whose frames keep alive what nobody has closed
        assert generators in ([], ["opened", "closed"])
        half_way += bool(generators)
    assert half_way > 2


# Real signals.


class Storm:
    """A timer whose signals raise KeyboardInterrupt, as a rule in the middle of a send; at most one for each."""

    def __init__(self, seed: int) -> None:
        self.raised = 0
        self.is_armed = False
        self._is_blowing = False
        self._random = random.Random(seed)

    def strike(self, number: int, frame: FrameType | None) -> None:
        if not self._is_blowing:
            return
        # Random, so that it does not fall into step with the loop; and again after a while, since a signal that
        # comes just before a lock is waited for is seen only when the next one ends the waiting.
        signal.setitimer(signal.ITIMER_REAL, self._random.uniform(20e-6, 300e-6), 0.01)
        if self.is_armed:
            self.is_armed = False
            self.raised += 1
            raise KeyboardInterrupt

    @contextmanager
    def blowing(self) -> Generator[None]:
        former = signal.signal(signal.SIGALRM, self.strike)
        self._is_blowing = True
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 0.01)
        try:
            # A coverage tracer with locks of its own would not survive it.
            with traced(None):
                yield
        finally:
            self.is_armed = self._is_blowing = False  # first, or a last strike would set the timer again
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)


def send_in_storm(machine: AnyMachine[Tally], storm: Storm) -> tuple[int, set[int]]:
    """Send events through a storm; how many returned, and the ids of those that did not."""
    assert not isinstance(machine, ChannelMachine)
    returned = 0
    unsure: set[int] = set()
    for number in range(SENDS):
        has_returned = False
        try:
            storm.is_armed = True
            machine.send(Add(number))
            storm.is_armed = False
            has_returned = True
        except KeyboardInterrupt:
            unsure.add(number)
        returned += has_returned
    return returned, unsure


def check_storm(ids: tuple[int, ...], returned: int, unsure: set[int]) -> None:
    """Nothing lost, nothing applied twice, order kept: as far as the sender of interrupted events can know."""
    assert list(ids) == sorted(set(ids))
    assert set(range(SENDS)) - set(ids) <= unsure
    assert returned <= len(ids) <= returned + len(unsure)


# Keeps the tuple of ids short: many sends, in rounds on machines of their own.
ROUNDS, SENDS = 200, 250


# A strike while something is being collected is swallowed there, and told as a warning.
unraisable = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@unraisable
@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_a_storm_of_signals_leaves_no_machine_half_moved_busy_or_locked(
    kind: Synchronous,
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    storm = Storm(seed)
    interrupted = 0
    told: list[Step[Tally]] = []
    for _ in range(ROUNDS):
        machine = kind(TallyLifecycle, Tally(), listeners=[told.append])
        with storm.blowing():
            returned, unsure = send_in_storm(machine, storm)
        interrupted += len(unsure)
        check_storm(machine.context.ids, returned, unsure)
        assert is_consistent(machine.snapshot())
        in_thread(machine.send, Add(SENDS))  # no lock is held, and it is not busy
        machine.send(Add(SENDS + 1))
    assert 10 < interrupted <= storm.raised


@unraisable
@pytest.mark.parametrize("kind", [MutexMachine, SwapMachine])
def test_a_storm_of_signals_while_another_thread_sends_loses_nothing(
    kind: type[MutexMachine[Any]] | type[SwapMachine[Any]],
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    storm = Storm(seed)
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(ROUNDS // 4):
            weather_with_another(kind(TallyLifecycle, Tally()), storm)
    finally:
        sys.setswitchinterval(former)
    assert storm.raised > 5


def weather_with_another(machine: MutexMachine[Tally] | SwapMachine[Tally], storm: Storm) -> None:
    """One round: this thread sends in a storm, another one without."""
    is_over = threading.Event()
    sent_beside: list[int] = []

    def send_beside() -> None:
        # CPython 3.11 lets a traced thread spin for ever at a function's start while a signal waits for the
        # main thread and that one waits for the lock.
        with traced(None):
            for number in range(1_000_000, 1_000_000 + 10 * SENDS):
                if is_over.is_set():
                    return
                machine.send(Add(number))
                sent_beside.append(number)

    beside = threading.Thread(target=send_beside, daemon=True)
    beside.start()
    with storm.blowing():
        returned, unsure = send_in_storm(machine, storm)
    is_over.set()
    beside.join(PATIENCE_S)
    assert not beside.is_alive()
    assert is_consistent(machine.snapshot())
    check_storm(tuple(each for each in machine.context.ids if each < 1_000_000), returned, unsure)
    assert [each for each in machine.context.ids if each >= 1_000_000] == sent_beside


def test_a_signal_handler_that_sends_to_the_machine_it_interrupts_is_refused() -> None:
    answers: list[str] = []

    def sends(number: int, frame: FrameType | None) -> None:
        try:
            machine.send(Add(2))
        except stateward.MachineBusy as error:
            answers.append(str(error))

    def interrupts(step: Step[Tally]) -> None:
        signal.raise_signal(signal.SIGALRM)

    for kind in SYNCHRONOUS:
        machine = kind(TallyLifecycle, Tally(), listeners=[interrupts])
        former = signal.signal(signal.SIGALRM, sends)
        try:
            machine.send(Add(1))
        finally:
            signal.signal(signal.SIGALRM, former)
        assert machine.context.ids == (1,)
    assert len(answers) == len(SYNCHRONOUS)


def test_an_interrupt_while_waiting_for_the_mutex_takes_nothing_and_leaves_nothing_locked() -> None:
    is_inside, may_go = threading.Event(), threading.Event()

    def waits(step: Step[Tally]) -> None:
        is_inside.set()
        assert may_go.wait(PATIENCE_S)

    machine = MutexMachine(TallyLifecycle, Tally())
    end = machine.listen(waits)
    other = threading.Thread(target=machine.send, args=(Add(1),), daemon=True)
    other.start()
    assert is_inside.wait(PATIENCE_S)
    end()
    storm = Storm(0)

    def sends() -> None:
        storm.is_armed = True
        machine.send(Add(2))

    with storm.blowing(), pytest.raises(KeyboardInterrupt):
        sends()
    may_go.set()
    other.join(PATIENCE_S)
    assert machine.context.ids == (1,)
    machine.send(Add(3))
    assert in_thread(machine.send, Add(4)).snapshot.context.ids == (1, 3, 4)


def test_a_fault_of_the_owning_task_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with trip(ChannelMachine, 0) as driver:
        fuse.set(1, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            driver.send(Go())
        driver.mend()
    messages = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert messages == ["Trip: the owning task was ended by KeyboardInterrupt()"]
