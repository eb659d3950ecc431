"""The null datamodel (B.1): no data, and conditions that ask which states are active."""

from __future__ import annotations

import re
from collections.abc import Callable

from stateward.scxml.datamodel import raiser
from stateward.scxml.run import Run
from stateward.scxml.values import Value

__all__ = ["NullDatamodel"]


class NullDatamodel:
    """No data; a condition is `In('state')`."""

    name = "null"
    _IN = re.compile(r"""\s*In\(\s*(?:'([^']*)'|"([^"]*)"|([^'"()\s]+))\s*\)\s*""")

    def condition(self, text: str) -> Callable[[Run], bool]:
        """`In('state')`, and nothing else."""
        found = self._IN.fullmatch(text)
        if found is None:
            return raiser(f"{text.strip()!r:.200} is no condition of the null datamodel: In('state') is")
        state = found[1] or found[2] or found[3] or ""
        return lambda run: run.is_in(state)

    def expression(self, text: str) -> Callable[[Run], Value]:
        """An error: there are no values."""
        return raiser(f"{text.strip()!r:.200} has no value: the null datamodel has no expressions")

    def location(self, text: str) -> Callable[[Run, Value], None]:
        """An error: there are no locations."""
        return raiser(f"{text.strip()!r:.200} is no location: the null datamodel has none")

    def script(self, text: str) -> Callable[[Run], None]:  # noqa: ARG002 - every script is refused
        """An error: there are no scripts."""
        return raiser("the null datamodel has no scripts")
