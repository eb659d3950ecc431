"""`stateward serve` as a process: what it says, what it serves, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event as ThreadEvent
from typing import Any

import httpx
import pytest

from stateward import AsyncEngine, Engine
from stateward.cli.serve import _serve
from stateward.http import Api
from stateward.http.serving import listen_on
from tests.http.services import WAIT_S, read_events
from tests.http.test_problems import GATE, ThingLifecycle
from tests.shop import OrderLifecycle

ROOT = Path(__file__).parent.parent.parent
SECRET = "s3cret-s3cret-s3cret"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "stateward.cli", "serve", *words]


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STATEWARD_")}
    return {**kept, "PYTHONPATH": paths, **more}


class Served:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process = process
        self.log: list[str] = []
        for line in process.stderr:
            self.log.append(line)
            if found := re.search(r"listening on (http://\S+)", line):
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.log))
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_S)

    def end(self, number: signal.Signals) -> int:
        """Have it end; its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end."""
        _, rest = self.process.communicate(timeout=WAIT_S)
        self.log.append(rest)
        return self.process.returncode


@contextmanager
def served(folder: Path, *words: str, **more: str) -> Generator[Served]:
    """`stateward serve` on a free port."""
    with subprocess.Popen(
        command("--port", "0", *words), cwd=folder, env=environment(**more), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            service = Served(process)
            with service.client:
                yield service
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("make", ["make", "make_async"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop_and_ends_its_streams(
    tmp_path: Path, make: str, number: signal.Signals
) -> None:
    with served(tmp_path, "--app", f"tests.shop:{make}") as service:
        made = service.client.post("/entities/Order", json={"id": "A"})
        assert made.status_code == 201
        with service.client.stream("GET", "/records") as response:
            events = read_events(response)
            next(each for each in events if "id" in each)
            service.process.send_signal(number)
            assert list(events) == []  # it ended, and as an answer ends
        assert service.wait() == 0, service.log
    assert service.process.stdout is not None
    with Engine(f"sqlite:///{tmp_path / 'shop.db'}", lifecycles=[OrderLifecycle]) as engine:
        assert engine.get(OrderLifecycle, "A").revision == 1


@pytest.mark.parametrize("make", ["make", "make_async"])
def test_it_works_too_if_it_is_asked_to(tmp_path: Path, make: str) -> None:
    with served(tmp_path, "--app", f"tests.shop:{make}", "--work") as service:
        service.client.post("/entities/Order", json={"id": "A"})
        service.client.post("/entities/Order/A/events", json={"event": "Buy"})
        with service.client.stream("GET", "/records") as response:
            charged = next(each for each in read_events(response) if '"event":"Charged"' in each.get("data", ""))
        assert '"state_to":"paid"' in charged["data"]
        told = service.client.get("/metrics")
        assert told.headers["content-type"].startswith("text/plain")
        assert 'fsm_entities_in_state{kind="Order",state="paid"} 1.0' in told.text
        assert "fsm_transitions_out_total{" in told.text
        assert "fsm_state_duration_seconds_bucket{" in told.text
        assert service.end(signal.SIGTERM) == 0, service.log


@pytest.mark.parametrize("kind", [Engine, AsyncEngine])
def test_its_worker_is_told_to_stop_while_the_last_requests_are_still_answered(kind: type[Any]) -> None:
    GATE.update(entered=ThreadEvent(), open=ThreadEvent())
    engine = kind("memory://", lifecycles=[ThingLifecycle])
    api = Api(engine)
    listener = listen_on(api, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/entities/Thing"

    async def main() -> int:
        serving = asyncio.create_task(
            _serve(engine, api, listener, work=True, grace=timedelta(seconds=WAIT_S), access_log=False)
        )
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            await client.post(url, json={"id": "A"})
            asked = asyncio.create_task(client.post(f"{url}/A/events", json={"event": "Touch"}))
            await asyncio.to_thread(GATE["entered"].wait, WAIT_S)
            assert engine.statistics().worker is not None
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(WAIT_S):
                while engine.statistics().worker is not None:
                    await asyncio.sleep(0)
            GATE["open"].set()
            answer = await asked
        await serving
        return answer.status_code

    try:
        assert asyncio.run(main()) == 200
    finally:
        GATE["open"].set()


def test_the_application_may_stand_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.stateward]\napp = "tests.shop:make"\n')
    with served(tmp_path, "--access-log") as service:
        assert service.client.get("/ready").json() == {"status": "ok"}
        assert service.end(signal.SIGTERM) == 0
    assert '"GET /ready HTTP/1.1" 200' in "".join(service.log)


def test_tokens_come_from_a_file_or_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'[[token]]\nsecret = "{SECRET}"\nactor = "service:shop"\n')
    path.chmod(0o600)
    other = SECRET[::-1]
    more = {"STATEWARD_TOKEN": other, "STATEWARD_TOKEN_ACTOR": "person:ann"}
    words = ("--app", "tests.shop:make", "--tokens", str(path), "--host", "0.0.0.0", "--allow-host", "api.example.com")
    with served(tmp_path, *words, "--log-level", "debug", **more) as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/lifecycles").status_code == 401
        for secret, actor in ((SECRET, "service:shop"), (other, "person:ann")):
            headers = {"authorization": f"Bearer {secret}", "host": "api.example.com"}
            assert httpx.post(f"{url}/entities/Order", json={"id": actor}, headers=headers).status_code == 201
            [record] = httpx.get(f"{url}/entities/Order/{actor}/history", headers=headers).json()["items"]
            assert record["actor"] == actor
        assert httpx.get(f"{url}/health", headers={"host": "evil.example"}).status_code == 421
        assert service.end(signal.SIGTERM) == 0
    assert SECRET not in "".join(service.log)
    assert other not in "".join(service.log)


def failed(folder: Path, *words: str, **more: str) -> tuple[int, str]:
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_what_keeps_it_from_serving_is_told(tmp_path: Path) -> None:
    app = ("--app", "tests.shop:make")
    code, told = failed(tmp_path, *app, "--host", "0.0.0.0")
    assert (code, "0.0.0.0 is reached from other machines: give tokens" in told) == (2, True)
    code, told = failed(tmp_path)
    assert (code, "name an application" in told) == (2, True)
    code, told = failed(tmp_path, *app, "--tokens", "none.toml")
    assert (code, "tokens can't be read" in told) == (2, True)
    code, told = failed(tmp_path, *app, STATEWARD_TOKEN="short")
    assert (code, "16 characters" in told, "short" in told.replace("too short", "")) == (2, True, False)
    code, told = failed(tmp_path, *app, "--allow-host", "*")
    assert (code, "needs tokens" in told) == (2, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, told = failed(tmp_path, *app, "--port", str(taken.getsockname()[1]))
    assert (code, "can't listen on 127.0.0.1" in told) == (2, True)


@pytest.mark.parametrize("make", ["make", "make_async"])
def test_a_ledger_that_is_away_is_exit_code_5(tmp_path: Path, make: str) -> None:
    code, told = failed(tmp_path, "--app", f"tests.shop:{make}", "--port", "0", SHOP_LEDGER="sqlite:////none/shop.db")
    assert code == 5, told


def test_without_the_extra_it_says_which_is_missing(tmp_path: Path) -> None:
    for package in ("starlette", "uvicorn"):
        hidden = tmp_path / f"without_{package}"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
        paths = os.pathsep.join([str(hidden), environment()["PYTHONPATH"]])
        code, told = failed(tmp_path, "--app", "tests.shop:make", PYTHONPATH=paths)
        assert (code, f"{package} is not installed: pip install 'stateward[http]'" in told) == (2, True), told
