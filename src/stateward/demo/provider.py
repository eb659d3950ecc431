"""A payment provider in a process of its own: it speaks HTTP, keeps a book of its own, and honours idempotency keys.

It is what the demo's workers talk to, and what shows that nothing was lost and nothing charged twice: its book says
how often each key was asked, and what was booked for it. Told so, it fails, or books a charge and keeps its reply back
until the caller is gone, as a network would.

Run by `stateward demo`: `python -m stateward.demo.provider` reads where its book is from stdin, writes the port that it
listens on to stdout, and ends when stdin does.
"""

from __future__ import annotations

import os
import select
import sqlite3
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Lock, Thread
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from stateward.demo.orders import CARD_LIMIT

__all__ = ["Book"]

HELD_S_MAX = 25.0
"""How long a reply is kept back at most, and is waited for that one is; callers wait for longer."""

_SCHEMA = """
CREATE TABLE payment (key TEXT PRIMARY KEY, customer_order TEXT NOT NULL, amount INTEGER NOT NULL, payment TEXT UNIQUE);
CREATE TABLE refund (key TEXT PRIMARY KEY, payment TEXT NOT NULL UNIQUE);
CREATE TABLE asked (key TEXT NOT NULL, what TEXT NOT NULL, customer_order TEXT, answer TEXT NOT NULL);
CREATE INDEX asked_for ON asked (customer_order);
"""
_SUMS = """
SELECT (SELECT count(*) FROM asked WHERE what = 'charge'),
    (SELECT count(DISTINCT key) FROM asked WHERE what = 'charge'),
    (SELECT count(*) FROM payment),
    (SELECT count(DISTINCT key) FROM asked WHERE answer = 'declined'),
    (SELECT count(*) FROM (SELECT 1 FROM payment GROUP BY customer_order HAVING count(*) > 1)),
    (SELECT count(*) FROM refund)
"""


class Book:
    """What was asked, and what was booked for it: a SQLite file."""

    def __init__(self, path: str) -> None:
        """Open a new book."""
        self._lock = Lock()
        self._file = sqlite3.connect(path, check_same_thread=False)
        self._file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    def charge(self, key: str, order: str, amount: int) -> tuple[int, dict[str, Any]]:
        """Charge an amount, once for each key; the answer as status and body."""
        with self._lock, self._file:
            row = self._file.execute("SELECT payment FROM payment WHERE key = ?", (key,)).fetchone()
            if row is not None:
                self._note(key, "charge", order, "charged before")
                return 200, {"payment": row[0]}
            if amount > CARD_LIMIT:
                reason = f"{amount / 100:.2f} is more than the card is good for"
                self._note(key, "charge", order, "declined")
                return 402, {"reason": reason}
            [count] = self._file.execute("SELECT count(*) FROM payment").fetchone()
            payment = f"pay-{count + 1}"
            self._file.execute("INSERT INTO payment VALUES (?, ?, ?, ?)", (key, order, amount, payment))
            self._note(key, "charge", order, "charged")
            return 200, {"payment": payment}

    def refund(self, key: str, order: str, payment: str) -> tuple[int, dict[str, Any]]:
        """Give a payment back, once."""
        with self._lock, self._file:
            known = self._file.execute("SELECT 1 FROM payment WHERE payment = ?", (payment,)).fetchone()
            if known is None:
                self._note(key, "refund", order, "unknown")
                return 404, {"reason": f"there is no payment {payment}"}
            self._file.execute("INSERT OR IGNORE INTO refund VALUES (?, ?)", (key, payment))
            self._note(key, "refund", order, "refunded")
            return 200, {}

    def fail(self, key: str, what: str, order: str) -> tuple[int, dict[str, Any]]:
        """Note that it was asked, and answer nothing that helps."""
        with self._lock, self._file:
            self._note(key, what, order, "failed")
            return 503, {"reason": "out of order"}

    def _note(self, key: str, what: str, order: str, answer: str) -> None:
        self._file.execute("INSERT INTO asked VALUES (?, ?, ?, ?)", (key, what, order, answer))

    def charges_of(self, order: str) -> list[dict[str, Any]]:
        """By key, how often an order's charges were asked for, and how often they were booked."""
        rows = self._rows(
            "SELECT key, count(*), (SELECT count(*) FROM payment WHERE payment.key = asked.key) FROM asked"
            " WHERE customer_order = ? AND what = 'charge' GROUP BY key",
            order,
        )
        return [{"key": key, "asked": asked, "booked": booked} for key, asked, booked in rows]

    def sums(self) -> dict[str, int]:
        """The sums of the book."""
        [row] = self._rows(_SUMS)
        return dict(zip(("asked", "keys", "charged", "declined", "charged_twice", "refunds"), row, strict=True))

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._file.execute(query, values).fetchall()


