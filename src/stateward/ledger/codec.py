"""Contexts, events and effects as JSON, and back; what can't be kept is refused before anything is queued.

JSON is msgspec's. What PostgreSQL can't hold as text or jsonb is refused by every store, so that none keeps what
another could not: NUL characters, lone surrogates, NaN and infinities, and more than a megabyte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from types import GenericAlias
from typing import Any, cast, get_args, get_origin

import msgspec

from stateward.chart import Chart, FrozenMap
from stateward.errors import Unkeepable

__all__ = [
    "JSON_BYTES_MAX",
    "LAST_TIME",
    "TEXT_BYTES_MAX",
    "check_text",
    "decode_context",
    "decode_value",
    "digest_of_event",
    "encode",
    "encode_context",
    "from_micros",
    "is_keepable",
    "json_text",
    "read_frozen",
    "to_micros",
]

JSON_BYTES_MAX = 1_000_000
"""Bytes of the largest context, payload or effect."""
TEXT_BYTES_MAX = 500
"""Bytes of the longest id, key or actor: three of them stand in a primary key together."""
LAST_TIME = 253_402_300_799_000_000
"""The end of the year 9999, in microseconds since 1970: what is due later could not be told."""

_FIRST_TIME = -62_135_596_800_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC.

    Raises:
        Unkeepable: it has no time zone, so it could be any of a day's moments; or it can't be told in UTC.
    """
    if moment.tzinfo is None:
        problem = f"the time {moment.isoformat()} has no time zone: datetime.now(UTC)"
        raise Unkeepable(problem)
    micros = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST_TIME <= micros <= LAST_TIME + 999_999:  # a time zone may lead beyond what can be told in UTC
        problem = f"the time {moment.isoformat()} is not from the year 1 to the end of 9999 in UTC"
        raise Unkeepable(problem)
    return micros


def from_micros(micros: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def check_text(what: str, text: object) -> str:
    """A text that every store can keep as a key.

    Raises:
        Unkeepable: it is no text, empty, too long, or holds what a database can't.
    """
    if not isinstance(text, str) or not text:
        problem = f"{what} is {text!r:.100}; it is a text, and not empty"
        raise Unkeepable(problem)
    if "\0" in text:
        problem = f"{what} holds a NUL character"
        raise Unkeepable(problem)
    try:
        length = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        problem = f"{what} holds half of a character, {text[error.start]!r}"
        raise Unkeepable(problem) from None
    if length > TEXT_BYTES_MAX:
        problem = f"{what} is {length} bytes long; {TEXT_BYTES_MAX} are kept at most"
        raise Unkeepable(problem)
    return text


def is_keepable(text: str) -> bool:
    """Whether there can be anything under such an id, or in such a state: no NUL, no halves of characters."""
    try:
        return "\0" not in text and bool(text.encode())
    except UnicodeEncodeError:
        return False


def encode(what: str, value: object) -> str:
    """A value as JSON text that every store can keep.

    Raises:
        Unkeepable: it is too large, or holds what JSON or a database can't.
    """
    try:
        dump: Any = getattr(value, "model_dump", None)  # a pydantic model, which msgspec does not know
        data = msgspec.json.encode(dump(mode="json") if dump is not None else value, enc_hook=_as_json)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        problem = f"{what} can't be written as JSON: {error}"
        raise Unkeepable(problem) from None
    if len(data) > JSON_BYTES_MAX:
        problem = f"{what} is {len(data)} bytes of JSON; {JSON_BYTES_MAX} are kept at most"
        raise Unkeepable(problem)
    if b"\\u0000" in data and _holds(value, lambda each: isinstance(each, str) and "\0" in each):
        problem = f"{what} holds a NUL character"
        raise Unkeepable(problem)
    # msgspec writes NaN and the infinities as null, which would be read back as something else.
    if b"null" in data and _holds(value, lambda each: isinstance(each, float) and not math.isfinite(each)):
        problem = f"{what} holds a number that is not finite"
        raise Unkeepable(problem)
    return data.decode()


def _holds(value: object, is_bad: Callable[[object], bool]) -> bool:
    """Whether a value holds anything bad, at any depth."""
    todo: list[Any] = [msgspec.to_builtins(value, enc_hook=_as_builtin, builtin_types=(datetime, timedelta))]
    while todo:
        each = todo.pop()
        if isinstance(each, Mapping):
            pairs = cast("Mapping[object, object]", each)
            todo += [*pairs.keys(), *pairs.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            todo += cast("list[object]", each)
        elif is_bad(each):
            return True
    return False


def _as_json(value: Any) -> Any:
    """The plain value of what msgspec does not know."""
    if isinstance(value, FrozenMap):
        return dict(cast("Any", value))
    message = f"Encoding objects of type {type(value).__name__} is unsupported"
    raise NotImplementedError(message)


def read_frozen(kind: Any, value: Any) -> Any:
    """What msgspec does not know, of its plain value: a `dec_hook`.

    Raises:
        NotImplementedError: it is of another class than those that declarations offer.
        ValueError: it does not fit.
    """
    if get_origin(kind) is FrozenMap:
        as_dict: Any = GenericAlias(dict, get_args(kind))
        return FrozenMap(msgspec.convert(value, as_dict, str_keys=True, dec_hook=read_frozen))
    message = f"{kind!r} can't be read from JSON"
    raise NotImplementedError(message)


def _as_builtin(value: Any) -> Any:
    if isinstance(value, FrozenMap):
        return dict(cast("Any", value))
    dump: Any = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="python")
    message = f"{type(value).__name__} is no JSON"
    raise NotImplementedError(message)


def json_text(value: object) -> str:
    """A value of our own making as JSON text."""
    return msgspec.json.encode(value).decode()


def encode_context(chart: Chart[Any], context: object) -> str:
    """A context as JSON text that can be read back.

    Raises:
        Unkeepable: there is none, it holds what its class does not, or what can't be kept.
    """
    if context is None:
        problem = f"there is no context; a {chart.kind} has a {chart.context_type.__name__}"
        raise Unkeepable(problem)
    text = encode("the context", context)
    try:
        decode_context(chart, text)
    except ValueError as error:  # msgspec's and pydantic's are such
        problem = f"the context does not fit {chart.context_type.__name__}: {error}"
        raise Unkeepable(problem) from None
    return text


def decode_context(chart: Chart[Any], text: str) -> Any:
    """A context as kept.

    Raises:
        msgspec.MsgspecError: it does not fit the chart's class.
        ValueError: a pydantic model of that class refuses it.
    """
    kind: Any = chart.context_type
    return _decoder(kind)(text)


def decode_value(kind: Any, text: str) -> Any:
    """A value of a class, as kept.

    Raises:
        ValueError: it does not fit.
    """
    return _decoder(kind)(text)


@lru_cache(maxsize=1024)
def _decoder(kind: Any) -> Callable[[str], Any]:
    validate: Any = getattr(kind, "model_validate_json", None)
    return validate if validate is not None else msgspec.json.Decoder(kind, dec_hook=read_frozen).decode


def digest_of_event(name: str, payload: str) -> bytes:
    """What a receipt keeps of an event and its payload: 16 bytes of BLAKE2b."""
    return blake2b(f"{name}\0{payload}".encode(), digest_size=16).digest()
