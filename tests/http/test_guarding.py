"""Who gets in: hosts, origins, tokens, actors; what is sent to a loopback server by pages of others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Scope

from stateward import CallerError, Engine
from stateward.http import Api, Limits, Token
from stateward.http.guarding import is_loopback
from stateward.http.keyring import read_tokens
from stateward.http.serving import listen_on
from stateward.ledger import Actor
from tests.http.orders import OrderLifecycle
from tests.http.services import Service, StartService, ask_raw, body_of, serving

SECRET = "s3cret-s3cret-s3cret"
BODY = {"id": "A"}


@pytest.fixture
def engine_kind() -> type[Engine]:
    """One kind will do: who gets in has to do with no engine."""
    return Engine


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One for all tests that leave nothing in it that others look at."""
    with serving(lambda: Engine("memory://", lifecycles=[OrderLifecycle])) as started:
        yield started


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def by_host(service: Service, *hosts: str) -> tuple[int, bytes]:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    return body_of(ask_raw(service.port, f"GET /health HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode()))


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]"],
)
def test_this_machine_is_known_by_its_own_names(service: Service, host: str) -> None:
    assert by_host(service, host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1",
        "[::]", "[::2]", "2130706433", "0x7f.1", "127.1", "localhost:", "localhost:x", "user@localhost", "localhost/",
        "localhost#", "local host", "[::1", "127.0.0.1:80:80", "::1", "*", "a,localhost",
    ],
)  # fmt: skip
def test_a_page_whose_name_was_pointed_here_reads_nothing(service: Service, host: str) -> None:
    status, body = by_host(service, host)
    assert status == 421, body
    assert b"wrong-host" in body


def test_two_hosts_or_none_are_told_apart_from_one(service: Service) -> None:
    assert by_host(service, "localhost", "evil.example")[0] == 400
    assert by_host(service)[0] == 400
    answer = ask_raw(
        service.port, b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    assert body_of(answer)[0] in (404, 421)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost:{port}",
        "http://127.0.0.1:{port}.evil.example", "file://", "", "http://127.0.0.1:{port}/", "chrome-extension://abc",
    ],
)  # fmt: skip
def test_a_page_of_another_origin_may_not_ask(service: Service, origin: str) -> None:
    headers = {"origin": origin.format(port=service.port)}
    assert problem(service.client.get("/entities/Order", headers=headers)) == (403, "wrong-origin")
    # What a page can send without asking first, the body disguised as text.
    sent = service.client.post(
        "/entities/Order", content=b'{"id":"A"}', headers=headers | {"content-type": "text/plain"}
    )
    assert problem(sent) == (403, "wrong-origin")
    preflight = service.client.options(
        "/entities/Order", headers=headers | {"access-control-request-method": "POST"}
    )  # fmt: skip
    assert problem(preflight) == (403, "wrong-origin")
    assert not [each for each in preflight.headers if each.startswith("access-control")]


def test_a_page_of_its_own_may_ask_and_so_may_one_that_is_named(start: StartService) -> None:
    service = start(origins=["https://desk.example.com/"])
    for origin in (service.url, "https://desk.example.com"):
        answer = service.client.post("/entities/Order", json={"id": origin}, headers={"origin": origin})
        assert answer.status_code == 201
        assert not [each for each in answer.headers if each.startswith("access-control")]
    assert problem(service.client.get("/health", headers={"origin": "https://other.example.com"}))[0] == 403


def test_a_name_that_is_given_is_known_and_no_other(start: StartService) -> None:
    service = start(hosts=["Api.Example.com"])
    assert by_host(service, "api.example.com:8443")[0] == 200
    assert by_host(service, "localhost")[0] == 200
    assert by_host(service, "example.com")[0] == 421


def test_any_name_needs_tokens(start: StartService) -> None:
    with pytest.raises(CallerError, match="needs tokens"):
        start(hosts=["*"])
    service = start(hosts=["*"], tokens={SECRET: "service:shop"})
    assert by_host(service, "whatever.example")[0] == 200


