"""Values of documents: they keep what they hold, and know how large and how deep they are, however they were made."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateward.errors import EvaluationError
from stateward.scxml.python import PythonDatamodel
from stateward.scxml.run import Run
from stateward.scxml.values import (
    DEPTH_LIMIT,
    INT_BITS_LIMIT,
    SIZE_LIMIT,
    TEXT_LIMIT,
    Compound,
    ListValue,
    MapValue,
    RecordValue,
    SeriesValue,
    SetValue,
    TupleValue,
    Value,
    brief,
    freeze,
    size_of,
    thaw,
)

DATAMODEL = PythonDatamodel()

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.just("x" * 100)
)
small = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9)
keys = st.recursive(small, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
data = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(keys, max_size=4)
    ),
    max_leaves=12,
)
examples = settings(max_examples=150, deadline=None, derandomize=True)


def measured(value: Value) -> tuple[int, int]:
    """The size and the depth of a value, found by going through all of it."""
    if isinstance(value, SeriesValue):
        return _sum(value.items)
    if isinstance(value, SetValue):
        return _sum(value.items)
    if isinstance(value, MapValue):
        return _sum([part for pair in value.items.items() for part in pair])
    if isinstance(value, RecordValue):
        return _sum([value.kind, value.fields])
    if isinstance(value, Compound):
        return value.size, value.depth
    if isinstance(value, str):
        return 1 + len(value) // 8, 0
    if isinstance(value, int) and value.bit_length() > 64:
        return 1 + (value.bit_length() - 1) // 64, 0
    return 1, 0


def _sum(parts: Any) -> tuple[int, int]:
    found = [measured(part) for part in parts]
    return 1 + sum(size for size, _ in found), 1 + max((depth for _, depth in found), default=0)


def claimed(value: Value) -> tuple[int, int]:
    return size_of(value), value.depth if isinstance(value, Compound) else 0


@examples
@given(data)
def test_what_is_frozen_thaws_to_the_same(plain: Any) -> None:
    value = freeze(plain)
    assert thaw(value) == plain
    assert freeze(value) is value or not isinstance(value, Compound)
    assert freeze(thaw(value)) == value
    assert claimed(value) == measured(value)


@examples
@given(data)
def test_equal_values_are_equal_in_every_way(plain: Any) -> None:
    one, other = freeze(plain), freeze(plain)
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)


@examples
@given(data, data)
def test_values_are_compared_as_their_data_are(left: Any, right: Any) -> None:
    assert (freeze(left) == freeze(right)) is (left == right)


@examples
@given(data)
def test_a_value_is_pickled_with_its_measures(plain: Any) -> None:
    value = freeze(plain)
    back = pickle.loads(pickle.dumps(value))
    assert back == value
    assert hash(back) == hash(value)
    assert claimed(back) == claimed(value)
    assert repr(back) == repr(value)


@examples
@given(data)
def test_a_values_text_is_that_of_its_data(plain: Any) -> None:
    value = freeze(plain)
    if "{" not in repr(plain) or isinstance(plain, dict):  # the order of a set's members is no promise of Python's
        assert repr(value) == repr(plain) or "{" in repr(plain)[1:]
    assert len(brief(value)) <= 51


@examples
@given(st.lists(data, max_size=4), st.lists(data, min_size=1, max_size=4))
def test_appending_measures_as_making_anew_does(before: list[Any], added: list[Any]) -> None:
    value = freeze(before)
    assert isinstance(value, ListValue)
    for each in added:
        value = value.append(freeze(each))
    assert thaw(value) == before + added
    assert claimed(value) == measured(value) == claimed(freeze(before + added))


@examples
@given(st.lists(data, min_size=1, max_size=4), data, st.data())
def test_replacing_an_item_measures_as_making_anew_does(before: list[Any], new: Any, choice: st.DataObject) -> None:
    value, index = freeze(before), choice.draw(st.integers(0, len(before) - 1))
    assert isinstance(value, ListValue)
    after = value.replace(index, freeze(new))
    assert thaw(after) == [*before[:index], new, *before[index + 1 :]]
    assert claimed(after) == measured(after)
    assert thaw(value) == before


@examples
@given(st.dictionaries(keys, data, max_size=4), st.lists(st.tuples(keys, data), max_size=5), st.data())
def test_replacing_in_a_map_measures_as_making_anew_does(
    before: dict[Any, Any], changes: list[tuple[Any, Any]], choice: st.DataObject
) -> None:
    value, expected = freeze(before), dict(before)
    assert isinstance(value, MapValue)
    for key, new in changes:
        if choice.draw(st.booleans()) and expected:
            key = choice.draw(st.sampled_from(list(expected)))  # noqa: PLW2901 - what is there is replaced more often
        value = value.replace(freeze(key), freeze(new))
        expected[key] = new
        assert claimed(value) == measured(value)
    assert thaw(value) == expected
    for key in expected:
        value = value.remove(freeze(key))
        assert claimed(value) == measured(value)
    assert value == MapValue()
    assert thaw(freeze(before)) == before


SCRIPT = """
big = 'text'
def plain(a, b=[1, {'k': (2,)}]): return (a, b, big)
def maker(n):
    kept = [n, n]
    def inner(k): return kept[0] + k if k < 2 else inner(k - 1)
    return inner
