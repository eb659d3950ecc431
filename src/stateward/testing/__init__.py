"""For the tests of applications: a clock of the test's own, scripted handlers, checks of the ways through a chart.

Nothing here needs pytest; `stateward.testing.fixtures` are fixtures for those who have it. What a check finds wrong is
an `AssertionError`, whose text says where, and why.
"""

from stateward.testing.clock import Clock
from stateward.testing.coverage import Coverage
from stateward.testing.engines import engine_on
from stateward.testing.handlers import Asked, ScriptedHandlers, Unscripted
from stateward.testing.paths import assert_legal_path, assert_refused
from stateward.testing.time import pass_time, pass_time_async, run_to_rest, run_to_rest_async

__all__ = [
    "Asked",
    "Clock",
    "Coverage",
    "ScriptedHandlers",
    "Unscripted",
    "assert_legal_path",
    "assert_refused",
    "engine_on",
    "pass_time",
    "pass_time_async",
    "run_to_rest",
    "run_to_rest_async",
]
