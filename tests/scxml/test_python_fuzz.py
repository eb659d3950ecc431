"""Whatever a text is, and whatever it does: a value comes out, or an EvaluationError, and nothing else."""

from __future__ import annotations

import ast
import pickle

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stateward.errors import EvaluationError
from stateward.scxml.python import PythonDatamodel
from stateward.scxml.python.builtins import BUILTINS
from stateward.scxml.python.methods import METHODS, MUTATORS
from stateward.scxml.run import Run
from stateward.scxml.values import Compound, MapValue, RecordValue, freeze

DATAMODEL = PythonDatamodel()
SYSTEM = MapValue([("_event", RecordValue("Event", MapValue([("name", "go"), ("data", freeze([1]))])))])
DATA = MapValue(
    [
        ("x", freeze([1, [2, 3], "a"])),
        ("d", freeze({"a": 1, 2: [3], (1, 2): None})),
        ("t", "text with words"),
        ("s", freeze({1, 2, "a"})),
        ("n", 3),
        ("f", 2.5),
        ("p", freeze((1, "a", None))),
        ("z", None),
    ]
)
NAMES = sorted(map(str, DATA))
BUILTIN_NAMES = sorted(BUILTINS)
METHOD_NAMES = sorted(
    {name for table in METHODS.values() for name in table} | {name for table in MUTATORS.values() for name in table}
)
BINARY = [ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift, ast.BitOr]
COMPARE = [ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot]

fuzzed = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

constants = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 10, 255, 10**6, 2**63, 0.0, 0.5, -2.5, 1e308, True, False, None]),
    st.sampled_from(["", "a", "ab", " ", "{}", "{0}", "{:>5}", "%s", "%d", "%(a)s", "\0", "\U0001f600", "\t", ","]),
    st.integers(-1000, 1000),
    st.text(max_size=5).filter(lambda text: text.isprintable()),
).map(ast.Constant)
names = st.sampled_from([*NAMES, "_event", "i", "unknown"]).map(ast.Name)


def _extended(inner: st.SearchStrategy[ast.expr]) -> st.SearchStrategy[ast.expr]:
    several = st.lists(inner, max_size=3)
    loops = st.builds(
        lambda source, conditions: [ast.comprehension(ast.Name("i"), source, conditions, 0)],
        inner,
        st.lists(inner, max_size=1),
    )
    functions = st.one_of(st.sampled_from(BUILTIN_NAMES).map(ast.Name), inner)
    return st.one_of(
        st.builds(ast.BinOp, inner, st.sampled_from(BINARY).map(lambda kind: kind()), inner),
        st.builds(lambda op, operand: ast.UnaryOp(op(), operand), st.sampled_from([ast.Not, ast.USub]), inner),
        st.builds(lambda op, a, b: ast.BoolOp(op(), [a, b]), st.sampled_from([ast.And, ast.Or]), inner, inner),
        st.builds(lambda a, op, b: ast.Compare(a, [op()], [b]), inner, st.sampled_from(COMPARE), inner),
        st.builds(ast.IfExp, inner, inner, inner),
        st.builds(ast.Subscript, inner, inner),
        st.builds(lambda a, b, c, d: ast.Subscript(a, ast.Slice(b, c, d)), inner, inner, inner, inner),
        st.builds(lambda owner: ast.Attribute(owner, "data"), inner),
        several.map(ast.List),
        several.map(ast.Tuple),
        several.filter(bool).map(ast.Set),
        several.map(lambda items: ast.Dict(list(items), list(items))),
        st.builds(ast.ListComp, inner, loops),
        st.builds(ast.SetComp, inner, loops),
        st.builds(ast.DictComp, inner, inner, loops),
        st.builds(lambda body: ast.Lambda(_arguments("i"), body), inner),
        st.builds(lambda value: ast.JoinedStr([ast.FormattedValue(value, -1, None)]), inner),
        st.builds(lambda function, given: ast.Call(function, given, []), functions, several),
        st.builds(
            lambda owner, name, given: ast.Call(ast.Attribute(owner, name), given, []),
            inner,
            st.sampled_from(METHOD_NAMES),
            several,
        ),
    )


def _arguments(*parameters: str) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])


expressions: st.SearchStrategy[ast.expr] = st.recursive(constants | names, _extended, max_leaves=10)


def written(node: ast.AST) -> str | None:
    """The node as a text; None if it can't be one, an f-string within an f-string with the same quotes say."""
    try:
        return ast.unparse(ast.fix_missing_locations(node))
    except ValueError:
        return None


def check(error: EvaluationError) -> None:
    """It says something, briefly, that can be written anywhere."""
    assert 0 < len(str(error)) <= 600
    str(error).encode()


def evaluate(text: str) -> None:
    """A value comes out that can be kept, or an EvaluationError that says something."""
    run = Run(DATA, SYSTEM, lambda state: state == "a")
    try:
        value = DATAMODEL.expression(text)(run)
    except EvaluationError as error:
        check(error)
    else:
        assert value is None or isinstance(value, (bool, int, float, str, Compound))
        assert type(pickle.loads(pickle.dumps(value))) is type(value)
    for name in NAMES:  # what was there is there still, and nothing but methods changed it
        assert name in run.data
    assert run.system == SYSTEM


def execute(text: str) -> None:
    run = Run(DATA, SYSTEM, lambda state: state == "a")
    try:
        DATAMODEL.script(text)(run)
    except EvaluationError as error:
        check(error)
    # No equality here: nan is not itself.
    assert repr(pickle.loads(pickle.dumps(run.data))) == repr(run.data)
    assert run.system == SYSTEM


@fuzzed
@given(expressions)
def test_any_expression_has_a_value_or_an_error(node: ast.expr) -> None:
    text = written(node)
    if text is not None:
        evaluate(text)


@fuzzed
@given(st.text(max_size=40) | st.text("()[]{}:,.'\"\\=+-*/%<>!@#~^&| \n\tabfrxdtsnpz01_lambdiforne", max_size=60))
@example("f'{x!r:{n}}'")
@example("'\ud800'")
@example("\0")
@example("x" + "[0]" * 200)
def test_any_text_has_a_value_or_an_error(text: str) -> None:
    evaluate(text)
    execute(text)
    run = Run(DATA, SYSTEM, lambda state: False)
    try:
        DATAMODEL.location(text)(run, 1)
    except EvaluationError as error:
        check(error)


targets = st.sampled_from(["x", "new", "x[0]", "d['a']", "x[1][0]", "a, b", "_event", "_event.data[0]", "p.q", "d[x]"])


@fuzzed
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "{target} = {value}",
                    "{target} += {value}",
                    "{value}",
                    "del x[{value}]",
                    "for {target} in {value}: n = n + 1",
                    "if {value}: {target} = 1",
                    "while {value}:\n    n = n + 1\n    if n > 9: break",
                    "def g(i): return {value}",
                    "def g(i):\n    {target} = {value}\n    return lambda: i",
                    "x.append({value})",
                    "new = g({value})",
                    "class C:\n    held = {value}\n    def m(self, i): return {value}",
                    "new = C()\nnew = new.m(1)",
                    "global {target}",
                ]
            ),
            targets,
            expressions,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_script_ends(statements: list[tuple[str, str, ast.expr]]) -> None:
    texts = [(form, target, written(node)) for form, target, node in statements]
    execute("\n".join(form.format(target=target, value=value) for form, target, value in texts if value is not None))
