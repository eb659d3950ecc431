"""What a command line says of events and contexts, of every kind of class that they may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar

import click
import pytest

from stateward import Event, FrozenMap
from stateward.chart import EventMarker
from stateward.cli.payloads import read_value


class Way(Enum):
    CARD = "card"
    CASH = "cash"


class Paid(Event, rename="camel"):
    amount: Decimal
    paid_at: datetime | None = None
    way: Way = Way.CARD
    is_late: bool = False
    lines: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Packed(EventMarker):
    box: str
    weight: float = 1.0
    sizes: tuple[int, ...] = ()
    labels: FrozenMap[str, int] | None = None


class Model:
    """As a frozen pydantic model looks from outside; pydantic is no requirement."""

    model_fields: ClassVar[dict[str, Any]] = {"box": None}

    def __init__(self, box: int) -> None:
        self.box = box

    @classmethod
    def model_validate(cls, fields: dict[str, Any]) -> Model:
        return cls(int(fields["box"]))

    @classmethod
    def model_validate_json(cls, text: str) -> Model:
        import json

        return cls.model_validate(json.loads(text))


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        (Paid, ["amount=1.50"], Paid(amount=Decimal("1.50"))),
        (
            Paid, ["amount=2", "paid_at=2026-01-01T00:00:00Z", "way=cash", "is_late=true", "lines=[1, 2]"],
            Paid(Decimal(2), datetime(2026, 1, 1, tzinfo=UTC), Way.CASH, True, (1, 2)),
        ),
        (Paid, ["amount=2", "isLate=1"], Paid(Decimal(2), is_late=True)),
        (Paid, ['{"amount": "3", "isLate": true}'], Paid(Decimal(3), is_late=True)),
        (Paid, ["amount=2", "lines=[1]", "note=[urgent]"], Paid(Decimal(2), lines=(1,), note="[urgent]")),
        (Paid, ["amount=2", "lines=[1]", 'note={"x": 1}'], Paid(Decimal(2), lines=(1,), note='{"x": 1}')),
        (Packed, ["box=[1]", "sizes=[1]"], Packed("[1]", sizes=(1,))),
        (Packed, ["box={}", 'labels={"x": 1}'], Packed("{}", labels=FrozenMap({"x": 1}))),
        (Packed, ['{"box": "x", "labels": {"y": 2}}'], Packed("x", labels=FrozenMap({"y": 2}))),
        (Packed, ["box=a=b", "weight=2"], Packed("a=b", 2.0)),
        (Packed, ['{"box": "x"}'], Packed("x")),
    ],
)  # fmt: skip
def test_fields_are_read_as_their_types(kind: Any, words: list[str], expected: object) -> None:
    assert read_value("the event", kind, words) == expected


def test_a_model_validates_by_itself() -> None:
    assert read_value("the event", Model, ["box=7"]).box == 7
    assert read_value("the event", Model, ['{"box": 8}']).box == 8
    with pytest.raises(click.UsageError, match="the event does not fit: invalid literal for int"):
        read_value("the event", Model, ["box=x"])


@pytest.mark.parametrize(
    ("kind", "words", "problem"),
    [
        (Paid, [], "Object missing required field `amount`; its fields are amount: Decimal, "),
        (Paid, ["amount=1", "way=cheque"], "Invalid enum value 'cheque'"),
        (Paid, ["amount=1", "is_late=true", "isLate=true"], "isLate is given twice"),
        (Paid, ['{"amount": "1", "is_late": true}'], "has no field is_late; did you mean isLate?"),
        (Packed, ["weight=1"], "missing required field `box`"),
        (Packed, ["boxx=1"], "has no field boxx; did you mean box?"),
    ],
)
def test_what_does_not_fit_names_the_field(kind: Any, words: list[str], problem: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        read_value("the event", kind, words)
    assert problem in raised.value.message
