"""How `streams verify` tells what it has found."""

from __future__ import annotations

import pytest

from streams.audit.verify import Difference, DifferenceKind, VerifyReport
from streams.cli.main import run
from streams.cli.verify import report_facts, report_lines


def report(differences: int = 0, *unchecked: str) -> VerifyReport:
    made = VerifyReport(
        "main", epochs=[2], transactions=1200, inputs=1, bars=3000, compared={"main.analysis": 4000, "main.events": 1}, rows=1,
        rows_at=1190, unchecked=list(unchecked), duration_seconds=1.25,
    )  # fmt: skip
    for number in range(differences):
        made.add(Difference(DifferenceKind.MISSING, "main.analysis", 7, 2, "bar SPY 1m", offset=40 + number, sequence=39 + number))
    return made


def test_an_equal_session_is_told_in_two_lines_with_what_was_compared() -> None:
    verdict, counts = report_lines(report(), 10)
    assert verdict == "session main, epoch 2: equal: every record and every row is what the journal and the bars give"
    driven, bars, equal, seconds = counts.split(", ")
    assert driven == "1,200 transactions with 1 input driven again"
    assert (bars, equal) == ("3,000 bars read again", "4,001 records and 1 row as of transaction 1,190 equal")
    assert seconds == "in 1.2 s"


def test_differences_are_told_with_their_places_up_to_the_limit() -> None:
    lines = list(report_lines(report(3), 2))
    assert lines[0] == "session main, epoch 2: differs in 3 places, the first of them first"
    assert lines[1] == "  main.analysis offset 40 (epoch 2, transaction 7, sequence 39): bar SPY 1m is missing"
    assert lines[3] == "  and 1 more: --limit shows more of them"


def test_what_could_not_be_checked_is_neither_equal_nor_a_difference() -> None:
    lines = list(report_lines(report(0, "bars.SPY has gone"), 10))
    assert lines[0].endswith("no difference was found, but not everything could be checked")
    assert lines[1] == "  can't be checked: bars.SPY has gone"
    assert report_facts(report(0, "bars.SPY has gone"), 10)["result"] == "unchecked"
    assert report_facts(report(1, "bars.SPY has gone"), 10)["result"] == "differs"


@pytest.mark.parametrize("epoch", ["0", "-1", "last", "1.5", "٣"])
def test_an_epoch_that_is_none_is_a_wrong_call(epoch: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--session", "main", f"--epoch={epoch}"]) == 2
    assert "is no epoch" in capsys.readouterr().err
