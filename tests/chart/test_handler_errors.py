"""Handlers that can't stand where they do, and those that can: told when the class is built."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeVar

import pytest

from stateward import (
    Actions,
    Chart,
    Composite,
    Context,
    ContextMarker,
    DefinitionError,
    Done,
    Effect,
    Elapsed,
    Event,
    EventMarker,
    Final,
    Lifecycle,
    Meta,
    Raise,
    State,
    after,
    always,
    chart_of,
    done,
    nested,
    on,
)
from tests.chart.breaking import Breaking, Cart, Case, Order, Pay, Ship, wrong

breaking = Breaking()
HOUR = timedelta(hours=1)
C = TypeVar("C", bound=ContextMarker)
GUARD = "(context, event) or (context, event, meta), and returns a bool"
ACTION = "(context, event) or (context, event, meta), and returns the context"


class Charge(Effect):
    amount: int = 0


# What is no plain function.


async def asks_a_server(order: Order, event: Pay) -> bool:
    return True


async def asks_servers(order: Order, event: Pay) -> AsyncIterator[bool]:
    yield True


def yields(order: Order, event: Pay) -> Iterator[bool]:
    yield True


def is_open(order: Order, event: Event) -> bool:
    return True


def keep(order: Order, event: Event) -> Order:
    return order


@breaking("pay", "asks_a_server is asynchronous: a guard is pure and runs at once; ask for the work by an effect")
def an_asynchronous_guard() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(asks_a_server))  # here


@breaking("pay", "asks_a_server is asynchronous: an action is pure and runs at once; ask for the work by an effect")
def an_asynchronous_action() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a, do=wrong(asks_a_server)))  # here


@breaking("a", "asks_servers is asynchronous: an action is pure and runs at once; ask for the work by an effect")
def an_asynchronous_generator_at_an_entry() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, entry=wrong(asks_servers))  # here


@breaking("pay", "yields is a generator, and a guard yields nothing")
def a_generator_as_a_guard() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(yields))  # here


@breaking("b", "yields is a generator, and data= yields nothing")
def a_generator_as_data() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = Final(data=yields)  # type: ignore[arg-type] # pyright: ignore # here


def no_arguments() -> bool:
    return True


def four_arguments(order: Order, event: Pay, meta: Meta, more: int) -> bool:
    return True


def by_keyword(order: Order, event: Pay, *, limit: int) -> bool:
    return True


def any_number(*arguments: Any) -> bool:
    return True


@breaking("pay", f"no_arguments takes 0 arguments; a guard takes {GUARD}")
def a_guard_without_arguments() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(no_arguments))  # here


@breaking("pay", f"four_arguments takes 4 arguments; a guard takes {GUARD}")
def a_guard_with_four_arguments() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(four_arguments))  # here


@breaking("pay", f"by_keyword takes 2 arguments and by keyword limit; a guard takes {GUARD}")
def a_guard_that_needs_a_keyword() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(by_keyword))  # here


@breaking("pay", f"any_number takes 0 arguments; a guard takes {GUARD}")
def a_guard_with_any_number_of_arguments() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=any_number)  # here


@breaking("a", f"no_arguments takes 0 arguments; an action takes {ACTION}")
def an_exit_handler_without_arguments() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, exit=(keep, wrong(no_arguments)))  # here


@breaking("expire", "is_open takes 2 arguments; a delay takes (context), and returns a timedelta")
def a_delay_of_the_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        expire = after(wrong(is_open), a.to(a))  # here


def test_what_has_no_name_is_no_handler() -> None:
    class Callable_:
        def __call__(self, order: Order, event: Pay) -> bool:
            return True

    for nameless in (functools.partial(is_open), Callable_(), "is_open", 5, True, [is_open]):
        expected = r"Wrong pay: .* is no function with a name; a guard is a function of its own"
        with pytest.raises(DefinitionError, match=expected):

            class Wrong(Lifecycle[Order]):
                a = State(initial=True)
                pay = on(Pay, a.to(a), when=wrong(nameless))


def test_several_entry_handlers_go_into_a_tuple() -> None:
    with pytest.raises(DefinitionError, match=r"Wrong a: .*\(several go into a tuple\)"):

        class Wrong(Lifecycle[Order]):
            a = State(initial=True, entry=wrong([keep, keep]))


@breaking(
    "expire",
    "a transition is no function with a name; a delay is a function of its own"
    " (in a body, its names hide those of the module)",
)
def a_handler_hidden_by_a_name_of_the_body() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        keep = on(Pay, a.to(a))
        expire = after(wrong(keep), a.to(a))  # here


@breaking("pay", "gives a handler to one arc and to all of them: give it to each arc, or to all")
def a_guard_of_one_arc_and_of_all() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(
            Pay,
            a.to(a, when=is_open),  # here
            when=is_open,
        )


@breaking("pay", "gives a handler to one arc and to all of them: give it to each arc, or to all")
def an_action_of_one_arc_and_of_all() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), a.stay(do=keep), do=keep)  # here


# Annotations.


def for_carts(cart: Cart, event: Event) -> bool:
    return True


def keep_cart(cart: Cart, event: Event) -> Cart:
    return cart


def for_ship(order: Order, event: Ship) -> bool:
    return True


def keep_on_ship(order: Order, event: Ship) -> Order:
    return order


def number(order: Order, event: Event) -> int:
    return 1


def perhaps(order: Order, event: Event) -> bool | None:
    return None


def nothing(order: Order, event: Event) -> None:
    return None


def perhaps_order(order: Order, event: Event) -> Order | None:
    return None


def cart_of(order: Order, event: Event) -> Cart:
    return Cart()


def yields_carts(order: Order, event: Event) -> Actions[Cart]:
    yield Charge()
    return Cart()


def yields_numbers(order: Order, event: Event) -> Generator[int, None, Order]:
    yield 1
    return order


def only_iterates(order: Order, event: Event) -> Iterator[Charge]:
    yield Charge()


def cart_delay(cart: Cart) -> timedelta:
    return HOUR


def seconds(order: Order) -> int:
    return 3600


def third_is_no_meta(order: Order, event: Event, actor: str) -> bool:
    return True


@breaking("pay", "for_carts takes context Cart, and would get Order")
def a_guard_for_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=for_carts)  # here


@breaking("pay", "keep_cart takes context Cart, and would get Order")
def an_action_for_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(
            Pay,
            a.to(a, do=keep_cart),  # here
        )


@breaking("a", "keep_cart takes context Cart, and would get Order")
def an_entry_handler_for_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, entry=(keep, keep_cart))  # here


@breaking("active", "keep_cart takes context Cart, and would get Order")
def an_exit_handler_of_a_composite_for_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True, exit=keep_cart)  # here
        class active(Composite):
            a = State(initial=True)


@breaking("b", "keep_cart takes context Cart, and would get Order")
def data_for_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = Final(data=keep_cart)  # here


@breaking("expire", "cart_delay takes context Cart, and would get Order")
def a_delay_for_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        expire = after(cart_delay, a.to(a))  # here


@breaking("expire", "seconds returns int; a delay returns timedelta")
def a_delay_in_seconds() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        expire = after(wrong(seconds), a.to(a))  # here


@breaking("pay", "for_ship takes event Ship, and would get Pay")
def a_guard_for_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(for_ship))  # here


@breaking("pay", "keep_on_ship takes event Ship, and would get Pay")
def an_action_of_an_arc_for_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, wrong(a.to(a, do=keep_on_ship)))  # here


@breaking("a", "keep_on_ship takes event Ship, and would get Event")
def an_entry_handler_for_one_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, entry=wrong(keep_on_ship))  # here


@breaking("go", "for_ship takes event Ship, and would get Event")
def an_eventless_guard_for_one_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        go = always(a.to(a), when=wrong(for_ship))  # here


@breaking("finish", "for_ship takes event Ship, and would get Done")
def a_guard_of_a_completion_for_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)
            b = Final()

        closed = Final()
        finish = done(active.to(closed), when=wrong(for_ship))  # here


@breaking("expire", "keep_on_ship takes event Ship, and would get Elapsed")
def an_action_of_a_timer_for_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        expire = after(HOUR, a.to(a), do=wrong(keep_on_ship))  # here


@breaking("pay", "third_is_no_meta takes meta str, and would get Meta")
def a_third_parameter_that_is_no_meta() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(third_is_no_meta))  # here


@breaking("pay", "number returns int; a guard returns bool")
def a_guard_that_returns_a_number() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(number))  # here


@breaking("pay", "perhaps returns bool | None; a guard returns bool")
def a_guard_that_may_return_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(perhaps))  # here


@breaking("pay", "nothing returns None; a guard returns bool")
def a_guard_that_returns_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=wrong(nothing))  # here


@breaking("pay", "nothing returns None; an action returns Order or Actions[Order]")
def an_action_that_returns_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(nothing))  # here


@breaking("pay", "perhaps_order returns Order | None; an action returns Order or Actions[Order]")
def an_action_that_may_return_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(perhaps_order))  # here


@breaking("pay", "cart_of returns Cart; an action returns Order or Actions[Order]")
def an_action_that_returns_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(cart_of))  # here


@breaking("pay", "number returns int; an action returns Order or Actions[Order]")
def an_action_that_returns_a_number() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(number))  # here


@breaking("pay", "yields_carts returns Cart at its end; an action returns Order")
def an_action_that_returns_another_context_at_its_end() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(yields_carts))  # here


@breaking("pay", "yields_numbers yields int; an action yields effects and Raise")
def an_action_that_yields_numbers() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(yields_numbers))  # here


@breaking("pay", "only_iterates returns Iterator; an action returns Order or Actions[Order]")
def an_action_that_returns_nothing_at_its_end() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), do=wrong(only_iterates))  # here


@breaking("pay", "an_action_with_names_of_its_function.<locals>.ask takes context Local, and would get Order")
def an_action_with_names_of_its_function() -> None:
    class Local(Context):
        pass

    def ask(order: Local, event: Pay) -> bool:
        return True

    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=ask)  # here


@breaking("pay", "for_carts takes context Cart, and would get Order")
def a_local_name_does_not_stand_for_a_global_one() -> None:
    Cart = Order  # noqa: F841, N806 # pyright: ignore

    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), when=for_carts)  # here


@pytest.mark.parametrize("case", [*breaking])
def test_a_handler_that_does_not_fit_is_told_with_its_place(case: Case) -> None:
    case.check()


# What fits.


class Bare(Protocol):
    @property
    def total(self) -> int: ...


class Big(Pay):
    pass


def reads_protocol(order: Bare, event: EventMarker) -> bool:
    return True


def reads_any(order: Any, event: Any) -> Any:
    return order


def reads_untyped(order, event):  # type: ignore[no-untyped-def]
    return order


def keeps_generic(context: C, event: EventMarker) -> C:
    return context


def reads_union(order: Order | Cart, event: Pay | Ship) -> bool:
    return True


def reads_unknown(order: Unknown, event: Missing) -> bool:  # type: ignore[name-defined] # noqa: F821
    return True


def always_true(order: Order, event: Event) -> Literal[True]:
    return True


def with_meta(order: Order, event: Event, meta: Meta) -> bool:
    return True


def with_a_default(order: Order, event: Event, limit: int = 3) -> bool:
    return order.total < limit


def with_a_keyword_default(order: Order, event: Event, *, limit: int = 3) -> bool:
    return order.total < limit


def either(order: Order, event: Event) -> Order | Actions[Order]:
    return order


def raises_only(order: Order, event: Event) -> Generator[Raise, None, Order]:
    yield Raise(Ship())
    return order


def charges(order: Order, event: Event) -> Generator[Charge | Raise, None, Order]:
    yield Charge()
    return order


def base_context(order: Context, event: Event) -> Context:
    return order


@functools.wraps(for_carts)
def wrapped(*arguments: Any) -> bool:
    return True


class Rules:
    def is_open(self, order: Order, event: Pay) -> bool:
        return True

    @staticmethod
    def is_paid(order: Order, event: Pay) -> bool:
        return True


@pytest.mark.parametrize(
    "guard",
    [
        reads_protocol,
        reads_any,
        reads_untyped,
        reads_union,
        reads_unknown,
        always_true,
        with_meta,
        with_a_default,
        with_a_keyword_default,
        Rules().is_open,
        Rules.is_paid,
        lambda order, event: True,
        lambda order, event, meta: True,
    ],
)
def test_guards_that_fit(guard: Any) -> None:
    class Right(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        pay = on(Pay, a.to(closed), when=guard)

    found = chart_of(Right).transitions[0].guard
    assert found is not None
    assert found.call == guard
    assert found.wants_meta is ("meta" in guard.__code__.co_varnames)


@pytest.mark.parametrize(
    "action",
    [reads_any, reads_untyped, keeps_generic, either, raises_only, charges, base_context, lambda order, event: order],
)
def test_actions_that_fit(action: Any) -> None:
    class Right(Lifecycle[Order]):
        a = State(initial=True, entry=action)
        closed = Final()
        pay = on(Big, a.to(closed), do=action)

    assert [each.call for each in chart_of(Right).transitions[0].actions] == [action]


def test_handlers_of_every_place_that_fit() -> None:
    def on_done(order: Order, event: Done) -> Order:
        return order

    def on_elapsed(order: Order, event: Elapsed, meta: Meta) -> Order:
        return order

    def delay(order: Order) -> timedelta:
        return HOUR

    class Right(Lifecycle[Order]):
        @nested(initial=True, entry=keep, exit=(keep, keeps_generic))
        class active(Composite):
            a = State(initial=True)
            b = Final(data=number)
            pay = on(Pay, a.to(b), when=is_open, do=keep)

        closed = Final()
        finish = done(active.to(closed), do=on_done)
        expire = after(delay, active.to(closed), do=on_elapsed)
        go = always(active.a.to(closed), when=is_open)

    assert sorted(chart_of(Right).handlers) == sorted(
        [
            "is_open",
            "keep",
            "keeps_generic",
            "number",
            *(f"test_handlers_of_every_place_that_fit.<locals>.{name}" for name in ("delay", "on_done", "on_elapsed")),
        ]
    )


def test_a_wrapped_function_is_judged_by_what_it_wraps() -> None:
    with pytest.raises(DefinitionError, match="for_carts takes context Cart"):

        class Wrong(Lifecycle[Order]):
            a = State(initial=True)
            pay = on(Pay, a.to(a), when=wrapped)


def test_handlers_of_a_table_are_held_against_their_place_too() -> None:
    def build(*row: Any) -> Chart[Order]:
        return Chart.from_table([row], kind="Table", context=Order, initial="a", final=("b",))

    build("a", Pay, "b", is_open, keep)
    guards: list[tuple[Callable[..., Any], str]] = [
        (for_carts, "for_carts takes context Cart, and would get Order"),
        (for_ship, "for_ship takes event Ship, and would get Pay"),
        (no_arguments, f"no_arguments takes 0 arguments; a guard takes {GUARD}"),
    ]
    for guard, problem in guards:
        with pytest.raises(DefinitionError) as caught:
            build("a", Pay, "b", guard)
        assert (caught.value.lifecycle, caught.value.problem, caught.value.origin) == ("Table", problem, "row 1")
