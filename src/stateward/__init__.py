"""Durable state machines for Python: one declaration, one step function.

Declare a lifecycle by subclassing `Lifecycle`; run it in this process with `Machine`; step it by yourself,
purely, with `start` and `step`.
"""

from typing import TYPE_CHECKING, Any

from stateward.chart import (
    Action,
    Actions,
    Chart,
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
    Started,
    State,
    States,
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
    DefinitionError,
    DefinitionWarning,
    EndlessLoop,
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
from stateward.machine import Machine, MutexMachine, SwapMachine

if TYPE_CHECKING:
    from stateward.engine import AsyncEngine, Engine, Sending
    from stateward.machine import ChannelMachine

__all__ = [
    "Action",
    "ActionFailed",
    "Actions",
    "AsyncEngine",
    "CallerError",
    "ChannelMachine",
    "Chart",
    "Composite",
    "Conflict",
    "Context",
    "ContextMarker",
    "DefinitionError",
    "DefinitionWarning",
    "Done",
    "Effect",
    "EffectMarker",
    "Elapsed",
    "EndlessLoop",
    "Engine",
    "Event",
    "EventMarker",
    "Explanation",
    "Final",
    "FrozenMap",
    "Guard",
    "Handler",
    "LedgerUnavailable",
    "Lifecycle",
    "Machine",
    "MachineBusy",
    "MachineStopped",
    "Meta",
    "Microstep",
    "MutexMachine",
    "Parallel",
    "Position",
    "Raise",
    "Refusal",
    "Refused",
    "Sending",
    "SentWithin",
    "Snapshot",
    "SnapshotInvalid",
    "Started",
    "State",
    "States",
    "StatewardError",
    "Step",
    "SwapMachine",
    "TimerSet",
    "UnknownEntity",
    "WorldError",
    "after",
    "always",
    "chart_of",
    "declare_immutable",
    "done",
    "nested",
    "on",
    "position_of",
    "start",
    "step",
    "wire_name",
]


def __getattr__(name: str) -> Any:
    """Load what needs asyncio or a ledger when it is first asked for."""
    if name == "ChannelMachine":
        from stateward.machine import ChannelMachine  # noqa: PLC0415

        return ChannelMachine
    if name in ("AsyncEngine", "Engine", "Sending"):
        import stateward.engine  # noqa: PLC0415

        return getattr(stateward.engine, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
