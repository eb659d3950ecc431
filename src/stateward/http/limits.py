"""How much a client may ask for, and how long that may take."""

from __future__ import annotations

import msgspec

from stateward.errors import CallerError

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of an `Api`; whatever goes beyond one is answered by a problem."""

    head_s: float = 15.0
    """Seconds in which the first line and the headers of a request have to arrive; seen to by `ApiServer`, and about
    once a second."""
    body_bytes_max: int = 1_048_576
    """Bytes of the largest body; one that is larger is not read to its end."""
    body_s: float = 10.0
    """Seconds in which a body has to arrive."""
    call_s: float = 30.0
    """Seconds that a call of the engine may take."""
    calls_max: int = 1000
    """Requests that are dealt with at the same time, `/health` and streams aside; more are turned away."""
    streams_max: int = 100
    """Streams of records at the same time; more are turned away."""
    heartbeat_s: float = 15.0
    """Seconds without a record after which a stream shows that it lives."""
    page_max: int = 1000
    """Items of the largest page."""
    threads: int = 32
    """Threads in which the calls of an engine for threads are made; what they send at one time is committed together.
    An engine for tasks needs none."""

    def __post_init__(self) -> None:
        """Hold them against what makes sense.

        Raises:
            CallerError: one is not above 0.
        """
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                message = f"Limits({name}={getattr(self, name)}): it is above 0"
                raise CallerError(message)
