"""Tokens as they are kept: in a file, or one in the environment; never on a command line, which all can read."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stateward.errors import CallerError
from stateward.http.guarding import Token

__all__ = ["TOKEN", "TOKEN_ACTOR", "read_tokens"]

TOKEN, TOKEN_ACTOR = "STATEWARD_TOKEN", "STATEWARD_TOKEN_ACTOR"
"""The variables of the one token that the environment may hold, and of its actor."""
_DEFAULT_ACTOR = "http:token"
_OTHERS_MAY = 0o077

_log = logging.getLogger(__name__)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    token: list[dict[str, Any]]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    secret: str
    actor: str
    roles: frozenset[str] = frozenset()
    acts_for_others: bool = False


def read_tokens(path: Path | None, environment: Mapping[str, str] = os.environ) -> list[Token]:
    """The tokens of a file, and that of the environment.

    Args:
        path: a TOML file with a table `[[token]]` for each: secret, actor, and if need be roles and acts_for_others.
        environment: where STATEWARD_TOKEN may be, and STATEWARD_TOKEN_ACTOR.

    Raises:
        CallerError: the file can't be read, or says something else; the secret is never told.
    """
    tokens = [] if path is None else _from_file(path)
    secret = environment.get(TOKEN)
    if secret is not None:
        tokens.append(Token(secret=secret, actor=environment.get(TOKEN_ACTOR, _DEFAULT_ACTOR)))
    return tokens


def _from_file(path: Path) -> list[Token]:
    try:
        text = path.read_text(encoding="utf-8")
        if os.name == "posix" and path.stat().st_mode & _OTHERS_MAY:
            _log.warning("%s holds secrets, and others may read it: chmod 600 %s", path, path)
        given = tomllib.loads(text)
        _check_names(f"{path}", given, _File)
        entries = msgspec.convert(given, _File).token
        for number, each in enumerate(entries, start=1):
            _check_names(f"token {number} in {path}", each, _Entry)
        found = [msgspec.convert(each, _Entry) for each in entries]
    except OSError as error:
        message = f"the tokens can't be read: {error}"
        raise CallerError(message) from None
    except (ValueError, msgspec.ValidationError) as error:
        message = f"the tokens in {path} can't be read: {error}"
        raise CallerError(message) from None
    if not found:
        message = f"there is no [[token]] in {path}"
        raise CallerError(message)
    return [
        Token(secret=each.secret, actor=each.actor, roles=each.roles, acts_for_others=each.acts_for_others)
        for each in found
    ]


def _check_names(what: str, given: Mapping[str, Any], kind: type[msgspec.Struct]) -> None:
    """What is not known is not told by its name: it may be a secret that stands in the wrong place."""
    if not given.keys() <= set(kind.__struct_fields__):
        message = f"{what} holds something else than {', '.join(kind.__struct_fields__)}"
        raise CallerError(message)
