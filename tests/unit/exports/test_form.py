"""In which form `streams export` writes: as is said, or as the file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cli.files.export import chosen_form
from streams.cli.main import run
from streams.exports.rows import Format


@pytest.mark.parametrize(
    ("said", "name", "form", "why"),
    [
        (None, None, Format.JSON, "nothing says anything"),
        (None, "spy.csv", Format.CSV, "the name says it"),
        (None, "spy.PARQUET", Format.PARQUET, "in any case"),
        (None, "spy", Format.JSON, "a name without an ending says nothing"),
        (None, "spy.txt", Format.JSON, "nor does one of another"),
        (Format.CSV, "spy.txt", Format.CSV, "then what is said counts"),
        (Format.CSV, "spy.csv", Format.CSV, "both say the same"),
        (Format.CSV, "", Format.CSV, "a folder says nothing"),
        (None, "days.csv/", Format.JSON, "whatever its name"),
    ],
)
def test_the_form_is_what_is_said_or_what_the_name_of_the_file_says(
    tmp_path: Path, said: Format | None, name: str | None, form: Format, why: str
) -> None:
    (tmp_path / "days.csv").mkdir()
    assert chosen_form(said, None if name is None else tmp_path / name) is form, why


def test_a_form_that_contradicts_the_name_of_the_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "SPY", "--session", "main", "--format", "parquet", "--output", str(tmp_path / "spy.csv")]) == 2
    assert "leave out --format" in " ".join(capsys.readouterr().err.split())
