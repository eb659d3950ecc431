"""Locations: what can be assigned to, compiled.

Assigning makes new values from the place up to the name, and shares all others.
"""

from __future__ import annotations

from collections.abc import Callable

from stateward.errors import EvaluationError
from stateward.scxml.python.callables import ClassValue
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.operators import kind_name, place
from stateward.scxml.values import ListValue, MapValue, RecordValue, Value

__all__ = ["FieldLocation", "ItemLocation", "Location", "NameLocation"]


class Location:
    """Something to assign to."""

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        """Put what `change` makes of the value there in its place; if the place is new, it gets None.

        Raises:
            EvaluationError: there can be nothing at that place.
        """
        raise NotImplementedError

    def assign(self, frame: Frame, value: Value) -> None:
        """Assign a value. Within a function, a name assigned to is the function's own, as in Python.

        Raises:
            EvaluationError: nothing can be assigned to that place.
        """
        self.update(frame, lambda _: value)


class NameLocation(Location):
    """A variable: a function's own, or the document's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        """Change what is there, as any location does."""
        if frame.names is not None and self.name in frame.names:
            frame.names[self.name] = change(frame.names[self.name])
        else:
            self._update_data(frame, change)

    def assign(self, frame: Frame, value: Value) -> None:
        """Assign a value: to a name of the function's own, or of the document if there is no function around."""
        if frame.names is None or self.name in frame.are_global:
            self._update_data(frame, lambda _: value)
        else:
            frame.names[self.name] = value

    def _update_data(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        run, name = frame.run, self.name
        if name.startswith("_"):
            message = f"{name} can't be assigned to: names that begin with an underscore are the system's"
            raise EvaluationError(message)
        if name not in run.data and not run.may_declare:
            message = f"{name} is not declared"
            raise EvaluationError(message)
        run.spend(1 + len(run.data.items) // 16)
        run.data = run.data.replace(name, change(run.data.items.get(name)))


class FieldLocation(Location):
    """A field of what a script's class made."""

    def __init__(self, owner: Location, name: str) -> None:
        self.owner = owner
        self.name = name

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        """Change what is there, as any location does."""

        def changed(owner: Value) -> Value:
            if not isinstance(owner, RecordValue) or not isinstance(owner.kind, ClassValue):
                message = f"{kind_name(owner)} has no fields to assign to"
                raise EvaluationError(message)
            before = owner.fields.items.get(self.name)
            return RecordValue(owner.kind, owner.fields.replace(self.name, change(before)))

        self.owner.update(frame, changed)


class ItemLocation(Location):
    """An item of a list or a dict."""

    def __init__(self, owner: Location, key: Callable[[Frame], Value]) -> None:
        self.owner = owner
        self.key = key

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        """Change what is there, as any location does."""

        def changed(owner: Value) -> Value:
            key = self.key(frame)
            if isinstance(owner, MapValue):
                frame.run.spend(1 + len(owner.items) // 16)
                return owner.replace(key, change(owner.items.get(key)))
            if isinstance(owner, ListValue) and isinstance(key, int):
                frame.run.spend(len(owner.items))
                index = place(key, len(owner.items))
                return owner.replace(index, change(owner.items[index]))
            message = f"{kind_name(owner)} has no items of {kind_name(key)} to assign to"
            raise EvaluationError(message)

        self.owner.update(frame, changed)
