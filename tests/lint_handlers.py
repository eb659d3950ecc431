"""Handlers for the tests of the lint: impure in every way that has a rule, and pure in ways that come near."""

# What is wrong here is wrong on purpose.
# ruff: noqa: A001, C416, DTZ001, DTZ005, DTZ011, PLC0208, RUF006, RUF015, SIM300

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime as dates
import functools
import io
import logging
import os
import pathlib
import random
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
import time as t
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from datetime import datetime as dt
from os import environ, getenv
from pathlib import Path
from random import randint
from time import monotonic as ticks
from typing import Any

import msgspec

from stateward import Actions, Context, Effect, Event, Meta

HERE = Path(__file__)


class Pay(Event):
    amount: int = 0
    tags: frozenset[str] = frozenset()


class Note(Effect):
    text: str


class Item(msgspec.Struct, frozen=True):
    sizes: frozenset[int] = frozenset()


class Order(Context):
    total: int = 0
    tags: frozenset[str] = frozenset()
    lines: tuple[str, ...] = ()
    item: Item = Item()
    placed: dt | None = None

    @property
    def age(self) -> timedelta:
        return dt.now() - self.placed if self.placed else timedelta(0)

    @property
    def is_free(self) -> bool:
        return self.total == 0


def holds(order: Order, event: Event) -> bool:
    return order.total > 0


def keep(order: Order, event: Event) -> Order:
    return order


log = logging.getLogger(__name__)
generator = random.Random(1)
lock = threading.Lock()
KINDS = frozenset({"a", "b"})
NAMES = ("a", "b")
SETTINGS = {"limit": 3}


def now() -> dt:
    return dt.now()


def later() -> dt:
    return now() + timedelta(days=1)


@functools.cache
def cached_time() -> float:
    return time.time()


class Clock:
    """Has what the real clocks have, and is none."""

    time = 5

    def now(self) -> int:
        return 5

    def sleep(self) -> int:
        return 6


clock = Clock()


def use_time(order: Order, event: Event) -> bool:
    return time.time() > order.total


def use_time_alias(order: Order, event: Event) -> bool:
    return t.time() > order.total


def use_ticks(order: Order, event: Event) -> bool:
    return ticks() > order.total


def use_now(order: Order, event: Event) -> bool:
    return dt.now() > dates.datetime(2026, 1, 1)


def use_utcnow(order: Order, event: Event) -> bool:
    return dates.datetime.now(dates.UTC).year > 2026


def use_today(order: Order, event: Event) -> bool:
    return date.today().year > 2026 and holds(order, event)


def use_local_import(order: Order, event: Event) -> bool:
    import time as clock
    from datetime import datetime as moment

    return clock.time() > 0 and moment.now().year > 2026


def use_helper(order: Order, event: Event) -> bool:
    return later().year > 2026


def use_cached_helper(order: Order, event: Event) -> bool:
    return cached_time() > 0


def use_property(order: Order, event: Event) -> bool:
    return order.age.days > 1


def use_variable(order: Order, event: Event) -> bool:
    read = time.monotonic
    return read() > 0


def use_random(order: Order, event: Event) -> bool:
    return random.random() > 0.5


def use_randint(order: Order, event: Event) -> bool:
    return randint(1, 2) == 1


def use_generator(order: Order, event: Event) -> bool:
    return generator.choice((True, False))


def use_unseeded(order: Order, event: Event) -> bool:
    return random.Random().random() > 0.5


def use_uuid(order: Order, event: Event) -> Actions[Order]:
    yield Note(str(uuid.uuid4()))
    return order


def use_secrets(order: Order, event: Event) -> bool:
    return secrets.token_hex() > "5"


def use_urandom(order: Order, event: Event) -> bool:
    return os.urandom(1) > b"5"


def use_environ(order: Order, event: Event) -> bool:
    return os.environ["LIMIT"] > "5"


def use_environ_alias(order: Order, event: Event) -> bool:
    return environ.get("LIMIT", "") > "5"


def use_getenv(order: Order, event: Event) -> bool:
    return bool(getenv("LIMIT"))


def use_sleep(order: Order, event: Event) -> Order:
    time.sleep(1)
    return order


def use_thread(order: Order, event: Event) -> Order:
    threading.Thread(target=use_sleep).start()
    return order


def use_lock(order: Order, event: Event) -> Order:
    with lock:
        lock.locked()
    return order


def use_task(order: Order, event: Event) -> Order:
    asyncio.create_task(asyncio.sleep(0))
    return order


