"""Every record type has the fields of its schema, in a form and in a file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.wire import forms
from streams.wire.forms import Form
from streams.wire.schemas import schema_folder

RECORDS: list[Form[Any]] = [forms.BAR, forms.ANALYSIS, forms.EVENT, forms.COMMAND, forms.REPLY, forms.JOURNAL, *forms.ROW_FORMS.values()]


def schema_of(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((schema_folder() / f"{name}.avsc").read_text())
    return loaded


def records_in(schema: Any) -> list[dict[str, Any]]:
    match schema:
        case {"type": "record"}:
            return [schema] + [inner for field in schema["fields"] for inner in records_in(field["type"])]
        case {"type": "array", "items": inner} | {"type": "map", "values": inner}:
            return records_in(inner)
        case list():
            return [inner for branch in schema for inner in records_in(branch)]
        case _:
            return []


@pytest.mark.parametrize("form", RECORDS, ids=lambda form: form.schema)
def test_a_record_type_has_exactly_the_fields_of_its_schema(form: Form[Any]) -> None:
    fields = [field["name"] for field in schema_of(form.schema)["fields"]]
    assert sorted(form.wire_names) == sorted(fields)


@pytest.mark.parametrize("form", RECORDS, ids=lambda form: form.schema)
def test_every_record_and_field_of_a_schema_is_documented(form: Form[Any]) -> None:
    for record in records_in(schema_of(form.schema)):
        assert record["doc"]
        for field in record["fields"]:
            assert field["doc"].endswith((".", ")")), f"{record['name']}.{field['name']}"


@pytest.mark.parametrize("form", RECORDS, ids=lambda form: form.schema)
def test_an_optional_field_is_null_first_and_null_by_default(form: Form[Any]) -> None:
    for record in records_in(schema_of(form.schema)):
        for field in record["fields"]:
            if isinstance(field["type"], list):
                assert field["type"][0] == "null"
                assert field["default"] is None, f"{record['name']}.{field['name']}"


def test_the_bytes_of_a_bar_are_the_same_in_both_of_its_records() -> None:
    def stretch(fields: list[dict[str, Any]]) -> list[tuple[str, Any]]:
        shapes = [(field["name"], field["type"]) for field in fields]
        names = [name for name, _ in shapes]
        return shapes[names.index("start") : names.index("trades") + 1]

    published = next(record for record in records_in(schema_of("AnalysisEvent")) if record["name"] == "AnalysisBar")
    assert stretch(schema_of("Bar")["fields"]) == stretch(published["fields"])
    assert len(stretch(published["fields"])) == 9
