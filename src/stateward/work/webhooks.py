"""Webhooks out: a handler that posts effects as CloudEvents, signed as Standard Webhooks.

    engine.handles(OrderPaid, retry=Retry(limit=10, maximum=timedelta(hours=24)))(
        Webhook(url="https://partner.example/hooks", secret="whsec_...", source="https://shop.example/orders")
    )

What an answer means follows Standard Webhooks 1.0, "Delivery success and failure":

- 2xx: done, whatever the body says or however slowly it comes.
- 410: the receiver wants no more of these; a dead letter at once.
- 429 and 503 with `Retry-After`: later, within bounds, and it counts as no attempt, until the webhook is older than
  `patience`: a receiver that says "later" for ever would otherwise hold up its entity for ever.
- everything else is a failure and tried again: also the other 4xx, since what a receiver answers while it is deployed
  or its secret is changed says nothing about the webhook; and redirects, which are not followed: they would let a
  receiver choose where we post. The handler's retry policy bounds how often, then it is a dead letter.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from inspect import isawaitable
from typing import Any, Self, TypeAlias, TypeVar, cast

import msgspec

from stateward.chart import EffectMarker
from stateward.errors import EffectFailed, ExtraMissing
from stateward.work.cloudevents import CONTENT_TYPE, check_source, default_type, encode_event, traceparent_of
from stateward.work.handling import Call, GiveUp, Snooze

try:
    import httpx
    from standardwebhooks import Webhook as Signer
except ModuleNotFoundError as error:
    raise ExtraMissing(package=error.name or "httpx", extra="webhooks") from error

__all__ = ["ByCall", "Secret", "Secrets", "Webhook", "WebhookStatistics"]

T = TypeVar("T")

Secret: TypeAlias = str | bytes
"""As Standard Webhooks writes it, base64 with or without `whsec_`; or the bytes themselves."""
Secrets: TypeAlias = Secret | Sequence[Secret]
"""One, or several while one takes the place of another: each signs, and a receiver looks for the one that it knows."""
ByCall: TypeAlias = Callable[[Any, Call], T | Awaitable[T]]
"""Chooses for each effect; what it raises is the handler's answer, so it may raise GiveUp or Snooze."""

_SECRET_BYTES_MIN = 24
_READ_BYTES_MAX = 64 * 1024
"""Bytes of an answer: a connection whose answer was read to its end can carry the next webhook."""
_READ_S_MAX = 1.0
_EXCERPT_CHARACTERS = 300
_SNOOZE_MIN = timedelta(seconds=1)
_GONE = 410
_SNOOZING = (429, 503)
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "content-type", "host", "traceparent", "transfer-encoding",
        "webhook-id", "webhook-signature", "webhook-timestamp",
    }
)  # fmt: skip


class WebhookStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook has posted since it was made."""

    attempts: int
    delivered: int
    """Those that the receiver has taken."""


class Webhook:
    """A handler for effects of any type: `engine.handles(OrderPaid)(Webhook(...))`.

    Its connections belong to the event loop that it runs in, are shared by all calls there, and are closed with it.
    """

    def __init__(
        self,
        *,
        url: str | ByCall[str],
        secret: Secrets | ByCall[Secrets],
        source: str,
        event_type: str | ByCall[str] | None = None,
        timeout: timedelta = timedelta(seconds=20),
        retry_after_max: timedelta = timedelta(hours=1),
        patience: timedelta = timedelta(days=3),
        headers: Mapping[str, str] | None = None,
        client: httpx.AsyncClient | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Check all that can be checked before the first call.

        Args:
            url: where to. A function of effect and call may choose; it must not hand through what an outsider gave,
                who could make us post into our own network.
            secret: what the receiver checks signatures by; of its own for each receiver, so a function where `url` is.
            source: CloudEvents' source, a URI-reference for whose events these are.
            event_type: CloudEvents' type; the reverse of the source's host with kind and effect if it is not given.
            timeout: for an attempt; the call's deadline bounds it as well.
            retry_after_max: the longest that a receiver can put a webhook off at a time.
            patience: how old a webhook may get while it is put off; after that, being put off counts as an attempt.
            headers: more headers, `Authorization` say.
            client: one of the caller's, for proxies, certificates or limits; whoever made it closes it.
            clock: the time, with a time zone; give it the engine's if that has one.

        Raises:
            ValueError: one of them is not what it should be.
        """
        self._url_for = _chooser(url, _checked_url)
        self._signers_for = _chooser(secret, _signers)
        self._source = check_source(source)
        self._type_for = _chooser(_default_type_of(source) if event_type is None else event_type, str)
        self._timeout = timeout
        self._retry_after_max = max(retry_after_max, _SNOOZE_MIN)
        self._patience = patience
        self._headers = _checked_headers(headers or {})
        self._clients = _Clients()
        self._client = client
        self._clock = clock
        self._attempts = self._delivered = 0

    async def __call__(self, effect: EffectMarker, call: Call) -> None:
        """Post it once.

        Raises:
            GiveUp: the receiver wants no more of these, or `url` or `secret` gave what can't be used.
            Snooze: the receiver asked for a delay.
            EffectFailed: it was not delivered, or there was no answer that says so.
        """
        self._attempts += 1
        await self._post(effect, call)
        self._delivered += 1

    def statistics(self) -> WebhookStatistics:
        """What it has posted so far."""
        return WebhookStatistics(attempts=self._attempts, delivered=self._delivered)

    async def _post(self, effect: EffectMarker, call: Call) -> None:
        began = asyncio.get_running_loop().time()
        now = self._now()
        left = min(self._timeout, call.deadline - now)
        if left <= timedelta(0):
            raise _failure(call, "its deadline was over before it was posted")
        url, signers = await self._url_for(effect, call), await self._signers_for(effect, call)
        event_type = await self._type_for(effect, call)
        body = encode_event(effect, call, source=self._source, event_type=event_type)
        where = f"{url.scheme}://{url.netloc.decode()}"  # not the rest of it, where some receivers keep a password
        client = await self._clients.get() if self._client is None else self._client
        request = client.build_request("POST", url, content=body, headers=self._headers_of(call, signers, now, body))
        until = began + left.total_seconds()
        response = await _answer_of(client, request, until, call, where)
        try:
            excerpt = await _read(response, until)
        finally:
            await response.aclose()
        answered = f"{where} answered {response.status_code} {_printable(response.reason_phrase)}".rstrip()
        self._judge(call, response, answered, excerpt)

    async def aclose(self) -> None:
        """Close the connections of the running event loop now; the next call opens new ones."""
        await self._clients.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def _now(self) -> datetime:
        return datetime.now(UTC) if self._clock is None else self._clock().astimezone(UTC)

    def _headers_of(self, call: Call, signers: tuple[Signer, ...], now: datetime, body: str) -> dict[str, str]:
        headers = {
            "user-agent": "stateward",
            **self._headers,
            "accept-encoding": "identity",  # what is quoted in an error must be readable, and no bomb
            "content-type": CONTENT_TYPE,
            "webhook-id": call.key,
            "webhook-timestamp": f"{int(now.timestamp())}",
            "webhook-signature": " ".join(each.sign(call.key, now, body) for each in signers),
        }
        # CloudEvents wants the attribute and the header to say the same where there is but one hop.
        if traceparent := traceparent_of(call):
            headers["traceparent"] = traceparent
        return headers

    def _judge(self, call: Call, response: httpx.Response, answered: str, excerpt: str) -> None:
        if response.is_success:
            return
        if response.status_code == _GONE:
            message = f"{answered}: the receiver wants no more webhooks there"
            raise GiveUp(message)
        now = self._now()
        if response.status_code in _SNOOZING and now - call.asked_at <= self._patience:
            delay = _retry_after(response.headers.get("retry-after", ""), now)
            if delay is not None:
                raise Snooze(min(max(delay, _SNOOZE_MIN), self._retry_after_max), answered)
        if response.is_redirect:
            answered += ", and redirects are not followed: url= must name where it has moved"
        raise _failure(call, f"{answered}: {excerpt}" if excerpt else answered)


