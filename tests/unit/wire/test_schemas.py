"""Each schema can be read by the programs of its past and can read what they wrote; ids never change their meaning.

The rules are those of the Avro specification, "Schema Resolution": a field that only the reader has needs a default, a
field that only the writer has is skipped, types must be equal or widen, and every branch of the writer's union must be
one of the reader's.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_many

from streams.errors import UnknownSchemaError
from streams.wire.codec import Codec
from streams.wire.framing import header, schema_id_of
from streams.wire.ids import FIRST_ID, IdFile
from streams.wire.messages import AnalysisEvent
from streams.wire.schemas import parse, read_schema, schema_folder

FOLDER = schema_folder()
IDS: dict[str, dict[str, Any]] = json.loads((FOLDER / "ids.json").read_text())
PAST = [(name, version) for name, entry in IDS.items() for version in entry["versions"]]
WIDENS = [("int", "long"), ("int", "float"), ("int", "double"), ("long", "float"), ("long", "double"), ("float", "double")]


def loaded(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


def conflicts(reader: Any, writer: Any, where: str = "") -> list[str]:
    """Why a program with the schema `reader` can't read all that one with `writer` writes."""
    match writer, reader:
        case list(), list():
            return [f"{where}: no branch for {branch}" for branch in writer if all(conflicts(other, branch, where) for other in reader)]
        case list(), _:
            return [conflict for branch in writer for conflict in conflicts(reader, branch, where)]
        case _, list():
            return [] if any(not conflicts(branch, writer, where) for branch in reader) else [f"{where}: no branch for {writer}"]
        case {"type": "record"}, {"type": "record"}:
            return conflicts_of_records(reader, writer, where)
        case {"type": "array"}, {"type": "array"}:
            return conflicts(reader["items"], writer["items"], where)
        case {"type": "map"}, {"type": "map"}:
            return conflicts(reader["values"], writer["values"], where)
        case {"type": str(inner), "logicalType": _}, _:
            return conflicts(reader, inner, where)
        case _, {"type": str(inner), "logicalType": _}:
            return conflicts(inner, writer, where)
        case _:
            return [] if writer == reader or (writer, reader) in WIDENS else [f"{where}: {writer} can't be read as {reader}"]


def conflicts_of_records(reader: dict[str, Any], writer: dict[str, Any], where: str) -> list[str]:
    if writer["name"] != reader["name"]:
        return [f"{where}: {writer['name']} is not {reader['name']}"]
    written = {field["name"]: field["type"] for field in writer["fields"]}
    found = []
    for field in reader["fields"]:
        place = f"{where}.{field['name']}"
        if field["name"] in written:
            found += conflicts(field["type"], written[field["name"]], place)
        elif "default" not in field:
            found.append(f"{place}: not written, and has no default")
    return found


@pytest.mark.parametrize(("name", "version"), PAST)
def test_a_schema_reads_what_each_of_its_past_versions_wrote(name: str, version: str) -> None:
    assert conflicts(loaded(FOLDER / f"{name}.avsc"), loaded(FOLDER / "past" / f"{name}.v{version}.avsc")) == []
    assert_read(reader=FOLDER / f"{name}.avsc", writer=FOLDER / "past" / f"{name}.v{version}.avsc")


@pytest.mark.parametrize(("name", "version"), PAST)
def test_each_past_version_reads_what_a_schema_writes_now(name: str, version: str) -> None:
    assert conflicts(loaded(FOLDER / "past" / f"{name}.v{version}.avsc"), loaded(FOLDER / f"{name}.avsc")) == []
    assert_read(reader=FOLDER / "past" / f"{name}.v{version}.avsc", writer=FOLDER / f"{name}.avsc")