class Scenario:
    """What the demo has told the provider to do amiss."""

    def __init__(self) -> None:
        """All goes well at first."""
        self._turn = Condition()
        self._failures: Counter[str] = Counter()
        self._to_hold: set[str] = set()
        self._held: set[str] = set()
        self._fail_every = 0
        self._calls = 0

    def tell(self, order: str | None = None, fail: int = 0, hold: bool = False, fail_every: int = 0) -> None:
        """Fail the next calls for an order, hold the reply to the next one, or fail each so manieth call."""
        with self._turn:
            self._fail_every = fail_every
            if order is not None:
                self._failures[order] += fail
                if hold:
                    self._to_hold.add(order)

    def fails(self, order: str) -> bool:
        """Whether this call fails."""
        with self._turn:
            self._calls += 1
            if self._failures[order] > 0:
                self._failures[order] -= 1
                return True
            return self._fail_every > 0 and self._calls % self._fail_every == 0

    def holds(self, order: str) -> bool:
        """Whether the reply to this call is kept back."""
        with self._turn:
            if order not in self._to_hold:
                return False
            self._to_hold.discard(order)
            self._held.add(order)
            self._turn.notify_all()
            return True

    def wait_held(self, order: str) -> bool:
        """Wait until the reply to a call for this order is kept back."""
        with self._turn:
            return self._turn.wait_for(lambda: order in self._held, HELD_S_MAX)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, book: Book) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.book = book
        self.scenario = Scenario()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that is gone is none of our faults; whatever else went wrong is told by the socketserver."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def at(self) -> _Server:
        """Whom it answers for."""
        return cast("_Server", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base calls it so
        """Say nothing: the demo tells what happens."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        order = parse_qs(address.query).get("order", [""])[0]
        if address.path == "/charges":
            self._answer(200, self.at.book.charges_of(order))
        elif address.path == "/held":
            self._answer(200, self.at.scenario.wait_held(order))
        elif address.path == "/sums":
            self._answer(200, self.at.book.sums())
        else:
            self._answer(404, {"reason": "no such thing"})

    def do_POST(self) -> None:
        asked: dict[str, Any] = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/scenario":
            self.at.scenario.tell(**asked)
            self._answer(200, {})
            return
        key, what, order = self.headers["Idempotency-Key"], self.path.strip("/"), asked["order"]
        if key is None or what not in ("charge", "refund"):
            self._answer(400, {"reason": "POST /charge and /refund, with an Idempotency-Key"})
        elif self.at.scenario.fails(order):
            self._answer(*self.at.book.fail(key, what, order))
        elif what == "refund":
            self._answer(*self.at.book.refund(key, order, asked["payment"]))
        else:
            answer = self.at.book.charge(key, order, asked["amount"])
            if self.at.scenario.holds(order):
                select.select([self.connection], [], [], HELD_S_MAX)  # readable when the caller is gone
                self.close_connection = True
                return
            self._answer(*answer)

    def _answer(self, status: int, body: Any) -> None:
        text = msgspec.json.encode(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until stdin ends."""
    server = _Server(Book(sys.stdin.readline().rstrip("\n")))
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # whoever started it is gone, or done: nobody waits for what is still being answered


if __name__ == "__main__":
    main()
