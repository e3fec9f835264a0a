"""Outputs go into folders that are there: every command refuses others, with the same sentence, before it does anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli.main import build, run
from tests.support.sessions.replay import LEAN

Shown = pytest.CaptureFixture[str]
CSV = "time,open,high,low,close,volume\n2013-10-07T13:30:00Z,10,12,9,11,100\n"

OUTPUTS = {
    ("export", "--output"): ["export", "SPY", "--session", "main", "--output", "{gone}/spy.csv"],
    ("history export", "--out"): ["history", "export", "SPY", "--store", "{here}", "--out", "{gone}/spy.csv"],
    ("import lean", "--store"): ["import", "lean", str(LEAN), "--store", "{gone}/bars"],
    ("import csv", "--store"): ["import", "csv", "{here}/bars.csv", "--symbol", "SPY", "--interval", "1m", "--store", "{gone}/bars"],
    ("import parquet", "--store"): ["import", "parquet", "{here}", "--store", "{gone}/bars"],
    ("broker up", "--data"): ["broker", "up", "--data", "{gone}/kafka"],
}
INPUTS = {
    ("demo", "--data"),
    ("replay", "paths"),
    ("replay", "--commands"),
    ("replay", "--store"),
    ("broker down", "--data"),
    ("broker status", "--data"),
    *((f"produce {kind}", "file") for kind in ("csv", "jsonl", "quotes", "ticks")),
    ("produce lean", "paths"),
    *((f"import {kind}", "paths") for kind in ("lean", "csv", "parquet")),
    *((f"history {what}", "--store") for what in ("list", "verify", "export")),
    ("dead-letters resend", "--value"),
}


def path_parameters(command: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if hasattr(command, "commands"):
        for part, one in command.commands.items():
            yield from path_parameters(one, f"{name} {part}".strip())
        return
    for parameter in command.params:
        if any(word in (parameter.metavar or "") for word in ("FILE", "DIR", "PATH")):
            yield name, parameter.opts[0]


def test_each_parameter_with_a_path_is_an_input_or_an_output_that_is_tested() -> None:
    assert set(path_parameters(typer.main.get_command(build("*")))) == INPUTS | set(OUTPUTS)


@pytest.mark.parametrize(("command", "option", "words"), [(*names, words) for names, words in OUTPUTS.items()])
def test_a_folder_that_is_not_there_is_refused_and_not_made(
    command: str, option: str, words: list[str], tmp_path: Path, capsys: Shown
) -> None:
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    (here / "bars.csv").write_text(CSV)
    assert run([word.format(here=here, gone=gone) for word in words]) == 2
    said = "".join(capsys.readouterr().err.replace("│", "").split())
    assert f"{option}:thereisnofolder{gone}:makeit,ornameanotherone" in said
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bars.csv", "here"]


def test_a_name_without_a_folder_is_in_the_one_where_the_command_is_called(
    tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bars.csv").write_text(CSV)
    assert run(["import", "csv", "bars.csv", "--symbol", "SPY", "--interval", "1m", "--store", "bars"]) == 0
    assert run(["history", "export", "SPY", "--store", "bars", "--out", "out.csv"]) == 0
    assert (tmp_path / "out.csv").exists()
