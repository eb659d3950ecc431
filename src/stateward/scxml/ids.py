"""State ids as state names: an id may hold dots and colons, which in a path part one state from the next."""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = ["id_of", "name_for"]

_RESERVED = re.compile(r"[%.|:@#\s]")


def name_for(state_id: str) -> str:
    """The state name for an id: what a name can't hold is written as `%2E` and so on."""
    return _RESERVED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), state_id)


def id_of(path: str) -> str:
    """The id of the state of that path."""
    return unquote(path.rpartition(".")[2])
