"""The commands of operators: what they print, do and exit with; and workers as processes, stopped and killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from stateward.cli import _COMMANDS, _group
from stateward.engine import Engine
from tests.shop import Buy, Charge, Order, OrderLifecycle, charge, make, make_async

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 30.0
APP = ("--app", "tests.shop:make")
WHO = ("--actor", "operator:ann")
WHY = ("--reason", "the provider is down", *WHO)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, where no application is named by anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("STATEWARD_APP", "STATEWARD_LEDGER", "STATEWARD_ACTOR", "SHOP_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def shop(here: Path) -> Path:
    """The SQLite file of a shop: two bad orders that are dead letters, one that is charging, one that is pending."""
    path = here / "shop.db"
    fill(str(path))
    return path


def fill(address: str) -> None:
    with Engine(address, lifecycles=[OrderLifecycle]) as engine:
        engine.handles(Charge)(charge)
        buy(engine, "bad-1", "bad-2")
        engine.drain()
        buy(engine, "good")
        engine.create(OrderLifecycle, "new", Order(), actor="a")


def drain() -> None:
    with make() as engine:
        engine.drain()


def buy(engine: Engine, *orders: str) -> None:
    for each in orders:
        engine.create(OrderLifecycle, each, Order(), actor="a")
        engine.send(OrderLifecycle, each, Buy(amount=5), actor="a")


def looking(path: Path | str) -> Engine:
    return Engine(path, lifecycles=[OrderLifecycle])


def state_of(path: Path, order: str) -> str:
    with looking(path) as engine:
        return engine.get(OrderLifecycle, order).state


def run(*arguments: str | Path, code: int = 0) -> Result:
    """Run a command, and hold what it exits with against what it should."""
    done = CliRunner().invoke(_group, [str(each) for each in arguments], prog_name="stateward")
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "-o", "json").stdout)
    return found


# Naming the application


def test_the_application_is_named_by_option_environment_or_pyproject(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(rows("dead", "--app", "tests.shop:make")) == 2
    assert len(rows("dead", "--app", "tests.shop:make_async")) == 2
    Path("pyproject.toml").write_text('[tool.stateward]\napp = "tests.shop:make"\n')
    assert len(rows("dead")) == 2
    monkeypatch.setenv("STATEWARD_APP", "nowhere:engine")
    assert "nowhere can't be imported" in run("dead", code=2).stderr
    assert len(rows("dead", "--app", "tests.shop:make")) == 2
    monkeypatch.delenv("STATEWARD_APP")
    Path("wares.py").write_text("from tests.shop import make\nclass web:\n    engine = make()\n")
    assert len(rows("dead", "--app", "wares:web.engine")) == 2


def test_a_ledger_by_option_comes_before_all_and_one_by_environment_before_an_application(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATEWARD_APP", "nowhere:engine")
    assert len(rows("dead", "--ledger", shop)) == 2
    monkeypatch.setenv("STATEWARD_LEDGER", f"sqlite:///{shop}")
    assert len(rows("dead")) == 2
    monkeypatch.setenv("STATEWARD_LEDGER", "nowhere.db")
    assert len(rows("dead", "--app", "tests.shop:make")) == 2
    assert "exclude each other" in run("dead", "--app", "tests.shop:make", "--ledger", shop, code=2).stderr


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ("tests.shop", "'tests.shop' names no engine: write module:engine, shop.app:engine"),
        (":engine", "names no engine"),
        ("tests/shop.py:engine", "is no module's name"),
        ("tests.nowhere:engine", "tests.nowhere can't be imported: ModuleNotFoundError"),
        ("tests.shop:nothing", "tests.shop:nothing is nothing; an Engine, an AsyncEngine, or a function"),
        ("tests.shop:timedelta.max.days", "is a int; an Engine"),
        ("tests.shop:make_later", "is a coroutine function"),
        ("tests.shop:make_with", "can't be called without arguments: missing a required argument: 'address'"),
        ("tests.shop:make_none", "makes a int"),
        ("tests.shop:make_broken", "raised KeyError: 'SHOP_NOWHERE'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "dead"])
def test_what_is_no_application_is_a_usage_error(here: Path, command: str, app: str, problem: str) -> None:
    assert problem in run(command, "--app", app, code=2).stderr


def test_the_engines_of_a_module_are_told_where_another_name_is_given(shop: Path) -> None:
    Path("stall.py").write_text("from tests.shop import make\nengine = make()\n")
    assert "is nothing; an Engine, an AsyncEngine, or a function that makes one is wanted; stall has stall:engine" in (
        run("dead", "--app", "stall:motor", code=2).stderr
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.stateward]\napp = 7\n", "app is 7, and no text"),
        ("tool = 1\n", "pyproject.toml can't be read"),
        ("[tool\n", "pyproject.toml can't be read"),
        ('[tool.other]\napp = "tests.shop:make"\n', "name an application"),
    ],
)
def test_what_pyproject_says_wrongly_is_a_usage_error(here: Path, text: str, problem: str) -> None:
    Path("pyproject.toml").write_text(text)
    assert problem in run("run", code=2).stderr
    assert problem in run("pause", code=2).stderr


@pytest.mark.parametrize("command", [["run"], ["dead"], ["repair", "Order", "new", "paid", *WHY]])
def test_a_ledger_that_is_away_is_exit_code_5(here: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the ledger is on holiday" in run(*command, "--app", "tests.shop:make_away", code=5).stderr
    monkeypatch.setenv("SHOP_LEDGER", "nowhere/shop.db")
    for app in ("make", "make_async"):
        assert "unable to open database file" in run(*command, "--app", f"tests.shop:{app}", code=5).stderr
    Path("away.py").write_text("from tests.shop import make\nengine = make()\n")
    assert "unable to open database file" in run(*command, "--app", "away:engine", code=5).stderr


def test_looking_makes_no_ledger_and_changes_none(here: Path) -> None:
    for command in (["dead"], ["pause"], ["timers", "Order"], ["pending", "Order", "x"]):
        assert "there is no file shop.db" in run(*command, "--ledger", "shop.db", code=5).stderr
    assert list(here.iterdir()) == []
    Path("other.db").touch()
    assert "run `stateward db upgrade`" in run("dead", "--ledger", "other.db", code=2).stderr
    assert Path("other.db").read_bytes() == b""
    fill("shop.db")
    before = Path("shop.db").read_bytes()
    for command in (
        ["dead"],
        ["retry", "--all"],
        ["timers", "Order"],
        ["pause"],
        ["pause", "--kind", "Order", *WHY],
        ["repair", "Order", "new", "paid", "tests.shop", *WHY],
    ):
        run(*command, "--ledger", "shop.db")
    assert Path("shop.db").read_bytes() == before


def test_what_is_no_text_is_a_usage_error(shop: Path) -> None:
    assert "is no text that can be kept" in run("dead", "--ledger", shop, "--entity", "\udcff", code=2).stderr


# dead, retry


def test_dead_letters_are_listed(shop: Path) -> None:
    first, second = rows("dead", *APP)
    assert (first["entity"], second["entity"]) == ("bad-1", "bad-2")
    assert (first["kind"], first["effect"], first["attempts"], first["payload"]) == (
        "Order",
        "Charge",
        1,
        {"amount": 5},
    )
    assert first["error"] == "no money\nfor bad-1"
    head, _, *lines = run("dead", "--ledger", shop).stdout.splitlines()
    assert head.split() == ["key", "kind", "entity", "effect", "attempts", "died", "at", "error"]
    assert [line.split()[0] for line in lines] == [first["key"], second["key"]]
    assert lines[0].endswith("Z  no money")


def test_dead_letters_are_chosen_and_limited(shop: Path) -> None:
    assert [each["entity"] for each in rows("dead", *APP, "--entity", "bad-2")] == ["bad-2"]
    assert rows("dead", *APP, "--effect", "Refund") == rows("dead", *APP, "--kind", "Parcel") == []
    assert run("dead", *APP, "--effect", "Refund").stdout == "no dead letters\n"
    done = run("dead", *APP, "--limit", "1", "-o", "jsonl")
    assert json.loads(done.stdout)["entity"] == "bad-1"
    assert done.stderr == "these are the first 1, and there are more: --limit 0 shows all\n"
    assert run("dead", *APP, "--limit", "2", "-o", "jsonl").stderr == ""
    assert len(rows("dead", *APP, "--limit", "0")) == 2


def test_dead_letters_are_counted_by_what_they_died_of(shop: Path) -> None:
    [group] = rows("dead", *APP, "--group")
    oldest = rows("dead", *APP)[0]["died_at"]
    assert group == {"kind": "Order", "effect": "Charge", "error": "no money", "count": 2, "oldest": oldest}
    [row] = run("dead", *APP, "--group").stdout.splitlines()[2:]
    assert re.fullmatch(r"Order +Charge +no money +2 +\S+Z", row)


def test_retry_is_a_dry_run_until_it_is_to_apply(shop: Path) -> None:
    done = run("retry", "--all", *APP)
    assert done.stdout.splitlines()[2].split()[:5] == ["Order", "Charge", "no", "money", "2"]
    assert done.stdout.endswith("\n2 dead letters would be put back; --apply does it\n")
    assert len(rows("dead", *APP)) == 2
    assert run("retry", "--all", *APP, "--apply").stdout.endswith("\n2 dead letters put back\n")
    assert rows("dead", *APP) == []
    [pending] = rows("pending", "Order", "bad-1", *APP)
    assert (pending["attempts"], pending["last_error"]) == (0, "no money\nfor bad-1")
    assert run("retry", "--all", *APP, "--apply").stdout == "no dead letters\n"


def test_retry_by_key_is_all_or_nothing(shop: Path) -> None:
    first, second = (each["key"] for each in rows("dead", *APP))
    done = run("retry", first, "nowhere:0", *APP, "--apply", code=4)
    assert done.stderr == "Error: there is no dead letter nowhere:0\n"
    assert len(rows("dead", *APP)) == 2
    done = run("retry", first, first, "--ledger", shop, "--apply", "-o", "json")
    assert [each["count"] for each in json.loads(done.stdout)] == [1]
    assert done.stderr == "1 dead letter put back\n"
    assert [each["key"] for each in rows("dead", *APP)] == [second]


@pytest.mark.parametrize("app", ["tests.shop:make", "tests.shop:make_async"])
def test_retry_by_a_choice_and_at_a_rate(shop: Path, app: str) -> None:
    assert run("retry", "--effect", "Refund", "--app", app).stdout == "no dead letters\n"
    done = run("retry", "--effect", "Charge", "--kind", "Order", "--rate", "0.1", "--app", app)
    assert done.stdout.endswith(
        "\n2 dead letters would be put back, 0.1 a second, the last in 0:00:10; --apply does it\n"
    )
    before = datetime.now(UTC)
    run("retry", "--effect", "Charge", "--rate", "0.1", "--app", app, "--apply")
    after = datetime.now(UTC)
    first, second = (rows("pending", "Order", each, "--app", app)[0]["next_attempt"] for each in ("bad-1", "bad-2"))
    assert before <= datetime.fromisoformat(first) <= after
    assert datetime.fromisoformat(second) - datetime.fromisoformat(first) == timedelta(seconds=10)


def test_retry_puts_back_each_letter_once_though_they_die_again_meanwhile(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.engine.working.PAGE_SIZE", 1)
    revive = Engine._do

    def die_again(engine: Engine, make: Callable[[], Any]) -> Any:
        count = revive(engine, make)
        engine.drain()
        return count

    monkeypatch.setattr(Engine, "_do", die_again)
    assert run("retry", "--all", *APP, "--apply").stdout.endswith("\n2 dead letters put back\n")
    assert len(rows("dead", *APP)) == 2
    with make() as engine:
        assert engine.retry(engine.dead()) == 2
        assert len(list(engine.dead())) == 2


def test_retry_of_tasks_puts_back_each_letter_once_too(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("working_async", "working"):
        monkeypatch.setattr(f"stateward.engine.{name}.PAGE_SIZE", 1)

    async def put_back() -> int:
        async with make_async() as engine:
            do = engine._do

            async def die_again(made: Callable[[], Any]) -> Any:
                count = await do(made)
                await asyncio.to_thread(drain)
                return count

            monkeypatch.setattr(engine, "_do", die_again)
            return await engine.retry(engine.dead())

    assert asyncio.run(put_back()) == 2
    assert len(rows("dead", *APP)) == 2


@pytest.mark.parametrize(
    "choice", [[], ["--all", "--kind", "Order"], ["key:0", "--all"], ["key:0", "--effect", "Charge"]]
)
def test_retry_must_be_told_which(shop: Path, choice: list[str]) -> None:
    assert "say which: KEYs" in run("retry", *choice, *APP, code=2).stderr
    run("retry", "--all", "--rate", "0", *APP, code=2)


# pending, timers


def test_what_an_entity_waits_for_is_listed(shop: Path) -> None:
    [pending] = rows("pending", "Order", "good", "--ledger", shop)
    assert (pending["effect"], pending["attempts"], pending["next_attempt"]) == ("Charge", 0, None)
    [row] = run("pending", "Order", "good", *APP).stdout.splitlines()[2:]
    assert row.split() == [pending["key"], "Charge", "0", "-", "-"]
    assert run("pending", "Order", "new", *APP).stdout == "Order new has no effects that are not done\n"


def test_what_else_keeps_an_entity_is_told(shop: Path) -> None:
    """Who asks why an order goes no further is told of what is paused, and of what was given up."""
    assert run("pending", "Order", "good", *APP).stderr == ""
    assert (
        run("pending", "Order", "bad-1", *APP).stderr == "given up: 1, see stateward dead --kind Order --entity bad-1\n"
    )
    with looking(shop) as engine:
        engine.pause(effect="Charge", reason="the provider is down", actor="op:ann")
        engine.pause(effect="Refund", reason="another one", actor="op:ann")
    told = run("pending", "Order", "good", "-o", "json", *APP).stderr
    assert re.fullmatch(r"paused since \S+Z: the effects Charge, by op:ann: the provider is down\n", told)
    assert run("pending", "Order", "new", *APP).stderr == ""
    with looking(shop) as engine:
        engine.pause(kind="Order", reason="an incident", actor="op:ann")
    told = run("pending", "Order", "new", *APP).stderr
    assert re.fullmatch(r"paused since \S+Z: the kind Order, by op:ann: an incident\n", told)


def test_timers_are_listed(shop: Path) -> None:
    timers = rows("timers", "Order", "--ledger", shop)
    assert [(each["entity"], each["name"]) for each in timers] == [
        ("bad-1", "lapse@charging"),
        ("bad-2", "lapse@charging"),
        ("good", "lapse@charging"),
        ("new", "expire@pending"),
    ]
    [row] = run("timers", "Order", "--entity", "new", *APP).stdout.splitlines()[2:]
    assert re.fullmatch(r"new +expire@pending +\S+Z +1", row)
    assert run("timers", "Order", "--due-before", "now", *APP).stdout == "no timers of Order due by then\n"
    due_at = datetime.fromisoformat(timers[1]["due_at"]).isoformat()
    assert [each["entity"] for each in rows("timers", "Order", "--due-before", due_at, *APP)] == ["bad-1", "bad-2"]
    assert run("timers", "Parcel", "--ledger", shop).stdout == "no timers of Parcel\n"
    assert "--limit 0 shows all" in run("timers", "Order", "--limit", "3", *APP).stderr


@pytest.mark.parametrize(("time", "problem"), [("soon", "is no time"), ("2026-07-01T12:00:00", "has no offset")])
def test_a_time_that_cannot_be_read_is_a_usage_error(shop: Path, time: str, problem: str) -> None:
    assert problem in run("timers", "Order", "--due-before", time, *APP, code=2).stderr


# pause, resume


@pytest.mark.parametrize("scope", [("--kind", "Order"), ("--effect", "Charge")])
@pytest.mark.parametrize("where", [APP, ("--app", "tests.shop:make_async"), ("--ledger", "shop.db")])
def test_a_pause_is_recorded_and_ends(shop: Path, scope: tuple[str, str], where: tuple[str, str]) -> None:
    assert run("pause", *where).stdout == "nothing is paused\n"
    done = run("pause", *where, *scope, *WHY)
    assert done.stdout.startswith("would pause the ")
    assert done.stdout.endswith(f" {scope[1]}, by operator:ann: the provider is down; --apply does it\n")
    assert rows("pause", *where) == []
    assert run("pause", *where, *scope, *WHY, "--apply").stdout.startswith("paused the ")
    [pause] = rows("pause", *where)
    assert (pause["scope"], pause["name"]) == (scope[0].strip("-"), scope[1])
    assert (pause["reason"], pause["paused_by"]) == ("the provider is down", "operator:ann")
    with looking(shop) as engine:
        engine.handles(Charge)(charge)
        engine.drain()
        assert engine.get(OrderLifecycle, "good").state == "charging"
    for more in ((), ("--apply",)):
        again = run("pause", *where, *scope, *WHY, *more, code=4)
        assert re.search(r" is paused already since \S+Z, by operator:ann: the provider is down\n$", again.stderr)
        assert again.stdout == ""
    assert " would go on, paused since " in run("resume", *where, *scope, "--actor", "operator:bob").stdout
    assert len(rows("pause", *where)) == 1
    assert " goes on; it was paused since " in run("resume", *where, *scope, "--actor", "op:bob", "--apply").stdout
    assert rows("pause", *where) == []
    assert run("resume", *where, *scope, *WHO, "--apply", code=4).stderr.endswith(f" {scope[1]} is not paused\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["pause", "--kind", "Order", "--effect", "Charge", *WHY], "name either a kind (--kind) or a type"),
        (["pause", *WHY], "say what is to be paused"),
        (["pause", "--apply"], "say what is to be paused"),
        (["pause", "--kind", "Order", *WHO], "Missing option '--reason'"),
        (["pause", "--kind", "Order", "--reason", "x"], "Missing option '--actor'"),
        (["resume", *WHO], "name either a kind (--kind) or a type"),
        (["resume", "--kind", "Order"], "Missing option '--actor'"),
    ],
)
def test_who_and_why_and_what_must_be_said(shop: Path, arguments: list[str], problem: str) -> None:
    assert problem in run(*arguments, "--ledger", shop, code=2).stderr


def test_who_may_be_named_by_the_environment(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEWARD_ACTOR", "operator:eve")
    run("pause", "--kind", "Order", "--reason", "x", *APP, "--apply")
    assert rows("pause", *APP)[0]["paused_by"] == "operator:eve"


def test_a_kind_that_the_application_does_not_have_is_told(shop: Path) -> None:
    done = run("pause", "--kind", "Oder", *WHY, *APP)
    assert done.stderr == "the application has no lifecycle of the kind Oder, but Order\n"
    assert run("pause", "--kind", "Oder", *WHY, "--ledger", shop).stderr == ""
    done = run("pause", "--effect", "Chrage", *WHY, *APP)
    assert done.stderr == "the application handles no effects Chrage, but Charge\n"
    assert run("pause", "--effect", "Charge", *WHY, *APP).stderr == ""
    assert run("pause", "--effect", "Chrage", *WHY, "--ledger", shop).stderr == ""


# repair


@pytest.mark.parametrize("app", ["tests.shop:make", "tests.shop:make_async"])
def test_a_repair_shows_what_would_change_and_then_does_it(shop: Path, app: str) -> None:
    words = ("repair", "Order", "new", "charging", "--app", app, *WHY)
    first, *table, last = run(*words).stdout.splitlines()
    assert re.fullmatch(r"Order new is in pending, at revision 1 since \S+Z, on version 1", first)
    assert [re.sub(r"\S+Z", "T", re.sub(" +", " ", row)) for row in table[2:]] == [
        "leaves pending entered T",
        "enters charging -",
        "cancels timer expire@pending due T",
        "sets timer lapse@charging due 1:00:00 later",
    ]
    assert last == "nothing is changed; --apply does it"
    assert state_of(shop, "new") == "pending"
    [plan] = rows(*words)
    assert plan == {
        "kind": "Order", "entity": "new", "version": 1, "revision": 1, "state": "pending", "to": "charging",
        "left": ["pending"], "entered": ["charging"], "timers_cancelled": ["expire@pending"],
        "timers_set": [{"name": "lapse@charging", "delay_s": 3600.0}], "is_applied": False, "record": None,
    }  # fmt: skip
    done = run(*words, "--apply").stdout.splitlines()
    assert done[0].startswith("Order new was in pending, at revision 1 ")
    with looking(shop) as engine:
        *_, record = engine.history(OrderLifecycle, "new")
        assert [each.name for each in engine.timers(OrderLifecycle, "new")] == ["lapse@charging"]
    assert done[-1] == f"repaired: it is in charging, at revision 2, by record {record.id}"
    assert (record.source, record.reason, str(record.actor)) == ("repair", "the provider is down", "operator:ann")


def test_a_repair_to_where_it_is(shop: Path) -> None:
    done = run("repair", "Order", "new", "pending", *APP, *WHY).stdout
    assert "it is there already: no state is left or entered\n" in done


def test_a_repair_by_targets_registers_no_version(shop: Path) -> None:
    Path("second.py").write_text(
        "from tests.shop import Order, Buy\nfrom stateward import Lifecycle, State, on\n"
        "class Newer(Lifecycle[Order]):\n    kind = 'Order'\n    version = 2\n    pending = State(initial=True)\n"
        "    gone = State()\n    buy = on(Buy, pending.to(gone))\n"
    )
    words = ("repair", "Order", "new", "paid", "second", "tests.shop", "--ledger", shop, *WHY)
    [plan] = rows(*words)
    assert (plan["version"], plan["to"]) == (1, "paid")
    run(*words, "--apply")
    assert state_of(shop, "new") == "paid"
    with looking(shop) as engine:
        assert engine.get(OrderLifecycle, "new").revision == 2
    import sqlite3

    connection = sqlite3.connect(shop)
    assert connection.execute("SELECT kind, version FROM lifecycle").fetchall() == [("Order", 1)]
    connection.close()


def test_a_repair_of_what_moved_meanwhile_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Engine.timers

    def move(engine: Engine, *given: Any, **more: Any) -> Any:
        engine.send(OrderLifecycle, "new", Buy(), actor="a")
        return look(engine, *given, **more)

    monkeypatch.setattr(Engine, "timers", move)
    done = run("repair", "Order", "new", "paid", *APP, *WHY, "--apply")
    assert done.stderr == "it had moved meanwhile, to revision 2: see its history\n"


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["Order", "nobody", "paid", *APP, *WHY], 4, "there is no Order nobody"),
        (["Order", "nobody", "paid", "tests.shop", "--ledger", "shop.db", *WHY], 4, "there is no Order nobody"),
        (["Order", "new", "sold", *APP, *WHY], 2, "sold"),
        (["Parcel", "new", "paid", *APP, *WHY], 2, "there is no lifecycle of the kind Parcel; these are: Order"),
        (["Order", "new", "paid", "stateward.demo.incidents", "--ledger", "shop.db", *WHY], 2, "these are: none"),
        (["Order", "new", "paid", "tests.nowhere", "--ledger", "shop.db", *WHY], 2, "tests.nowhere can't be imported"),
        (["Order", "new", "paid", "--ledger", "shop.db", *WHY], 2, "a repair needs the lifecycle"),
        (["Order", "new", "paid", "tests.shop", *WHY], 2, "TARGETs need --ledger"),
        (["Order", "new", "paid", "tests.shop", *APP, *WHY], 2, "--app and TARGETs exclude each other"),
        (["Order", "new", "paid", *APP, *WHO], 2, "Missing option '--reason'"),
        (["Order", "new", "paid", *APP, "--reason", "x"], 2, "Missing option '--actor'"),
        (["Order", "new", "paid", "--app", "guarded:engine", *WHY, "--apply"], 3, "(unauthorized)"),
    ],
)  # fmt: skip
def test_a_repair_that_cannot_be_is_told(shop: Path, arguments: list[str], code: int, problem: str) -> None:
    Path("guarded.py").write_text(
        "from stateward.engine import Engine\nfrom tests.shop import OrderLifecycle\n"
        "def may(actor, *_):\n    return actor.kind != 'operator'\n"
        "def engine():\n    return Engine('shop.db', lifecycles=[OrderLifecycle], authorize=may)\n"
    )
    done = run("repair", *arguments, code=code)
    assert problem in done.stderr
    assert done.stdout == ""
    assert state_of(shop, "new") == "pending"


# On a server


@pytest.mark.usefixtures("here")
def test_dead_letters_and_pauses_on_postgres(postgres_dsn: str) -> None:
    run("db", "upgrade", "--ledger", postgres_dsn)
    fill(postgres_dsn)
    where = ("--ledger", postgres_dsn)
    assert [each["entity"] for each in rows("dead", *where)] == ["bad-1", "bad-2"]
    assert [each["count"] for each in rows("dead", *where, "--group")] == [2]
    assert len(rows("timers", "Order", *where)) == 4
    run("pause", *where, "--effect", "Charge", *WHY, "--apply")
    assert [each["name"] for each in rows("pause", *where)] == ["Charge"]
    assert "is paused already since" in run("pause", *where, "--effect", "Charge", *WHY, code=4).stderr
    run("resume", *where, "--effect", "Charge", *WHO, "--apply")
    assert rows("pause", *where) == []
    [key, _] = [each["key"] for each in rows("dead", *where)]
    assert run("retry", key, *where, "--apply").stdout.endswith("\n1 dead letter put back\n")
    assert [each["entity"] for each in rows("dead", *where)] == ["bad-2"]
    assert rows("pending", "Order", "bad-1", *where)[0]["key"] == key
    run("repair", "Order", "new", "paid", "tests.shop", *where, *WHY, "--apply")
    with looking(postgres_dsn) as engine:
        assert engine.get(OrderLifecycle, "new").state == "paid"


# run


class Worker:
    """`stateward run` in a process of its own; what it logs is waited for."""

    def __init__(self, folder: Path, *options: str, app: str = "tests.shop:make") -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COV_")}
        environment |= {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        words = [sys.executable, "-m", "stateward.cli", "run", "--app", app, "--lease", "2", "--poll", "0.1", *options]
        self.process = subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        self.log: list[str] = []
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self._lines.put(line.rstrip())
        self._lines.put("")

    def next_line(self) -> str:
        """The next line; empty at the end."""
        line = self._lines.get(timeout=WAIT_S)
        self.log.append(line)
        return line

    def wait_for(self, text: str) -> str:
        """The next line that holds a text."""
        while text not in (line := self.next_line()):
            assert line, "\n".join(self.log)
        return line

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Tell it to stop, and wait until it has heard it."""
        self.process.send_signal(number)
        self.wait_for("stopping: ")

    def end(self) -> int:
        """What it exits with; everything that it has logged is there then."""
        code = self.process.wait(WAIT_S)
        while self.next_line():
            pass
        return code


