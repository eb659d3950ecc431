"""An effect as a CloudEvents 1.0 event, in its JSON format and structured mode: attributes and data in one body.

`source` and `id` name an event for good: the id is the effect's stable key, so that each attempt carries the same, and
a receiver knows a repetition by it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal
from urllib.parse import quote, urlsplit

import msgspec

from stateward.chart import EffectMarker
from stateward.ledger.codec import encode
from stateward.ledger.tracing import is_traceparent
from stateward.work.handling import Call

__all__ = ["CONTENT_TYPE", "check_source", "default_type", "encode_event", "traceparent_of"]

CONTENT_TYPE = "application/cloudevents+json"

# RFC 3986, by its characters: what a URI-reference may be made of.
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_HOST_NAME = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*")
# What an attribute must not hold: control characters and noncharacters; halves of characters are kept by no ledger.
_NONCHARACTERS = "".join(f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
_UNFIT = re.compile(f"[%\x00-\x1f\x7f-\x9f\ufdd0-\ufdef{_NONCHARACTERS}]")


class _Event(msgspec.Struct, frozen=True):
    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    data: msgspec.Raw
    traceparent: str | msgspec.UnsetType = msgspec.UNSET


def encode_event(effect: EffectMarker, call: Call, *, source: str, event_type: str) -> str:
    """The body: JSON text.

    Args:
        effect: its fields become the data, as the ledger keeps them.
        call: what the handler was told.
        source: a URI-reference for whose events these are.
        event_type: what happened, prefixed by the reverse of a domain's name.
    """
    event = _Event(
        specversion="1.0",
        id=call.key,
        source=source,
        type=_fit(event_type),
        subject=_fit(f"{call.kind}/{call.entity}"),
        time=call.asked_at,
        datacontenttype="application/json",
        data=msgspec.Raw(encode("the effect", effect).encode()),
        traceparent=traceparent_of(call) or msgspec.UNSET,
    )
    return msgspec.json.encode(event).decode()


def check_source(source: str) -> str:
    """The source, if it is one.

    Raises:
        ValueError: it is no URI-reference.
    """
    if not _URI_REFERENCE.fullmatch(source):
        message = f"source={source!r} is no URI-reference: name whose events these are, https://shop.example/orders say"
        raise ValueError(message)
    return source


def default_type(source: str, call: Call) -> str:
    """`example.shop.Order.OrderPaid` of a source on the host shop.example; `Order.OrderPaid` of one without a host."""
    host = urlsplit(source).hostname or ""
    labels = reversed(host.split(".")) if _HOST_NAME.fullmatch(host) else ()
    return ".".join((*labels, call.kind, call.effect))


def traceparent_of(call: Call) -> str | None:
    """The call's place in a trace, if it is one by W3C Trace Context: what is not would break the header."""
    given = call.traceparent
    return given if given is not None and is_traceparent(given) else None


def _fit(text: str) -> str:
    """A text as an attribute: what it must not hold is percent-encoded, and so is the percent sign."""
    return _UNFIT.sub(lambda found: quote(found[0], safe=""), text)
