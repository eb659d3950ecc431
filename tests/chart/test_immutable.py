"""What counts as deeply immutable, and what the finding says; FrozenMap, which is offered in place of a dict."""

from __future__ import annotations

import copy
import enum
import pickle
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from stateward import (
    Actions,
    Context,
    ContextMarker,
    Effect,
    EffectMarker,
    Event,
    EventMarker,
    Final,
    FrozenMap,
    Lifecycle,
    State,
    chart_of,
    declare_immutable,
    on,
    start,
    step,
)
from stateward.chart.immutable import find_mutable
from tests.chart.breaking import Breaking, Case, Order, Pay

breaking = Breaking()
T = TypeVar("T")
Cents = NewType("Cents", int)
Names = NewType("Names", list[str])


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct, frozen=True):
    x: int = 0


class Loose(msgspec.Struct):
    x: int = 0


class Holder(msgspec.Struct, frozen=True):
    inside: tuple[Point, ...] = ()
    loose: Loose | None = None


class Tree(msgspec.Struct, frozen=True):
    children: tuple[Tree, ...] = ()


class Box(msgspec.Struct, Generic[T], frozen=True):
    content: T


@dataclass(frozen=True)
class FrozenData:
    x: int = 0
    names: ClassVar[list[str]] = []
    bare: ClassVar = ()


@dataclass
class LooseData:
    x: int = 0


class Pair(NamedTuple):
    one: int
    other: tuple[str, ...]


class LoosePair(NamedTuple):
    one: int
    other: list[str]


class Plain:
    pass


class FrozenModel:
    """As a frozen pydantic model looks from outside; pydantic is no requirement."""

    model_fields: ClassVar[dict[str, Any]] = {"x": ..., "names": ...}
    model_config: ClassVar[dict[str, Any]] = {"frozen": True}
    x: int
    names: tuple[str, ...]


class FrozenModelOfLists(FrozenModel):
    names: list[str]  # type: ignore[assignment] # pyright: ignore


class LooseModel(FrozenModel):
    model_config: ClassVar[dict[str, Any]] = {}


def problem_of(annotation: Any) -> str | None:
    """What `find_mutable` says of a context with one such field."""
    kind = msgspec.defstruct("Holds", [("field", annotation)], bases=(Context,), frozen=True)
    return find_mutable(kind)


@pytest.mark.parametrize(
    "annotation",
    [
        bool, int, float, complex, str, bytes, None, Decimal, Fraction, UUID,
        date, datetime, time, timedelta, ZoneInfo,
        Colour, Point, FrozenData, Pair, FrozenModel, Order, Tree,
        tuple[()], tuple[int, ...], tuple[int, str], frozenset[Point], FrozenMap[str, tuple[int, ...]],
        Optional[int], Union[int, str, None], int | None, Literal["a", 1], Annotated[int, ["a note"]],  # noqa: UP007, UP045
        Cents, Box[int], Box[Point], tuple[Box[Cents] | None, ...],
    ],
    ids=str,
)  # fmt: skip
def test_what_is_immutable_all_the_way_down(annotation: Any) -> None:
    assert problem_of(annotation) is None