Start = Callable[..., Worker]


@pytest.fixture
def start(here: Path) -> Iterator[Start]:
    """What starts workers; those that still run at the end are killed."""
    workers: list[Worker] = []

    def make(*options: str, app: str = "tests.shop:make") -> Worker:
        workers.append(Worker(here, *options, app=app))
        return workers[-1]

    yield make
    for each in workers:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait(WAIT_S)


@pytest.fixture
def pipe(here: Path) -> Iterator[Callable[[], None]]:
    """What lets one handler that waits go on."""
    os.mkfifo(here / "slow.pipe")
    end = os.open(here / "slow.pipe", os.O_RDWR)
    yield lambda: assert_written(os.write(end, b"go\n"))
    os.close(end)


def assert_written(count: int) -> None:
    assert count == 3


def charges(path: Path, order: str) -> list[str]:
    """How often a charge was applied to an order, or was already."""
    with looking(path) as engine:
        return [each.outcome for each in engine.history(OrderLifecycle, order) if each.event == "Charged"]


def test_workers_side_by_side_share_the_parts(here: Path, start: Start) -> None:
    first = start()
    first.wait_for("works on 64 of 64 parts")
    second = start()
    first.wait_for("works on 32 of 64 parts")
    second.wait_for("works on 32 of 64 parts")
    orders = [f"order-{n}" for n in range(24)]
    with looking(here / "shop.db") as engine:
        buy(engine, *orders)
        for each in (first, second):
            each.wait_for("shop: charged order-")
            each.stop()
            assert each.end() == 0
        charged = re.findall("shop: charged (order-.*)", "\n".join(first.log + second.log))
        assert len(charged) == len(set(charged))
        engine.handles(Charge)(charge)
        engine.drain()
        assert engine.census(OrderLifecycle) == {"paid": len(orders)}
    assert all(charges(here / "shop.db", each) == ["applied"] for each in orders)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_goes_on_ends_within_the_grace_and_counts(
    here: Path, start: Start, pipe: Callable[[], None], number: int
) -> None:
    worker = start("--grace", "60")
    worker.wait_for(" works on ")
    with looking(here / "shop.db") as engine:
        buy(engine, "slow")
        worker.wait_for("charging slow")
        worker.stop(number)
        buy(engine, "late")
    pipe()
    worker.wait_for("stopped; effects: 1 done, 0 attempts failed, 0 dead; timers: 0 fired")
    assert worker.end() == 0
    assert state_of(here / "shop.db", "slow") == "paid"
    assert state_of(here / "shop.db", "late") == "charging"
    assert not any("charging late" in line for line in worker.log)


