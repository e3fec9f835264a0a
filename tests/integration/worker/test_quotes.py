"""Quotes and ticks beside bars, on a running worker: read, counted, verified, lost and found again, killed in between, removed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from streams.client.state import read_state
from streams.config.session import SessionConfig
from streams.model.records import Quote
from streams.times import SECOND_US
from streams.wire.codec import Codec
from tests.support import unique_name, unique_symbol
from tests.support.feeders import made_up_bars, made_up_quotes, made_up_ticks, now_us
from tests.support.kafka.reading import await_no_fetch, read_topic
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

CODEC = Codec()
ALL = ("quotes", "ticks")


@pytest.fixture(scope="module")
def running(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveDesk, Worker]]:
    desk = LiveDesk(bootstrap_servers, second_bars(unique_name("extras"), [unique_symbol("ANCHOR")], extra=ALL))
    with Workers(bootstrap_servers, tmp_path_factory.mktemp("extras")) as workers:
        worker = workers.start(desk.config)
        worker.wait_until("active")
        yield desk, worker


@pytest.fixture
def desk(running: tuple[LiveDesk, Worker]) -> LiveDesk:
    return running[0]


@pytest.fixture
def symbol(desk: LiveDesk) -> str:
    """A symbol in the session."""
    name = unique_symbol()
    desk.add(name)
    return name


def test_bars_quotes_and_ticks_of_a_symbol_are_taken_in_at_once(desk: LiveDesk, symbol: str) -> None:
    end_us = now_us()
    quotes, ticks = made_up_quotes(symbol, 5000, end_us=end_us), made_up_ticks(symbol, 300, end_us=end_us)
    desk.records(*quotes, *made_up_bars(symbol, 10, end_us=end_us), *ticks)
    quote_row = desk.await_stream(symbol, "quotes", lambda row: row.count == 5000, "all quotes read")
    tick_row = desk.await_stream(symbol, "ticks", lambda row: row.count == 300, "all ticks read")
    assert len(desk.await_bars(symbol, 10)) == 10
    assert quote_row.quote is not None
    assert tick_row.tick is not None
    assert (quote_row.quote.time_us, quote_row.quote.bid, quote_row.quote.ask) == (end_us, quotes[-1].bid, quotes[-1].ask)
    assert (tick_row.tick.time_us, tick_row.tick.price) == (end_us, ticks[-1].price)
    assert (quote_row.offset, tick_row.offset) == (5000, 300)


def test_bad_quotes_are_dead_letters_of_their_own_topic_and_the_good_ones_are_taken(desk: LiveDesk, symbol: str) -> None:
    topic, end_us = desk.names.quotes(symbol), now_us()
    good, bad = Quote(symbol, end_us, 99.0, 100.0), Quote(symbol, end_us, -1.0, 100.0)
    desk.raw(
        topic, CODEC.quote_to_avro(good), b"no quote at all", CODEC.quote_to_avro(bad), CODEC.quote_to_json(good),
        CODEC.quote_to_avro(Quote("ANOTHER", end_us, 1.0)), CODEC.quote_to_avro(Quote(symbol, end_us + 3600 * SECOND_US, 1.0)),
    )  # fmt: skip
    letters = desk.await_dead_letters(topic, 4)
    codes = [(letter.headers["__streams.errors.offset"], letter.headers["__streams.errors.code"]) for letter in letters]
    assert codes == [("1", "undecodable"), ("2", "bad_prices"), ("4", "wrong_symbol"), ("5", "future")]
    assert letters[1].value == CODEC.quote_to_avro(bad)
    row = desk.await_stream(symbol, "quotes", lambda row: row.offset == 6, "all read")
    assert (row.count, row.rejected) == (2, 4)


def test_a_removed_symbol_leaves_no_row_and_no_key_of_its_quotes_and_ticks(desk: LiveDesk, symbol: str) -> None:
    end_us = now_us()
    desk.records(
        *made_up_bars(symbol, 5, end_us=end_us), *made_up_quotes(symbol, 50, end_us=end_us), *made_up_ticks(symbol, 50, end_us=end_us)
    )
    desk.await_stream(symbol, "ticks", lambda row: row.count == 50, "all ticks read")
    desk.remove(symbol)
    assert not [key for key in desk.topics.rows() if symbol in key and not key.startswith("command|")]
    newest = {record.key: record.value for record in read_topic(desk.servers, desk.topics.changelog)}
    left = {key: value for key, value in newest.items() if key is not None and symbol in key.decode() and not key.startswith(b"command|")}
    assert {f"quotes|{symbol}".encode(), f"ticks|{symbol}".encode()} <= set(left)
    assert set(left.values()) == {None}, "what compaction leaves is a tombstone, and then nothing"


def test_a_quotes_topic_that_is_deleted_costs_the_quotes_until_it_is_there_again(desk: LiveDesk, symbol: str) -> None:
    topic, end_us = desk.names.quotes(symbol), now_us()
    desk.records(*made_up_quotes(symbol, 20, end_us=end_us))
    desk.await_stream(symbol, "quotes", lambda row: row.count == 20, "all quotes read")
    desk.delete_topic(topic)
    lost = desk.await_event("source_lost", symbol)
    assert (lost.reason, lost.attributes["stream"]) == (f"topic {topic} was deleted", "quotes")
    row = desk.await_stream(symbol, "quotes", lambda row: row.reason is not None, "the loss stored")
    assert row.reason == f"topic {topic} was deleted"
    desk.bars(made_up_bars(symbol, 5, end_us=now_us()))
    desk.await_bars(symbol, 5)
    desk.records(*made_up_ticks(symbol, 7, end_us=now_us()))
    desk.await_stream(symbol, "ticks", lambda row: row.count == 7, "ticks go on")

    desk.records(*made_up_quotes(symbol, 30, end_us=now_us()))  # the producer makes the topic again
    row = desk.await_stream(symbol, "quotes", lambda row: row.offset == 30, "the new topic read from its beginning")
    assert (row.reason, row.total) == (None, 50)
    found = desk.symbol(symbol)
    assert found is not None
    assert found.status == "loaded"


def test_a_quotes_topic_that_is_created_again_or_truncated_is_read_on_with_an_event(
    desk: LiveDesk, running: tuple[LiveDesk, Worker]
) -> None:
    recreated, truncated = unique_symbol("REC"), unique_symbol("TRU")
    for name in (recreated, truncated):
        desk.add(name)
        desk.records(*made_up_quotes(name, 20, end_us=now_us()))
        desk.await_stream(name, "quotes", lambda row: row.offset == 20, "all read")
    desk.create_again(desk.names.quotes(recreated))
    desk.records(*made_up_quotes(recreated, 40, end_us=now_us()))
    desk.await_stream(recreated, "quotes", lambda row: row.offset == 40 and row.total == 60, "the new topic read from its beginning")
    with running[1].paused():
        await_no_fetch(desk.servers, desk.names.quotes(truncated))
        desk.records(*made_up_quotes(truncated, 20, end_us=now_us()))
        desk.delete_records(desk.names.quotes(truncated), 30)
    row = desk.await_stream(truncated, "quotes", lambda row: row.offset == 40, "what is left read")
    assert row.total == 30
    assert "was truncated" in (desk.await_event("source_lost", truncated).reason or "")
    for name in (recreated, truncated):
        found = desk.symbol(name)
        assert found is not None
        assert found.status == "loaded"


def test_a_command_and_a_changed_config_add_streams_to_a_session_that_runs_without_them(
    alone: tuple[LiveDesk, Worker], workers: Workers
) -> None:
    desk, worker = alone
    name, end_us = unique_symbol(), now_us()
    desk.add(name, streams=["1s", "quotes"])
    desk.records(*made_up_quotes(name, 10, end_us=end_us))
    desk.await_stream(name, "quotes", lambda row: row.count == 10, "all quotes read")
    assert desk.stream(name, "ticks") is None
    row = read_state(desk.settings).symbols[name]
    assert row.streams == ("quotes",)
    worker.stop()
    # A config that has ticks from now on, for symbols that are there already too.
    workers.write(second_bars(desk.config.session_name, [], extra=["ticks"]))
    worker.start()
    worker.wait_until("active")
    desk.records(*made_up_ticks(name, 5, end_us=now_us()))
    desk.await_stream(name, "ticks", lambda row: row.count == 5, "all ticks read")
    desk.await_stream(name, "quotes", lambda row: row.count == 10, "the quotes as they were")
    worker.stop()
    desk.check_audit()


def test_a_missing_topic_of_quotes_refuses_an_addition_that_must_find_all(desk: LiveDesk) -> None:
    name = unique_symbol()
    desk.bars(made_up_bars(name, 1, end_us=now_us()))
    with pytest.raises(Exception, match=f"there is no topic {desk.names.quotes(name)}"):
        desk.add(name, must_exist=True)


def test_kills_leave_every_quote_counted_once(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    symbols = [unique_symbol() for _ in range(3)]
    config: SessionConfig = second_bars(session_name, symbols, derived=(), extra=ALL)
    desk = LiveDesk(bootstrap_servers, config)
    worker = workers.start(config)
    worker.wait_until("active")
    for number in range(3):
        end_us = now_us()
        for symbol in symbols:
            # Rounds must not overlap, so that no bar is one that was there already.
            desk.records(*made_up_quotes(symbol, 3000, end_us=end_us, apart_us=10, seed=number), *made_up_ticks(symbol, 200, end_us=end_us))
            desk.records(*made_up_bars(symbol, 1, end_us=end_us, seed=number))
        if number < 2:
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.wait_ended()
            worker.start()
            worker.wait_until("active")
    for symbol in symbols:
        desk.await_stream(symbol, "quotes", lambda row: row.offset == 9000, "all quotes read")
        desk.await_stream(symbol, "ticks", lambda row: row.offset == 600, "all ticks read")
    desk.await_read(dict.fromkeys(symbols, 3))
    assert worker.stop() == 0
    desk.check_left_behind(symbols)