OTHERWISE = "use a frozen Struct or dataclass, or vouch for it with declare_immutable"


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (list[int], "Holds.field is a list, which can be changed in place: use tuple"),
        (list, "Holds.field is a list, which can be changed in place: use tuple"),
        (dict[str, int], "Holds.field is a dict, which can be changed in place: use FrozenMap"),
        (set[int], "Holds.field is a set, which can be changed in place: use frozenset"),
        (bytearray, "Holds.field is a bytearray, which can be changed in place: use bytes"),
        (deque[int], "Holds.field is a deque, which can be changed in place: use tuple"),
        (defaultdict[str, int], "Holds.field is a defaultdict, which can be changed in place: use FrozenMap"),
        (OrderedDict[str, int], "Holds.field is a OrderedDict, which can be changed in place: use FrozenMap"),
        (Mapping[str, int], "Holds.field is a Mapping, which can be changed in place: use FrozenMap"),
        (Sequence[int], "Holds.field is a Sequence, which can be changed in place: use tuple"),
        (AbstractSet[int], "Holds.field is a Set, which can be changed in place: use frozenset"),
        (Plain, f"Holds.field is a Plain, which can be changed in place: {OTHERWISE}"),
        (PurePath, f"Holds.field is a PurePath, which can be changed in place: {OTHERWISE}"),
        (Iterable[int], f"Holds.field is a Iterable, which can be changed in place: {OTHERWISE}"),
        (Callable[[list[int]], int], f"Holds.field is a Callable, which can be changed in place: {OTHERWISE}"),
        (type[int], f"Holds.field is a type, which can be changed in place: {OTHERWISE}"),
        (tuple, "Holds.field is a tuple of anything: name the type of its items"),
        (frozenset, "Holds.field is a frozenset of anything: name the type of its items"),
        (FrozenMap, "Holds.field is a FrozenMap of anything: name the type of its items"),
        (Any, "Holds.field is Any, which may be anything: name the type"),
        (object, "Holds.field is object, which may be anything: name the type"),
        (Loose, "Holds.field is an unfrozen class, Loose: declare it frozen"),
        (LooseData, "Holds.field is an unfrozen class, LooseData: declare it frozen"),
        (LooseModel, "Holds.field is an unfrozen class, LooseModel: declare it frozen"),
        (FrozenModelOfLists, "Holds.field.names is a list, which can be changed in place: use tuple"),
        (LoosePair, "Holds.field.other is a list, which can be changed in place: use tuple"),
        (tuple[Loose, ...], "Holds.field is an unfrozen class, Loose: declare it frozen"),
        (LooseData | None, "Holds.field is an unfrozen class, LooseData: declare it frozen"),
        (tuple[int, Optional[list[int]]], "Holds.field is a list, which can be changed in place: use tuple"),  # noqa: UP045
        (FrozenMap[str, list[int]], "Holds.field is a list, which can be changed in place: use tuple"),
        (frozenset[tuple[Any, ...]], "Holds.field is Any, which may be anything: name the type"),
        (Annotated[list[int], "a note"], "Holds.field is a list, which can be changed in place: use tuple"),
        (Names, "Holds.field is a list, which can be changed in place: use tuple"),
        (Holder, "Holds.field.loose is an unfrozen class, Loose: declare it frozen"),
        (Box[list[int]], "Holds.field is a list, which can be changed in place: use tuple"),
        (tuple[Box[Loose], ...], "Holds.field is an unfrozen class, Loose: declare it frozen"),
    ],
    ids=str,
)
def test_what_is_not(annotation: Any, problem: str) -> None:
    assert problem_of(annotation) == problem


@pytest.mark.parametrize("annotation", [3, [int], "not Python"])
def test_an_annotation_that_names_no_type(annotation: Any) -> None:
    class Odd:
        model_fields: ClassVar[dict[str, Any]] = {"x": ...}
        model_config: ClassVar[dict[str, Any]] = {"frozen": True}
        __annotations__ = {"x": annotation}

    problem = find_mutable(Odd)
    assert problem is not None
    assert problem.startswith(("Odd.x has the annotation", "Odd: an annotation can't be resolved at run time"))


def test_a_field_without_an_annotation_may_be_anything() -> None:
    from collections import namedtuple

    pair = namedtuple("pair", ["one", "other"])  # pyright: ignore
    assert find_mutable(pair) == "pair.one is Any, which may be anything: name the type"


def test_only_what_an_instance_holds_counts() -> None:
    @dataclass(frozen=True)
    class Data(ContextMarker):
        x: int
        names: ClassVar[list[str]] = []
        start: InitVar[list[int] | None] = None
        y: tuple[int, ...] = field(default=())

    assert find_mutable(Data) is None


def test_a_marker_by_itself_holds_nothing() -> None:
    class Tick(EventMarker):
        __slots__ = ()

    class Loose(EventMarker):
        pass

    assert find_mutable(Tick) is None
    assert find_mutable(Loose) == f"Loose is a Loose, which can be changed in place: {OTHERWISE}"


def test_declare_immutable_vouches_for_a_class() -> None:
    @declare_immutable
    class Money:
        pass

    assert problem_of(tuple[Money, ...]) is None
    assert problem_of(list[Money]) is not None


# In a lifecycle.


@breaking("context", "Basket.items is a list, which can be changed in place: use tuple")
def a_mutable_context() -> None:
    class Basket(Context):
        items: list[int] = []  # noqa: RUF012

    class Wrong(Lifecycle[Basket]):  # here
        a = State(initial=True)


@breaking("context", "Basket.stamp is an unfrozen class, LooseData: declare it frozen")
def a_context_with_an_unfrozen_class_inside() -> None:
    class Basket(Context):
        stamp: tuple[LooseData | None, ...] = ()

    class Wrong(Lifecycle[Basket]):  # here
        a = State(initial=True)


@breaking("context", "Basket is an unfrozen class, Basket: declare it frozen")
def an_unfrozen_context() -> None:
    @dataclass
    class Basket(ContextMarker):
        total: int = 0

    class Wrong(Lifecycle[Basket]):  # here
        a = State(initial=True)


@breaking("context", "Basket: an annotation can't be resolved at run time (name 'Nowhere' is not defined)")
def a_context_of_unknown_types() -> None:
    class Basket(Context):
        total: Nowhere  # type: ignore[name-defined] # noqa: F821

    class Wrong(Lifecycle[Basket]):  # here
        a = State(initial=True)