def use_pool(order: Order, event: Event) -> Order:
    concurrent.futures.ThreadPoolExecutor()
    return order


def use_field_of_set(order: Order, event: Event) -> Actions[Order]:
    for tag in order.tags:
        yield Note(tag)
    return order


def use_set_literal(order: Order, event: Event) -> Actions[Order]:
    for tag in {"a", "b"}:
        yield Note(tag)
    return order


def use_set_call(order: Order, event: Event) -> Order:
    return order.replace(lines=tuple(set(order.lines)))


def use_set_variable(order: Order, event: Event) -> Order:
    seen = set(order.lines)
    seen |= {"a"}
    return order.replace(lines=tuple(line + "!" for line in seen))


def use_set_union(order: Order, event: Pay) -> Order:
    return order.replace(lines=tuple(order.tags | event.tags))


def use_set_constant(order: Order, event: Event) -> Order:
    return order.replace(lines=(*order.lines, *KINDS))


def use_set_join(order: Order, event: Pay) -> Order:
    return order.replace(lines=(", ".join(event.tags),))


def use_set_method(order: Order, event: Pay) -> Order:
    return order.replace(lines=tuple(line for line in (order.tags if order.total else KINDS).union(event.tags)))


def use_set_pop(order: Order, event: Event) -> Order:
    left = set(order.tags)
    return order.replace(lines=(left.pop(),))


def use_set_yield(order: Order, event: Event) -> Actions[Order]:
    yield from {Note("a"), Note("b")}
    return order


def use_inner_set(order: Order, event: Event) -> Order:
    return order.replace(total=[size for size in order.item.sizes][0])


def use_active(order: Order, event: Event, meta: Meta) -> Order:
    return order.replace(lines=tuple(meta.active))


def use_open(order: Order, event: Event) -> bool:
    with open(__file__) as file:
        return bool(file.read())


def use_print(order: Order, event: Event) -> Order:
    print(order)
    return order


def use_path(order: Order, event: Event) -> bool:
    return bool(Path("limit").read_text())


def use_path_variable(order: Order, event: Event) -> bool:
    path = pathlib.Path("limit") if order.total else HERE
    return path.exists()


def use_log(order: Order, event: Event) -> Order:
    log.info("paid")
    return order


def use_logging(order: Order, event: Event) -> Order:
    logging.getLogger("orders").info("paid")
    return order


def use_database(order: Order, event: Event) -> Order:
    sqlite3.connect(":memory:").execute("select 1")
    return order


def use_process(order: Order, event: Event) -> Order:
    subprocess.run(["true"], check=True)
    return order


def use_stdout(order: Order, event: Event) -> Order:
    sys.stdout.write("paid")
    return order


def use_directory(order: Order, event: Event) -> Order:
    return order.replace(total=len(os.listdir(".")))


IMPURE: list[tuple[Callable[..., Any], str, list[str]]] = [
    (use_time, "SW311", ["time.time"]),
    (use_time_alias, "SW311", ["t.time"]),
    (use_ticks, "SW311", ["ticks"]),
    (use_now, "SW311", ["dt.now"]),
    (use_utcnow, "SW311", ["dates.datetime.now"]),
    (use_today, "SW311", ["date.today"]),
    (use_local_import, "SW311", ["clock.time", "moment.now"]),
    (use_helper, "SW311", ["dt.now"]),
    (use_cached_helper, "SW311", ["time.time"]),
    (use_property, "SW311", ["dt.now"]),
    (use_variable, "SW311", ["time.monotonic", "read"]),
    (use_random, "SW312", ["random.random"]),
    (use_randint, "SW312", ["randint"]),
    (use_generator, "SW312", ["generator.choice"]),
    (use_unseeded, "SW312", ["random.Random()"]),
    (use_uuid, "SW312", ["uuid.uuid4"]),
    (use_secrets, "SW312", ["secrets.token_hex"]),
    (use_urandom, "SW312", ["os.urandom"]),
    (use_environ, "SW313", ["os.environ"]),
    (use_environ_alias, "SW313", ["environ.get"]),
    (use_getenv, "SW313", ["getenv"]),
    (use_sleep, "SW314", ["time.sleep"]),
    (use_thread, "SW315", ["threading.Thread", "threading.Thread(target=use_sleep).start"]),
    (use_lock, "SW315", ["lock.locked"]),
    (use_task, "SW315", ["asyncio.create_task"]),
    (use_pool, "SW315", ["concurrent.futures.ThreadPoolExecutor"]),
    (use_field_of_set, "SW316", ["order.tags"]),
    (use_set_literal, "SW316", ["{'a', 'b'}"]),
    (use_set_call, "SW316", ["set(order.lines)"]),
    (use_set_variable, "SW316", ["seen"]),
    (use_set_union, "SW316", ["order.tags | event.tags"]),
    (use_set_constant, "SW316", ["KINDS"]),
    (use_set_join, "SW316", ["event.tags"]),
    (use_set_method, "SW316", ["(order.tags if order.total else KINDS).union(event.tags)"]),
    (use_set_pop, "SW316", ["left"]),
    (use_set_yield, "SW316", ["{Note('a'), Note('b')}"]),
    (use_inner_set, "SW316", ["order.item.sizes"]),
    (use_active, "SW316", ["meta.active"]),
    (use_open, "SW317", ["open"]),
    (use_print, "SW317", ["print"]),
    (use_path, "SW317", ["Path('limit').read_text"]),
    (use_path_variable, "SW317", ["path.exists"]),
    (use_log, "SW317", ["log.info"]),
    (use_logging, "SW317", ["logging.getLogger"]),
    (use_database, "SW317", ["sqlite3.connect"]),
    (use_process, "SW317", ["subprocess.run"]),
    (use_stdout, "SW317", ["sys.stdout.write"]),
    (use_directory, "SW317", ["os.listdir"]),
]


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def measured(order: Order, event: Event) -> Any:
        started = time.perf_counter()
        log.debug("%s", started)
        return function(order, event)

    return measured


