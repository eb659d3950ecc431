"""What goes into a step and comes out of it: positions, snapshots, microsteps, steps."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, final

import msgspec

from stateward.chart.nodes import Chart
from stateward.chart.values import ContextMarker, EffectMarker, EventMarker
from stateward.kernel.structure import bits

if TYPE_CHECKING:
    from stateward.kernel.pieces import Plan
    from stateward.kernel.tables import Node, Tables

__all__ = ["Active", "Microstep", "Outcome", "Position", "Snapshot", "Step", "TimerSet"]

C = TypeVar("C", bound=ContextMarker)

Outcome = Literal["applied", "already_done"]


class Active(Set[str]):
    """The paths of a set of states, which costs as much as is asked of it: many handlers ask for one or none."""

    __slots__ = ("_mask", "_tables")

    def __init__(self, tables: Tables, mask: int) -> None:
        self._tables = tables
        self._mask = mask

    def __contains__(self, path: object) -> bool:
        index = self._tables.index_of.get(path)
        return index is not None and bool(self._mask >> index & 1)

    def __iter__(self) -> Iterator[str]:
        return (self._tables.structure.states[index].path for index in bits(self._mask))

    def __len__(self) -> int:
        return self._mask.bit_count()

    def __hash__(self) -> int:
        return self._hash()

    def __repr__(self) -> str:
        return repr(frozenset(self))

    @classmethod
    def _from_iterable(cls, it: Any) -> Any:
        return frozenset(it)

    def __reduce__(self) -> tuple[Any, ...]:
        return frozenset, (tuple(self),)


class Position:
    """A configuration and the history memory: an immutable value, compared by value.

    Made by the kernel; `position_of` makes one from the text that a ledger kept. Of one chart and one value
    there is usually one object, so that what the kernel has learnt about it is found without a look-up.
    """

    __slots__ = (
        "__weakref__",
        "configuration",
        "fast",
        "finished",
        "memory",
        "nodes",
        "plans",
        "restless",
        "tables",
        "written",
    )

    def __init__(self, tables: Tables, configuration: int, memory: tuple[int, ...]) -> None:
        self.tables = tables
        self.configuration = configuration
        """The active states as a bit set over the chart's indices, ancestors included, the root not."""
        self.memory = memory
        """What each history remembers, a bit set each; 0: nothing yet."""
        self.restless = bool(configuration & tables.eventless)
        """Whether an eventless transition might be enabled here."""
        self.finished = bool(configuration & tables.structure.top_finals)
        """Whether a top-level final state is active."""
        self.nodes: dict[Any, Node] = {}
        """The kernel's: where selection starts, by trigger key."""
        self.fast: dict[Any, Node] = self.nodes if tables.is_plain else {}
        """The kernel's: the same, unless the chart has hooks that ask for the long way."""
        self.plans: dict[tuple[int, ...], Plan] = {}
        """The kernel's: what was planned here, by the transitions selected."""
        self.written: str | None = None
        """`state`, once it was asked for."""

    @property
    def chart(self) -> Chart[Any]:
        """The chart whose states these are."""
        return self.tables.chart

    @property
    def atoms(self) -> tuple[str, ...]:
        """The paths of the active atomic states, in document order."""
        structure = self.tables.structure
        return tuple(structure.states[index].path for index in bits(self.configuration & structure.atomic))

    @property
    def state(self) -> str:
        """The configuration in writing: the paths of its atomic states, joined by `|` in document order."""
        if self.written is None:
            self.written = "|".join(self.atoms)
        return self.written

    @property
    def active(self) -> frozenset[str]:
        """The paths of all active states, composites and parallels included."""
        return self.tables.active(self.configuration)

    @property
    def history(self) -> dict[str, tuple[str, ...]]:
        """What is remembered: the paths by the history's path, for those that remember anything."""
        structure = self.tables.structure
        return {
            structure.states[index].path: tuple(structure.states[each].path for each in bits(remembered))
            for index, remembered in zip(structure.history, self.memory, strict=True)
            if remembered
        }

    def is_in(self, path: str) -> bool:
        """Whether the state of that path is active.

        Raises:
            KeyError: the chart has no such state.
        """
        return bool(self.configuration >> self.chart.state(path).index & 1)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Position)
            and self.configuration == other.configuration
            and self.memory == other.memory
            and self.chart == other.chart
        )

    def __hash__(self) -> int:
        return hash((self.configuration, self.memory))

    def __repr__(self) -> str:
        return f"<Position {self.chart.kind} {self.state}>"

    def __copy__(self) -> Position:
        return self

    def __deepcopy__(self, _: object) -> Position:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from stateward.kernel.tables import position_of  # noqa: PLC0415 - tables make positions

        return position_of, (self.chart, self.state, self.history)


class Snapshot(msgspec.Struct, Generic[C], frozen=True):
    """All that a step needs to know of an entity."""

    position: Position
    context: C

    @property
    def state(self) -> str:
        """The configuration in writing, `paid` or `active.payment.unpaid|active.parcel.packing`."""
        return self.position.state


class TimerSet(msgspec.Struct, frozen=True):
    """A timer to set; whoever keeps the time sends `Elapsed(name)` when it has run out."""

    name: str
    """`<name of the transition>@<path of the source>`."""
    delay: timedelta
    """From the moment of the step."""


class Microstep(msgspec.Struct, frozen=True):
    """One set of transitions taken together."""

    exited: tuple[str, ...]
    """Paths in the order in which they were left: children first, later regions first."""
    transitions: tuple[str, ...]
    """Ids in the order in which they were selected; empty for the microstep of the start."""
    entered: tuple[str, ...]
    """Paths in the order in which they were entered: parents first, document order."""


@final
class Step(msgspec.Struct, Generic[C], frozen=True):
    """The result of one event run to completion. Nothing in it has been done yet, and nothing is lost."""

    microsteps: tuple[Microstep, ...]
    """In order; none when the event was already done."""
    snapshot: Snapshot[C]
    """What holds from now on."""
    effects: tuple[EffectMarker, ...] = ()
    """What the actions asked of the world, in the order in which they did; to be kept in that order."""
    timers_set: tuple[TimerSet, ...] = ()
    """Timers that run from now on; to be set after those of `timers_cancelled` are gone."""
    timers_cancelled: tuple[str, ...] = ()
    """Names of timers that ran before this step and don't any more."""
    unhandled: tuple[EventMarker, ...] = ()
    """Raised events that no transition took."""
    data: Any = None
    """What the top-level final state's `data=` returned, if this step reached one."""
    outcome: Outcome = "applied"

    @property
    def state(self) -> str:
        """The configuration after the step, in writing."""
        return self.snapshot.position.state
