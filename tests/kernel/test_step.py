"""What a Step holds, what it refuses to be made of, and that it is pure."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stateward import (
    ActionFailed,
    Actions,
    Composite,
    Context,
    Effect,
    Elapsed,
    EndlessLoop,
    Event,
    Final,
    Lifecycle,
    Meta,
    Parallel,
    Raise,
    Refusal,
    SnapshotInvalid,
    Started,
    State,
    Step,
    TimerSet,
    after,
    always,
    chart_of,
    nested,
    on,
    position_of,
    start,
    step,
)
from stateward.kernel import tables, tables_of
from stateward.kernel.step import YIELD_LIMIT
from tests.kernel.logbook import A, B, C, Log, Note, log_of, raises, run, says

pytestmark = pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")


def notes(text: str) -> Any:
    def note(context: Log, event: Event) -> Actions[Log]:
        yield Note(text)
        return context

    note.__qualname__ = f"note_{text}"
    return note


class Timed(Lifecycle[Log]):
    @nested(initial=True)
    class opened(Composite):
        fresh = State(initial=True)
        stale = State()
        age = after(timedelta(hours=1), fresh.to(stale))
        touch = on(A, (fresh | stale).to(fresh))

    end = Final()
    close = after(timedelta(days=1), opened.to(end))
    finish = on(B, opened.to(end))


def test_timers_live_as_long_as_their_source() -> None:
    begin = run(Timed)
    assert begin.timers_set == (
        TimerSet("close@opened", timedelta(days=1)),
        TimerSet("opened.age@opened.fresh", timedelta(hours=1)),
    )
    aged = run(Timed, Elapsed("opened.age@opened.fresh"))
    assert (aged.timers_set, aged.timers_cancelled) == ((), ("opened.age@opened.fresh",))
    touched = run(Timed, A())
    assert touched.timers_cancelled == ("opened.age@opened.fresh",)
    assert touched.timers_set == (TimerSet("opened.age@opened.fresh", timedelta(hours=1)),)
    assert run(Timed, B()).timers_cancelled == ("opened.age@opened.fresh", "close@opened")


def test_a_delay_may_be_a_function_of_the_context_as_it_is_after_the_entry_handlers() -> None:
    def counts(context: Log, event: Event) -> Log:
        return context.replace(n=context.n + 1)

    def delay(context: Log) -> timedelta:
        return timedelta(minutes=context.n)

    class Waiting(Lifecycle[Log]):
        a = State(initial=True)
        b = State(entry=counts)
        go = on(A, (a | b).to(b))
        back = after(delay, b.to(a))

    assert run(Waiting, A(), A()).timers_set == (TimerSet("back@b", timedelta(minutes=2)),)
    with pytest.raises(ActionFailed, match=r"delay returned datetime\.timedelta\(0\)"):
        run(Waiting, A(), context=Log(n=-1))


def test_effects_keep_the_order_of_exits_contents_entries_and_microsteps() -> None:
    class Order(Lifecycle[Log]):
        a = State(initial=True, exit=notes("exit"))
        b = State(entry=(notes("entry 1"), notes("entry 2")))
        c = State(entry=notes("last"))
        go = on(A, a.to(b, do=notes("content")))
        then = always(b.to(c))

    assert [each.text for each in run(Order, A()).effects if isinstance(each, Note)] == [
        "exit", "content", "entry 1", "entry 2", "last",
    ]  # fmt: skip


def test_a_raised_event_that_nothing_took_is_in_the_step() -> None:
    class Lost(Lifecycle[Log]):
        a = State(initial=True)
        b = State()
        go = on(A, a.to(b, do=raises(C())))
        other = on(C, a.to(b))

    assert run(Lost, A()).unhandled == (C(),)


def test_entry_handlers_of_the_start_get_started() -> None:
    def keeps(context: Log, event: Event) -> Log:
        return context.replace(log=(*context.log, type(event).__name__))

    class Begins(Lifecycle[Log]):
        a = State(initial=True, entry=keeps)
        b = State(entry=keeps)
        go = on(A, a.to(b))

    assert log_of(run(Begins, A())) == [Started.__name__, "A"]


# What handlers must not do.


def returns_none(context: Log, event: Event) -> Any:
    return None


async def is_async(context: Log, event: Event) -> Log:
    return context


def returns_coroutine(context: Log, event: Event) -> Any:
    return is_async(context, event)


def yields_stranger(context: Log, event: Event) -> Any:
    yield "please"
    return context


def yields_no_return(context: Log, event: Event) -> Any:
    yield Note("x")


def yields_for_ever(context: Log, event: Event) -> Any:
    while True:
        yield Note("x")


def raises_no_event(context: Log, event: Event) -> Any:
    yield Raise("A")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return context


def raises_midway(context: Log, event: Event) -> Any:
    yield Note("x")
    raise KeyError("gone")


def clings(context: Log, event: Event) -> Any:
    try:
        yield "please"
    except GeneratorExit:
        yield Note("x")


class Unfrozen(Effect):
    items: list[str]


def yields_mutable(context: Log, event: Event) -> Any:
    yield Unfrozen([])
    return context


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (returns_none, "returned None; an action returns the context, Log"),
        (returns_coroutine, "returned <coroutine object"),
        (yields_stranger, "yielded 'please'; an action yields effects and Raise"),
        (yields_no_return, "returned None"),
        (yields_for_ever, f"yielded more than {YIELD_LIMIT} times"),
        (clings, "and when closed raised RuntimeError"),
        (raises_no_event, "raised 'A', which is no event"),
        (raises_midway, r"raised KeyError\('gone'\)"),
        (yields_mutable, "yielded an effect that can be changed"),
    ],
)
@pytest.mark.parametrize("place", ["content", "entry", "exit"])
def test_a_handler_that_does_what_it_must_not_fails_the_step(handler: Any, problem: str, place: str) -> None:
    class Bad(Lifecycle[Log]):
        a = State(initial=True, exit=handler if place == "exit" else ())
        b = State(entry=handler if place == "entry" else ())
        go = on(A, a.to(b, do=handler if place == "content" else says("x")))

    with pytest.raises(ActionFailed, match=problem) as caught:
        run(Bad, A())
    assert (caught.value.lifecycle, caught.value.state, caught.value.event) == ("Bad", "a", "A")
    assert caught.value.function == handler.__qualname__
    assert pickle.loads(pickle.dumps(caught.value)).function == handler.__qualname__


def test_a_guard_answers_true_or_false() -> None:
    def is_vague(context: Log, event: Event) -> Any:
        return 1

    class Bad(Lifecycle[Log]):
        a = State(initial=True)
        go = on(A, a.stay(when=is_vague, do=says("x")))

    with pytest.raises(ActionFailed, match="is_vague returned 1; a guard returns True"):
        run(Bad, A())


def test_an_endless_loop_is_an_error_that_names_its_cycle() -> None:
    class Loops(Lifecycle[Log]):
        a = State(initial=True)
        b = State()
        c = State()
        go = on(A, a.to(b))
        there = always(b.to(c))
        back = always(c.to(b))

    with pytest.raises(EndlessLoop) as caught:
        run(Loops, A())
    assert set(caught.value.cycle) == {"there:b", "back:c"}
    assert "Loops in a, handling A" in str(caught.value)


def test_an_endless_chain_of_raised_events_is_an_error_too() -> None:
    class Echoes(Lifecycle[Log]):
        a = State(initial=True)
        echo = on(A, a.stay(do=raises(A())))

    with pytest.raises(EndlessLoop, match="echo:a"):
        run(Echoes, A())


def test_a_context_or_snapshot_of_another_lifecycle_is_refused() -> None:
    class Other(Context):
        x: int = 0

    with pytest.raises(SnapshotInvalid, match="the context is Other, and the lifecycle's is Log"):
        start(chart_of(Timed), Other())  # type: ignore[misc]  # pyright: ignore[reportArgumentType]

    class Else(Lifecycle[Log]):
        a = State(initial=True)
        go = on(A, a.stay())

    with pytest.raises(SnapshotInvalid, match="belongs to <Chart Else"):
        step(chart_of(Timed), run(Else).snapshot, A())


def test_what_is_no_event_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="send an instance of an Event class"):
        step(chart_of(Timed), run(Timed).snapshot, A)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Purity.


def draws(context: Log, event: Event, meta: Meta) -> Log:
    numbers = f"{meta.random.random()},{meta.random.random()}"
    return context.replace(log=(*context.log, numbers))


class Draws(Lifecycle[Log]):
    a = State(initial=True)
    b = State(entry=draws)
    end = Final()
    finish = on(B, b.to(end))
    go = on(A, a.to(b, do=draws))


def test_randomness_is_seeded_by_the_record_id_and_goes_on_through_the_step() -> None:
    chart = chart_of(Draws)
    begin = start(chart, Log()).snapshot
    meta = Meta(record_id="r1", now=datetime(2026, 1, 1, tzinfo=UTC))
    one, two, other = (step(chart, begin, A(), m) for m in (meta, meta, Meta(record_id="r2")))
    assert one == two
    assert one != other
    assert isinstance(one, Step)
    drawn = ",".join(log_of(one)).split(",")
    assert len(set(drawn)) == 4, "each draw of one step is another number"
    with pytest.raises(ActionFailed, match=r"Meta\.random needs a record id"):
        step(chart, begin, A())


@pytest.mark.parametrize("lifecycle", [Timed, Draws])
def test_the_same_step_twice_is_the_same_step(lifecycle: type[Lifecycle[Log]]) -> None:
    chart = chart_of(lifecycle)
    begin = start(chart, Log()).snapshot
    before = copy.deepcopy(begin)
    for event in (A(), B(), C(), Elapsed("close@opened")):
        meta = Meta(record_id="r")
        assert step(chart, begin, event, meta) == step(chart, begin, event, meta)
        assert begin == before


# Positions.


class Note2(Event):
    pass


class Regions(Lifecycle[Log]):
    @nested(initial=True)
    class both(Parallel):
        class left(Composite):
            a = State(initial=True)
            b = State()
            go = on(A, a.to(b))

        class right(Composite):
            c = State(initial=True)
            d = State()

    out = State()
    end = Final()
    leave = on(B, both.to(out))
    back = on(C, out.to(both.history(deep=True)))
    finish = on(Note2, out.to(end))


def test_a_position_is_read_back_from_what_was_kept_of_it() -> None:
    chart = chart_of(Regions)
    for answer in (run(Regions), run(Regions, A()), run(Regions, A(), B())):
        position = answer.snapshot.position
        again = position_of(chart, position.state, position.history)
        assert again is position, "one value of one chart is one object while it is in use"
        assert pickle.loads(pickle.dumps(position)) == position
        assert hash(again) == hash(position)
        assert copy.deepcopy(position) is position
    assert run(Regions, A(), B(), C()).state == "both.left.b|both.right.c"


@pytest.mark.parametrize(
    ("state", "history", "problem"),
    [
        ("both.left.a", {}, "can't be active together"),
        ("both.left.a|both.left.b|both.right.c", {}, "can't be active together"),
        ("out|both.left.a|both.right.c", {}, "can't be active together"),
        ("both", {}, "a configuration names atomic states"),
        ("nowhere", {}, "no state 'nowhere'"),
        ("out", {"both.H": ["out"]}, "no state 'both.H'"),
        ("out", {"both.H*": ["out"]}, "can't remember out"),
        ("out", {"both.H*": []}, "can't remember nothing"),
        ("out", {"out": ["both.left.a"]}, "can't remember"),
    ],
)
def test_what_no_position_can_be_is_told(state: str, history: dict[str, list[str]], problem: str) -> None:
    with pytest.raises(SnapshotInvalid, match=problem):
        position_of(chart_of(Regions), state, history)


# Tables.


def test_the_front_is_bounded_and_a_step_does_not_depend_on_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "FRONT_LIMIT", 3)
    chart = chart_of(Regions)
    expected = [answer.state for answer in _walk(40)]
    assert [answer.state for answer in _walk(40)] == expected
    assert tables_of(chart).statistics()["front"] <= 3


def _walk(events: int) -> list[Step[Log]]:
    chart = chart_of(Regions)
    answers = [start(chart, Log())]
    for number in range(events):
        answer = step(chart, answers[-1].snapshot, (A(), B(), C())[number * 7 % 3])
        if isinstance(answer, Step):
            answers.append(answer)
    return answers


def test_an_event_that_the_chart_does_not_know_is_not_remembered() -> None:
    class Stranger(Event):
        pass

    begin = run(Regions).snapshot
    before = tables_of(chart_of(Regions)).statistics()
    answer = step(chart_of(Regions), begin, Stranger())
    assert isinstance(answer, Refusal)
    assert answer.kind == "unknown"
    assert tables_of(chart_of(Regions)).statistics() == before