def test_without_a_token_nothing_is_told_but_that_it_lives(start: StartService) -> None:
    service = start(tokens={SECRET: "service:shop"})
    paths = [
        "/entities/Order",
        "/entities/Order/A",
        "/census/Order",
        "/dead",
        "/lifecycles",
        "/openapi.json",
        "/records",
    ]
    for path in paths:
        missing = service.client.get(path)
        assert problem(missing) == (401, "no-token")
        assert missing.headers["www-authenticate"] == 'Bearer realm="stateward"'
    assert service.client.get("/health").status_code == 200
    assert service.client.get("/ready").status_code == 200
    assert problem(service.client.post("/entities/Order", json=BODY)) == (401, "no-token")


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", "Bearer", f"Basic {SECRET}", SECRET, f"Bearer {SECRET} x",
        f"Bearer {SECRET.upper()}", "Bearer \u00fc",
    ],
)  # fmt: skip
def test_a_wrong_token_is_none(start: StartService, value: str) -> None:
    service = start(tokens={SECRET: "service:shop"})
    wrong = service.client.get("/lifecycles", headers={b"authorization": value.encode("latin-1")})
    assert problem(wrong) == (401, "no-token")
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert SECRET not in wrong.text


def test_the_actor_is_that_of_the_token_and_another_one_only_where_it_may(start: StartService) -> None:
    tokens = [
        Token(secret="a" * 16, actor="service:shop"),
        Token(secret="b" * 16, actor="service:gate", roles=frozenset({"clerk"}), acts_for_others=True),
    ]
    asked: list[Actor] = []

    def authorize(actor: Actor, *_: Any) -> bool:
        asked.append(actor)
        return True

    service = start(tokens=tokens, engine={"authorize": authorize})
    shop, gate = ({"authorization": f"bearer {each.secret}"} for each in tokens)
    other = {"stateward-actor": "customer:9"}
    assert service.client.post("/entities/Order", json=BODY, headers=shop).status_code == 201
    assert problem(service.client.post("/entities/Order", json={"id": "B"}, headers=shop | other)) == (403, "forbidden")
    assert service.client.post("/entities/Order", json={"id": "C"}, headers=gate).status_code == 201
    assert service.client.post("/entities/Order", json={"id": "D"}, headers=gate | other).status_code == 201
    assert asked == [
        Actor("service", "shop"), Actor("service", "gate", frozenset({"clerk"})), Actor("customer", "9"),
    ]  # fmt: skip


@pytest.mark.parametrize("actor", ["", "x" * 501, "\u00ff"])
def test_an_actor_that_can_not_be_kept_is_told(service: Service, actor: str) -> None:
    headers = {b"stateward-actor": actor.encode("latin-1")}
    answer = service.client.post("/entities/Order", json=BODY, headers=headers)
    assert problem(answer) == (400, "malformed")


def test_an_application_around_it_says_who_asks(start: StartService) -> None:
    def authenticate(scope: Scope) -> Actor | str | None:
        headers = dict(scope["headers"])
        return headers[b"x-user"].decode() if b"x-user" in headers else None

    service = start(authenticate=authenticate)
    assert problem(service.client.get("/lifecycles")) == (401, "no-token")
    user = {"x-user": "person:ann"}
    assert service.client.post("/entities/Order", json=BODY, headers=user).status_code == 201
    [record] = service.client.get("/entities/Order/A/history", headers=user).json()["items"]
    assert record["actor"] == "person:ann"
    other = service.client.get("/lifecycles", headers=user | {"stateward-actor": "person:bob"})
    assert problem(other) == (403, "forbidden")


def test_another_machine_is_not_served_without_tokens() -> None:
    with Engine("memory://", lifecycles=[OrderLifecycle]) as engine:
        api = Api(engine)
        transport = httpx.ASGITransport(api, client=("10.0.0.7", 4711))
        answer = _ask(transport, "http://localhost/lifecycles")
        assert problem(answer) == (403, "forbidden")
        guarded = Api(engine, tokens={SECRET: "a:b"})
        transport = httpx.ASGITransport(guarded, client=("10.0.0.7", 4711))
        assert _ask(transport, "http://localhost/lifecycles", SECRET).status_code == 200
        api.close()
        guarded.close()


