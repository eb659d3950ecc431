"""Every error as a document of problem details (RFC 9457), `application/problem+json`.

A problem's `type` is `urn:stateward:problem:` and its name in the table below; `detail` says what is wrong with this
very request. What a program needs to know beyond that stands in members of its own: `refusal` and `why` of an event
that was refused, `is_outcome_unknown` where it is not known whether something was kept.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec

from stateward.errors import (
    ActionFailed,
    Conflict,
    CursorInvalid,
    EndlessLoop,
    LedgerCorrupt,
    LedgerUnavailable,
    Refusal,
    Refused,
    StatewardError,
    Unkeepable,
    UnknownEntity,
    VersionUnknown,
)
from stateward.http.answers import Answer, to_json

__all__ = ["PROBLEMS", "Problem", "problem_of", "problem_of_refusal"]

_log = logging.getLogger(__name__)

_PREFIX = "urn:stateward:problem:"
RETRY_AFTER_S = 1
"""What a client is asked to wait before it tries again what is away or too busy now."""

PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request can't be read"),
    "no-token": (401, "A token is needed"),
    "forbidden": (403, "This caller may not do it"),
    "wrong-origin": (403, "The request comes from a page of another origin"),
    "unauthorized": (403, "The actor may not send the event"),
    "not-found": (404, "There is nothing at this path"),
    "unknown-kind": (404, "No lifecycle of this kind is served"),
    "unknown-entity": (404, "There is no such entity"),
    "method-not-allowed": (405, "The method means nothing here"),
    "body-late": (408, "The body did not arrive in time"),
    "refused": (409, "The event does not apply"),
    "conflict": (409, "Somebody else was first"),
    "expired": (410, "The event's time is over"),
    "stale": (412, "The entity is at another revision"),
    "body-too-large": (413, "The body is too large"),
    "not-json": (415, "The body is no JSON"),
    "wrong-host": (421, "The server is not known by this name"),
    "invalid": (422, "The request says something that it can't say"),
    "unknown-event": (422, "The lifecycle has no such event"),
    "unkeepable": (422, "It can't be kept"),
    "cursor-invalid": (422, "The cursor is none"),
    "internal": (500, "Something is wrong with the server"),
    "action-failed": (500, "A function of the lifecycle failed"),
    "version-unknown": (500, "The entity is on a version that this server does not know"),
    "ledger-corrupt": (500, "A row of the ledger can't be read"),
    "ledger-unavailable": (503, "The ledger is away"),
    "too-busy": (503, "The server has too much to do"),
    "call-late": (504, "It took too long"),
}
"""Each problem's status and title."""

_OF_REFUSALS = {"unauthorized": "unauthorized", "stale": "stale", "expired": "expired"}
"""The problems of refusals that are none of the chart's; all others are `refused`."""


class Problem(Exception):
    """What is told to the client instead of what it asked for."""

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.name = name
        """Which of `PROBLEMS`."""
        self.detail = detail
        self.headers = dict(headers or {})
        self.facts = dict(facts or {})
        """Members of its own."""

    @property
    def status(self) -> int:
        """The status of its answer."""
        return PROBLEMS[self.name][0]

    def document(self) -> dict[str, Any]:
        """The problem details."""
        status, title = PROBLEMS[self.name]
        return {"type": _PREFIX + self.name, "title": title, "status": status, "detail": self.detail, **self.facts}

    def answer(self) -> Answer:
        """The answer that tells it."""
        return Answer(
            self.status, to_json(self.document()), content_type=b"application/problem+json", headers=self.headers
        )


def problem_of_refusal(refusal: Refusal, why: object = None) -> Problem:
    """A refusal as a problem; `why` is its explanation, if there is one."""
    facts: dict[str, Any] = {"refusal": {**msgspec.structs.asdict(refusal), "reason": refusal.reason}}
    if why is not None:
        facts["why"] = why
    return Problem(_OF_REFUSALS.get(refusal.kind, "refused"), str(refusal), facts=facts)


_NAMES: tuple[tuple[type[StatewardError], str], ...] = (
    (UnknownEntity, "unknown-entity"),
    (Conflict, "conflict"),
    (Unkeepable, "unkeepable"),
    (CursorInvalid, "cursor-invalid"),
    (ActionFailed, "action-failed"),
    (EndlessLoop, "action-failed"),
    (VersionUnknown, "version-unknown"),
    (LedgerCorrupt, "ledger-corrupt"),
    (LedgerUnavailable, "ledger-unavailable"),
)


def problem_of(error: BaseException) -> Problem:
    """What an error is for the client. The server's own faults are logged, with a reference that the client is told."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refused):
        return problem_of_refusal(error.refusal)
    name = next((name for kind, name in _NAMES if isinstance(error, kind)), "internal")
    if isinstance(error, LedgerUnavailable):
        facts = {"is_outcome_unknown": error.is_outcome_unknown, "record": error.record}
        _log.warning("the ledger is away: %s", error)
        return Problem(name, _told(error), headers={"retry-after": str(RETRY_AFTER_S)}, facts=facts)
    if PROBLEMS[name][0] != HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(name, str(error))
    reference = str(uuid4())
    _log.error("%s, told as %s", error, reference, exc_info=error)
    detail = str(error) if name != "internal" else "see the server's log"
    return Problem(name, detail, facts={"reference": reference})


def _told(error: LedgerUnavailable) -> str:
    """What a client need know of it; addresses and users of a database are none of its business."""
    if error.is_outcome_unknown:
        return (
            "the ledger did not answer, and may have kept it: the same again under the same Idempotency-Key settles it"
        )
    return "the ledger is away, busy or full, and nothing was kept"
