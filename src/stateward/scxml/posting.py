"""The Basic HTTP event processor (C.2 of SCXML 1.0): events that come and go as HTTP POST requests, on loopback.

Each session has an address of its own, `_ioprocessors['basichttp']['location']`. What is posted there waits until
the session's processor takes it; what a session sends is posted at once, and its processor waits for the answer,
but not for long. Either way sizes and times are bounded, and only those hosts are posted to that are allowed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Collection
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlencode, urlsplit

from stateward.errors import EvaluationError
from stateward.scxml.listening import Listener, Request
from stateward.scxml.messages import HTTP_TYPE, ScxmlEvent, problem_of_name
from stateward.scxml.values import MapValue, RecordValue, SeriesValue, SetValue, Value, freeze

__all__ = ["HttpPort"]

BODY_LIMIT = 1_000_000
"""Bytes of a message, either way."""
TIMEOUT = timedelta(seconds=5)
"""How long a message may take, either way."""
INBOX_LIMIT = 1_000
"""Messages that have come and wait to be taken."""
PARAMETERS_LIMIT = 1_000
"""Parameters of one message."""
_EVENT_NAME = "_scxmleventname"
_FORM = "application/x-www-form-urlencoded"


class HttpPort:
    """Where messages over HTTP come in for the sessions of one processor, and how theirs go out.

    Args:
        port: where to listen on loopback; 0: where there is room.
        allow: hosts that may be posted to beside this machine, as URLs name them.
        timeout: how long a message may take, either way.

    Raises:
        OSError: something else listens there.
    """

    def __init__(self, *, port: int = 0, allow: Collection[str] = (), timeout: timedelta = TIMEOUT) -> None:
        self._allow = frozenset(each.lower() for each in allow)
        self._timeout_s = timeout.total_seconds()
        self._sessions: set[str] = set()
        self._inbox: list[tuple[str, ScxmlEvent]] = []
        self._has_come = threading.Condition()
        self._listener = Listener(self._answer, port=port, timeout_s=self._timeout_s, body_limit=BODY_LIMIT)
        self.port = self._listener.port

    def close(self) -> None:
        """Listen no more; closing twice is safe."""
        self._listener.close()

    def location_of(self, session: str) -> str:
        """The address of a session."""
        return f"http://127.0.0.1:{self.port}/{quote(session, safe='')}/basichttp"

    def open(self, session: str) -> None:
        """Take messages for a session from now on."""
        with self._has_come:
            self._sessions.add(session)

    def shut(self, session: str) -> None:
        """Take no more messages for a session."""
        with self._has_come:
            self._sessions.discard(session)

    def take(self) -> list[tuple[str, ScxmlEvent]]:
        """What has come since it was last asked, with the session that it is for."""
        with self._has_come:
            taken, self._inbox = self._inbox, []
            return taken

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block until something has come; whether it has."""
        with self._has_come:
            timeout_s = None if timeout is None else timeout.total_seconds()
            return self._has_come.wait_for(lambda: bool(self._inbox), timeout_s)

    # What comes in.

    def _answer(self, request: Request) -> int:
        if not self._is_local(request.headers):
            return 403
        path, _, query = request.target.partition("?")
        session, _, rest = path.removeprefix("/").partition("/")
        session = unquote(session)
        if session not in self._sessions or rest != "basichttp":
            return 404
        if request.method != "POST":
            return 405
        try:
            event = _event_of(request, query)
        except (EvaluationError, ValueError):
            return 400
        with self._has_come:
            if len(self._inbox) >= INBOX_LIMIT:
                return 503
            self._inbox.append((session, event))
            self._has_come.notify_all()
        return 200

    def _is_local(self, headers: dict[str, str]) -> bool:
        """Whether it was meant for this address: a page of another site can make a browser post here."""
        hosts = {f"{host}:{self.port}" for host in ("127.0.0.1", "localhost")}
        origin = headers.get("origin")
        return headers.get("host", "").lower() in hosts and (origin is None or origin.lower() in _origins(hosts))

    # What goes out.

    def post(self, url: str, event: ScxmlEvent, *, is_content: bool) -> None:
        """Post an event, and wait for the answer.

        Args:
            url: whom it is for.
            event: the event; without a name it is `HTTP.POST` at the other end.
            is_content: whether its data are the body as a whole, or else parameters by name.

        Raises:
            OSError: nobody is there, or takes it in time.
            ValueError: the address may not be posted to, or the data are too large or can't be written.
        """
        host, port, path = self._address(url)
        names = [(_EVENT_NAME, event.name)] if event.name else []
        if is_content:
            body = quote_plus(_text_of(event.data))
            if names:
                path += f"{'&' if '?' in path else '?'}{urlencode(names)}"
        else:
            pairs = event.data.items.items() if isinstance(event.data, MapValue) else ()
            body = urlencode([*names, *((str(name), _text_of(value)) for name, value in pairs)])
        if len(body) > BODY_LIMIT:
            message = f"a message of {len(body)} bytes is too large; {BODY_LIMIT} are sent at most"
            raise ValueError(message)
        try:
            status = self._exchange(host, port, path, body.encode())
        except (HTTPException, OSError) as error:
            message = f"{url:.200} can't be posted to: {str(error) or type(error).__name__}"
            raise OSError(message) from None
        if not 200 <= status < 300:
            message = f"{url:.200} answers {status}"
            raise OSError(message)

    def _address(self, url: str) -> tuple[str, int, str]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "http" or not host or parts.username is not None:
            message = f"{url!r:.200} is no address: http://host/path is"
            raise ValueError(message)
        if not (host in self._allow or _is_loopback(host)):
            message = f"{host!r:.200} may not be posted to"
            raise ValueError(message)
        path = parts.path or "/"
        return host, parts.port or 80, f"{path}?{parts.query}" if parts.query else path

    def _exchange(self, host: str, port: int, path: str, body: bytes) -> int:
        connection = HTTPConnection(host, port, timeout=self._timeout_s)
        # A socket's own time-out is for each byte; one that answers byte by byte is broken off all the same.
        is_late = threading.Event()
        breaking = threading.Timer(self._timeout_s, _break_off, [connection, is_late])
        try:
            connection.connect()
            breaking.start()
            connection.request("POST", path, body, {"Content-Type": _FORM, "Connection": "close"})
            status = connection.getresponse().status
            if is_late.is_set():  # what had come by then may look like all of it
                raise TimeoutError
            return status
        finally:
            breaking.cancel()
            connection.close()
            if breaking.ident is not None:
                breaking.join()


