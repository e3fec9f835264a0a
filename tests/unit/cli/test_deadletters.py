"""`streams dead-letters` without a broker: how a list looks, and what is refused before anything is asked."""

from __future__ import annotations

from collections import deque

import pytest
from rich.console import Console

from streams.cli.deadletters import _listing
from streams.cli.main import run
from streams.client.deadletters import DeadLetter

AT_MS = 1_381_152_600_000
AHEAD = (
    "the bar ends at 2013-10-07T13:32:00Z, 60.000 s after now (2013-10-07T13:31:00Z); at most 5 s are tolerated. It may be a candle that "
    "is still forming, a start that is stamped with the close, or a clock that is off"
)


def letter(offset: int, code: str, message: str, resent_from: str | None = None) -> DeadLetter:
    place = ("bars.SPY", 7, "bars", "SPY")
    return DeadLetter(offset, AT_MS + offset, *place, code, "engine", message, None, None, b"{}", (), resent_from)


@pytest.mark.parametrize("width", [60, 80])
def test_a_reason_is_read_whole_at_any_width(width: int) -> None:
    console = Console(width=width, record=True, highlight=False)
    console.print(_listing(deque([letter(9, "future", AHEAD), letter(12, "undecodable", "bar: volume is missing", "main.dlq:9")])))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert all(len(line) <= width for line in lines)
    assert lines[0] == " 9  13:30:00  SPY  future"
    assert " ".join(line.strip() for line in lines[1:-2]) == AHEAD
    assert lines[-2:] == ["12  13:30:00  SPY  undecodable", "    bar: volume is missing (sent again from main.dlq:9)"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resend"], "name offsets, or choose by --symbol, --reason, or --since"),
        (["resend", "1", "--symbol", "SPY"], "and not both"),
        (["resend", "1", "2", "--value", "bar.json"], "is for one letter, named by its offset"),
        (["list", "--reason", "odd"], "'odd' is not a reason: it is one of undecodable"),
        (["list", "--since", "yesterday"], "--since"),
    ],
)
def test_a_call_that_can_mean_two_things_is_refused_before_anything_is_asked(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["dead-letters", *words, "--session", "main", "--bootstrap", "127.0.0.1:1"]) == 2
    assert said in capsys.readouterr().err
