"""From a draft to a chart: checked, numbered in document order, references resolved to indices."""

from __future__ import annotations

from collections import Counter
from typing import Any

from stateward.chart.draft import ChartDraft, StateDraft
from stateward.chart.nodes import AlreadyNode, Chart, EventTrigger, StateKind, StateNode, TransitionNode
from stateward.chart.rules import check_draft, warn_of_chart
from stateward.chart.values import wire_name
from stateward.errors import DefinitionError

__all__ = ["build"]


def build(draft: ChartDraft, *, stacklevel: int | None = 3) -> Chart[Any]:
    """Check a draft and compile it.

    Args:
        draft: the lifecycle as declared.
        stacklevel: whose line a warning names, counted from this function; None: don't warn.

    Raises:
        DefinitionError: the first rule that the draft breaks.
    """
    if not isinstance(draft.version, int) or isinstance(draft.version, bool) or draft.version < 1:
        problem = f"is {draft.version!r}; it is a whole number from 1"
        raise DefinitionError(problem, lifecycle=draft.kind, subject="version", origin=draft.origin)
    _settle_defaults(draft.root)
    check_draft(draft)
    indices = {state.path: index for index, state in enumerate(draft.root.walk())}
    triggers = [*(each.trigger for each in draft.transitions), *(each.trigger for each in draft.already)]
    events = {wire_name(each.event): each.event for each in triggers if isinstance(each, EventTrigger)}
    chart: Chart[Any] = Chart(
        kind=draft.kind,
        version=draft.version,
        context_type=draft.context_type,
        states=tuple(_state_node(state, indices) for state in draft.root.walk()),
        transitions=_transition_nodes(draft, indices),
        already=tuple(
            AlreadyNode(each.trigger, tuple(indices[path] for path in each.states)) for each in draft.already
        ),
        events=events,
        description=draft.description,
        before=draft.before,
        guard_error=draft.guard_error,
    )
    if stacklevel is not None:
        warn_of_chart(chart, stacklevel=stacklevel + 1)
    return chart


def _settle_defaults(root: StateDraft) -> None:
    """Write down what a declaration may leave out: the initial child, a history's default."""
    for state in root.walk():
        marked = tuple(child.path for child in state.children if child.is_initial)
        if state.kind is StateKind.COMPOSITE and not state.initial and len(marked) == 1:
            state.initial = marked
    for state in root.walk():
        for child in state.children:
            if child.kind.is_history and not child.default:
                regions = tuple(each.path for each in state.children if not each.kind.is_history)
                child.default = regions if state.kind is StateKind.PARALLEL else state.initial


def _state_node(state: StateDraft, indices: dict[str, int]) -> StateNode:
    return StateNode(
        index=indices[state.path],
        path=state.path,
        name=state.name,
        kind=state.kind,
        parent=indices[state.path.rpartition(".")[0]] if state.path else None,
        children=tuple(indices[child.path] for child in state.children),
        initial=tuple(indices[path] for path in state.initial),
        initial_actions=state.initial_actions,
        entry=state.entry,
        exit=state.exit,
        invokes=state.invokes,
        data=state.data,
        default=tuple(indices[path] for path in state.default),
        default_actions=state.default_actions,
        sla=state.sla,
        description=state.description,
        origin=state.origin,
    )


def _transition_nodes(draft: ChartDraft, indices: dict[str, int]) -> tuple[TransitionNode, ...]:
    nodes: list[TransitionNode] = []
    taken: Counter[str] = Counter()
    for index, each in enumerate(draft.transitions):
        name = f"{each.name}:{each.source}"
        taken[name] += 1
        nodes.append(
            TransitionNode(
                index=index,
                id=name if taken[name] == 1 else f"{name}#{taken[name]}",
                name=each.name,
                source=indices[each.source],
                targets=tuple(indices[path] for path in each.targets),
                trigger=each.trigger,
                guard=each.guard,
                actions=each.actions,
                internal=each.internal,
                origin=each.origin,
            )
        )
    return tuple(nodes)