def _break_off(connection: HTTPConnection, is_late: threading.Event) -> None:
    is_late.set()
    try:
        found: socket.socket | None = connection.sock
        if found is not None:
            found.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has just ended by itself
        return


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origins(hosts: set[str]) -> set[str]:
    return {f"http://{host}" for host in hosts}


def _event_of(request: Request, query: str) -> ScxmlEvent:
    """The event that a request brings (C.2.2).

    Raises:
        EvaluationError: its data are too large or too deep.
        ValueError: it has too many parameters, or a name that is none.
    """
    body = request.body.decode()
    is_form = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower() == _FORM
    parameters = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_LIMIT)
    content: str | None = None
    if is_form and "=" in body:
        parameters += parse_qsl(body, keep_blank_values=True, max_num_fields=PARAMETERS_LIMIT)
    elif body:
        content = unquote_plus(body) if is_form else body
    names = [value for name, value in parameters if name == _EVENT_NAME]
    name = names[0] if names else f"HTTP.{request.method}"
    if problem_of_name(name) is not None or len(name.split()) != 1 or name != name.strip():
        message = f"{name!r:.50} is no name of an event"
        raise ValueError(message)
    data = _meant(content) if content is not None else _data_of(parameters)
    return ScxmlEvent(name, data, origintype=HTTP_TYPE, raw=f"{request.head}\r\n\r\n{body}")


def _data_of(parameters: list[tuple[str, str]]) -> Value:
    """Parameters by name, all values of one that comes several times in a list."""
    found: dict[str, list[Value]] = {}
    for name, value in parameters:
        if name != _EVENT_NAME:
            found.setdefault(name, []).append(_meant(value))
    if not found:
        return None
    return MapValue([(name, each[0] if len(each) == 1 else freeze(each)) for name, each in found.items()])


def _meant(text: str) -> Value:
    """What a text says as JSON, or else itself."""
    try:
        return freeze(json.loads(text))
    except (ValueError, RecursionError):
        return freeze(text)


def _text_of(value: Value) -> str:
    """A value as a text: a text as it is, None as nothing, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(_plain(value))


def _plain(value: Value) -> object:
    if isinstance(value, MapValue):
        return {key if isinstance(key, str) else _text_of(key): _plain(each) for key, each in value.items.items()}
    if isinstance(value, RecordValue):
        return _plain(value.fields)
    if isinstance(value, (SeriesValue, SetValue)):
        return [_plain(each) for each in value.items]
    return value
