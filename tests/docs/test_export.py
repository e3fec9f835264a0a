"""The page on exports: its layout is the one that is written, and its program puts files together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from streams.exports.content import Content
from streams.exports.rows import Format
from streams.exports.tables import COLUMNS
from streams.wire.json import checked_command, command_of
from tests.support.engine import Desk, at, bar, config, minutes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


def desk_with_an_export() -> Desk:
    desk = Desk(config("SPY", streams=["1m", "quotes"], historical={"trailing_days": 1}), at("15:50"))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("15:50"), 10), *minutes("SPY", at("09:30", "2013-10-08"), 2))
    desk.command("begin_export", "SPY")
    return desk


def test_each_field_of_the_document_is_on_the_page() -> None:
    state = desk_with_an_export().session.state
    full = json.loads(b"".join(Content.full(state, ["SPY"]).pieces(Format.JSON)))
    new = json.loads(b"".join(Content.new(state, "SPY").pieces(Format.JSON)))
    (symbol,) = full["symbols"]
    fields = {*full, *new, *symbol, *symbol["metrics"], *symbol["quotes"], *symbol["export"], *symbol["bars"]["1m"], *new["series"][0]}
    fields |= {*symbol["bars"]["1m"]["bars"][0], *COLUMNS}
    assert fields <= set(re.findall(r"`(\w+)`", PAGE))
    (gaps,) = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    assert gaps.keys() == symbol["bars"]["1m"]["gaps"].keys()
    assert f"`format` is the number of the layout, {full['format']}." in PAGE


def test_the_commands_of_the_page_are_commands() -> None:
    found = re.findall(r"^\| `(\{\"command\".*?\})` \|", PAGE, re.MULTILINE)
    assert [checked_command(command_of(text.encode(), "an-id", 0)).kind for text in found] == ["begin_export", "end_export"]


def test_the_program_of_the_page_keeps_the_newest_version_of_each_bar(tmp_path: Path) -> None:
    desk = desk_with_an_export()
    folder = tmp_path / "exported"
    folder.mkdir()
    for number in (1, 2):
        with (folder / f"SPY-001-00001-{number:06d}.csv").open("wb") as stream:
            Content.new(desk.session.state, "SPY").write(Format.CSV, stream)
        desk.command("end_export", "SPY", export_number=number)
        desk.feed(bar("SPY", at("09:30", "2013-10-08"), price=50.0))
        desk.command("begin_export", "SPY")
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2 bars\n"
