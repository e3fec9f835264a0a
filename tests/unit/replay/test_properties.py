"""What holds for any bars: late, repeated, bad, stray or none at all."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine.session import Session
from streams.engine.transaction import redrive
from streams.model.inputs import JournalInput
from streams.model.records import Bar, Undecodable
from streams.model.transactions import RangeRead
from streams.replay.source import MemorySource
from streams.replay.versions import LastVersions
from tests.support.engine import at, bar
from tests.support.examples import examples
from tests.support.sessions.replay import check_clock, check_sums, clock, run_replay, session_of

SYMBOLS = ("IBM", "SPY", "X")
MINUTE_US = 60_000_000
Records = dict[str, list[Bar | Undecodable]]


@st.composite
def topics(draw: st.DrawFn) -> Records:
    """Three topics of half an hour, mostly in order: some bars missing, swapped, repeated, bad, or from the future."""
    found: Records = {}
    for symbol in SYMBOLS:
        minutes = sorted(draw(st.sets(st.integers(0, 30), min_size=0, max_size=30)))
        records: list[Bar | Undecodable] = [bar(symbol, at("09:30") + minute * MINUTE_US) for minute in minutes]
        for place in draw(st.lists(st.integers(0, max(0, len(records) - 2)), max_size=3)):
            if len(records) > 1:
                records[place], records[place + 1] = records[place + 1], records[place]
        for place in draw(st.lists(st.integers(0, len(records)), max_size=3)):
            odd: Any = draw(
                st.sampled_from([Undecodable("?"), bar(symbol, at("12:00", "2099-01-05")), bar(symbol, at("09:35"), price=7.0)])
            )
            records.insert(place, odd)
        found[symbol] = records
    return found


COMMANDS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.sampled_from([clock("09:30"), clock("09:40"), clock("09:45:30"), clock("10:10")]),
            "command": st.sampled_from(["add_symbol", "remove_symbol"]),
            "symbol": st.sampled_from(SYMBOLS),
            "immediate": st.booleans(),
        }
    ),
    max_size=4,
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topics(), COMMANDS)
def test_time_goes_on_sums_add_up_and_the_journal_gives_it_all_again(records: Records, commands: list[dict[str, Any]]) -> None:
    session = session_of("IBM", "SPY", derived_intervals=["5m"], silence_threshold_seconds=120, bars_topic=True)
    result = run_replay(session, records, commands=commands)
    assert result.text == run_replay(session, records, commands=commands).text
    times = [step.now_us for step in result.steps]
    assert times == sorted(times)
    assert all(line["bar"]["end"] <= line["emitted_at"] <= line["bar"]["valid_until"] for line in result.lines if line["kind"] == "bar")
    check_sums(result)
    check_clock(result, session.grace_us)

    # What the replay was given: without the versions of a bar that the one behind them replaces.
    kept = {symbol: list(LastVersions(MemorySource(records).open(symbol, "1m", 0).records)) for symbol in records}

    def read(given: JournalInput) -> RangeRead:
        first, following = given.first_offset or 0, given.next_offset or 0
        some = [one for one in kept[given.symbol or ""] if first <= one.offset < following]
        offsets = [one.offset for one in some]
        return RangeRead(given.symbol or "", given.incarnation or 0, first, following, offsets, [one.record for one in some])

    again: Session | None = None
    for step in result.steps:
        again, redriven = redrive(again, step.journal, read)
        assert (redriven.outcomes, redriven.dead_letters) == (step.outcomes, step.dead_letters)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.integers(0, 389), max_size=60), st.sets(st.integers(0, 389), max_size=200))
def test_what_comes_of_a_symbol_does_not_depend_on_who_else_moves_the_clock(own: set[int], others: set[int]) -> None:
    thin = [bar("THIN", at("09:30") + minute * MINUTE_US) for minute in sorted(own)]
    busy = [bar("BUSY", at("09:30") + minute * MINUTE_US) for minute in sorted(others)]
    alone = run_replay(session_of("THIN", derived_intervals=["5m", "1h"], bars_topic=True), {"THIN": thin})
    beside = run_replay(session_of("BUSY", "THIN", derived_intervals=["5m", "1h"], bars_topic=True), {"THIN": thin, "BUSY": busy})
    for interval in ("1m", "5m", "1h"):
        told = [[(line["emitted_at"], line["bar"]) for line in result.bars("THIN", interval)] for result in (alone, beside)]
        assert told[0] == told[1]
    check_clock(beside, alone.replay.session.state.grace_us)
