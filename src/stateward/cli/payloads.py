"""Events and contexts as they are given on a command line: as JSON, from a file, from stdin, or field by field."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, cast

import click

from stateward.cli.suggesting import did_you_mean

__all__ = ["read_value"]


def read_value(what: str, kind: Any, words: Sequence[str]) -> Any:
    """An event or a context of the class `kind`, of what the command line says of it.

    Args:
        what: what it is, for messages: `the event Pay`.
        kind: its class.
        words: one word that is a JSON object, `@file` or `-` for one on stdin; or `field=value` for each field, where
            a value is read as its field's type, and may be JSON where that is an object or an array. None: all fields
            have their defaults.

    Raises:
        click.UsageError: it can't be read, or does not fit the class.
    """
    if len(words) == 1 and (words[0] == "-" or words[0].startswith(("@", "{"))):
        return _of_json(what, kind, _text_of(what, words[0]))
    return _of_words(what, kind, words)


def _text_of(what: str, word: str) -> str:
    try:
        if word == "-":
            return sys.stdin.read()
        return Path(word[1:]).read_text(encoding="utf-8") if word.startswith("@") else word
    except (OSError, UnicodeDecodeError) as error:
        message = f"{what} can't be read from {'stdin' if word == '-' else word[1:]}: {error}"
        raise click.UsageError(message) from error


def _of_json(what: str, kind: Any, text: str) -> Any:
    import msgspec

    from stateward.ledger.codec import decode_value

    try:
        fields: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message = f"{what} is no JSON: {error}"
        raise click.UsageError(message) from error
    if not isinstance(fields, dict):
        message = f"{what} is JSON, and no object: {{...}} with its fields is wanted"
        raise click.UsageError(message)
    _check_names(what, kind, cast("dict[str, Any]", fields), _written_names(kind).values())
    return _made(what, kind, lambda: decode_value(kind, text))


def _of_words(what: str, kind: Any, words: Sequence[str]) -> Any:
    written = _written_names(kind)
    known = {**{each: each for each in written.values()}, **written}
    fields: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            message = f"{word!r} says nothing of {what}: write field=value, a JSON object, @file, or - for stdin"
            raise click.UsageError(message)
        _check_names(what, kind, {name: value}, known)
        if known[name] in fields:
            message = f"{what}: {name} is given twice"
            raise click.UsageError(message)
        fields[known[name]] = value
    return _made(what, kind, lambda: _converted(kind, fields))


def _converted(kind: Any, fields: Mapping[str, str]) -> Any:
    """An instance of texts; where they do not fit as such, what looks like JSON is taken as that.

    A field that takes a text has it as it was written, whatever others need: a note may begin with a bracket.
    """
    convert = _converter(kind)
    try:
        return convert(fields)
    except ValueError:
        types = _types(kind)
        read = {
            name: text if name in types and _takes_text(types[name], text) else _maybe_json(text)
            for name, text in fields.items()
        }
        if read == fields:
            raise
        return convert(read)


def _types(kind: Any) -> dict[str, Any]:
    """The types of fields by what JSON calls them, as far as msgspec reads them."""
    import msgspec

    if issubclass(kind, msgspec.Struct):
        return {each.encode_name: each.type for each in msgspec.structs.fields(kind)}
    if is_dataclass(kind):
        from typing import get_type_hints

        return get_type_hints(kind, include_extras=True)
    return {}


def _takes_text(kind: Any, text: str) -> bool:
    import msgspec

    from stateward.ledger.codec import read_frozen

    try:
        msgspec.convert(text, type=kind, strict=False, dec_hook=read_frozen)
    except (ValueError, TypeError):  # the latter of a type that msgspec does not know
        return False
    return True


def _maybe_json(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text) if text.lstrip()[:1] in ("{", "[") else text
    except msgspec.DecodeError:
        return text


def _converter(kind: Any) -> Callable[[Any], Any]:
    validate: Any = getattr(kind, "model_validate", None)
    if validate is not None:  # a pydantic model, which msgspec does not know
        given: Callable[[Any], Any] = validate
        return given
    from functools import partial

    import msgspec

    from stateward.ledger.codec import read_frozen

    return partial(msgspec.convert, type=kind, strict=False, dec_hook=read_frozen)


def _made(what: str, kind: Any, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:  # msgspec's and pydantic's are such
        message = f"{what} does not fit: {error}{_told_fields(kind)}"
        raise click.UsageError(message) from error


def _check_names(what: str, kind: Any, given: Mapping[str, Any], known: Any) -> None:
    """No field is dropped in silence."""
    names = list(known)
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names)
            message = f"{what} has no field {name}{hint or _told_fields(kind)}"
            raise click.UsageError(message)


def _written_names(kind: Any) -> dict[str, str]:
    """What JSON calls the fields of a class, by name."""
    import msgspec

    from stateward.chart.immutable import field_names

    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {each.name: each.encode_name for each in msgspec.structs.fields(kind)}
    return {name: name for name in field_names(kind)}


def _told_fields(kind: Any) -> str:
    from stateward.chart.fields import FieldTypes

    fields = FieldTypes().of(kind)
    told = ", ".join(f"{name}: {text}" for name, text in fields.items())
    return f"; its fields are {told}" if told else "; it has no fields"