def assert_read(*, reader: Path, writer: Path) -> None:
    """Records of one schema, written by fastavro, are read by the other, with the same values in the fields of both."""
    written_as, read_as = read_schema(writer), read_schema(reader)
    for datum in generate_many(written_as, 20):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, written_as, datum)
        back = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), written_as, read_as)
        assert isinstance(datum, dict)
        assert isinstance(back, dict)
        for name in set(datum) & set(back):
            if not isinstance(datum[name], dict | list):
                assert back[name] == datum[name]


@pytest.mark.parametrize("name", IDS)
def test_a_change_of_a_schema_is_a_new_version(name: str) -> None:
    newest = max(IDS[name]["versions"], key=int)
    assert (FOLDER / f"{name}.avsc").read_text() == (FOLDER / "past" / f"{name}.v{newest}.avsc").read_text(), (
        f"{name}.avsc differs from past/{name}.v{newest}.avsc: put it there as v{int(newest) + 1}, with the next free id in ids.json"
    )
    assert IDS[name]["id"] == IDS[name]["versions"][newest]


def test_ids_are_counted_from_two_to_the_thirty_and_given_once() -> None:
    given = sorted(schema_id for entry in IDS.values() for schema_id in entry["versions"].values())
    assert given == list(range(FIRST_ID, FIRST_ID + len(given)))
    assert FIRST_ID == 1_073_741_824


def test_every_file_has_an_id_and_every_id_a_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.avsc")} == set(IDS)
    assert {path.stem for path in (FOLDER / "past").glob("*.avsc")} == {f"{name}.v{version}" for name, version in PAST}


def field(name: str, type_: object, **more: object) -> dict[str, object]:
    return {"name": name, "type": type_, **more}


def record(*fields: dict[str, object]) -> dict[str, object]:
    return {"type": "record", "name": "R", "fields": list(fields)}


@pytest.mark.parametrize(
    ("reader", "writer", "conflicting", "reason"),
    [
        (record(field("a", "long")), record(field("a", "long"), field("b", "long")), False, "the reader skips what it doesn't know"),
        (record(field("a", "long"), field("b", "long")), record(field("a", "long")), True, "a new field without a default"),
        (record(field("a", "long"), field("b", "long", default=0)), record(field("a", "long")), False, "a new field with one"),
        (record(field("a", "long")), record(field("a", "int")), False, "an int widens to a long"),
        (record(field("a", "int")), record(field("a", "long")), True, "a long does not narrow"),
        (record(field("a", "string")), record(field("a", "long")), True, "another type"),
        (record(field("a", ["null", "long"])), record(field("a", "long")), False, "a field became optional"),
        (record(field("a", "long")), record(field("a", ["null", "long"])), True, "an optional field became required"),
        (
            record(field("a", ["null", "long"])),
            record(field("a", ["null", "long", "string"])),
            True,
            "a branch that old readers don't know",
        ),
        (
            record(field("a", {"type": "array", "items": "int"})),
            record(field("a", {"type": "array", "items": "string"})),
            True,
            "items of another type",
        ),
        (record(field("a", {"type": "long", "logicalType": "timestamp-micros"})), record(field("a", "long")), False, "the same bytes"),
    ],
)
def test_the_rules_tell_compatible_changes_from_others(reader: Any, writer: Any, conflicting: bool, reason: str) -> None:
    assert bool(conflicts(reader, writer)) is conflicting, reason


def folder_with_a_next_version(folder: Path, change: Callable[[dict[str, Any]], None], *, is_current: bool) -> IdFile:
    """The project's schemas, where AnalysisEvent has one version more, which may be the one in use."""
    shutil.copytree(FOLDER, folder)
    ids = copy.deepcopy(IDS)
    newest = copy.deepcopy(loaded(FOLDER / "AnalysisEvent.avsc"))
    change(newest)
    versions = ids["AnalysisEvent"]["versions"]
    number = str(max(map(int, versions)) + 1)
    (folder / "past" / f"AnalysisEvent.v{number}.avsc").write_text(json.dumps(newest))
    versions[number] = FIRST_ID + 1000
    if is_current:
        (folder / "AnalysisEvent.avsc").write_text(json.dumps(newest))
        ids["AnalysisEvent"]["id"] = versions[number]
    (folder / "ids.json").write_text(json.dumps(ids))
    return IdFile(folder)


