"""For whoever looks after it: what is served, how many are where, what is stuck, what was given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec

from stateward.engine import AsyncEngine
from stateward.http import views
from stateward.http.answers import Answer, answer_with
from stateward.http.face import Face, Operation, page_of
from stateward.http.kinds import sent_events
from stateward.http.problems import Problem
from stateward.http.requests import Request
from stateward.ledger.codec import is_keepable
from stateward.work.operating import DeadLetter

__all__ = ["OPERATOR", "OperatorRoutes"]

OPERATOR = "operator"
"""The role that puts dead letters back, where there are tokens."""

_RETRY = msgspec.json.Decoder(views.Retry)


class OperatorRoutes:
    """The routes of operators."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._lifecycles = answer_with(_lifecycles(face))

    def operations(self) -> Sequence[Operation]:
        """What they answer."""
        return (
            Operation(name="census", method="GET", path="/census/{kind}", answer=self.census),
            Operation(name="stuck", method="GET", path="/stuck/{kind}", answer=self.stuck),
            Operation(name="dead", method="GET", path="/dead", answer=self.dead),
            Operation(name="retry", method="POST", path="/dead/retry", answer=self.retry),
            Operation(name="lifecycles", method="GET", path="/lifecycles", answer=self.lifecycles),
        )

    async def lifecycles(self, request: Request) -> Answer:
        """What is served."""
        request.query()
        return self._lifecycles

    async def census(self, request: Request) -> Answer:
        """How many entities are in each configuration."""
        kind = self._face.kind(request)
        request.query()
        states: dict[str, int] = await self._face.ask(lambda engine: engine.census(kind.newest))
        return answer_with(views.Census(kind=kind.name, states=states))

    async def stuck(self, request: Request) -> Answer:
        """A page of entities past their time."""
        kind = self._face.kind(request)
        after, limit = page_of(request.query("after", "limit"), self._face.limits)
        found = await self._face.ask(
            lambda engine: engine.stuck_page(kind.newest, after=after, limit=limit)
        )  # fmt: skip
        return answer_with(views.Entities(items=tuple(map(views.entity_view, found.items)), after=found.after))

    async def dead(self, request: Request) -> Answer:
        """A page of dead letters."""
        query = request.query("kind", "entity", "effect", "after", "limit")
        after, limit = page_of(query, self._face.limits)
        chosen = _checked({name: query.text(name) for name in ("kind", "entity", "effect")})
        found = await self._face.ask(lambda engine: engine.dead_page(**chosen, after=after, limit=limit))
        return answer_with(views.DeadLetters(items=found.items, after=found.after))

    async def retry(self, request: Request) -> Answer:
        """Put dead letters back."""
        if self._face.is_guarded and OPERATOR not in request.actor.roles:
            raise Problem("forbidden", f"{request.actor} has not the role {OPERATOR}, which this needs")
        request.query()
        asked = await request.read(_RETRY)
        given = {"kind": asked.kind, "entity": asked.entity, "effect": asked.effect}
        chosen = _checked({name: None if each is msgspec.UNSET else each for name, each in given.items()})
        if asked.all == (asked.keys is not msgspec.UNSET or any(each is not None for each in chosen.values())):
            raise Problem("invalid", 'say which: by kind, entity, effect or keys; or {"all": true}, and nothing else')
        keys = None if asked.keys is msgspec.UNSET else frozenset(asked.keys)
        rate = None if asked.rate is msgspec.UNSET else asked.rate

        def put_back(engine: Any) -> Any:
            letters = engine.dead(**chosen)
            among = _among_tasks if isinstance(engine, AsyncEngine) else _among
            return engine.retry(letters if keys is None else among(letters, keys), rate=rate)

        return answer_with(views.Retried(retried=await self._face.ask(put_back, goes_on=True)))


def _checked(chosen: dict[str, str | None]) -> dict[str, str | None]:
    """Names that something may be kept under.

    Raises:
        Problem: nothing can be.
    """
    for name, each in chosen.items():
        if each is not None and not is_keepable(each):
            raise Problem("invalid", f"{name} is {each!r:.100}, which nothing can be called")
    return chosen


def _among(letters: Iterator[DeadLetter], keys: frozenset[str]) -> Iterator[DeadLetter]:
    return (each for each in letters if each.key in keys)


async def _among_tasks(letters: AsyncIterator[DeadLetter], keys: frozenset[str]) -> AsyncIterator[DeadLetter]:
    async for each in letters:
        if each.key in keys:
            yield each


def _lifecycles(face: Face) -> views.Lifecycles:
    return views.Lifecycles(
        lifecycles=tuple(
            views.KindView(
                kind=kind.name,
                description=kind.newest.description,
                versions=tuple(
                    views.VersionView(
                        version=version,
                        digest=chart.digest,
                        states=tuple(state.path for state in chart.states if state.path),
                        events=tuple(sent_events(chart)),
                    )
                    for version, chart in sorted(kind.charts.items())
                ),
            )
            for kind in face.kinds
        )
    )
