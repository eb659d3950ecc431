"""A place in a trace, as W3C Trace Context writes it."""

from __future__ import annotations

import re

from stateward.errors import Unkeepable

__all__ = ["check_traceparent", "is_traceparent", "trace_id_of"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{1,200})?")


def is_traceparent(text: str) -> bool:
    """Whether a text is one by its form."""
    return _TRACEPARENT.fullmatch(text) is not None


def check_traceparent(text: str | None) -> str | None:
    """The text, if it is one or None.

    Raises:
        Unkeepable: it is none.
    """
    if text is not None and not is_traceparent(text):
        problem = f"the traceparent {text!r:.100} is none by W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>"
        raise Unkeepable(problem)
    return text


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace that a place is in."""
    return None if traceparent is None else traceparent[3:35]
