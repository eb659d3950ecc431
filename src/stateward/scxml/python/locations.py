"""Locations: what can be assigned to, compiled.

A location is resolved to a place first, by which its keys are evaluated, once. Assigning to the place makes new
values from there up to the name, and shares all others.
"""

from __future__ import annotations

from collections.abc import Callable

from stateward.errors import EvaluationError
from stateward.scxml.python.builtins import BUILTINS
from stateward.scxml.python.callables import ClassValue, field_of
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.operators import item, kind_name, place
from stateward.scxml.run import Run
from stateward.scxml.values import Compound, ListValue, MapValue, RecordValue, Value, size_of

__all__ = ["FieldLocation", "ItemLocation", "Location", "NameLocation", "Place", "value_of_name"]


class Place:
    """Where a value stands, at the moment."""

    def read(self) -> Value:
        """The value there.

        Raises:
            EvaluationError: there is none.
        """
        raise NotImplementedError

    def update(self, change: Callable[[Value], Value]) -> None:
        """Put what `change` makes of the value there in its place; if the place is new, it gets None.

        Raises:
            EvaluationError: there can be nothing at that place.
        """
        raise NotImplementedError

    def assign(self, value: Value) -> None:
        """Assign a value. Within a function, a name assigned to is the function's own, as in Python.

        Raises:
            EvaluationError: nothing can be assigned to that place.
        """
        self.update(lambda _: value)


class Location:
    """Something to assign to."""

    def resolve(self, frame: Frame) -> Place:
        """The place that it means in this frame.

        Raises:
            EvaluationError: a key of it has no value.
        """
        raise NotImplementedError

    def assign(self, frame: Frame, value: Value) -> None:
        """Assign a value to the place that it means.

        Raises:
            EvaluationError: nothing can be assigned to that place.
        """
        self.resolve(frame).assign(value)


class NameLocation(Location):
    """A variable: a function's own, or the document's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def resolve(self, frame: Frame) -> Place:
        """The variable of this frame."""
        return _NamePlace(frame, self.name)


class FieldLocation(Location):
    """A field of what a script's class made."""

    def __init__(self, owner: Location, name: str) -> None:
        self.owner = owner
        self.name = name

    def resolve(self, frame: Frame) -> Place:
        """The field of what stands at the owner's place."""
        return _FieldPlace(frame.run, self.owner.resolve(frame), self.name)


class ItemLocation(Location):
    """An item of a list or a dict."""

    def __init__(self, owner: Location, key: Callable[[Frame], Value]) -> None:
        self.owner = owner
        self.key = key

    def resolve(self, frame: Frame) -> Place:
        """The item of what stands at the owner's place, its key evaluated."""
        return _ItemPlace(frame.run, self.owner.resolve(frame), self.key(frame))


class _NamePlace(Place):
    __slots__ = ("frame", "name")

    def __init__(self, frame: Frame, name: str) -> None:
        self.frame = frame
        self.name = name

    def read(self) -> Value:
        return value_of_name(self.frame, self.name)

    def update(self, change: Callable[[Value], Value]) -> None:
        for names in (self.frame.loops, self.frame.names):
            if names is not None and self.name in names:
                names[self.name] = change(names[self.name])
                return
        self._update_data(change)

    def assign(self, value: Value) -> None:
        names = self.frame.names
        if names is None or self.name in self.frame.are_global:
            self._update_data(lambda _: value)
        else:
            names[self.name] = value

    def _update_data(self, change: Callable[[Value], Value]) -> None:
        run, name = self.frame.run, self.name
        if name.startswith("_"):
            message = f"{name} can't be assigned to: names that begin with an underscore are the system's"
            raise EvaluationError(message)
        if name not in run.data and not run.may_declare:
            message = f"{name} is not declared"
            raise EvaluationError(message)
        run.data = _with_item(run, run.data, name, change)


class _FieldPlace(Place):
    __slots__ = ("name", "owner", "run")

    def __init__(self, run: Run, owner: Place, name: str) -> None:
        self.run = run
        self.owner = owner
        self.name = name

    def read(self) -> Value:
        return field_of(self.owner.read(), self.name)

    def update(self, change: Callable[[Value], Value]) -> None:
        def changed(owner: Value) -> Value:
            if not isinstance(owner, RecordValue) or not isinstance(owner.kind, ClassValue):
                message = f"{kind_name(owner)} has no fields to assign to"
                raise EvaluationError(message)
            return RecordValue(owner.kind, _with_item(self.run, owner.fields, self.name, change))

        self.owner.update(changed)


class _ItemPlace(Place):
    __slots__ = ("key", "owner", "run")

    def __init__(self, run: Run, owner: Place, key: Value) -> None:
        self.run = run
        self.owner = owner
        self.key = key

    def read(self) -> Value:
        return item(self.run, self.owner.read(), self.key)

    def update(self, change: Callable[[Value], Value]) -> None:
        def changed(owner: Value) -> Value:
            if isinstance(owner, MapValue):
                return _with_item(self.run, owner, self.key, change)
            if isinstance(owner, ListValue) and isinstance(self.key, int):
                self.run.spend(len(owner.items))
                index = place(self.key, len(owner.items))
                return owner.replace(index, change(owner.items[index]))
            message = f"{kind_name(owner)} has no items of {kind_name(self.key)} to assign to"
            raise EvaluationError(message)

        self.owner.update(changed)


def value_of_name(frame: Frame, name: str) -> Value:
    """What a name stands for.

    Raises:
        EvaluationError: nothing.
    """
    run = frame.run
    for known in (frame.loops, frame.names or {}, run.data.items, BUILTINS):
        if name in known:
            return known[name]
    if name in run.system:
        return run.system[name]
    message = f"{name} is not declared"
    raise EvaluationError(message)


def _with_item(run: Run, mapping: MapValue, key: Value, change: Callable[[Value], Value]) -> MapValue:
    run.spend(size_of(key))
    before = mapping.items.get(key)
    # Copying is fast; if the deepest of the values may be gone, all of them are measured again.
    run.spend(len(mapping.items) if isinstance(before, Compound) else len(mapping.items) // 4)
    return mapping.replace(key, change(before))
