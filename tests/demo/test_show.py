"""The whole demo as a user runs it: in a pipe, in a terminal, on PostgreSQL; interrupted, and killed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from stateward.demo.orders import OrderLifecycle, made_up_lives
from stateward.demo.screen import Screen
from stateward.demo.serving import program_of, without_password
from stateward.engine import Engine
from tests.demo.terminal import WAIT_S, Terminal

T = TypeVar("T")

ORDERS = 120
DEMO = [sys.executable, "-m", "stateward.cli", "demo"]
COLUMNS = {"COLUMNS": "100", "NO_COLOR": ""}


def demo(*arguments: object, code: int = 0, environment: dict[str, str] = COLUMNS) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*DEMO, *map(str, arguments)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A show in a pipe, from seed 3, and its ledger."""
    ledger = tmp_path_factory.mktemp("demo") / "shop.db"
    return ledger, demo("--once", "--orders", ORDERS, "--seed", 3, "--db", ledger)


def acts(text: str) -> list[str]:
    """What was printed, by act."""
    return re.split(r"^(?:\d\. .*|What .*)\n-+\n", text, flags=re.MULTILINE)


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins so."""
    lines = text[text.index(f"  {first}") :].splitlines()
    rows = lines[2 : lines.index("")]
    return [re.split(r"\s{2,}", row.strip()) for row in rows]


def test_an_order_lives_transition_by_transition(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, life, *_ = acts(shown[1].stdout)
    told = [re.sub(r"^ +[\d.]+ ", "", line).split() for line in life.splitlines() if re.match(r" +\d+\.\d{3} ", line)]
    ways = [(line[1], " ".join(line[2:-1])) for line in told if "attempt" not in line]
    assert ways == [
        ("Started", "pending"),
        ("Pay", "pending -> paying"),
        ("Charged", "paying -> paid"),
        ("Pay", "paid: nothing left to do"),
        ("Ship", "paid -> shipped"),
        ("Deliver", "shipped -> delivered"),
    ]


def test_a_refusal_is_explained(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    refusal = acts(shown[1].stdout)[2]
    assert "pending: refused, guarded" in refusal
    assert "pending -> paying: covers_total said no (event.amount = 100, context.total = 4200)" in refusal


def test_a_handler_fails_twice_and_succeeds(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    failures = acts(shown[1].stdout)[3]
    assert re.findall(r"Charge, attempt (\d): (.*)", failures) == [
        ("1", "the provider answers 503"),
        ("2", "the provider answers 503"),
        ("3", "done"),
    ]
    assert re.search(r"asked 3\s+times,\s+charged\s+once", failures)


def test_a_timer_fires(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    timer = acts(shown[1].stdout)[4]
    times = {event: float(at) for at, event in re.findall(r"^ +([\d.]+)  A-4   (\S+)", timer, flags=re.MULTILINE)}
    assert times["elapsed(lapse@held)"] - times["Reserve"] >= 2.0
    assert "held -> cancelled" in timer


def test_a_worker_is_killed_amid_a_charge_and_nothing_is_lost_or_doubled(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    killed = " ".join(acts(shown[1].stdout)[5].split())
    [first, second] = re.findall(r"Worker (\d+) ", killed)
    assert first != second
    assert f"kill -9 {first}: it ended with -9. A-5 is paying, and in its outbox is: Charge." in killed
    assert f"A-5 Charged paying -> paid worker {second}" in killed
    assert "asked twice, charged once" in killed
    with Engine(shown[0], lifecycles=[OrderLifecycle]) as engine:
        order = engine.get(OrderLifecycle, "A-5")
        assert (order.state, engine.pending(OrderLifecycle, "A-5")) == ("paid", [])
        [charged] = [each for each in engine.history(OrderLifecycle, "A-5") if each.event == "Charged"]
        assert charged.payload == {"payment": order.context.payment}
    assert not psutil.pid_exists(int(second))


def test_each_key_is_charged_once_in_the_provider_s_book(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    with sqlite3.connect(shown[0].with_name("shop-provider.db")) as book:
        doubled = book.execute("SELECT customer_order FROM payment GROUP BY 1 HAVING count(*) > 1").fetchall()
        payments = dict(book.execute("SELECT customer_order, payment FROM payment").fetchall())
        refunds = {payment for (payment,) in book.execute("SELECT payment FROM refund")}
        asked = book.execute("SELECT count(*), count(DISTINCT key) FROM asked WHERE what = 'charge'").fetchone()
    book.close()
    assert doubled == []
    assert asked[0] > asked[1]  # some were asked again
    with Engine(shown[0], lifecycles=[OrderLifecycle]) as engine:
        orders = {each.id: each for each in engine.list(OrderLifecycle)}
        assert list(engine.dead()) == []
    paid = {each.id: each.context.payment for each in orders.values() if each.context.payment}
    assert paid == payments
    assert refunds == {payments[each.id] for each in orders.values() if each.state == "refunded"}
    assert {each.state for each in orders.values()} <= {"pending", "paid", "delivered", "cancelled", "refunded"}


def test_the_tables_are_what_the_ledger_holds(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    text = shown[1].stdout
    states = {row[0]: [int(cell.replace(",", "")) for cell in row[1:3]] for row in table(text, "state ")}
    refused = {(row[0], row[1]): int(row[2]) for row in table(text, "refused in state")}
    with Engine(shown[0], lifecycles=[OrderLifecycle]) as engine:
        records = [each.record for each in engine.tail()]
        assert {state: now for state, (now, _) in states.items() if now} == engine.census(OrderLifecycle)
    assert sum(now for now, _ in states.values()) == ORDERS + 5
    moved = [each for each in records if each.outcome == "applied" and each.state_from is not None]
    assert sum(ended for _, ended in states.values()) == len(moved)
    assert sum(refused.values()) == sum(each.outcome == "rejected_invalid" for each in records)
    [[told]] = [re.findall(r"five orders above there are ([\d,]+):", " ".join(text.split()))]
    assert int(told.replace(",", "")) == len(records)
    lives = list(made_up_lives(ORDERS, 3))
    sent = [each for each in records if each.entity.startswith("B-") and each.source == "call"]
    assert len(sent) == len(lives) + sum(len(each.events) for each in lives)
    assert f"{sum(len(each.events) for each in lives):,} events sent" in " ".join(text.split())


def test_the_same_seed_comes_to_the_same_states(
    shown: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    again = demo("--once", "--orders", ORDERS, "--seed", 3, "--db", tmp_path / "again.db")
    for head in ("state ", "refused in state"):
        one, other = (
            [row[:3] for row in table(text, head)] for text in (shown[1].stdout, again.stdout)
        )  # fmt: skip
        assert one == other


def test_a_pipe_gets_no_control_characters_and_progress_in_lines(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    for text in (shown[1].stdout, shown[1].stderr):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
        assert text.isascii()
    assert shown[1].stderr.splitlines()[-1].startswith(f"{ORDERS} of {ORDERS} orders over, ")


def test_the_commands_to_try_next_run(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    commands = [shlex.split(line) for line in acts(shown[1].stdout)[-1].splitlines() if line.strip()]
    assert {each[0] for each in commands} == {"stateward"}
    assert [each[1] for each in commands] == ["show", "why", "tail", "doctor", "diagram"]
    for _, *arguments in commands:
        done = subprocess.run(
            [sys.executable, "-m", "stateward.cli", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == (3 if arguments[0] == "why" else 0), done.stderr  # why: it would be refused
        assert done.stdout


def test_the_program_is_told_so_that_it_can_be_called_again_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "stateward"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert program_of(str(program)) == "bin/stateward"
    monkeypatch.setenv("PATH", str(program.parent))
    assert program_of(str(program)) == "stateward"
    assert program_of("somewhere/__main__.py") == "stateward"


def test_on_postgresql(postgres_dsn: str) -> None:
    done = demo("--once", "--orders", 60, "--dsn", postgres_dsn)
    assert re.search(r"asked\s+twice,\s+charged\s+once", acts(done.stdout)[5])
    with Engine(postgres_dsn, lifecycles=[OrderLifecycle]) as engine:
        assert sum(engine.census(OrderLifecycle).values()) == 65
    again = demo("--once", "--dsn", postgres_dsn, code=2)
    assert "there are orders in" in again.stderr


def test_what_can_t_be_meant_is_told(tmp_path: Path) -> None:
    assert "exclude each other" in demo("--db", tmp_path / "x.db", "--dsn", "postgresql://x", code=2).stderr
    assert "is no PostgreSQL database" in demo("--once", "--dsn", "orders", code=2).stderr
    (tmp_path / "x-provider.db").touch()
    assert "x-provider.db exists" in demo("--db", tmp_path / "x.db", code=2).stderr
    assert "0 is not in the range" in demo("--orders", 0, code=2).stderr


def test_no_password_is_shown() -> None:
    assert without_password("postgresql://me:secret@host/name") == "postgresql://me:***@host/name"
    assert without_password("host=h password=secret dbname=d") == "host=h password=*** dbname=d"
    assert without_password("sqlite:////tmp/orders.db") == "sqlite:////tmp/orders.db"


# In a terminal.


@pytest.mark.parametrize(("columns", "no_color"), [(100, ""), (48, "1")])
def test_a_terminal_gets_colors_if_so_wished_lines_that_fit_and_progress_in_place(
    tmp_path: Path, columns: int, no_color: str
) -> None:
    environment = {"NO_COLOR": no_color, "COLUMNS": ""}
    with Terminal(
        [*DEMO, "--once", "--orders", "300", "--db", str(tmp_path / "x.db")], columns=columns, environment=environment
    ) as terminal:
        assert terminal.read_to_end() == 0
    assert bool(re.search(r"\x1b\[[\d;]+m", terminal.text)) is not bool(no_color)
    assert re.search(r"\r\d+ of 300 orders over, .*\x1b\[K\r", terminal.text)
    plain = re.sub(r"\x1b\[[\d;]*[mK]", "", terminal.text)
    events = re.findall(r"^ +\d+\.\d{3}  .*", plain, flags=re.MULTILINE)
    assert len(events) > 15
    assert max(map(len, events)) <= columns
    tables = re.findall(r"^  -+(?:  -+)+$", plain, flags=re.MULTILINE)
    assert len(tables) == 2
    assert max(map(len, tables)) <= columns
    assert max(len(each) for each in re.findall(r"\r([^\r\n]*orders over[^\r\n]*)", plain)) < columns


def children_of(process: subprocess.Popen[bytes], *modules: str) -> list[psutil.Process]:
    """All children of the process, once those that run these modules are among them."""
    return wait_for(lambda: _children(process, *modules), f"{modules} do not run")


def _children(process: subprocess.Popen[bytes], *modules: str) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    is_there = set(modules) <= {argument for each in found for argument in _arguments(each)}
    return found if is_there else []


def _arguments(process: psutil.Process) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_for(ask: Callable[[], T], problem: str) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + WAIT_S
    while not (found := ask()):
        assert time.monotonic() < deadline, problem
        time.sleep(0.01)
    return found


PROVIDER, WORKER = "stateward.demo.provider", "stateward.demo.worker"


def test_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    with Terminal(
        [*DEMO, "--orders", "200000", "--db", str(tmp_path / "x.db")], columns=100, environment={}
    ) as terminal:
        terminal.read_until("orders over")
        children = children_of(terminal.process, PROVIDER)
        terminal.press(b"\x03")
        assert terminal.read_to_end() == 130
    assert "Interrupted: all that was begun is ended." in terminal.text
    assert "Traceback" not in terminal.text
    assert all(map(has_ended, children))


def test_an_interrupt_that_python_drops_is_heeded_at_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised in a callback of the garbage collector goes nowhere; the demo went on to serve."""
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    before = signal.getsignal(signal.SIGINT)
    screen = Screen()
    with screen.heeding_interrupts():
        screen.check()
        thing: set[int] | None = set()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        thing = None
        assert reference() is None
        with pytest.raises(KeyboardInterrupt):
            screen.check()
    assert len(dropped) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_pipe_that_nobody_reads_any_more_ends_it(tmp_path: Path) -> None:
    command = [*DEMO, "--once", "--db", str(tmp_path / "x.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        children = children_of(process, PROVIDER)
        process.stdout.close()
        assert process.wait(WAIT_S) != 0  # what exactly is the same for all commands
        assert process.stderr.read() == b""
    assert all(map(has_ended, children))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_no_child_outlives_a_demo_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    with Terminal([*DEMO, "--once", "--db", str(tmp_path / "x.db")], columns=100, environment={}) as terminal:
        terminal.read_until("5. A worker")
        children_of(terminal.process, PROVIDER, WORKER)
        terminal.process.send_signal(signal.SIGSTOP)  # it starts no others
        children = children_of(terminal.process, PROVIDER)
        terminal.process.send_signal(number)
        terminal.process.send_signal(signal.SIGCONT)
        assert terminal.process.wait(WAIT_S) == -number
        wait_for(lambda: all(map(has_ended, children)), f"{children} go on")