def _ask(transport: httpx.ASGITransport, url: str, secret: str | None = None) -> httpx.Response:
    import asyncio

    async def asked() -> httpx.Response:
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(transport=transport, headers=headers) as client:
            return await client.get(url)

    return asyncio.run(asked())


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", socket.gethostbyname(socket.gethostname())])
def test_it_listens_for_other_machines_only_with_tokens(host: str) -> None:
    with Engine("memory://", lifecycles=[OrderLifecycle]) as engine:
        api = Api(engine)
        if not is_loopback(host):
            with pytest.raises(CallerError, match="give tokens"):
                listen_on(api, host, 0)
        guarded = Api(engine, tokens={SECRET: "a:b"})
        listen_on(guarded, host, 0).close()
        listen_on(api, "localhost", 0).close()
        with pytest.raises(CallerError, match="there is no address"):
            listen_on(api, "no such host", 0)
        with listen_on(api, "127.0.0.1", 0) as taken, pytest.raises(CallerError, match="can't listen"):
            listen_on(api, "127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tokens": {"short": "a:b"}}, "16 characters"),
        ({"tokens": {"with spaces in between": "a:b"}}, "16 characters"),
        ({"tokens": {SECRET: ""}}, "actor of a token"),
        ({"tokens": [Token(secret=SECRET, actor=each) for each in ("a", "b")]}, "the same secret"),
        ({"tokens": {SECRET: "a:b"}, "authenticate": lambda scope: None}, "exclude each other"),
    ],
)
def test_settings_that_make_no_sense_are_told(options: dict[str, Any], told: str) -> None:
    with Engine("memory://", lifecycles=[]) as engine, pytest.raises(CallerError, match=told):
        Api(engine, **options)


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_is_above_0(name: str) -> None:
    with pytest.raises(CallerError, match=rf"Limits\({name}=0\): it is above 0"):
        Limits(**{name: 0})


def test_a_token_shows_no_secret() -> None:
    assert SECRET not in repr(Token(secret=SECRET, actor="a:b"))


def test_only_operators_put_dead_letters_back_where_there_are_tokens(start: StartService) -> None:
    tokens = [
        Token(secret="a" * 16, actor="service:shop"),
        Token(secret="b" * 16, actor="person:ann", roles=frozenset({"operator"})),
    ]
    service = start(tokens=tokens)
    shop, ann = ({"authorization": f"Bearer {each.secret}"} for each in tokens)
    assert problem(service.client.post("/dead/retry", json={"all": True}, headers=shop)) == (403, "forbidden")
    assert service.client.post("/dead/retry", json={"all": True}, headers=ann).json() == {"retried": 0}


TOKENS = f"""
[[token]]
secret = "{SECRET}"
actor = "service:shop"

[[token]]
secret = "{SECRET[::-1]}"
actor = "person:ann"
roles = ["operator"]
acts_for_others = true
"""


def test_tokens_are_read_from_a_file_and_from_the_environment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(TOKENS)
    path.chmod(0o600)
    shop, ann = read_tokens(path, {})
    assert shop == Token(secret=SECRET, actor="service:shop")
    assert (ann.actor, ann.roles, ann.acts_for_others) == ("person:ann", frozenset({"operator"}), True)
    assert read_tokens(None, {}) == []
    assert caplog.text == ""
    path.chmod(0o644)
    environment = {"STATEWARD_TOKEN": "t" * 16, "STATEWARD_TOKEN_ACTOR": "service:other"}
    assert [each.actor for each in read_tokens(path, environment)] == ["service:shop", "person:ann", "service:other"]
    assert "others may read it" in caplog.text
    assert [str(each.actor) for each in read_tokens(None, {"STATEWARD_TOKEN": "t" * 16})] == ["http:token"]


@pytest.mark.parametrize(
    "text",
    [
        "", "token = 1", "[[token]]\nsecret = 'x'", "[[token]", f"[[token]]\nsecret='{SECRET}'\nactor='a'\nrole='x'",
        f"[[token]]\nsecret='{SECRET}'\nactor=7", "other = 1", f"[[token]]\n{SECRET}='service:shop'",
        f"token = []\n{SECRET}='service:shop'",
    ],
)  # fmt: skip
def test_a_file_of_tokens_that_says_something_else_is_told_without_its_secrets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(CallerError, match="token") as told:
        read_tokens(path, {})
    assert SECRET not in str(told.value)
    with pytest.raises(CallerError, match="can't be read"):
        read_tokens(tmp_path / "none.toml", {})
