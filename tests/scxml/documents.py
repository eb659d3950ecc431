"""Documents for tests: a body wrapped into a whole one."""

from __future__ import annotations

from stateward.scxml.xml import NAMESPACE

__all__ = ["document"]


def document(body: str, **attributes: str) -> str:
    """A document with this body on its second line, and these attributes beside those that all have."""
    given = {"xmlns": NAMESPACE, "version": "1.0", **attributes}
    return f"<scxml {' '.join(f'{name}={value!r}' for name, value in given.items())}>\n{body}\n</scxml>"
