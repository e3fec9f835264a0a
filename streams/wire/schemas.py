"""Where the Avro schemas lie, and how they are read.

The `.avsc` files are the contract with everyone outside: `schemas/<Name>.avsc` is the current form of a record,
`schemas/past/<Name>.v<N>.avsc` each version that was ever written. In a checkout the folder lies beside the package, in
an installed wheel inside it.

The files say `timestamp-micros` and `date` for readers in any language. Inside the project an instant is an `int` of
microseconds and a date an `int` of days, so `parse` takes the logical types off: fastavro then neither builds
datetimes nor loses what a datetime cannot hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import fastavro
from msgspec import Struct

from streams.errors import UnknownSchemaError

ID_FILE = "ids.json"


class Schema(Struct, frozen=True):
    """A schema with the id that stands for it on the wire; `parsed` is fastavro's form, without logical types."""

    name: str
    id: int
    parsed: dict[str, object]


def schema_folder() -> Path:
    """The folder with the `.avsc` files and the id file.

    Raises:
        UnknownSchemaError: neither the package nor the checkout around it has one.
    """
    package = Path(__file__).resolve().parent.parent
    candidates = (package / "schemas", package.parent / "schemas")
    for folder in candidates:
        if (folder / ID_FILE).is_file():
            return folder
    raise UnknownSchemaError(f"no folder of schemas: looked for {ID_FILE} in {' and '.join(map(str, candidates))}")


def parse(text: str, *, where: str) -> dict[str, object]:
    """The form that fastavro works with, made of a schema's JSON text without logical types.

    Raises:
        UnknownSchemaError: not a record schema; `where` tells the reader of the message which file it was.
    """
    try:
        plain = _without_logical_types(json.loads(text))
        parsed = fastavro.parse_schema(cast("dict[str, object]", plain))
    except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
        raise UnknownSchemaError(f"{where} is no Avro schema: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise UnknownSchemaError(f"{where} must be the schema of a record")
    return parsed


def read_schema(path: Path) -> dict[str, object]:
    """The parsed schema of a file.

    Raises:
        UnknownSchemaError: the file is missing or is no record schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnknownSchemaError(f"schema file {path} can't be read: {error.strerror}") from error
    return parse(text, where=str(path))


def _without_logical_types(node: object) -> object:
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return node
