"""The command as a process, on a terminal and in a pipe: colours, streams, exit codes, Ctrl-C, readers that go away."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stateward.engine import Creating, Engine
from tests.shop import Buy, Order, OrderLifecycle

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 60.0
HEAVY = {
    "asyncio", "sqlite3", "rich", "psycopg", "logging", "http", "starlette", "uvicorn", "httpx", "difflib", "tomllib",
    "stateward.engine", "stateward.ledger", "stateward.work", "stateward.scxml", "stateward.chart.lint",
}  # fmt: skip
"""What no help has any use for."""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a shop whose order A-17 was refused an event."""
    with Engine(tmp_path / "shop.db", lifecycles=[OrderLifecycle]) as engine:
        engine.create(OrderLifecycle, "B-1", Order(), actor="a")
        engine.create(OrderLifecycle, "A-17", Order(), actor="customer:9")
        engine.send(OrderLifecycle, "A-17", Buy(amount=5), actor="customer:9")
        engine.attempt(OrderLifecycle, "A-17", Buy(amount=6), actor="customer:9")
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("COV_", "STATEWARD_", "SHOP_")) and key not in ("NO_COLOR", "PYTHONDONTWRITEBYTECODE")
    }
    return kept | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "STATEWARD_APP": "tests.shop:make"} | more


def words(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stateward.cli", *arguments]


def in_pipe(folder: Path, *arguments: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words(*arguments), cwd=folder, env=environment(**more), capture_output=True, text=True, check=False,
        timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str, **more: str) -> None:
        self._control, terminal = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            words(*arguments), cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
            env=environment(TERM="xterm", COLUMNS="160", **more),
        )  # fmt: skip
        os.close(terminal)

    def read_until(self, wanted: str | None) -> str:
        """What is shown until it holds a text, or the command has ended."""
        deadline = time.monotonic() + WAIT_S
        while wanted is None or wanted not in self.text:
            ready, _, _ = select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self.text
            try:
                data = os.read(self._control, 65_536)
            except OSError:  # of a terminal that nobody has open any more
                break
            if not data:
                break
            self.text += data.decode()
        return self.text

    def end(self) -> int:
        """What it exits with; all that it has shown is read."""
        self.read_until(None)
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT_S)
        os.close(self._control)


@pytest.fixture
def terminal(shop: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, **more: str) -> Terminal:
        opened.append(Terminal(shop, *arguments, **more))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_on_a_terminal_what_matters_is_coloured(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("show", "Order", "A-17")
    assert shown.end() == 0
    assert "\x1b[31m" in next(line for line in shown.text.splitlines() if "refused in charging" in line)
    tail = terminal("tail", "-n", "3")
    assert tail.end() == 0
    assert re.search(r"\x1b\[31mOrder A-17 2  Buy  charging: rejected_invalid \(illegal\)  customer:9", tail.text)
    assert re.match(r"\x1b\[1m\d{4}-\d\d-\d\d UTC\x1b\[0m\r\n", tail.text), "the day is told once"
    refused = terminal("send", "Order", "A-17", "Buy")
    assert refused.end() == 3
    assert "Error: Order in charging refused Buy (illegal)" in refused.text
    listed = terminal("list", "Order", "--limit", "1")
    assert listed.end() == 0
    assert "│ A-17" in listed.text


def test_without_colour_a_terminal_gets_none(terminal: Callable[..., Terminal]) -> None:
    for arguments in (("show", "Order", "A-17"), ("tail", "-n", "3"), ("list", "Order", "--limit", "1")):
        shown = terminal(*arguments, NO_COLOR="1")
        assert shown.end() == 0
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown.text), "no colour"
        assert "A-17" in shown.text


def test_in_a_pipe_all_is_plain_and_data_are_apart_from_talk(shop: Path) -> None:
    shown = in_pipe(shop, "show", "Order", "A-17")
    assert "\x1b" not in shown.stdout
    assert shown.stderr == ""
    listed = in_pipe(shop, "list", "Order", "--limit", "1", "-o", "json")
    assert [each["id"] for each in json.loads(listed.stdout)] == ["A-17"]
    assert listed.stderr == "these are the first 1, and there are more: --limit 0 shows all\n"
    refused = in_pipe(shop, "send", "Order", "A-17", "Buy", "-o", "json", code=3)
    assert json.loads(refused.stdout)["refusal"] == "illegal"
    assert refused.stderr.startswith("Error: Order in charging refused Buy")
    sent = in_pipe(shop, "send", "Order", "A-17", "Charged", "-o", "jsonl")
    assert (json.loads(sent.stdout)["state"], sent.stderr) == ("paid", "")


