"""The end of the demo: its API over a socket, as it says to ask it, and what it says where nothing can serve it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.demo.terminal import WAIT_S, Terminal
from tests.demo.test_show import DEMO, PROVIDER, children_of, has_ended

SERVED = "/records\n"
"""The end of what is said when it is served."""


def ask(command: str) -> httpx.Response:
    """What a curl line asks for."""
    program, *arguments = shlex.split(command)
    assert program == "curl"
    address = arguments.pop(-1 if "-d" not in arguments else next(n for n, a in enumerate(arguments) if "://" in a))
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
    with httpx.Client(timeout=WAIT_S, trust_env=False) as client:
        if arguments == ["-N"]:  # a stream: its first lines will do
            with client.stream("GET", address) as response:
                next(response.iter_lines())
                return response
        return client.request("POST" if "-d" in options else "GET", address, headers=headers, content=options.get("-d"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_it_says_to_ask_is_answered_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """On another port than the one that is asked for: somebody listens there."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Terminal(
            [*DEMO, "--orders", "30", "--port", str(taken.getsockname()[1]), "--db", str(tmp_path / "x.db")],
            columns=200,
            environment={},
        ) as terminal,
    ):
        text = terminal.read_until(SERVED)
        children = children_of(terminal.process, PROVIDER)
        assert f":{taken.getsockname()[1]}/" not in text
        [entity, why, ship, census, records] = [ask(line) for line in re.findall(r"^  (curl .*)$", text, re.MULTILINE)]
        assert entity.json()["state"] == "paid"
        assert why.json()["outcome"] == "illegal"
        assert ship.json()["state"] == "shipped"
        assert sum(census.json()["states"].values()) == 35
        assert records.status_code == 200
        metrics = ask(f"curl {records.url.copy_with(path='/metrics')}")
        assert 'fsm_entities_in_state{kind="Order",state="shipped"}' in metrics.text
        terminal.read_until("A-5   Notify, attempt 1")  # what it asks for is done, and told here
        if number == signal.SIGINT:
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(number)
        assert terminal.read_to_end() == 0
    assert terminal.text.endswith("Stopped.\n")
    assert all(map(has_ended, children))


def test_without_what_serves_it_says_what_to_install_and_that_is_all(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; sys.argv = ['stateward', 'demo', *sys.argv[1:]]\n"
        "from stateward.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "--orders", "30", "--db", str(tmp_path / "x.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"})
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(
        r"The HTTP API is not served: starlette[\w.]* is not installed: pip install 'stateward\[http\]'", last
    )
