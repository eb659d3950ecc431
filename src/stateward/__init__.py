"""Durable state machines for Python: one declaration, one step function.

Declare a lifecycle by subclassing `Lifecycle`; run it in this process with `Machine`; step it by yourself,
purely, with `start` and `step`.
"""

from typing import TYPE_CHECKING, Any

from stateward.chart import (
    Action,
    Actions,
    Chart,
    Child,
    Composite,
    Context,
    ContextMarker,
    Done,
    Effect,
    EffectMarker,
    Elapsed,
    Event,
    EventMarker,
    Final,
    FrozenMap,
    Guard,
    Handler,
    Lifecycle,
    Meta,
    Parallel,
    Raise,
    StartChild,
    Started,
    State,
    States,
    StopChild,
    after,
    always,
    chart_of,
    declare_immutable,
    done,
    nested,
    on,
    wire_name,
)
from stateward.errors import (
    ActionFailed,
    CallerError,
    Conflict,
    CursorInvalid,
    DefinitionError,
    DefinitionWarning,
    EffectFailed,
    EndlessLoop,
    LeaseLost,
    LedgerUnavailable,
    MachineBusy,
    MachineStopped,
    Refusal,
    Refused,
    SentWithin,
    SnapshotInvalid,
    StatewardError,
    UnknownEntity,
    WorldError,
)
from stateward.kernel import (
    Explanation,
    Microstep,
    Position,
    Snapshot,
    Step,
    TimerSet,
    position_of,
    start,
    step,
)
from stateward.machine import FamilyMachine, FamilySnapshot, Machine, MutexMachine, SwapMachine

if TYPE_CHECKING:
    from stateward.engine import AsyncEngine, Engine, Retention, Sending
    from stateward.machine import ChannelMachine
    from stateward.sagas import (
        DoAgain,
        DoneByHand,
        Fact,
        FoundNotDone,
        Gather,
        Patience,
        Saga,
        Stage,
        StopWaiting,
        Undo,
        UndoAgain,
        UndoneByHand,
        WaitLonger,
        missing_facts,
        reply,
        stop_on,
        undo_on,
    )
    from stateward.work import Call, GiveUp, Retry, Snooze, WorkerSettings

__all__ = [
    "Action",
    "ActionFailed",
    "Actions",
    "AsyncEngine",
    "Call",
    "CallerError",
    "ChannelMachine",
    "Chart",
    "Child",
    "Composite",
    "Conflict",
    "Context",
    "ContextMarker",
    "CursorInvalid",
    "DefinitionError",
    "DefinitionWarning",
    "DoAgain",
    "Done",
    "DoneByHand",
    "Effect",
    "EffectFailed",
    "EffectMarker",
    "Elapsed",
    "EndlessLoop",
    "Engine",
    "Event",
    "EventMarker",
    "Explanation",
    "Fact",
    "FamilyMachine",
    "FamilySnapshot",
    "Final",
    "FoundNotDone",
    "FrozenMap",
    "Gather",
    "GiveUp",
    "Guard",
    "Handler",
    "LeaseLost",
    "LedgerUnavailable",
    "Lifecycle",
    "Machine",
    "MachineBusy",
    "MachineStopped",
    "Meta",
    "Microstep",
    "MutexMachine",
    "Parallel",
    "Patience",
    "Position",
    "Raise",
    "Refusal",
    "Refused",
    "Retention",
    "Retry",
    "Saga",
    "Sending",
    "SentWithin",
    "Snapshot",
    "SnapshotInvalid",
    "Snooze",
    "Stage",
    "StartChild",
    "Started",
    "State",
    "States",
    "StatewardError",
    "Step",
    "StopChild",
    "StopWaiting",
    "SwapMachine",
    "TimerSet",
    "Undo",
    "UndoAgain",
    "UndoneByHand",
    "UnknownEntity",
    "WaitLonger",
    "WorkerSettings",
    "WorldError",
    "after",
    "always",
    "chart_of",
    "declare_immutable",
    "done",
    "missing_facts",
    "nested",
    "on",
    "position_of",
    "reply",
    "start",
    "step",
    "stop_on",
    "undo_on",
    "wire_name",
]

_OF_SAGAS = frozenset(
    (
        "DoAgain",
        "DoneByHand",
        "Fact",
        "FoundNotDone",
        "Gather",
        "Patience",
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
    )
)


def __getattr__(name: str) -> Any:
    """Load what needs asyncio or a ledger, and what not every program has, when it is first asked for."""
    if name == "ChannelMachine":
        from stateward.machine import ChannelMachine  # noqa: PLC0415

        return ChannelMachine
    if name in ("AsyncEngine", "Engine", "Retention", "Sending"):
        import stateward.engine  # noqa: PLC0415

        return getattr(stateward.engine, name)
    if name in ("Call", "GiveUp", "Retry", "Snooze", "WorkerSettings"):
        import stateward.work  # noqa: PLC0415

        return getattr(stateward.work, name)
    if name in _OF_SAGAS:
        import stateward.sagas  # noqa: PLC0415

        return getattr(stateward.sagas, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