def test_a_reader_that_goes_away_is_no_error(shop: Path) -> None:
    with Engine(shop / "shop.db", lifecycles=[OrderLifecycle]) as engine:
        engine.create_many(
            [
                Creating(lifecycle=OrderLifecycle, entity=f"C-{n:04}{'x' * 400}", context=Order(), actor="a")
                for n in range(500)
            ]
        )
    for arguments in (("list", "Order", "-o", "jsonl"), ("list", "Order"), ("tail", "--all", "-o", "jsonl")):
        with subprocess.Popen(
            words(*arguments), cwd=shop, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(1)
            process.stdout.close()  # there is more than a pipe holds
            told = process.stderr.read().decode()
            assert process.wait(WAIT_S) == 141, told
        assert told == ""


def test_an_output_that_takes_nothing_is_told(shop: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words("list", "Order"), cwd=shop, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, timeout=WAIT_S,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (5, "Error: [Errno 28] No space left on device\n")
    shell = " ".join(shlex.quote(each) for each in words("list", "Order"))
    done = subprocess.run(
        f"{shell} >&-", shell=True, cwd=shop, env=environment(), stderr=subprocess.PIPE, text=True, check=False,
        timeout=WAIT_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_a_command_with_130_and_without_a_traceback(shop: Path, terminal: Callable[..., Terminal]) -> None:
    os.mkfifo(shop / "slow.pipe")
    (shop / "slow_app.py").write_text("print('begun', flush=True)\nopen('slow.pipe').read()\n")
    shown = terminal("list", "Order", "--app", "slow_app:engine")
    shown.read_until("begun")
    os.killpg(shown.process.pid, signal.SIGINT)
    assert shown.end() == 130
    assert shown.text.split() == ["begun", "Interrupted"]


def test_ctrl_c_is_how_a_tail_on_a_terminal_ends(shop: Path, terminal: Callable[..., Terminal]) -> None:
    for app in ("tests.shop:make", "tests.shop:make_async"):
        tail = terminal("tail", "-f", "-n", "1", "--app", app)
        tail.read_until("Order ")
        with Engine(shop / "shop.db", lifecycles=[OrderLifecycle]) as engine:
            engine.create(OrderLifecycle, f"new-{app[-5:]}", Order(), actor="a")
        tail.read_until(f"new-{app[-5:]}")
        os.killpg(tail.process.pid, signal.SIGINT)
        assert tail.end() == 0
        assert "cursor: " in tail.text
        assert "Traceback" not in tail.text


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        "import sys\n"
        f"sys.argv = ['stateward', *{list(arguments)!r}]\n"
        "from stateward.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, check=True,
        timeout=WAIT_S,
    )  # fmt: skip
    assert done.stdout.startswith("Usage: stateward")
    return set(done.stderr.split())


def test_no_help_loads_what_only_work_needs(tmp_path: Path) -> None:
    assert HEAVY & loaded_by(tmp_path, "--help") == set()


def test_no_help_of_a_command_loads_what_only_work_needs(tmp_path: Path) -> None:
    """In one process, one after the other: what any of them loads is seen."""
    from stateward.cli import _COMMANDS

    names = list(_COMMANDS)
    code = (
        "import sys\n"
        "from stateward.cli import root_group\n"
        f"for name in {names!r}:\n"
        "    try: root_group().main([name, '--help'], prog_name='stateward')\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
        timeout=WAIT_S,
    )  # fmt: skip
    assert done.stdout.count("Usage: stateward ") == len(names)
    assert HEAVY & set(done.stderr.split()) == set()


def test_every_command_shows_examples() -> None:
    import click

    from stateward.cli import root_group

    def walk(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                found: Any = command.get_command(click.Context(command), name)
                yield from walk(found, f"{path} {name}")
        else:
            yield path, command.help or ""

    helps = dict(walk(root_group(), "stateward"))
    assert len(helps) >= 30
    assert [
        name for name, text in helps.items() if not re.search(rf"^\s+(\w+=\S+ |eval \"\$\()?{name} ", text, re.M)
    ] == []