@timed
def decorated(order: Order, event: Event) -> Order:
    print(order)
    return order


class Rules:
    """Handlers that are methods."""

    limit = 5

    def exceeds(self, order: Order, event: Event) -> bool:
        return order.total > self.limit

    def is_late(self, order: Order, event: Event) -> bool:
        return [tag for tag in order.tags][0] == "a" and dt.now().year > self.limit


def use_delay(order: Order) -> timedelta:
    return timedelta(seconds=time.time())


def pure_arithmetic(order: Order, event: Pay) -> Actions[Order]:
    """Says time.time(), random and print, in words only."""
    yield Note(f"print {order.total} at {event.amount}")
    return order.replace(total=order.total + event.amount)


def pure_meta(order: Order, event: Event, meta: Meta) -> Order:
    assert meta.now is not None
    drawn = meta.random.random() + meta.random.choice((1, 2))
    return order.replace(placed=meta.now + timedelta(days=1), total=int(drawn), lines=tuple(sorted(meta.active)))


def pure_sets(order: Order, event: Pay) -> Order:
    both = order.tags | event.tags
    if "a" in both and any(tag > "a" for tag in both) and KINDS <= both:
        both = frozenset(tag.upper() for tag in both)
    lines = tuple(f"{name} {len(both)}" for name in sorted(both))
    longest = max(len(tag) for tag in order.tags)
    return order.replace(tags={tag for tag in both if tag}, lines=(*lines, *NAMES), total=longest)


def pure_namesakes(order: Order, event: Event) -> bool:
    return clock.now() > clock.time + clock.sleep() and SETTINGS.get("limit", 1) > 2


def pure_shadows(order: Order, event: Event) -> bool:
    time, open, print = order.total, order.lines, len
    random = Clock()
    return print(open) > time and random.now() > 0


def pure_dates(order: Order, event: Event) -> bool:
    placed = order.placed or dates.datetime(2026, 1, 1, tzinfo=dates.UTC)
    return placed.date() < date(2026, 1, 1) and dt.fromisoformat("2026-01-01") > placed and placed.now is not None


def pure_modules(order: Order, event: Event) -> bool:
    name = os.path.join("a", "b") + str(pathlib.PurePath("a") / "b") + Path("a").name + io.StringIO("a").getvalue()
    drawn = random.Random(order.total).random() + uuid.uuid5(uuid.NAMESPACE_URL, name).int
    return drawn > logging.INFO and isinstance(event, Pay) and isinstance(order, threading.Thread)


def pure_helper(order: Order, event: Event) -> bool:
    return holds(order, event) and order.is_free


def pure_local_function(order: Order, event: Event) -> bool:
    def now() -> int:
        return order.total

    return now() > 5


def pure_match(order: Order, event: Event) -> bool:
    match order.lines:
        case [time, *_]:
            return time > "a"
        case random:
            return bool(random)


def pure_errors(order: Order, event: Event) -> Order:
    try:
        return order.replace(total=1 // order.total)
    except ZeroDivisionError as time:
        raise subprocess.SubprocessError(str(time)) from time


PURE = [each for name, each in list(globals().items()) if name.startswith("pure_")]