class Point:
    origin = (0, 0)
    def __init__(self, x, y=0):
        self.x = x
        self.y = y
    def moved(self, by): return Point(self.x + by, self.y)
    def len(self): return len([self.x, self.y])
a_lambda = lambda x, y=3: f'{x!r:>{y}}' + "it's" + '\\n\\x00\\u00e9' + ('a' if x else "b")
a_closure = maker(5)
a_class = Point
a_record = Point(1, y=[2])
a_builtin = len
a_list = [a_lambda, a_record, {'p': Point(3)}]
maker_too = [maker(n) for n in range(3)]
nothing = lambda: None
"""


def scripted() -> MapValue:
    run = Run(MapValue(), MapValue(), lambda _: False)
    DATAMODEL.script(SCRIPT)(run)
    return run.data


def test_everything_that_a_script_makes_is_pickled() -> None:
    values = scripted()
    back = pickle.loads(pickle.dumps(values))
    for name in values:
        assert back[name] == values[name], name
        assert hash(back[name]) == hash(values[name]), name
        assert claimed(back[name]) == claimed(values[name]), name
    assert back == values
    assert pickle.dumps(pickle.loads(pickle.dumps(back))) == pickle.dumps(back)


@pytest.mark.parametrize(
    "text",
    [
        "plain(1)",
        "plain(1, 2)",
        "a_closure(7)",
        "[f(1) for f in maker_too]",
        "a_lambda(1)",
        "a_lambda('', y=9)",
        "a_class(4).moved(3)",
        "a_record.moved(1).x",
        "a_record.len()",
        "a_record.origin",
        "a_builtin('abc')",
        "[isinstance(a_record, a_class), isinstance(a_list[2]['p'], Point)]",
        "a_list[0](5)",
        "nothing()",
        "str(a_list)",
    ],
)
def test_what_was_pickled_works_as_before(text: str) -> None:
    values = scripted()
    evaluate = DATAMODEL.expression(text)
    before, after = (
        evaluate(Run(each, MapValue(), lambda _: False)) for each in (values, pickle.loads(pickle.dumps(values)))
    )
    assert before == after


def test_a_closure_keeps_only_what_it_uses() -> None:
    run = Run(MapValue(), MapValue(), lambda _: False)
    DATAMODEL.script("def f():\n    unused = 'x' * 80000\n    used = 1\n    return lambda: used\ng = f()")(run)
    assert size_of(run.data["g"]) < 20


def test_a_function_counts_what_it_holds() -> None:
    run = Run(MapValue(), MapValue(), lambda _: False)
    DATAMODEL.script("def f(used): return lambda: used\ng = f('x' * 80000)\nh = lambda a='x' * 80000: a")(run)
    assert size_of(run.data["g"]) > 10_000
    assert size_of(run.data["h"]) > 10_000


def test_a_record_counts_its_class() -> None:
    """Comparing two records may compare their classes, method by method, and what those hold."""
    run = Run(MapValue(), MapValue(), lambda _: False)
    DATAMODEL.script("class C:\n    held = 'x' * 80000\nc = C()")(run)
    assert size_of(run.data["c"]) > 10_000


def test_limits_are_where_they_are_said_to_be() -> None:
    assert size_of("x" * TEXT_LIMIT) == SIZE_LIMIT + 1
    assert size_of(2**INT_BITS_LIMIT - 1) == INT_BITS_LIMIT // 64
    assert size_of(2**64 - 1) == 1
    assert size_of(-(2**64)) == 2
    assert ListValue([0] * (SIZE_LIMIT - 1)).size == SIZE_LIMIT
    with pytest.raises(EvaluationError, match="too large"):
        size_of("x" * (TEXT_LIMIT + 1))
    with pytest.raises(EvaluationError, match="too large"):
        size_of(2**INT_BITS_LIMIT)
    with pytest.raises(EvaluationError, match="too large"):
        ListValue([0] * SIZE_LIMIT)
    with pytest.raises(EvaluationError, match="too large"):
        ListValue([0] * (SIZE_LIMIT - 1)).append(0)
    with pytest.raises(EvaluationError, match="too large"):
        MapValue([("a", 0)]).replace("b", "x" * TEXT_LIMIT)


def test_depth_is_limited_on_every_path() -> None:
    deepest: Value = 0
    for _ in range(DEPTH_LIMIT):
        deepest = ListValue((deepest,))
    for too_deep in (
        lambda: ListValue((deepest,)),
        lambda: ListValue().append(deepest),
        lambda: ListValue((1,)).replace(0, deepest),
        lambda: MapValue([("a", deepest)]),
        lambda: MapValue().replace("a", deepest),
        lambda: RecordValue("r", MapValue([("a", deepest)])),
    ):
        with pytest.raises(EvaluationError, match="deep"):
            too_deep()
    assert pickle.loads(pickle.dumps(deepest)) == deepest
    assert repr(deepest) == "[" * DEPTH_LIMIT + "0" + "]" * DEPTH_LIMIT


def test_sharing_adds_up() -> None:
    value: Value = ListValue((0,))
    while size_of(value) * 2 < SIZE_LIMIT:
        value = ListValue((value, value))
    with pytest.raises(EvaluationError, match="too large"):
        ListValue((value, value))


def test_plain_data_that_contain_themselves_are_refused() -> None:
    plain: list[Any] = []
    plain.append(plain)
    with pytest.raises(EvaluationError, match="deep"):
        freeze(plain)


@pytest.mark.parametrize("plain", [object(), 1j, b"x", range(3), {"a": object()}, [print], int, {1: {2: [b""]}}])
def test_what_is_no_data_is_refused(plain: Any) -> None:
    with pytest.raises(EvaluationError, match="no data"):
        freeze(plain)


class _Sub(int):
    pass


@pytest.mark.parametrize("plain", [_Sub(1), {"a": _Sub(1)}, {_Sub(1): 1}])
def test_a_type_derived_from_one_of_datas_is_no_data(plain: Any) -> None:
    """Its methods would be called by the operators of a document."""
    with pytest.raises(EvaluationError, match="no data"):
        freeze(plain)


KEYS_REFUSED: list[Value] = [
    ListValue((1,)),
    MapValue(),
    SetValue(),
    RecordValue("r", MapValue()),
    TupleValue((1, ListValue())),
    2**64,
    TupleValue((-(2**64),)),
]


@pytest.mark.parametrize("key", KEYS_REFUSED, ids=map(brief, KEYS_REFUSED))
def test_only_small_scalars_and_tuples_of_them_are_keys(key: Value) -> None:
    for making in (lambda: MapValue([(key, 1)]), lambda: MapValue().replace(key, 1), lambda: SetValue([key])):
        with pytest.raises(EvaluationError, match="key"):
            making()


def test_records_and_functions_thaw_to_what_a_host_can_read() -> None:
    values = scripted()
    assert thaw(values["a_record"]) == {"x": 1, "y": [2]}
    assert thaw(values["plain"]) == "<function plain>"
    assert thaw(values["a_class"]) == "Point"
    assert thaw(values["a_builtin"]) == "len"
    assert thaw(values["a_list"])[1:] == [{"x": 1, "y": [2]}, {"p": {"x": 3, "y": 0}}]
    assert repr(values["a_record"]) == "Point(x=1, y=[2])"


def test_a_text_is_cut_where_it_gets_too_long() -> None:
    assert brief("x" * 1000) == "'" + "x" * 49 + "…"
    assert brief(ListValue(["\x00" * 1000])) == "['" + "\\x00" * 12 + "…"
    assert brief(ListValue(range(100_000)))[:10] == "[0, 1, 2, "
    assert brief("short") == "'short'"
    escaped = ListValue(["\U000e0001" * (TEXT_LIMIT // 8)])
    with pytest.raises(EvaluationError, match="too large"):
        repr(escaped)


def test_values_of_different_kinds_are_never_equal() -> None:
    assert ListValue((1,)) != TupleValue((1,))
    assert SetValue((1,)) != ListValue((1,))
    assert RecordValue("a", MapValue()) != RecordValue("b", MapValue())
    assert RecordValue("a", MapValue()) != MapValue()
    assert (ListValue((1,)) < ListValue((2,))) is True
    with pytest.raises(TypeError):
        assert ListValue() < TupleValue()
