"""What the measurements say about themselves: which way is better, whether a target is met, and whether an output is right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import against, cases, engine, over_http, report, wire
from benchmarks.__main__ import main
from benchmarks.desk import Output, Work, WrongOutputError, check
from benchmarks.groups import GROUPS
from benchmarks.measure import (
    Better,
    Plan,
    Row,
    Target,
    at_least,
    at_most,
    first_better_by,
    first_better_by_no_more_than,
    in_turn,
)
from benchmarks.watching import Seen, SubjectEndedError, pace

SMALL = Plan(rounds=1, small=True)


def _rows(first: list[float], second: list[float], better: Better, target: Target | None = None) -> list[Row]:
    given = {"first": iter(first), "second": iter(second)}
    return in_turn(
        "group",
        "unit",
        {name: lambda figures=figures: next(figures) for name, figures in given.items()},
        len(first),
        better=better,
        targets={} if target is None else {"second": [target]},
        warm_up=False,
    )


def test_a_run_that_is_told_nothing_goes_by_the_plans_own_rounds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[Plan] = []

    def rows(plan: Plan) -> list[Row]:
        plans.append(plan)
        return []

    monkeypatch.setitem(GROUPS, "wire", rows)
    assert main(["wire"]) == 0
    assert plans == [Plan()]
    assert f"median of {Plan().rounds} rounds" in " ".join(capsys.readouterr().out.split())


def test_a_row_is_the_median_of_its_rounds_with_their_ends() -> None:
    row = _rows([10.0, 30.0, 11.0], [1.0, 1.0, 1.0], Better.HIGHER)[0]
    assert (row.value, row.low, row.high, row.count) == (11.0, 10.0, 30.0, 3)


@pytest.mark.parametrize(
    ("better", "first", "second", "factor"),
    [
        (Better.HIGHER, 60.0, 20.0, 3.0),  # three times as many a second
        (Better.HIGHER, 20.0, 40.0, 0.5),  # behind
        (Better.LOWER, 2.0, 6.0, 3.0),  # a third of the time
    ],
)
def test_the_factor_says_how_many_times_better_the_first_is(better: Better, first: float, second: float, factor: float) -> None:
    ours, other = _rows([first], [second], better)
    assert ours.factor is None
    assert other.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (at_least(20.0), True),  # the bound itself is enough
        (at_least(20.1), False),
        (at_most(20.0), True),
        (at_most(19.9), False),
        (first_better_by(3.0), True),  # 60 to 20
        (first_better_by(3.1), False),
        (first_better_by_no_more_than(3.0), True),
        (first_better_by_no_more_than(2.9), False),
    ],
)
def test_a_target_is_met_from_its_bound_on(target: Target, is_met: bool) -> None:
    row = _rows([60.0], [20.0], Better.HIGHER, target)[1]
    assert row.meets(target) is is_met
    assert ("NOT MET" in report.markdown("title", [row])) is not is_met


def test_saving_replaces_a_groups_table_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Before\n\n<!-- figures: one -->\nold\n<!-- end of one -->\n\nAfter.\n")
    report.save(document, "machine", {"one": _rows([1.0], [2.0], Better.LOWER), "two": _rows([3.0], [4.0], Better.LOWER)})
    text = document.read_text()
    assert text.startswith("# Before\n\n<!-- figures: one -->\nmachine\n")
    assert "old" not in text
    assert "<!-- end of one -->\n\nAfter.\n" in text
    assert "<!-- figures: two -->" in text


def test_a_pace_leaves_out_what_came_before_its_first_sight() -> None:
    seen = [Seen(10.0, 500, 3.0), Seen(11.0, 700, 3.5), Seen(12.0, 900, 3.8)]
    assert pace(seen) == pytest.approx((200.0, 2_000.0))  # 400 in 2 s, for 0.8 s of the processor
    assert pace([Seen(0.0, 100, 0.0), *seen], after=500) == pace(seen)
    with pytest.raises(SubjectEndedError, match="too few"):
        pace(seen, after=800)


def _outputs() -> list[Output]:
    """Fifteen minutes of S001 from 2013-10-07T00:00Z (minute 23018400)."""
    minute = 23_018_400
    bars = []
    for number in range(minute, minute + 15):
        first, last = 101 + number * 7 % 11 / 4, 101 + number * 5 % 13 / 4
        high, low = max(first, last) + number % 3 / 4, min(first, last) - number % 4 / 4
        bars.append((number * 60_000_000, first, high, low, last, 100.0 + (1 + number) % 17))
    outputs = [Output("S001", "1m", *bar) for bar in bars]
    for interval, length in (("5m", 5), ("15m", 15)):
        for at in range(0, 15, length):
            some = bars[at : at + length]
            outputs.append(
                Output(
                    "S001", interval, some[0][0], some[0][1], max(bar[2] for bar in some), min(bar[3] for bar in some), some[-1][4],
                    sum(bar[5] for bar in some),
                )
            )  # fmt: skip
    return outputs


WORK = Work("S", 2, 15)


def test_the_right_outputs_are_counted_by_base_bars() -> None:
    assert check(_outputs(), WORK, whole=False) == 15


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda outputs: outputs[1:], "the first bar is missing"),
        (lambda outputs: [outputs[0], *outputs], "a bar came twice"),
        (lambda outputs: [outputs[1], outputs[0], *outputs[2:]], "two bars came in the wrong order"),
        (lambda outputs: [outputs[0]._replace(close=1.0), *outputs[1:]], "a value is wrong"),
        (lambda outputs: [one for one in outputs if one.interval != "5m"], "no 5m bar came"),
        (lambda outputs: [*outputs, outputs[-1]], "a derived bar came twice"),
    ],
)
def test_a_wrong_output_is_not_let_through(spoil: object, why: str) -> None:
    with pytest.raises(WrongOutputError):
        check(spoil(_outputs()), WORK, whole=False)  # type: ignore[operator]


def test_a_symbol_without_outputs_is_seen_where_all_must_be_there() -> None:
    with pytest.raises(WrongOutputError, match="1 of 2 symbols"):
        check(_outputs(), WORK, whole=True)


@pytest.mark.parametrize("group", [engine.rows, wire.rows, over_http.rows])
def test_the_groups_without_a_broker_run(group: object) -> None:
    rows = group(SMALL)  # type: ignore[operator]
    assert rows
    assert all(row.value > 0 for row in rows)


@pytest.mark.parametrize("case", ["replay-seconds", "stale", "start"])
def test_a_case_of_two_versions_runs_with_the_version_of_its_folder(case: str, tmp_path: Path) -> None:
    # A folder of its own, with this version in it, stands for a worktree.
    root = Path(__file__).parents[3]
    for name in ("streams", "schemas"):
        (tmp_path / name).symlink_to(root / name)
    assert against.measured(tmp_path, case, python=Path(sys.executable)) > 0


def test_each_case_of_two_versions_has_a_row() -> None:
    assert against.NAMES.keys() == cases.CASES.keys()
