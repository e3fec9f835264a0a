"""The documents name every command of the command line, and name none, nor an option, that there is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from streams.cli.main import COMMANDS, build

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = {command.name for command in COMMANDS}


def calls(text: str) -> Iterator[str]:
    """Every call of the command in code, inline or in a block, up to where the shell would end it."""
    fences = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    blocks = [block for language, block in fences.findall(text) if language in ("", "sh")]
    prose = fences.sub("", text)
    code = [*blocks, *re.findall(r"^    (streams .*)$|`(streams [^`]+)`", prose, re.MULTILINE)]
    for block in ("".join(parts) for parts in code):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            for part in re.split(r"[|&;#]|\.\.\.", line):
                found = re.search(r"(?:^|\s)streams ((?:[a-z].*)?)$", part)
                if found and found[1]:
                    yield found[1]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words call, and the words behind it."""
    command: click.Command = typer.main.get_command(build(words[0])).commands[words[0]]  # type: ignore[attr-defined]
    rest = words[1:]
    while rest and rest[0] in (inner := getattr(command, "commands", {})):
        command, rest = inner[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_calls_only_commands_and_options_that_there_are(page: Path) -> None:
    for call in calls(page.read_text(encoding="utf-8")):
        words = call.split()
        if not re.fullmatch(r"[a-z][a-z-]*", words[0]):
            continue
        assert words[0] in NAMES, f"{page.name} calls `streams {call}`"
        command, rest = command_of(words)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        for word in rest:
            option = word.partition("=")[0].rstrip(".,)]")
            if re.fullmatch(r"--[a-z][a-z-]*", option):
                assert option in known, f"{page.name} calls `streams {call}`"


def test_the_calls_of_a_page_are_found() -> None:
    found = list(calls((ROOT / "README.md").read_text(encoding="utf-8")))
    assert "add-symbol IBM --session main" in found, "in a block"
    assert "verify --session main" in found, "in a sentence"
    assert len(found) > 10


def test_every_command_is_named_in_the_documents() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [name for name in sorted(NAMES) if not re.search(rf"(streams|make) {name}\b", text)]
    assert not missing


def test_a_page_asks_the_example_session_only_for_intervals_that_it_has() -> None:
    """The pages begin with examples/live.json: what is pasted after it must find its bars."""
    live = json.loads((ROOT / "examples" / "live.json").read_text(encoding="utf-8"))["session_data_config"]
    known = {*live["streams"], *live["derived_intervals"]}
    pages = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("guide.md", "http.md", "troubleshooting.md"))]
    asked = re.compile(r"(?:/SPY/bars\?interval=|streams (?:show|gaps) SPY --interval |get_last_n_bars\(\"SPY\", \d+, \")(\d+[smhd])")
    found = [interval for page in pages for interval in asked.findall(page.read_text(encoding="utf-8"))]
    assert len(found) >= 4
    assert set(found) <= known
    told = re.search(r"live\.json.*# SPY, one-second bars, (.*) derived", (ROOT / "docs" / "guide.md").read_text(encoding="utf-8"))
    assert told is not None
    assert told[1].split(" and ") == live["derived_intervals"]


def test_every_setting_is_in_the_reference() -> None:
    from streams.config.settings import Settings

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    missing = [name for name in Settings.model_fields if f"`STREAMS_{name.upper()}`" not in page]
    assert not missing
