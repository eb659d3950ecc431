"""How a lifecycle moves. Pure: the same chart, snapshot, event and meta give the same step, twice.

Read `step.py` for run to completion, `pieces.py` for what a microstep exits and enters, `tables.py` for what
is remembered so that it is worked out once, `structure.py` for the tree, `explain.py` for refusals.
"""

from stateward.kernel.explain import Candidate, Explanation, LegalEvent, Read, explain, legal_events
from stateward.kernel.step import accepts, advance, start, step
from stateward.kernel.tables import position_of, tables_of
from stateward.kernel.values import Microstep, Outcome, Position, Snapshot, Step, TimerSet

__all__ = [
    "Candidate",
    "Explanation",
    "LegalEvent",
    "Microstep",
    "Outcome",
    "Position",
    "Read",
    "Snapshot",
    "Step",
    "TimerSet",
    "accepts",
    "advance",
    "explain",
    "legal_events",
    "position_of",
    "start",
    "step",
    "tables_of",
]
