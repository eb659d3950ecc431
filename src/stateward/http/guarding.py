"""Who may ask at all: tokens, the names that the server is known by, and where a page that asks comes from.

Without tokens only this machine is served. But a browser on this machine runs pages of anybody: one can send requests
to 127.0.0.1, and one whose name is pointed at 127.0.0.1 after it was loaded (DNS rebinding) could read the answers,
since the browser takes them for its own. Both are kept out by what a page can't choose: the Host header, which holds
the page's name, and the Origin header. Neither is a secret, and programs, which could write anything there, are not
what is kept out by it.

With tokens, which no page has unless it was given one, requests from elsewhere are served as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

import msgspec
from starlette.types import Scope

from stateward.errors import CallerError, Unkeepable
from stateward.http.problems import Problem
from stateward.http.requests import Headers
from stateward.ledger import Actor
from stateward.ledger.codec import check_text

__all__ = ["ANONYMOUS", "Authenticate", "Guard", "Token", "is_loopback"]

Authenticate = Callable[[Scope], Actor | str | None]
"""Who asks, as the application around this one knows it; None: nobody that it knows."""

ANONYMOUS = Actor("http", "anonymous")
"""Who asks without a token and without saying who."""
SECRET_LENGTH_MIN = 16

_SECRET = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""What RFC 6750 allows in a bearer token."""
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")
_HOST = re.compile(rb"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9\-._]{1,255}))(?::[0-9]{1,5})?")
_CHALLENGE = 'Bearer realm="stateward"'


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, and who has it."""

    secret: str
    """16 characters at least, of those that RFC 6750 allows: `secrets.token_urlsafe(32)` makes one."""
    actor: Actor | str
    """Who is recorded as the actor, `service:shop`, and asked about by the engine's `authorize`."""
    roles: frozenset[str] = frozenset()
    """For `authorize`, beside those of the actor; `operator` may put dead letters back."""
    acts_for_others: bool = False
    """Whether the header Stateward-Actor may name another actor, who then has no roles."""

    def __post_init__(self) -> None:
        """Hold the secret against what can be sent and can't be guessed.

        Raises:
            CallerError: it is too short, or holds what can't be sent.
            Unkeepable: the actor can't be recorded.
        """
        if len(self.secret) < SECRET_LENGTH_MIN or not _SECRET.fullmatch(self.secret):
            message = (
                f"the secret of the token of {self.actor} has {SECRET_LENGTH_MIN} characters or more, "
                "of A-Z a-z 0-9 - . _ ~ + /"
            )
            raise CallerError(message)
        check_text("the actor of a token", str(self.actor))

    def __repr__(self) -> str:
        return f"Token(actor={str(self.actor)!r})"  # a secret that is shown somewhere is none


class Guard:
    """Lets requests in, and says who asks."""

    def __init__(
        self,
        *,
        tokens: Sequence[Token] | Mapping[str, Actor | str] = (),
        authenticate: Authenticate | None = None,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        """See `Api`."""
        given = _from_mapping(tokens) if isinstance(tokens, Mapping) else tokens
        self._tokens = [(sha256(each.secret.encode()).digest(), _actor_of(each), each) for each in given]
        if len({digest for digest, _, _ in self._tokens}) < len(self._tokens):
            message = "two tokens have the same secret"
            raise CallerError(message)
        if self._tokens and authenticate is not None:
            message = "tokens and authenticate exclude each other: either says who asks"
            raise CallerError(message)
        self._authenticate = authenticate
        self._hosts = frozenset(_name_of(each) for each in hosts)
        self._origins = frozenset(each.lower().rstrip("/").encode() for each in origins)
        if "*" in self._hosts and not self.is_guarded:
            message = "hosts=['*'] needs tokens: without them, the Host header is what keeps pages of others out"
            raise CallerError(message)
        self._is_known = lru_cache(maxsize=256)(self._knows)

    @property
    def is_guarded(self) -> bool:
        """Whether who asks has to show who it is."""
        return bool(self._tokens) or self._authenticate is not None

    def let_in(self, scope: Scope, headers: Headers) -> None:
        """Refuse what comes from a page of others, or without a token from another machine.

        Raises:
            Problem: it does.
        """
        host = headers.get(b"host")
        if host is None or not self._is_known(host):
            raise Problem("wrong-host", f"the server is not known as {(host or b'').decode('latin-1')!r:.100}")
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(origin.lower(), host.lower(), scope):
            raise Problem("wrong-origin", f"pages of {origin.decode('latin-1')!r:.100} may not ask this server")
        client = scope.get("client")
        if client is not None and not self.is_guarded and not is_loopback(client[0]):
            raise Problem("forbidden", "without tokens, only the machine itself is served")

    def actor(self, scope: Scope, headers: Headers) -> Actor:
        """Who asks.

        Raises:
            Problem: it can't be told, or may not be said.
        """
        named = headers.get(b"stateward-actor")
        if self._authenticate is not None:
            given = self._authenticate(scope)
            if given is None:
                raise Problem("no-token", "who asks is not known", headers={"www-authenticate": _CHALLENGE})
            _refuse_name(named)
            return Actor.of(given)
        if not self._tokens:
            return ANONYMOUS if named is None else _named(named)
        token, actor = self._token(headers)
        if named is None:
            return actor
        if not token.acts_for_others:
            _refuse_name(named)
        return _named(named)

    def _token(self, headers: Headers) -> tuple[Token, Actor]:
        value = headers.get(b"authorization")
        if value is None:
            raise Problem("no-token", "send a token: Authorization: Bearer ...", headers=_challenge())
        match = _BEARER.fullmatch(value)
        digest = sha256(match[1] if match is not None else b"").digest()
        found: tuple[Token, Actor] | None = None
        # All of them are compared, each in constant time: how long it takes tells nothing of any.
        for each, actor, token in self._tokens:
            if hmac.compare_digest(each, digest):
                found = token, actor
        if found is None:
            raise Problem("no-token", "the token is none of this server", headers=_challenge("invalid_token"))
        return found

    def _knows(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = _name_of((match["six"] or match["name"]).decode())
        return "*" in self._hosts or name in self._hosts or is_loopback(name)

    def _is_own(self, origin: bytes, host: bytes, scope: Scope) -> bool:
        scheme: str = scope.get("scheme", "http")
        return origin == scheme.encode() + b"://" + host or origin in self._origins


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether a name or an address means the machine itself, whoever is asked; nothing is looked up."""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _name_of(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")


def _from_mapping(tokens: Mapping[str, Actor | str]) -> list[Token]:
    return [Token(secret=secret, actor=actor) for secret, actor in tokens.items()]


def _actor_of(token: Token) -> Actor:
    actor = Actor.of(token.actor)
    return Actor(actor.kind, actor.id, actor.roles | token.roles)


def _named(value: bytes) -> Actor:
    try:
        actor = Actor.of(check_text("the actor", value.decode()))
    except (UnicodeDecodeError, Unkeepable) as error:
        raise Problem("malformed", f"the header Stateward-Actor is no kind:id: {error}") from None
    if b"\t" in value:  # the only other white space that a header may hold
        raise Problem("malformed", "the header Stateward-Actor holds a tab")
    if not actor.kind:
        raise Problem("malformed", f"the header Stateward-Actor names no kind: customer{actor}, say")
    return actor


def _refuse_name(named: bytes | None) -> None:
    if named is not None:
        raise Problem("forbidden", "this caller may not act for others: the header Stateward-Actor is not for it")


def _challenge(error: str | None = None) -> dict[str, str]:
    return {"www-authenticate": _CHALLENGE + (f', error="{error}"' if error else "")}
