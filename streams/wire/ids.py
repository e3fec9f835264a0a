"""Schema ids: which number stands for which schema on the wire.

`SchemaIds` is the seam: the id file is one way to fill it, a Schema Registry can be another. Ids in the file are counted
from 2^30, far above what a registry gives, so that both can share a cluster.

Each version of a schema has an id of its own for ever. A reader that meets the id of a past version reads by that
version's schema into the current one. A reader that meets an id which its file does not have is older than the writer
and needs the newer file: `UnknownSchemaError` says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import msgspec

from streams.errors import UnknownSchemaError
from streams.wire.schemas import ID_FILE, Schema, read_schema, schema_folder

FIRST_ID: Final = 2**30


class SchemaIds(Protocol):
    """Where the codec gets ids and schemas from."""

    def id_of(self, name: str) -> int:
        """The id of the current version of a schema, for writing.

        Raises:
            UnknownSchemaError: no such schema.
        """
        ...

    def schema_of(self, schema_id: int) -> Schema:
        """The schema of an id, for reading.

        Raises:
            UnknownSchemaError: nobody here knows the id.
        """
        ...


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    versions: dict[str, int]


class IdFile:
    """Ids from `ids.json` beside the schemas; schemas are parsed when they are first asked for."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the id file in `folder`, by default the project's own.

        Raises:
            UnknownSchemaError: the file is missing or not of its form.
        """
        self._folder = schema_folder() if folder is None else folder
        path = self._folder / ID_FILE
        try:
            self._entries = msgspec.json.decode(path.read_bytes(), type=dict[str, _Entry])
        except OSError as error:
            raise UnknownSchemaError(f"id file {path} can't be read: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise UnknownSchemaError(f"id file {path} is not of its form: {error}") from error
        self._files: dict[int, tuple[str, Path]] = {}
        for name, entry in self._entries.items():
            for version, schema_id in entry.versions.items():
                self._add(schema_id, name, self._folder / "past" / f"{name}.v{version}.avsc")
            if entry.id not in entry.versions.values():
                raise UnknownSchemaError(f"id file {path}: {name}'s current id {entry.id} is the id of none of its versions")
            self._files[entry.id] = (name, self._folder / f"{name}.avsc")
        self._schemas: dict[int, Schema] = {}

    def id_of(self, name: str) -> int:
        """The id of the current version of a schema."""
        try:
            return self._entries[name].id
        except KeyError:
            known = ", ".join(sorted(self._entries))
            raise UnknownSchemaError(f"no schema {name!r} in {self._folder / ID_FILE}: it has {known}") from None

    def schema_of(self, schema_id: int) -> Schema:
        """The schema of an id, current or past."""
        schema = self._schemas.get(schema_id)
        if schema is None:
            if schema_id not in self._files:
                raise UnknownSchemaError(
                    f"schema id {schema_id} is not in {ID_FILE}: "  # no path: a dead letter says it, and an audit elsewhere again
                    "the writer may be newer than this reader, or use a Schema Registry"
                )
            name, path = self._files[schema_id]
            schema = self._schemas[schema_id] = Schema(name, schema_id, read_schema(path))
        return schema

    def _add(self, schema_id: int, name: str, path: Path) -> None:
        if schema_id in self._files:
            raise UnknownSchemaError(
                f"id file {self._folder / ID_FILE}: id {schema_id} stands for {self._files[schema_id][0]} and for {name}"
            )
        self._files[schema_id] = (name, path)
