"""A chart's tree as bit sets.

A set of states is an int whose bit i stands for the state of index i, which is its place in document order.
So union, intersection and difference are single operations, going through a set from its lowest bit is
document order, and a configuration of any size is one value that hashes and compares by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stateward.chart.nodes import Chart, StateKind, TransitionNode

__all__ = ["Structure", "bits", "bits_reversed", "mask_of"]


def bits(mask: int) -> Iterator[int]:
    """The members of a set in document order."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def bits_reversed(mask: int) -> Iterator[int]:
    """The members of a set in reverse document order."""
    while mask:
        index = mask.bit_length() - 1
        yield index
        mask ^= 1 << index


def mask_of(indices: Iterable[int]) -> int:
    """The set of these members."""
    mask = 0
    for index in indices:
        mask |= 1 << index
    return mask


class Structure:
    """What the kernel asks about a chart's tree, answered once. All sets are of proper descendants, and so on."""

    def __init__(self, chart: Chart[Any]) -> None:
        states = chart.states
        self.states = states
        self.parent = [0 if state.parent is None else state.parent for state in states]
        self.children = [mask_of(c for c in state.children if not states[c].kind.is_history) for state in states]
        self.descendants = [0] * len(states)
        self.ancestors: list[tuple[int, ...]] = [()] * len(states)
        """The proper ancestors, the nearest first, the root last."""
        for state in states[1:]:
            parent = self.parent[state.index]
            self.ancestors[state.index] = (parent, *self.ancestors[parent])
            for ancestor in self.ancestors[state.index]:
                self.descendants[ancestor] |= 1 << state.index

        def of_kind(*kinds: StateKind) -> int:
            return mask_of(state.index for state in states if state.kind in kinds)

        self.atomic = of_kind(StateKind.ATOMIC, StateKind.FINAL)
        self.final = of_kind(StateKind.FINAL)
        self.parallel = of_kind(StateKind.PARALLEL)
        self.compound = of_kind(StateKind.COMPOSITE)
        self.history = tuple(state.index for state in states if state.kind.is_history)
        """The history pseudo-states; a position's memory has a slot for each, in this order."""
        self.slot = {index: slot for slot, index in enumerate(self.history)}
        self.histories_of = {
            parent: tuple(index for index in self.history if self.parent[index] == parent)
            for parent in {self.parent[index] for index in self.history}
        }
        self.invoking = mask_of(state.index for state in states if state.invokes)
        """The states beside which something runs while they are active."""
        self.top_finals = self.final & self.children[0]

    def is_descendant(self, index: int, ancestor: int) -> bool:
        """Whether a state lies properly below another."""
        return bool(self.descendants[ancestor] >> index & 1)

    def effective_targets(self, targets: Iterable[int], memory: tuple[int, ...]) -> list[int]:
        """The targets with histories replaced by what they remember, or by their defaults."""
        found: list[int] = []
        for target in targets:
            if target not in self.slot:
                expanded: Iterable[int] = (target,)
            elif remembered := memory[self.slot[target]]:
                expanded = bits(remembered)
            else:
                expanded = self.effective_targets(self.states[target].default, memory)
            found += [index for index in expanded if index not in found]
        return found

    def domain(self, transition: TransitionNode, memory: tuple[int, ...]) -> int | None:
        """The state whose descendants the transition leaves and enters; None for a targetless one."""
        targets = self.effective_targets(transition.targets, memory)
        if not targets:
            return None
        source = transition.source
        inside = all(self.is_descendant(target, source) for target in targets)
        if transition.internal and self.compound >> source & 1 and inside:
            return source
        return self.least_common_compound_ancestor(source, targets)

    def least_common_compound_ancestor(self, source: int, targets: Iterable[int]) -> int:
        """The LCCA: the nearest proper ancestor of `source` that is compound, not parallel, and holds all targets."""
        wanted = mask_of(targets)
        for ancestor in self.ancestors[source]:
            if self.compound >> ancestor & 1 and not wanted & ~self.descendants[ancestor]:
                return ancestor
        return 0

    def is_in_final(self, index: int, configuration: int) -> bool:
        """Whether a composite's final child is active, or every region of a parallel is in its final state."""
        if self.compound >> index & 1:
            return bool(self.children[index] & self.final & configuration)
        if self.parallel >> index & 1:
            return all(self.is_in_final(child, configuration) for child in bits(self.children[index]))
        return False

    def histories_read(self, targets: Iterable[int]) -> int:
        """Every history that entering these targets might consult: a superset, found once for a transition."""
        seen = 0
        todo = list(targets) if self.history else []
        while todo:
            index = todo.pop()
            if seen >> index & 1:
                continue
            seen |= 1 << index
            state = self.states[index]
            todo += (*state.initial, *state.default)
            if self.parallel >> index & 1:
                todo += bits(self.children[index])
            if index in self.slot:
                todo += bits(self.descendants[self.parent[index]])
            # Entering below a parallel enters the regions beside it.
            todo += (a for a in self.ancestors[index] if self.parallel >> a & 1)
        return seen & mask_of(self.history)

    def is_legal(self, configuration: int) -> bool:
        """Whether these states can be active at once: one child of each composite, all of each parallel."""
        for index in bits(configuration | 1):
            active = self.children[index] & configuration
            if self.compound >> index & 1 and active.bit_count() != 1:
                return False
            if self.parallel >> index & 1 and active != self.children[index]:
                return False
            if index and self.parent[index] and not configuration >> self.parent[index] & 1:
                return False
        return True
