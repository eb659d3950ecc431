"""The commands on entities: what they do, print and exit with, on an application of threads, of tasks, or a ledger."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stateward import Call
from stateward.cli import root_group
from stateward.engine import Engine
from tests.ledger.lifecycles import Notify, Parcel, ParcelLifecycle, Pay, Ship
from tests.shop import Buy, Charge, Order, OrderLifecycle, charge

ROOT = Path(__file__).resolve().parent.parent
THREADS = ("--app", "tests.shop:make")
TASKS = ("--app", "tests.shop:make_async")
LEDGER = ("--ledger", "shop.db", "--lifecycle", "tests.shop")
EVERYWHERE = pytest.mark.parametrize("where", [THREADS, TASKS, LEDGER], ids=["threads", "tasks", "ledger"])
ANN = ("--actor", "operator:ann")
PARCELS = ("--ledger", "parcels.db", "--lifecycle", "tests.ledger.lifecycles:ParcelLifecycle")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, where nothing is named by the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("STATEWARD_APP", "STATEWARD_LEDGER", "STATEWARD_ACTOR", "SHOP_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def shop(here: Path) -> Path:
    """A shop with one order that is pending, A-17."""
    path = here / "shop.db"
    with looking(path) as engine:
        engine.create(OrderLifecycle, "A-17", Order(), actor="customer:9")
    return path


@pytest.fixture
def parcels(here: Path) -> Iterator[Engine]:
    """An engine on parcels.db: p1 is ordered, p2 is on its way in two regions."""
    with Engine("parcels.db", lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
        engine.create(ParcelLifecycle, "p2", Parcel(), actor="a:1")
        engine.send(ParcelLifecycle, "p2", Pay(amount=100), actor="a:1")
        engine.send(ParcelLifecycle, "p2", Ship(), actor="a:1")
        yield engine


def looking(address: Path | str) -> Engine:
    return Engine(address, lifecycles=[OrderLifecycle])


def run(*arguments: str | Path, code: int = 0, given: str | None = None) -> Result:
    """Run a command, and hold what it exits with against what it should."""
    words = [str(each) for each in arguments]
    done = CliRunner().invoke(root_group(), words, input=given, prog_name="stateward")
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def data(*arguments: str | Path, code: int = 0) -> Any:
    """What a command gives a program."""
    return json.loads(run(*arguments, "-o", "json", code=code).stdout)


# create


@EVERYWHERE
def test_an_entity_is_started_sent_to_and_shown(here: Path, where: tuple[str, ...]) -> None:
    looking("shop.db").close()
    made = data("create", "Order", "A-1", "amount=3", *where, *ANN)
    assert (made["state"], made["revision"], made["version"], made["outcome"]) == ("pending", 1, 1, "applied")
    assert made["timers_set"] == [{"name": "expire@pending", "delay_s": 86_400.0}]
    sent = data("send", "Order", "A-1", "Buy", "amount=7", *where, *ANN)
    assert (sent["state"], sent["effects"]) == ("charging", [{"effect": "Charge", "payload": {"amount": 7}}])
    assert data("why", "Order", "A-1", "Charged", *where)["outcome"] == "applied"
    assert data("attempt", "Order", "A-1", "Buy", *where, *ANN)["refusal"] == "illegal"
    assert [each["id"] for each in data("list", "Order", *where)] == ["A-1"]
    assert data("stuck", *where) == []
    shown = data("show", "Order", "A-1", *where)
    assert (shown["state"], shown["context"]) == ("charging", {"amount": 7})
    assert [(each["event"], each["outcome"], each["actor"]) for each in shown["history"]] == [
        ("Started", "applied", "operator:ann"),
        ("Buy", "applied", "operator:ann"),
        ("Buy", "rejected_invalid", "operator:ann"),
    ]
    told = run("show", "Order", "A-1", *where).stdout
    assert told.startswith("Order A-1 is in charging\n")


def test_creating_tells_where_it_is_and_twice_is_a_conflict(shop: Path) -> None:
    lines = run("create", "order", "A-1", '{"amount": 3}', *THREADS).stdout.splitlines()
    assert lines[0] == "Order A-1: started in pending"
    assert re.fullmatch(r"  revision 1, record [0-9a-f-]{36}", lines[1])
    assert lines[2] == "  timer expire@pending in 1 d"
    assert "Error: Order A-1: the id is taken\n" in run("create", "Order", "A-1", *THREADS, code=4).stderr
    first = data("create", "Order", "A-2", *THREADS, "--key", "k")
    again = data("create", "Order", "A-2", *THREADS, "--key", "k")
    assert (again["record"], again["is_repetition"]) == (first["record"], True)
    assert "nothing was done now" in run("create", "Order", "A-2", *THREADS, "--key", "k").stdout


def test_the_newest_version_is_taken_unless_another_is_named(here: Path) -> None:
    Path("two.py").write_text(
        "from tests.shop import Order, OrderLifecycle\nfrom stateward import Lifecycle, State\n"
        "from stateward.engine import Engine\n"
        "class Newer(Lifecycle[Order], name='Order'):\n    version = 2\n    fresh = State(initial=True)\n"
        "def engine():\n    return Engine('shop.db', lifecycles=[Newer, OrderLifecycle])\n"
    )
    where = ("--app", "two:engine")
    assert data("create", "Order", "new", *where)["version"] == 2
    assert data("create", "Order", "old", "--version", "1", *where)["version"] == 1
    assert data("create", "Order", "bare", "--ledger", "shop.db", "--lifecycle", "two")["version"] == 2
    for options, known in ((where, "1, 2"), (("--ledger", "shop.db", "--lifecycle", "two"), "2")):
        told = run("create", "Order", "x", "--version", "3", *options, code=2).stderr
        assert f"there is no version 3 of Order; these are: {known}\n" in told
    # Each is sent what its own version knows.
    assert data("send", "Order", "old", "Buy", *where)["state"] == "charging"
    assert "there is no event Buy of Order version 2" in run("send", "Order", "new", "Buy", *where, code=2).stderr
    assert data("list", "Order", "--version", "2", *where)[0]["state"] == "fresh"
    counts = {(each["version"], each["state"]): each["count"] for each in data("census", *where)}
    assert counts == {(1, "charging"): 1, (2, "fresh"): 2}
    assert [each["state"] for each in data("list", "Order", "--state", "FRESH", *where)] == ["fresh", "fresh"]


# send, attempt


def test_what_an_event_says_comes_in_any_way(here: Path, parcels: Engine) -> None:
    Path("pay.json").write_text('{"amount": 100, "note": "file"}')
    told = [
        (["amount=100", "note=two words", "ratio=0.5"], None, {"amount": 100, "note": "two words", "ratio": 0.5}),
        (['{"amount": 100, "note": "json"}'], None, {"amount": 100, "note": "json", "ratio": 0.0}),
        (["@pay.json"], None, {"amount": 100, "note": "file", "ratio": 0.0}),
        (["-"], '{"amount": 100, "note": "stdin"}', {"amount": 100, "note": "stdin", "ratio": 0.0}),
        (["amount=100", "note="], None, {"amount": 100, "note": "", "ratio": 0.0}),
    ]
    for number, (words, given, expected) in enumerate(told):
        parcels.create(ParcelLifecycle, f"n{number}", Parcel(), actor="a")
        run("send", "Parcel", f"n{number}", "pay", *words, *PARCELS, given=given)
        *_, record = parcels.history(ParcelLifecycle, f"n{number}")
        assert record.payload == expected


def test_a_field_that_is_no_text_may_be_given_as_json(here: Path, parcels: Engine) -> None:
    run("create", "Parcel", "p9", 'trail=["a", "b"]', "price=5", *PARCELS)
    assert parcels.get(ParcelLifecycle, "p9").context == Parcel(price=5, trail=("a", "b"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["amount=x"], "the event Pay does not fit: Expected `int`, got `str` - at `$.amount`; its fields are amount:"),
        (["amuont=1"], "the event Pay has no field amuont; did you mean amount?"),
        (["zzz=1"], "the event Pay has no field zzz; its fields are amount: int, note: str, ratio: float"),
        (["100"], "'100' says nothing of the event Pay: write field=value, a JSON object, @file, or -"),
        (["amount=1", "amount=2"], "amount is given twice"),
        (["{"], "the event Pay is no JSON"),
        (['{"amuont": 1}'], "the event Pay has no field amuont; did you mean amount?"),
        (['{"amount": "1"}'], "Expected `int`, got `str`"),
        (["@nowhere.json"], "the event Pay can't be read from nowhere.json"),
        (['amount=["x"'], "Expected `int`, got `str`"),
        (["-"], "the event Pay is JSON, and no object"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_and_nothing_is_sent(parcels: Engine, words: list[str], problem: str) -> None:
    assert problem in run("send", "Parcel", "p1", "Pay", *words, *PARCELS, code=2, given="[1]").stderr
    assert len(list(parcels.history(ParcelLifecycle, "p1"))) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["send", "Oder", "A-17", "Buy"], "there is no lifecycle of the kind Oder; did you mean Order?"),
        (["send", "Order", "A-17", "Bye"], "there is no event Bye of Order version 1; did you mean Buy?"),
        (["send", "Order", "A-17", "Refund"], "there is no event Refund of Order version 1; these are: Buy, Charged"),
        (["list", "Order", "--state", "pendign"], "there is no state pendign of Order; did you mean pending?"),
        (["repair", "Order", "A-17", "piad", "--reason", "x", *ANN], "did you mean paid?"),
        (["timers", "Oder"], "there is no lifecycle of the kind Oder; did you mean Order?"),
        (["list", "Order", "--unmoved-since", "soon"], "is no time in ISO 8601"),
    ],
)
def test_what_may_have_been_meant_is_told(shop: Path, arguments: list[str], problem: str) -> None:
    assert problem in run(*arguments, *THREADS, code=2).stderr


def test_a_slip_in_what_is_chosen_is_told_and_no_error(shop: Path) -> None:
    """Another application on the same ledger may have it."""
    for words in (["dead"], ["retry"]):
        done = run(*words, "--kind", "Oder", *THREADS)
        assert done.stderr == "the application has no lifecycle of the kind Oder, but Order\n"
        assert (
            run(*words, "--effect", "Chrage", *THREADS).stderr
            == "the application handles no effects Chrage, but Charge\n"
        )


def test_a_command_that_is_mistyped_is_told(here: Path) -> None:
    assert "there is no command sned; did you mean send?" in run("sned", code=2).stderr
    assert "there is no command upgarde; did you mean upgrade?" in run("db", "upgarde", code=2).stderr
    assert "there is no command zzz\n" in run("zzz", code=2).stderr
    assert "No such option" in run("send", "--kye", "x", code=2).stderr


@EVERYWHERE
def test_a_refused_event_is_exit_code_3_and_explained(shop: Path, where: tuple[str, ...]) -> None:
    done = run("send", "Order", "A-17", "Charged", *where, code=3)
    assert done.stdout == ""
    assert done.stderr == (
        "Error: Order in pending refused Charged (illegal): no transition takes it there\n"
        "  it is accepted in charging\n"
    )
    answer = data("send", "Order", "A-17", "charged", *where, code=3)
    assert (answer["outcome"], answer["refusal"], answer["elsewhere"]) == ("refused", "illegal", ["charging"])
    # To attempt is to ask: the refusal is the answer.
    done = run("attempt", "Order", "A-17", "Charged", *where)
    assert (done.stdout.partition("\n")[0], done.stderr) == (
        "Order in pending refused Charged (illegal): no transition takes it there", ""
    )  # fmt: skip
    assert json.loads(run("attempt", "Order", "A-17", "Charged", *where, "-o", "jsonl").stdout)["refusal"] == "illegal"
    assert len(data("show", "Order", "A-17", *where)["history"]) == 5, "each attempt is on record"


def test_a_guard_that_said_no_is_shown_with_what_it_read(parcels: Engine) -> None:
    done = run("send", "Parcel", "p1", "Pay", "amount=7", *PARCELS, code=3)
    assert "covers_price said no (event.amount = 7, context.price = 100)" in done.stderr
    [candidate] = data("attempt", "Parcel", "p1", "Pay", "amount=7", *PARCELS)["candidates"]
    assert candidate["reads"] == [{"name": "event.amount", "value": 7}, {"name": "context.price", "value": 100}]


def test_keys_revisions_and_actors_are_kept(shop: Path) -> None:
    words = ("send", "Order", "A-17", "Buy", "amount=2", *THREADS, "--key", "evt-1", "--actor", "customer:9")
    assert "is_repetition" in run(*words, "-o", "json").stdout
    assert data(*words)["is_repetition"] is True
    told = run("send", "Order", "A-17", "Buy", "amount=3", *THREADS, "--key", "evt-1", code=4).stderr
    assert "Error: Order A-17: the key 'evt-1'" in told
    done = run("send", "Order", "A-17", "Charged", "--expect-revision", "1", *THREADS, code=3)
    assert "(stale)" in done.stderr
    assert "it is at revision 2" in done.stderr
    assert data("send", "Order", "A-17", "Charged", "--expect-revision", "2", *THREADS)["state"] == "paid"
    assert "has nothing left to do, it is in paid" in run("send", "Order", "A-17", "Charged", *THREADS).stdout
    with looking(shop) as engine:
        [_, bought, *_, charged, already] = engine.history(OrderLifecycle, "A-17")
    assert (str(bought.actor), bought.key) == ("customer:9", "evt-1")
    assert charged.actor.kind == already.actor.kind == "operator"
    assert charged.actor.id, "whoever is logged in"


def test_nobody_logged_in_must_say_who(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert "Missing option '--actor'" in run("send", "Order", "A-17", "Buy", *THREADS, code=2).stderr
    monkeypatch.setenv("STATEWARD_ACTOR", "operator:eve")
    run("send", "Order", "A-17", "Buy", *THREADS)


def test_an_actor_who_may_not_is_refused(shop: Path) -> None:
    Path("guarded.py").write_text(
        "from stateward.engine import Engine\nfrom tests.shop import OrderLifecycle\n"
        "def engine():\n    return Engine('shop.db', lifecycles=[OrderLifecycle], authorize=lambda who, *_: False)\n"
    )
    done = run("send", "Order", "A-17", "Buy", "--app", "guarded:engine", code=3)
    assert done.stderr.startswith("Error: Order in pending refused Buy (unauthorized)")
    assert "(unauthorized)" in run("create", "Order", "x", "--app", "guarded:engine", code=3).stderr


@EVERYWHERE
@pytest.mark.parametrize("command", ["send", "attempt", "why", "show"])
def test_what_is_not_there_is_exit_code_4(shop: Path, where: tuple[str, ...], command: str) -> None:
    words = ["Order", "nobody", *(["Buy"] if command != "show" else [])]
    assert run(command, *words, *where, code=4).stderr == "Error: there is no Order nobody\n"


@pytest.mark.parametrize("command", ["send Order A-1 Buy", "create Order A-1", "show Order A-1", "list Order", "stuck"])
def test_a_ledger_that_is_away_is_exit_code_5(here: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = command.split()
    assert "the ledger is on holiday" in run(*words, "--app", "tests.shop:make_away", code=5).stderr
    assert "there is no file shop.db" in run(*words, *LEDGER, code=5).stderr
    monkeypatch.setenv("SHOP_LEDGER", "nowhere/shop.db")
    assert "unable to open database file" in run(*words, *THREADS, code=5).stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--ledger", "shop.db"], "name it by --lifecycle beside --ledger, or give --app instead"),
        ([*THREADS, "--lifecycle", "tests.shop"], "--app and --lifecycle exclude each other"),
        (["--lifecycle", "tests.shop"], "--lifecycle needs --ledger"),
        ([*THREADS, "--ledger", "shop.db"], "--app and --ledger exclude each other"),
        ([], "name an application (--app, STATEWARD_APP, or app in pyproject.toml) or a ledger (--ledger)"),
        (["--ledger", "shop.db", "--lifecycle", "nowhere"], "nowhere can't be imported"),
        (["--ledger", "shop.db", "--lifecycle", "stateward.demo.incidents"], "there is no lifecycle of the kind Order"),
    ],
)
def test_options_that_do_not_go_together_are_told(shop: Path, options: list[str], problem: str) -> None:
    for command in (["why", "Order", "A-17", "Buy"], ["list", "Order"], ["send", "Order", "A-17", "Buy"]):
        assert problem in run(*command, *options, code=2).stderr


def test_looking_at_a_ledger_registers_no_version_and_changes_nothing(shop: Path) -> None:
    Path("second.py").write_text(
        "from tests.shop import Order\nfrom stateward import Lifecycle, State\n"
        "class Newer(Lifecycle[Order], name='Order'):\n    version = 2\n    fresh = State(initial=True)\n"
    )
    before = shop.read_bytes()
    both = (*LEDGER, "--lifecycle", "second")
    for command in (
        ["why", "Order", "A-17", "Buy"], ["show", "Order", "A-17"], ["list", "Order"], ["stuck", "Order"], ["stuck"],
    ):  # fmt: skip
        run(*command, *both)
    run("census", "--ledger", shop)
    run("show", "Order", "A-17", "--ledger", shop)
    assert shop.read_bytes() == before


# why


def test_why_says_what_would_happen_and_sends_nothing(shop: Path, parcels: Engine) -> None:
    done = run("why", "Order", "A-17", "Buy", "amount=3", *THREADS)
    assert done.stdout == "Buy on Order in pending: applied, leads to charging\n  pending -> charging: no guard\n"
    done = run("why", "Order", "A-17", "Charged", *THREADS, code=3)
    assert done.stdout.endswith("  it is accepted in charging\n")
    assert done.stderr == ""
    explained = data("why", "Parcel", "p1", "Pay", *PARCELS, code=3)
    assert (explained["entity"], explained["outcome"], explained["is_accepted"]) == ("p1", "guarded", False)
    assert explained["candidates"][0]["guard"] == "covers_price"
    assert data("why", "Parcel", "p1", "Fail", *PARCELS, code=3)["outcome"] == "failed"
    with looking(shop) as engine:
        assert len(list(engine.history(OrderLifecycle, "A-17"))) == 1


def test_a_guard_that_asks_for_the_time_is_told_it(here: Path) -> None:
    Path("opening.py").write_text(
        "from datetime import UTC, datetime\nfrom stateward import Context, Event, Lifecycle, Meta, State, on\n"
        "class Enter(Event):\n    pass\n"
        "class Door(Context):\n    pass\n"
        "def is_day(door: Door, event: Enter, meta: Meta) -> bool:\n"
        "    return meta.entity == 'front' and meta.now > datetime(2020, 1, 1, tzinfo=UTC)\n"
        "class DoorLifecycle(Lifecycle[Door]):\n"
        "    closed = State(initial=True)\n    opened = State()\n"
        "    enter = on(Enter, closed.to(opened), when=is_day)\n"
    )
    run("db", "upgrade", "--ledger", "doors.db")
    where = ("--ledger", "doors.db", "--lifecycle", "opening")
    for name, code in (("front", 0), ("back", 3)):
        run("create", "Door", name, *where)
        assert data("why", "Door", name, "Enter", *where, code=code)["is_accepted"] is (name == "front")
        [choice] = data("show", "Door", name, *where)["events"]
        assert choice["now"] == ("accepted" if name == "front" else "refused")
        run("send", "Door", name, "Enter", *where, code=code)


# show


def test_show_answers_what_happened_and_why_it_goes_no_further(here: Path) -> None:
    with looking("shop.db") as engine:
        engine.handles(Charge)(charge)
        engine.create(OrderLifecycle, "bad-1", Order(), actor="customer:9")
        engine.send(OrderLifecycle, "bad-1", Buy(amount=5), actor="customer:9")
        engine.drain()
        engine.attempt(OrderLifecycle, "bad-1", Buy(amount=6), actor="customer:9")
        engine.pause(kind="Order", reason="an incident", actor="op:ann")
    shown = data("show", "Order", "bad-1", *THREADS)
    paused, given_up = shown["held_up_by"]
    assert paused.startswith("the kind Order rests, paused by op:ann: an incident; `stateward resume --kind Order`")
    [letter] = shown["dead"]
    assert re.match(r"Charge was given up \d+ s ago, after 1 time: no money; ", given_up)
    assert given_up.endswith(f"`stateward retry {letter['key']}` puts it back")
    assert {each["event"]: each["now"] for each in shown["events"]} == {"Buy": "refused", "Charged": "accepted"}
    assert [each["reason"] for each in shown["pauses"]] == ["an incident"]
    told = run("show", "order", "bad-1", *THREADS).stdout
    sections = re.split(r"^\n(?=\S)", told, flags=re.MULTILINE)
    heads = [each.splitlines()[0] for each in sections]
    assert heads == [
        "Order bad-1 is in charging", "held up by", "what it could take now", "timers", "effects that were given up",
        "history",
    ]  # fmt: skip
    history = [re.split(r"  +", line.strip()) for line in sections[-1].splitlines()[1:]]
    assert [line[1:] for line in history] == [
        ["1", "Started amount=0", "started in pending", "customer:9"],
        ["2", "Buy amount=5", "pending -> charging", "customer:9"],
        ["2", "Buy amount=6", "refused in charging", "customer:9", "illegal: no transition takes it there"],
    ]
    assert [line.split()[0] for line in sections[2].splitlines()[1:]] == ["no", "yes"]
    last = run("show", "Order", "bad-1", *THREADS, "--last", "1").stdout
    assert "Started" not in last
    assert "refused in charging" in last


def test_show_says_how_much_of_a_history_it_leaves_out(shop: Path) -> None:
    with looking(shop) as engine:
        engine.send(OrderLifecycle, "A-17", Buy(amount=5), actor="customer:9")
        engine.attempt(OrderLifecycle, "A-17", Buy(amount=6), actor="customer:9")
    bare = ("--ledger", shop)
    for where in (THREADS, bare):
        assert "\nhistory: the last 1 of 3 records\n" in run("show", "Order", "A-17", *where, "--last", "1").stdout
        assert "\nhistory\n" in run("show", "Order", "A-17", *where, "--last", "3").stdout
        none = data("show", "Order", "A-17", *where, "--last", "0")
        assert (none["state"], none["revision"], none["history"], none["left_out"]) == ("charging", 2, [], 3)
    assert data("show", "Order", "A-17", *bare, "--last", "1")["state"] == "charging"
    run("show", "Order", "A-18", *bare, "--last", "0", code=4)


def test_a_long_payload_widens_no_other_line_of_a_history(here: Path) -> None:
    with Engine("parcels.db", lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
        engine.attempt(ParcelLifecycle, "p1", Pay(amount=1, note="x" * 2000), actor="a:1")
    told = run("show", "Parcel", "p1", *PARCELS).stdout
    assert "x" * 2000 in told
    assert max(len(line) for line in told.splitlines() if "xxx" not in line) < 250


def test_show_does_not_promise_an_attempt_of_what_is_paused(here: Path) -> None:
    with Engine("shop.db", lifecycles=[OrderLifecycle], clock=lambda: datetime.now(UTC) - timedelta(hours=2)) as engine:
        engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
        engine.send(OrderLifecycle, "A-1", Buy(amount=5), actor="customer:9")
        *_, effect, timer = data("show", "Order", "A-1", *THREADS)["held_up_by"]
        assert effect.endswith("not attempted yet; workers do it: `stateward doctor` sees whether any works")
        assert timer.endswith(": workers fire it: `stateward doctor` sees whether any works")
        engine.pause(kind="Order", reason="an incident", actor="op:ann")
    _, effect, timer = data("show", "Order", "A-1", *THREADS)["held_up_by"]
    assert effect == "Charge is not done, not attempted yet; it waits for the pause to end"
    assert re.fullmatch(r"the timer lapse@charging has been due for 1 h( \d+ s)?: it waits for the pause to end", timer)


def test_a_module_without_lifecycles_is_told_and_answers_nothing(shop: Path) -> None:
    """`nothing is stuck` would be told of the ledger, and was of the module."""
    nothing = ("--ledger", shop, "--lifecycle", "json")
    for command in (["stuck"], ["list", "Order"], ["show", "Order", "A-17"]):
        assert "json holds no lifecycle" in run(*command, *nothing, code=2).stderr
    assert "json holds no lifecycle" in run("doctor", "json", "--ledger", shop, code=2).stderr


def test_show_tells_slas_guards_and_effects_that_wait(here: Path) -> None:
    now = datetime.now(UTC)
    with Engine("parcels.db", lifecycles=[ParcelLifecycle], clock=lambda: now - timedelta(hours=3)) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    shown = data("show", "Parcel", "p1", *PARCELS)
    [stay] = shown["stays"]
    assert (stay["state"], stay["sla_s"]) == ("ordered", 3600.0)
    assert stay["overdue_s"] == pytest.approx(7200, abs=600)
    assert shown["held_up_by"][0].startswith("it is past the SLA of ordered by 2 h")
    events = {each["event"]: (each["now"], each["why"]) for each in shown["events"]}
    assert events["Pay"] == ("guarded", "if covers_price says yes")
    assert events["Ship"] == ("refused", "it is accepted in paid, moving.van.loading")
    assert events["Fail"][0] == "refused", "its action raises"
    [stuck] = data("stuck", *PARCELS)
    assert stuck["id"] == "p1"
    run("send", "Parcel", "p1", "Pay", "amount=100", *PARCELS)
    shown = data("show", "Parcel", "p1", *PARCELS)
    assert shown["held_up_by"] == [
        (
            "Notify is not done, not attempted yet, and 1 behind it; workers do it: "
            "`stateward doctor` sees whether any works"
        )
    ]
    assert {each["event"]: each["now"] for each in shown["events"]}["Pay"] == "already_done"
    assert data("stuck", *PARCELS) == []


def test_show_tells_each_region_and_a_failing_effect(parcels: Engine) -> None:
    def fail(effect: Notify, call: Call) -> None:
        raise RuntimeError("the post is closed")

    parcels.handles(Notify)(fail)

    parcels.drain()
    shown = data("show", "Parcel", "p2", *PARCELS)
    assert shown["state"] == "moving.van.loading|moving.papers.drafted"
    assert [each["state"] for each in shown["stays"]] == [
        "moving", "moving.van", "moving.van.loading", "moving.papers", "moving.papers.drafted",
    ]  # fmt: skip
    [held] = shown["held_up_by"]
    assert held.startswith("Notify failed 1 time, last of RuntimeError: the post is closed; it is attempted again ")
    assert held.endswith(", and 1 behind it")
    assert "the post is closed" in run("show", "Parcel", "p2", *PARCELS).stdout


def test_show_needs_no_lifecycle_for_what_a_ledger_knows_by_itself(shop: Path) -> None:
    with looking(shop) as engine:
        engine.send(OrderLifecycle, "A-17", Buy(amount=5), actor="customer:9")
        engine.attempt(OrderLifecycle, "A-17", Buy(amount=6), actor="customer:9")
    done = run("show", "Order", "A-17", "--ledger", shop)
    assert done.stdout.startswith("Order A-17 is in charging\n  version 1, revision 2\n")
    assert "refused in charging" in done.stdout
    assert "need its lifecycle" in done.stderr
    # A ledger that the environment names does not keep what an application knows from being told.
    everything = CliRunner().invoke(
        root_group(), ["show", "Order", "A-17", "-o", "json"],
        env={"STATEWARD_LEDGER": str(shop), "STATEWARD_APP": "tests.shop:make"},
    )  # fmt: skip
    assert json.loads(everything.stdout)["context"] == {"amount": 5}
    shown = data("show", "Order", "A-17", "--ledger", shop)
    assert (shown["context"], shown["events"], shown["stays"]) == (None, None, None)
    assert [each["effect"] for each in shown["pending"]] == ["Charge"]
    assert run("show", "Order", "nobody", "--ledger", shop, code=4).stderr == "Error: there is no Order nobody\n"
    assert "Order A-17 is in charging" in run("show", "Order", "A-17", "--last", "0", *THREADS).stdout


def test_show_tells_what_it_can_of_a_version_that_the_application_does_not_know(shop: Path) -> None:
    Path("newer_alone.py").write_text(
        "from tests.shop import Order\nfrom stateward import Lifecycle, State\nfrom stateward.engine import Engine\n"
        "class Newer(Lifecycle[Order], name='Order'):\n    version = 2\n    fresh = State(initial=True)\n"
        "def engine():\n    return Engine('shop.db', lifecycles=[Newer])\n"
    )
    done = run("show", "order", "A-17", "--app", "newer_alone:engine")
    assert "Order A-17 is in pending\n" in done.stdout
    assert "Error: Order A-17 is on version 1; this engine knows 2\n" in done.stderr
    done = run("send", "Order", "A-17", "Buy", "--app", "newer_alone:engine", code=2)
    assert done.stderr == "Error: Order A-17 is on version 1; this engine knows 2\n"


# list, stuck, census


def test_lists_choose_by_state_version_and_time_and_are_bounded(shop: Path) -> None:
    with looking(shop) as engine:
        for n in range(3):
            engine.create(OrderLifecycle, f"B-{n}", Order(), actor="a")
        engine.send(OrderLifecycle, "B-1", Buy(), actor="a")
    assert [each["id"] for each in data("list", "Order", *THREADS)] == ["A-17", "B-0", "B-1", "B-2"]
    assert [each["id"] for each in data("list", "Order", "--state", "charging", *TASKS)] == ["B-1"]
    done = run("list", "Order", "--limit", "2", *THREADS)
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr == "these are the first 2, and there are more: --limit 0 shows all\n"
    assert data("list", "Order", "--version", "9", *THREADS) == []
    assert data("list", "Order", "--unmoved-since", "1h", *THREADS) == []
    assert len(data("list", "Order", "--unmoved-since", "now", *THREADS)) == 4
    assert len(data("list", "Order", "--unmoved-since", "2999-01-01T00:00:00Z", *THREADS)) == 4
    assert run("list", "Order", "--unmoved-since", "1d2h", *THREADS).stdout == "no such entities of the kind Order\n"
    assert run("list", "Order", "--unmoved-since", "9999999999d", *THREADS, code=2).stderr.count("before all time") == 1
    [row] = [each for each in data("list", "Order", *THREADS) if each["id"] == "B-1"]
    assert (row["context"], list(row["entered"])) == ({"amount": 1}, ["charging"])
    lines = run("list", "Order", *THREADS, "-o", "jsonl").stdout.splitlines()
    assert [json.loads(each)["id"] for each in lines] == ["A-17", "B-0", "B-1", "B-2"]


def test_the_census_counts_by_kind_version_and_state(shop: Path) -> None:
    rows = [{"kind": "Order", "version": 1, "state": "pending", "count": 1}]
    assert data("census", *THREADS) == data("census", "order", *TASKS) == data("census", "--ledger", shop) == rows
    assert run("census", *THREADS).stdout.splitlines()[-1].split() == ["Order", "1", "pending", "1"]
    assert run("census", "Parcel", "--ledger", shop).stdout == "there are no entities\n"


# completion


def completed(words: str, *, at: int | None = None, shell: str = "bash", **more: str) -> list[str]:
    """What a shell would offer at the end of a line."""
    line = words.split(" ")
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(len(line) - 1 if at is None else at)}
    done = CliRunner().invoke(
        root_group(), [], prog_name="stateward", env={**environment, "_STATEWARD_COMPLETE": f"{shell}_complete", **more}
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.stderr == ""
    return [each.partition(",")[2] for each in done.stdout.split()]


def test_names_are_completed_where_an_application_is_known(shop: Path) -> None:
    app = "tests.shop:make"
    assert completed("stateward sen") == ["send"]
    assert completed("stateward send ", STATEWARD_APP=app) == ["Order"]
    assert completed("stateward send --app tests.shop:make_async Or") == ["Order"]
    assert completed("stateward show Order A", STATEWARD_APP=app) == ["A-17"]
    assert completed("stateward send Order A-17 ", STATEWARD_APP=app) == ["Buy"], "what it could take"
    assert completed("stateward send Order nobody ", STATEWARD_APP=app) == ["Buy", "Charged"]
    assert completed("stateward why Order A-17 Ch", STATEWARD_APP=app) == ["Charged"]
    assert completed("stateward list --ledger shop.db --lifecycle tests.shop ") == ["Order"]
    assert completed("stateward send ", STATEWARD_APP="nowhere:engine") == []
    assert completed("stateward send ") == []
    assert "--expect-revision" in completed("stateward send --")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    assert f"_STATEWARD_COMPLETE={shell}_complete" in run("completion", shell).stdout
    assert "tcsh" in run("completion", "tcsh", code=2).stderr


def test_bash_completes_by_the_script(shop: Path) -> None:
    """A real shell asks, by the script that it was given; what it calls is found on its path."""
    program = shop.parent / "stateward"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m stateward.cli "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(stateward completion bash)"; COMP_WORDS=(stateward send Order A); COMP_CWORD=3\n'
        '_stateward_completion stateward; echo "${COMPREPLY[@]}"; complete -p stateward\n'
    )
    environment = os.environ | {
        "PATH": f"{shop.parent}:{os.environ['PATH']}", "STATEWARD_APP": "tests.shop:make",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["A-17", "complete -o nosort -F _stateward_completion stateward"]


# On a server


def test_entities_on_postgres(postgres_dsn: str) -> None:
    run("db", "upgrade", "--ledger", postgres_dsn)
    where = ("--ledger", postgres_dsn, "--lifecycle", "tests.shop")
    assert data("create", "Order", "A-1", *where, "--key", "k")["state"] == "pending"
    assert data("create", "Order", "A-1", *where, "--key", "k")["is_repetition"] is True
    assert data("send", "Order", "A-1", "Buy", "amount=5", *where)["state"] == "charging"
    assert "it is accepted in pending" in run("send", "Order", "A-1", "Buy", *where, code=3).stderr
    assert run("why", "Order", "A-1", "Charged", *where).exit_code == 0
    assert [each["id"] for each in data("list", "Order", "--state", "charging", *where)] == ["A-1"]
    assert data("census", "--ledger", postgres_dsn)[0]["count"] == 1
    shown = data("show", "Order", "A-1", *where)
    assert [each["effect"] for each in shown["pending"]] == ["Charge"]
    assert len(shown["history"]) == 3
    assert "Order A-1 is in charging" in run("show", "Order", "A-1", "--ledger", postgres_dsn).stdout
    assert run("send", "Order", "nobody", "Buy", *where, code=4).stderr == "Error: there is no Order nobody\n"
    assert run("tail", "--ledger", postgres_dsn, "-n", "1").stdout.rstrip().split("  ")[2] == "Buy"


def test_an_id_moves_no_cursor_of_a_terminal(parcels: Engine) -> None:
    entity = "p\x1b[2J\n9"
    parcels.create(ParcelLifecycle, entity, Parcel(), actor="a:1")
    sent = run("send", "Parcel", entity, "Pay", "amount=100", *PARCELS)
    assert "\x1b" not in sent.stdout
    assert sent.stdout.startswith("Parcel p [2J 9: ordered -> paid, by Pay\n")