class _Clients:
    """A client for each event loop that asks for one: the connections of one loop are of no use to another.

    The client lives in an asynchronous generator. asyncio closes those when a loop is shut down, so nobody else needs
    to know when that is: neither an engine of threads, whose loop is its own, nor its user.
    """

    def __init__(self) -> None:
        self._open: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncGenerator[httpx.AsyncClient]]] = {}

    async def get(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        held = self._open.get(loop)
        if held is not None:
            return held[0]
        for each in list(self._open):
            if each.is_closed():  # without having been shut down
                self._open.pop(each, None)
        opening = self._opened(loop)
        client = await anext(opening)
        self._open[loop] = client, opening
        return client

    async def close(self) -> None:
        held = self._open.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()

    async def _opened(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[httpx.AsyncClient]:
        client = httpx.AsyncClient(
            # One bound for the whole attempt is ours: httpx's are for each read and write.
            timeout=None,
            # How many go at once is said by the handler's `concurrency`.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            # A receiver's cookies are not kept: there would be no end to them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        try:
            yield client
        finally:
            self._open.pop(loop, None)
            await client.aclose()


async def _answer_of(
    client: httpx.AsyncClient, request: httpx.Request, until: float, call: Call, where: str
) -> httpx.Response:
    """The head of the answer, its body yet to be read."""
    try:
        async with asyncio.timeout_at(until):
            return await client.send(request, stream=True, follow_redirects=False)
    except TimeoutError:
        raise _failure(call, f"{where} did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        reason = str(error) or type(error).__name__  # some of them have no text
        raise _failure(call, f"{where} gave no answer: {_printable(reason)}") from error


async def _read(response: httpx.Response, until: float) -> str:
    """The beginning of the body as one line of text; what can't be read of it in time does not matter any more."""
    data = b""
    try:
        async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + _READ_S_MAX)):
            async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
                async for chunk in chunks:
                    data += chunk
                    if len(data) >= _READ_BYTES_MAX:
                        break
    except (httpx.HTTPError, OSError):  # TimeoutError is one of the latter
        pass
    return _printable(data[: 4 * _EXCERPT_CHARACTERS].decode(errors="replace"))


def _printable(text: str) -> str:
    """What an outsider wrote, as it can be kept and shown: one line, bounded, without control characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= _EXCERPT_CHARACTERS else f"{line[:_EXCERPT_CHARACTERS]} ..."


def _retry_after(text: str, now: datetime) -> timedelta | None:
    """What a `Retry-After` says: seconds or a date; None if it says neither."""
    try:
        if text.isascii() and text.isdecimal():
            return timedelta(seconds=min(int(text), 10**9))
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) - now


def _failure(call: Call, problem: str) -> EffectFailed:
    return EffectFailed(problem, effect=call.effect, key=call.key)


# What is checked before it is used: once if it is fixed, at each call if it is chosen. The texts name no secret, for
# they stand in logs and dead letters.


def _chooser(given: Any, check: Callable[[Any], T]) -> Callable[[EffectMarker, Call], Awaitable[T]]:
    if not callable(given):
        fixed = check(given)

        async def always(_effect: EffectMarker, _call: Call) -> T:
            return fixed

        return always

    async def chosen(effect: EffectMarker, call: Call) -> T:
        found = given(effect, call)
        value: Any = await found if isawaitable(found) else found
        try:
            return check(value)
        except ValueError as error:
            raise GiveUp(str(error)) from None

    return chosen


def _default_type_of(source: str) -> ByCall[str]:
    return lambda _effect, call: default_type(source, call)


def _checked_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError):
        message = "the url can't be read as one"
        raise ValueError(message) from None
    if url.scheme not in ("http", "https") or not url.host:
        message = (
            f"the url {url.scheme}://{url.host} is none to post to: https://host/path, or http:// within a network"
        )
        raise ValueError(message)
    if url.userinfo:
        message = f"the url of {url.host} holds a user or a password: give them in headers="
        raise ValueError(message)
    return url


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.lower(): value for name, value in headers.items()}
    if taken := sorted(_OURS & named.keys()):
        message = f"headers= holds {', '.join(taken)}, which the webhook sets by itself"
        raise ValueError(message)
    return named


def _signers(secrets: Secrets) -> tuple[Signer, ...]:
    each = (secrets,) if isinstance(secrets, (str, bytes)) else tuple(secrets)
    if not each:
        message = "there is no secret to sign with"
        raise ValueError(message)
    return tuple(Signer(_key(one)) for one in each)


def _key(secret: Secret) -> bytes:
    """The bytes of a secret; the package would take any text for base64, one of another scheme too."""
    if isinstance(secret, bytes):
        key = secret
    else:
        text = secret.removeprefix("whsec_").rstrip("=")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            message = "a secret is no base64: it is whsec_ and the base64 of random bytes, or the bytes themselves"
            raise ValueError(message) from None
    if len(key) < _SECRET_BYTES_MIN:
        message = (
            f"a secret is {len(key)} bytes long; Standard Webhooks asks for {_SECRET_BYTES_MIN} or more random ones"
        )
        raise ValueError(message)
    return key