@breaking("fill", "Fill.items is a dict, which can be changed in place: use FrozenMap")
def a_mutable_event() -> None:
    class Fill(Event):
        items: dict[str, int]

    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        fill = on(Fill, a.to(a))  # here


@breaking("fill", "Fill.items is a set, which can be changed in place: use frozenset")
def a_mutable_event_by_already() -> None:
    class Fill(Event):
        items: set[str]

    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        fill = on(Fill, already=a)  # here


@breaking("fill", "Fill is an unfrozen class, Fill: declare it frozen")
def an_unfrozen_event() -> None:
    @dataclass
    class Fill(EventMarker):
        items: int = 0

    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        fill = on(Fill, a.to(a))  # here


@pytest.mark.parametrize("case", [*breaking])
def test_a_mutable_field_is_told_when_the_lifecycle_is_built(case: Case) -> None:
    case.check()


def test_names_local_to_a_function_are_resolved() -> None:
    class Line(msgspec.Struct, frozen=True):
        amount: int

    class Basket(Context):
        lines: tuple[Line, ...] = ()

    class BasketLifecycle(Lifecycle[Basket]):
        a = State(initial=True)
        b = Final()
        pay = on(Pay, a.to(b))

    assert chart_of(BasketLifecycle).context_type is Basket


def test_a_mutable_effect_is_told_when_it_is_first_yielded() -> None:
    from stateward import ActionFailed

    class Tell(Effect):
        names: list[str]

    @dataclass(frozen=True)
    class Say(EffectMarker):
        names: tuple[str, ...]

    def tell(order: Order, event: Event) -> Actions[Order]:
        yield Say(("a",))
        yield Tell(["a"])
        return order

    class Telling(Lifecycle[Order]):
        a = State(initial=True)
        b = Final()
        pay = on(Pay, a.to(b, do=tell))

    chart = chart_of(Telling)
    with pytest.raises(ActionFailed, match=r"Tell\.names is a list, which can be changed in place"):
        step(chart, start(chart, Order()).snapshot, Pay())


# FrozenMap.


def test_a_frozen_map_can_not_be_changed() -> None:
    given = {"a": 1}
    frozen = FrozenMap(given)
    given["a"] = 2
    assert dict(frozen) == {"a": 1}
    changes: tuple[Callable[[Any], object], ...] = (
        lambda each: each.__setitem__("a", 2),
        lambda each: each.__delitem__("a"),
        lambda each: each.update(b=1),
        lambda each: setattr(each, "_items", {}),
        lambda each: delattr(each, "_items"),
        lambda each: setattr(each, "other", {}),
    )
    for change in changes:
        with pytest.raises((AttributeError, TypeError)):
            change(frozen)
    assert dict(frozen) == {"a": 1}


def test_a_frozen_map_is_a_mapping_compared_and_hashed_by_value() -> None:
    one, same = FrozenMap({"a": 1, "b": 2}), FrozenMap([("b", 2), ("a", 1)])
    assert isinstance(one, Mapping)
    assert one == same == {"a": 1, "b": 2}
    assert hash(one) == hash(same)
    assert one != FrozenMap({"a": 1})
    assert one != FrozenMap({"a": 1, "b": 3})
    assert (one["a"], one.get("c"), len(one), "b" in one, [*one]) == (1, None, 2, True, ["a", "b"])
    found: dict[Any, str] = {one: "found"}
    assert found[same] == "found"
    assert FrozenMap() == {}
    assert repr(FrozenMap({"a": 1})) == "FrozenMap({'a': 1})"
    with pytest.raises(KeyError):
        one["c"]


def test_a_frozen_map_survives_pickling_and_copying() -> None:
    one = FrozenMap({"a": (1, 2)})
    for copied in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert isinstance(copied, FrozenMap)
        assert copied == one


def test_replace_and_remove_give_copies() -> None:
    one: FrozenMap[str, int] = FrozenMap({"a": 1})
    assert one.replace("b", 2) == {"a": 1, "b": 2}
    assert one.replace("a", 3) == {"a": 3}
    assert one.replace("b", 2).remove("a") == {"b": 2}
    assert one == {"a": 1}
    with pytest.raises(KeyError, match="c"):
        one.remove("c")


def test_a_frozen_map_stands_in_a_context() -> None:
    class Basket(Context):
        lines: FrozenMap[str, int] = FrozenMap()

    assert find_mutable(Basket) is None
    assert Basket().replace(lines=Basket().lines.replace("a", 1)).lines == {"a": 1}
    assert hash(Basket()) == hash(Basket())
