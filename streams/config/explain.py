"""Pydantic's complaints in the project's words: what was wrong, where, and what would be right, one a line.

Used for the session config (dotted keys) and for the settings (names of environment variables), which differ only in
how they name a place.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]

TAG: Final = "<"
"""Tags of union branches begin with this, so that they can be told from keys and left out of a place's name."""

_WANTED: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "date_type": "a date such as 2013-10-07",
    "date_parsing": "a date such as 2013-10-07",
    "date_from_datetime_parsing": "a date such as 2013-10-07",
    "date_from_datetime_inexact": "a date such as 2013-10-07",
}
_SHOWN_CHARACTERS: Final = 60
_MOST_PLACES: Final = 3


def dotted(location: Location) -> str:
    """`session_data_config.symbols[1]` for a place in a document."""
    name = ""
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not part.startswith(TAG) and part != "[key]":
            name += f".{part}" if name else part
    return name


def explain(error: ValidationError, model: type[BaseModel], name_of: Callable[[Location], str] = dotted, root: str = "it") -> str:
    """Every complaint of one validation, one a line.

    Args:
        model: what was validated; bounds and known keys are read from it.
        name_of: how a place is named.
        root: what was validated, in words, for a complaint about all of it.
    """
    return "\n".join(_explain_one(details, model, name_of(details["loc"]) or root) for details in error.errors(include_url=False))


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """The text that stands under each field in a model's source; none where there is no source.

    Read when it is asked for: pydantic's `use_attribute_docstrings` reads it at each import, which costs each command and each worker
    a tenth of its start.
    """
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner is BaseModel or not issubclass(owner, BaseModel):
            continue
        try:
            (defined,) = ast.parse(dedent(inspect.getsource(owner))).body
        except (OSError, TypeError):
            continue
        for field, text in pairwise(defined.body if isinstance(defined, ast.ClassDef) else ()):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    texts[name] = inspect.cleandoc(said)
    return texts


def shown(value: object) -> str:
    """A refused value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _explain_one(details: ErrorDetails, model: type[BaseModel], name: str) -> str:
    location, kind, context = details["loc"], details["type"], details.get("ctx", {})
    got = shown(details["input"])
    if location and location[-1] == "[key]" and kind in _WANTED:
        return f"{name}: the key must be {_WANTED[kind]}"
    match kind:
        case "extra_forbidden":
            return f"{name} is not a known key{_advice(str(location[-1]), _models_at(model, location[:-1]), model)}"
        case "missing":
            field = _field_at(model, location)
            texts = [descriptions(owner).get(str(location[-1])) for owner in _models_at(model, location[:-1])]
            text = (field and field.description) or next(filter(None, texts), None)
            return f"{name} is missing" + (f": write {text}" if text else ", and it has no default")
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            return f"{name} must be {_bounds(_field_at(model, location), context)}, got {got}"
        case "literal_error" | "enum":
            return f"{name} must be {str(context['expected']).replace(chr(39), chr(34))}, got {got}"
        case "json_invalid":
            return f"{name} is no JSON: {context['error']}"
        case "value_error":
            return f"{name}{_joined(str(context['error']))}"
        case _ if kind in _WANTED:
            return f"{name} must be {_WANTED[kind]}, got {got}"
        case _:
            return f"{name} {details['msg']}, got {got}"


def explain_parameter(details: ErrorDetails, name: str, known: Sequence[str]) -> str:
    """One complaint about a request: as those about a config, without the model that FastAPI keeps for itself.

    Args:
        known: the names that there are where this one is not known.
    """
    kind, context, got = details["type"], details.get("ctx", {}), shown(details["input"])
    match kind:
        case "extra_forbidden":
            near = get_close_matches(name, known, n=1)
            return f"{name} is no field here: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
        case "missing":
            return f"{name} is missing"
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            return f"{name} must be {_bounds(None, context)}, got {got}"
        case "literal_error" | "enum":
            return f"{name} must be {str(context['expected']).replace(chr(39), chr(34))}, got {got}"
        case "json_invalid":
            return f"the body is no JSON: {context['error']} at character {name}"
        case "value_error":
            return f"{name}{_joined(str(context['error']))}"
        case _ if kind in _WANTED:
            return f"{name} must be {_WANTED[kind]}, got {got}"
        case _:
            return f"{name}: {details['msg'][:1].lower()}{details['msg'][1:]}"


def _joined(message: str) -> str:
    # A validator's own sentence either goes on from the key ("must be ...") or stands for itself.
    return f" {message}" if message.startswith(("must ", "has ", "names ")) else f": {message}"


def _bounds(field: FieldInfo | None, context: dict[str, object]) -> str:
    limits = dict(context)
    for constraint in field.metadata if field else ():
        for name in ("ge", "gt", "le", "lt"):
            if getattr(constraint, name, None) is not None:
                limits[name] = getattr(constraint, name)
    if "ge" in limits and "le" in limits:
        return f"between {_plain(limits['ge'])} and {_plain(limits['le'])}"
    signs = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
    return " and ".join(f"{sign} {_plain(limits[name])}" for name, sign in signs if name in limits)


def _plain(limit: object) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _advice(key: str, models: list[type[BaseModel]], root: type[BaseModel]) -> str:
    known = [name for model in models for name in model.model_fields]
    elsewhere = [f"{place}.{key}" if place else key for place in _places_of(key, root)]
    if 0 < len(elsewhere) <= _MOST_PLACES:
        return f" here: write it as {' or '.join(elsewhere)}"
    near = get_close_matches(key, known, n=1)
    return f": did you mean {near[0]}?" if near else f": known here are {', '.join(known)}"


def _places_of(key: str, model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Where in the document a key of this name belongs, of the keys that no name of the user's leads to."""
    if key in model.model_fields:
        yield place
    for name, field in model.model_fields.items():
        for one in _models_in(field.annotation):
            if get_origin(field.annotation) not in (dict, Mapping):
                yield from _places_of(key, one, f"{place}.{name}" if place else name)


def _models_at(model: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    models = [model]
    for part in location:
        # List positions, keys of mappings and tags of unions are no fields, and stay with the same models.
        fields = [candidate.model_fields[part] for candidate in models if isinstance(part, str) and part in candidate.model_fields]
        if fields:
            models = _models_in(fields[0].annotation)
    return models


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _field_at(model: type[BaseModel], location: Location) -> FieldInfo | None:
    names = [part for part in location if isinstance(part, str) and not part.startswith(TAG)]
    if not names:
        return None
    fields = [candidate.model_fields[names[-1]] for candidate in _models_at(model, location[:-1]) if names[-1] in candidate.model_fields]
    return fields[0] if fields else None