def add_a_field(schema: dict[str, Any]) -> None:
    schema["fields"].insert(3, {"name": "venue", "type": ["null", "string"], "default": None, "doc": "Where."})


EVENT = AnalysisEvent(7, 1, "main", 1_381_152_600_000_000, "halted", "SPY", "1m", 1, 15_985, reason="by the exchange")


def test_an_old_reader_skips_a_kind_that_it_does_not_know() -> None:
    codec = Codec()
    event = codec.analysis_from(codec.analysis_to(EVENT))
    assert event == EVENT
    assert event.kind == "halted"


def test_an_old_reader_reads_a_newer_writers_records(tmp_path: Path) -> None:
    new_ids = folder_with_a_next_version(tmp_path / "new", add_a_field, is_current=True)
    old_ids = folder_with_a_next_version(tmp_path / "old", add_a_field, is_current=False)
    # The newer program would have a record type with the new field: fastavro writes in its place.
    schema = new_ids.schema_of(FIRST_ID + 1000)
    out = io.BytesIO()
    out.write(header(schema.id))
    datum = {
        "sequence": 7,
        "epoch": 1,
        "session": "main",
        "venue": "ARCA",
        "emitted_at": 1_381_152_600_000_000,
        "kind": "halted",
        "symbol": "SPY",
        "interval": "1m",
        "incarnation": 1,
        "trading_date": 15_985,
        "reason": "by the exchange",
    }
    fastavro.schemaless_writer(out, schema.parsed, datum)
    assert Codec(old_ids).analysis_from(out.getvalue()) == EVENT


def test_a_new_reader_reads_an_older_writers_records(tmp_path: Path) -> None:
    new_ids = folder_with_a_next_version(tmp_path / "new", add_a_field, is_current=True)
    value = Codec().analysis_to(EVENT)
    assert schema_id_of(value) == IDS["AnalysisEvent"]["id"]
    assert Codec(new_ids).analysis_from(value) == EVENT


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ("{", "is not of its form"),
        ('{"Bar": 7}', "is not of its form"),
        ('{"Bar": {"id": 7, "versions": {"1": 8}}}', "Bar's current id 7 is the id of none of its versions"),
        ('{"Bar": {"id": 7, "versions": {"1": 7}}, "Tick": {"id": 7, "versions": {"1": 7}}}', "id 7 stands for Bar and for Tick"),
    ],
)
def test_an_id_file_that_is_wrong_says_so(tmp_path: Path, ids: str, says: str) -> None:
    (tmp_path / "ids.json").write_text(ids)
    with pytest.raises(UnknownSchemaError, match="id file") as caught:
        IdFile(tmp_path)
    assert says in str(caught.value)


def test_a_missing_id_file_or_schema_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UnknownSchemaError, match=r"ids\.json can't be read: No such file"):
        IdFile(tmp_path)
    (tmp_path / "ids.json").write_text('{"Bar": {"id": 7, "versions": {"1": 7}}}')
    ids = IdFile(tmp_path)
    with pytest.raises(UnknownSchemaError, match=r"Bar\.avsc can't be read: No such file"):
        ids.schema_of(7)
    with pytest.raises(UnknownSchemaError, match=r"no schema 'Tick' in .*: it has Bar"):
        ids.id_of("Tick")


@pytest.mark.parametrize("text", ["", "[]", '{"type": "record"}', '"long"', '{"type": "array", "items": "long"}'])
def test_a_text_that_is_no_record_schema_is_refused(text: str) -> None:
    with pytest.raises(UnknownSchemaError, match=r"some\.avsc"):
        parse(text, where="some.avsc")
