"""Sagas and gatherings: builders that make ordinary lifecycles of stages, or of facts to gather.

A saga's body names stages with their undos, a gathering's the facts that it waits for. When the class is complete they
have become states and transitions of it, and everything else sees a Lifecycle like any other. Nothing here steps
anything: where an event leads is the kernel's business, which knows nothing of sagas.
"""

from stateward.sagas.gather import Fact, Gather, Patience, missing_facts, stop_on
from stateward.sagas.operators import (
    DoAgain,
    DoneByHand,
    FoundNotDone,
    StopWaiting,
    UndoAgain,
    UndoneByHand,
    WaitLonger,
)
from stateward.sagas.replies import Reply, reply
from stateward.sagas.saga import Saga
from stateward.sagas.stages import Stage, Undo, undo_on

__all__ = [
    "DoAgain",
    "DoneByHand",
    "Fact",
    "FoundNotDone",
    "Gather",
    "Patience",
    "Reply",
    "Saga",
    "Stage",
    "StopWaiting",
    "Undo",
    "UndoAgain",
    "UndoneByHand",
    "WaitLonger",
    "missing_facts",
    "reply",
    "stop_on",
    "undo_on",
]
