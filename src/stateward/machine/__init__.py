"""A lifecycle in one process, in memory: one class for each way of keeping callers apart.

`Machine` has a single owner, `MutexMachine` a lock, `SwapMachine` compares and swaps, `ChannelMachine` is
owned by a task; `FamilyMachine` runs the children of its states. All share one step path, `kernel.advance`, and one
reading side.
"""

from typing import TYPE_CHECKING, Any

from stateward.machine.family import FamilyMachine, FamilySnapshot
from stateward.machine.shared import MutexMachine, SwapMachine
from stateward.machine.single import Listener, Machine

if TYPE_CHECKING:
    from stateward.machine.channel import ChannelMachine

__all__ = ["ChannelMachine", "FamilyMachine", "FamilySnapshot", "Listener", "Machine", "MutexMachine", "SwapMachine"]


def __getattr__(name: str) -> Any:
    """Load the machine that needs asyncio when it is first asked for: asyncio costs half of the import budget."""
    if name == "ChannelMachine":
        from stateward.machine.channel import ChannelMachine  # noqa: PLC0415

        return ChannelMachine
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
