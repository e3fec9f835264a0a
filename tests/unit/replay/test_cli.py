"""`streams replay` without a broker."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from streams.cli.main import run
from streams.errors import NobodyThereError
from streams.model.records import Marker, PublishedBar
from streams.replay.topic_sink import TopicSink
from tests.support.sessions.replay import LEAN

CONFIG, COMMANDS = "examples/backtest.json", "examples/commands.jsonl"


def test_records_go_to_standard_output_and_the_summary_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", CONFIG, "--commands", COMMANDS, "--source", "lean", str(LEAN)]) == 0
    shown = capsys.readouterr()
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
    assert {record["session"] for record in records} == {"backtest"}
    assert "replayed 3 trading days, 2013-10-07 to 2013-10-09: 2,948 bars" in shown.err
    assert f"sha256 {hashlib.sha256(shown.out.encode()).hexdigest()}" in shown.err


def test_without_records_the_summary_is_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--to", "none", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    summary = report["summary"]
    assert (summary["base_accepted"], summary["trading_days"], summary["dead_letters"], report["end"]) == (390, 1, {}, "2013-10-07")
    assert summary["bars_in"] == summary["base_accepted"] + summary["dropped"]["out_of_hours"]
    assert run(["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.err)["sha256"] == report["sha256"] == hashlib.sha256(shown.out.encode()).hexdigest()


def test_what_goes_wrong_on_the_way_is_said_and_the_rest_is_done(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    commands = tmp_path / "commands.jsonl"
    commands.write_text(
        '{"at": "2013-10-07T16:00:00Z", "command": "add_symbol", "symbol": "NONE"}\n'
        '{"at": "2014-10-07T16:00:00Z", "command": "add_symbol", "symbol": "IBM"}\n'
    )
    assert run(["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--to", "none", "--commands", str(commands)]) == 1
    shown = capsys.readouterr().err
    assert "warning: NONE failed: there is no LEAN file of NONE" in shown
    assert "warning: command line-1 (add_symbol NONE) failed" in shown
    assert "note: 1 command left out, outside the days from 2013-10-07 to 2013-10-07" in shown
    assert shown.splitlines()[-1].startswith("error: 1 symbol failed (NONE), 1 command failed: the rest was replayed")
    assert run(["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--to", "none", "--commands", str(commands), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [(one["at"], one["command"], one["symbol"]) for one in report["commands_left_out"]] == [
        ("2014-10-07T16:00:00Z", "add_symbol", "IBM")
    ]
    assert report["left_out"]["symbols"] == [], "files and stores are not looked through"


def test_the_summary_says_which_bars_are_derived(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--to", "none"]) == 0
    shown = capsys.readouterr().out
    assert "accepted 494 (390 of the source, 104 derived from them): published 494, held back 0" in shown


def test_a_failed_symbol_or_command_ends_with_exit_code_1_unless_it_is_to_keep_going(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # The symbol is in the session, and GONE is not: both commands are refused, and no symbol fails.
    refused = [
        {"at": "2013-10-07T16:00:00Z", "command": "add_symbol", "symbol": "SPY"},
        {"at": "2013-10-07T16:00:01Z", "command": "remove_symbol", "symbol": "GONE"},
    ]
    missing = [{"at": "2013-10-07T16:00:00Z", "command": "add_symbol", "symbol": "NONE"}]
    for given, said in ((refused, "error: 2 commands failed:"), (missing, "error: 1 symbol failed (NONE), 1 command failed:")):
        commands = tmp_path / "commands.jsonl"
        commands.write_text("".join(f"{json.dumps(command)}\n" for command in given))
        words = ["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--to", "none", "--json", "--commands", str(commands)]
        assert run(words) == 1
        stopped = capsys.readouterr()
        assert said in stopped.err
        assert run([*words, "--keep-going"]) == 0
        went_on = capsys.readouterr()
        assert "error:" not in went_on.err
        assert json.loads(went_on.out)["sha256"] == json.loads(stopped.out)["sha256"]


def test_a_replay_that_accepts_no_bar_does_not_end_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # New York's bars begin when Hong Kong closes, at 08:00 UTC.
    config = tmp_path / "hong_kong.json"
    config.write_text(json.dumps({**json.loads(Path(CONFIG).read_text()), "exchange": "XHKG"}))
    for words in ([], ["--keep-going"]):
        assert run(["replay", str(config), str(LEAN), "--end", "2013-10-07", "--to", "none", "--json", *words]) == 1
        shown = capsys.readouterr()
        summary = json.loads(shown.out)["summary"]
        assert (summary["accepted"], summary["dropped"]) == (0, {"out_of_hours": summary["bars_in"]})
        assert shown.err.splitlines()[-1].startswith(
            f"error: none of the {summary['bars_in']:,} bars from 2013-10-07 to 2013-10-07 was accepted"
        )


def test_the_config_of_a_live_session_is_replayed_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--start", "2013-10-07", "--end", "2013-10-07", "--to", "none"]
    assert run(["replay", "examples/session.json", str(LEAN), *arguments]) == 0
    assert "note: this is the config of a live session" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such.json", str(LEAN)], 1, "no-such.json"),
        ([CONFIG, "no/such/folder"], 1, "no/such/folder: there is no such file or folder"),
        ([CONFIG, "--source", "lean"], 2, "--source lean needs a PATH"),
        ([CONFIG, "--source", "kafka", str(LEAN)], 2, "a PATH is for --source lean"),
        ([CONFIG, str(LEAN), "--overwrite"], 2, "--topic and --overwrite are for --to topic"),
        ([CONFIG, str(LEAN), "--start", "7.10.2013"], 2, "7.10.2013"),
        ([CONFIG, str(LEAN), "--start", "2013-10-05", "--end", "2013-10-06"], 1, "XNYS does not trade"),
        ([CONFIG, str(LEAN), "--start", "2013-10-10", "--end", "2013-10-10"], 1, "there was no bar to replay from 2013-10-10"),
        ([CONFIG, str(LEAN), "--commands", "no-such.jsonl"], 1, "no-such.jsonl: the commands can't be read"),
        ([CONFIG, str(LEAN), "--speed", "-1"], 2, "--speed"),
        (["examples/session.json", str(LEAN)], 1, "the start is missing: give --start"),
    ],
)
def test_what_is_wrong_is_said_with_an_exit_code(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["replay", *words]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(("failure", "code"), [(NobodyThereError("no broker answers at host:1"), 3), (KeyboardInterrupt(), 130)])
def test_a_topic_that_holds_a_part_of_a_replay_is_said_to(
    failure: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(TopicSink):
        def __init__(self) -> None:
            self.topic = "r1.analysis"  # type: ignore[misc]
            self.left = 100

        def write(self, outcome: PublishedBar | Marker, line: str, now_us: int) -> None:
            self.left -= 1
            if not self.left:
                raise failure

        def close(self) -> None: ...

    monkeypatch.setattr("streams.cli.replay._topic_sink", lambda *_, **__: Broken())
    assert run(["replay", CONFIG, str(LEAN), "--end", "2013-10-07", "--to", "topic", "--bootstrap", "host:1"]) == code
    assert "topic r1.analysis holds only a part of the replay: replay again with --overwrite" in capsys.readouterr().err
