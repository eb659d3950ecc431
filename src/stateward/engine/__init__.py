"""The composition root: the only place that picks a ledger, and puts chart, kernel and ledger together."""

from typing import TYPE_CHECKING, Any

from stateward.engine.core import Authorize, Creating, Sending
from stateward.engine.importing import LifecycleTarget
from stateward.engine.paging import Page
from stateward.engine.threads import Engine
from stateward.work.retention import Retention

if TYPE_CHECKING:
    from stateward.engine.tasks import AsyncEngine

__all__ = ["AsyncEngine", "Authorize", "Creating", "Engine", "LifecycleTarget", "Page", "Retention", "Sending"]


def __getattr__(name: str) -> Any:
    """Load the engine that needs asyncio when it is first asked for."""
    if name == "AsyncEngine":
        from stateward.engine.tasks import AsyncEngine  # noqa: PLC0415

        return AsyncEngine
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