@pytest.mark.parametrize("app", ["tests.shop:make", "tests.shop:make_async"])
def test_what_does_not_end_is_left_to_the_lease_and_the_next_worker_does_it(here: Path, start: Start, app: str) -> None:
    worker = start("--grace", "0.1", app=app)
    worker.wait_for(" works on ")
    with looking(here / "shop.db") as engine:
        buy(engine, "stuck")
        worker.wait_for("charging stuck")
        worker.stop()
        worker.wait_for("1 effects are left to the leases")
        assert worker.end() == 0
        [pending] = engine.pending(OrderLifecycle, "stuck")
        assert pending.attempts == 0
    Path("answering.py").write_text(
        "import logging\nfrom tests.shop import Charge, Charged, Engine, OrderLifecycle\n"
        "engine = Engine('shop.db', lifecycles=[OrderLifecycle])\n"
        "@engine.handles(Charge)\n"
        "def charge(effect, call):\n    logging.info('answered')\n    return Charged()\n"
    )
    other = start(app="answering:engine")
    other.wait_for("has lost its lease")
    other.wait_for("answered")
    other.stop()
    assert other.end() == 0
    assert charges(here / "shop.db", "stuck") == ["applied"]


@pytest.mark.parametrize("app", ["tests.shop:make", "tests.shop:make_async"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(here: Path, start: Start, app: str, second: int) -> None:
    worker = start("--grace", "3600", app=app)
    worker.wait_for(" works on ")
    with looking(here / "shop.db") as engine:
        buy(engine, "stuck")
        worker.wait_for("charging stuck")
        worker.stop()
        worker.process.send_signal(second)
        worker.wait_for(f"{signal.Signals(second).name}: ended at once; what was begun is left to the lease")
        assert worker.end() == 128 + second
        assert len(engine.pending(OrderLifecycle, "stuck")) == 1


def test_a_question_that_nobody_answers_keeps_no_worker_from_stopping(here: Path, start: Start) -> None:
    with looking(here / "shop.db") as engine:
        engine.create(OrderLifecycle, "o1", Order(), actor="a")
    worker = start("--grace", "0.1", app="tests.shop:make_asking")
    worker.wait_for("asking about o1")
    worker.stop()
    worker.wait_for("did not end in time")
    assert worker.end() == 0


def test_a_worker_that_was_killed_is_followed_by_another(here: Path, start: Start, pipe: Callable[[], None]) -> None:
    worker = start()
    worker.wait_for(" works on ")
    with looking(here / "shop.db") as engine:
        buy(engine, "slow")
    worker.wait_for("charging slow")
    worker.process.kill()
    assert worker.end() == -signal.SIGKILL
    other = start()
    other.wait_for("has lost its lease")
    other.wait_for("charging slow")
    with looking(here / "shop.db") as engine:
        [pending] = engine.pending(OrderLifecycle, "slow")
        assert pending.last_error == "attempt 1 was begun, and its worker died amid it"
    pipe()
    other.wait_for("charged slow")
    other.stop()
    assert other.end() == 0
    assert charges(here / "shop.db", "slow") == ["applied"]


def test_a_signal_before_it_works_ends_it(here: Path, start: Start) -> None:
    os.mkfifo(here / "slow.pipe")
    Path("slow_start.py").write_text("open('slow.pipe').read()\n")
    worker = start(app="slow_start:engine")
    with Path("slow.pipe").open("w"):  # it is opened when the module is being imported
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for("SIGTERM: ended at once")
        assert worker.end() == 128 + signal.SIGTERM


def test_settings_that_the_ledger_cannot_keep_are_told(here: Path) -> None:
    for app in ("make", "make_async"):
        done = run("run", "--listen", "--app", f"tests.shop:{app}", code=2)
        assert "a ledger of the kind sqlite can't tell other processes" in done.stderr
    for option in ("--concurrency", "--lease", "--poll"):
        run("run", option, "0", *APP, code=2)
    run("run", "--grace", "-1", *APP, code=2)


# Documentation


def sections() -> dict[str, str]:
    """The sections of docs/operators.md, by their commands."""
    text = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    parts = re.split(r"^## `stateward (\w+)`.*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", ["dead", "pause", "pending", "repair", "resume", "retry", "run", "timers"])
def test_every_option_of_an_operators_command_is_documented(name: str) -> None:
    command = _group.get_command(click.Context(_group), name)
    assert command is not None
    common = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8").partition("\n## `stateward ")[0]
    options = [each for parameter in command.params for each in parameter.opts if each.startswith("--")]
    assert [each for each in options if f"`{each}" not in sections()[name] + common] == []
    named = set(re.findall(r"`(--[a-z-]+)", sections()[name]))
    assert named <= set(options) | {"--apply"}


def test_the_commands_of_the_page_run_in_their_order(here: Path) -> None:
    text = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    Path("shop.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    ours = [rest for program, *rest in commands if program == "stateward" and rest[0] != "run"]
    words = [["shop.py"], *(["-m", "stateward.cli", *rest] for rest in ours)]
    printed = ""
    for each in words:
        done = subprocess.run(
            [sys.executable, *each], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr if each != ["shop.py"] else "") == (0, ""), (each, done)
        printed += done.stdout
    assert "1 dead letter put back, 50 a second" in printed
    assert "repaired: it is in paid, at revision 3" in printed


def test_every_command_is_documented() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(each.read_text(encoding="utf-8") for each in pages)
    assert [name for name in _COMMANDS if not re.search(rf"stateward {name}\b", text)] == []


@pytest.mark.parametrize("name", ["dead", "pause", "pending", "repair", "resume", "retry", "run", "timers"])
def test_help_shows_examples_a_line_each(name: str) -> None:
    text = run(name, "--help").stdout
    examples = re.findall(rf"^      (?:\w+=\S+ )?stateward {name} .*$", text, re.MULTILINE)
    assert examples
    assert "\\b" not in text
