"""Whether a state's name reads as a condition."""

from __future__ import annotations

import re
from typing import Any

from stateward.chart.nodes import Chart, StateNode

__all__ = ["happenings_of", "is_catch_all", "is_command"]

_VERB_TEXT = """
    accept activate allocate approve assign authorise authorize begin cancel close confirm create deactivate decline
    deliver deny disable enable escalate execute expire fail fulfil fulfill install merge notify pay pick
    prepare publish receive reject remove renew reopen resolve resume retry send ship submit suspend
    terminate unlock update upload validate verify withdraw
    """
_VERBS = frozenset(_VERB_TEXT.split())
"""Commands that are seldom anything else: no `start`, `hold`, `refund` or `open`, which may be noun or adjective."""

_CONDITION_ENDINGS = (
    "ed", "ing", "able", "ible", "ive", "ful", "less", "ous",
    "ment", "tion", "sion", "ance", "ence", "ness", "ity", "ure", "al", "ery", "ory", "age",
)  # fmt: skip
_IRREGULAR_TEXT = """
    begun bought broken built busy caught chosen done drawn empty found free given gone held kept known left lost made
    met new open over paid put ready read seen sent set shut sold spent split stuck taken told won written
    """
_IRREGULAR = frozenset(_IRREGULAR_TEXT.split())
_PREPOSITIONS = frozenset({"at", "in", "no", "not", "off", "on", "out", "under"})

_CATCH_ALL = frozenset({"error", "errored", "failed", "failure", "fault", "faulted"})
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def happenings_of(chart: Chart[Any]) -> frozenset[str]:
    """The names of a chart's transitions and events, which say what happens."""
    return frozenset(_in_words(each) for each in (*chart.events, *(each.name for each in chart.transitions)))


def is_command(state: StateNode, happenings: frozenset[str]) -> bool:
    """Whether a state is named as a command or event is: `pay`, `ship`, `send_invoice`.

    It is if it shares its name with a transition or an event of the chart, or if its first word is in a short list of
    verbs that are hardly ever nouns. It is not, either way, if a word of it makes a condition of it: a participle
    (`captured`, `cancel_requested`, `sent`), what ends as adjectives and nouns do (`pending`, `payment`), or a
    preposition in front (`in_progress`).

    Args:
        state: the state.
        happenings: from `happenings_of`.
    """
    name = _in_words(state.name)
    words = name.split("_")
    if words[0] in _PREPOSITIONS or any(_is_condition(word) for word in words):
        return False
    return words[0] in _VERBS or name in happenings


def _in_words(name: str) -> str:
    """A name in the form `hand_over`, whether it was `HandOver` or that already."""
    return _WORD_START.sub("_", name).casefold()


def _is_condition(word: str) -> bool:
    return word in _IRREGULAR or (word not in _VERBS and word.endswith(_CONDITION_ENDINGS))


def is_catch_all(state: StateNode) -> bool:
    """Whether a state stands for any failure whatever. Inside a composite, the composite says which it is."""
    return state.parent == 0 and state.name.casefold() in _CATCH_ALL
