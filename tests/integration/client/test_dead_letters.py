"""An operator with ten thousand dead letters of fifty symbols: counted, paged, and sent again once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.cli.main import run
from streams.model.records import PROVENANCE_FEED, Bar
from streams.times import SECOND_US, parse_instant
from streams.wire.codec import Codec
from streams.wire.deadletter import headers
from tests.support import create_topics
from tests.support.kafka.reading import read_topic
from tests.support.kafka.topics import unique_symbol

SYMBOLS, LETTERS = 50, 10_000
START_US = parse_instant("2013-10-07T13:30:00Z")
Shown = pytest.CaptureFixture[str]


class Operator:
    """Letter `n` is of symbol `n % 50` and of its record `n // 50`; of each hundred, 98 came too early and 2 have a high that can't be."""

    def __init__(self, servers: str, session: str, shown: Shown) -> None:
        self.servers, self.session, self._shown = servers, session, shown
        self.symbols = [unique_symbol() for _ in range(SYMBOLS)]
        self.topics = [f"bars.{symbol}" for symbol in self.symbols]
        create_topics(servers, f"{session}.dlq", *self.topics)
        codec, producer = Codec(), Producer({"bootstrap.servers": servers, "linger.ms": 20, "enable.idempotence": True})
        for number in range(LETTERS):
            topic, place, is_bad = self.topics[number % SYMBOLS], number // SYMBOLS, number % 100 >= 98
            start_us = START_US + place * SECOND_US
            high = 1.0 if is_bad else 12.0
            bar = Bar(self.symbols[number % SYMBOLS], "1s", start_us, start_us + SECOND_US, 10, high, 9, 11, 5, provenance=PROVENANCE_FEED)
            value, code = codec.bar_to_json(bar), "bad_prices" if is_bad else "future"
            producer.produce(topic, value, bar.symbol.encode())
            said = headers(topic=topic, partition=0, offset=place, code=code, message="as it was", stage="engine")
            producer.produce(f"{session}.dlq", value, bar.symbol.encode(), headers=[*said])
            producer.poll(0)
        assert producer.flush(60) == 0

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.text(*words, "--json", code=code)[0])

    def text(self, *words: str, code: int = 0) -> tuple[str, str]:
        assert run(["dead-letters", *words, "--session", self.session, "--bootstrap", self.servers]) == code
        shown = self._shown.readouterr()
        return shown.out, shown.err

    def sent_again(self, symbol: int) -> list[str]:
        """The header of each record of a symbol's topic that was sent again."""
        return [one.headers["streams.resent_from"] for one in read_topic(self.servers, self.topics[symbol]) if one.headers]


def test_many_letters_are_counted_paged_and_sent_again_once(bootstrap_servers: str, session_name: str, capsys: Shown) -> None:
    operator = Operator(bootstrap_servers, session_name, capsys)

    # 200 letters a symbol; those of numbers 98 and 99 of each hundred are of the last two symbols: 100 of each.
    counted = operator.json("summary")
    assert sum(one["count"] for one in counted) == LETTERS
    assert {(one["reason"], one["symbol"]): one["count"] for one in counted} == {
        **{("future", symbol): 200 for symbol in operator.symbols[:48]},
        **{(reason, symbol): 100 for symbol in operator.symbols[48:] for reason in ("future", "bad_prices")},
    }
    out, _ = operator.text("summary", "--reason", "bad_prices")
    assert out.splitlines()[-1] == "     200  in all"

    newest = operator.json("list", "--symbol", operator.symbols[3])
    assert [one["offset"] for one in newest] == list(range(9003, 10_000, 50))
    page = operator.json("list", "--symbol", operator.symbols[3], "--before", "9003")
    assert [one["offset"] for one in page] == list(range(8003, 9003, 50))
    assert "the newest 20 of 10,000; --before 9980 lists those before them" in operator.text("list")[1]

    # Symbol 48 has 100 of each reason; sent twice, its good ones are there once.
    words = ("resend", "--symbol", operator.symbols[48], "--yes")
    out, err = operator.text(*words, code=1)
    assert "sent again: 100 of 200 records; failed: 0; not sent: 100" in err
    assert len(out.splitlines()) < 70, "not a line for each letter"
    out, err = operator.text(*words, code=1)
    assert "sent again: 0 of 200 records; failed: 0; not sent: 100; sent by an earlier run: 100" in err
    assert f"48 was sent again before: it is {operator.topics[48]} offset 200; --force sends it once more" in out
    expected = [f"{session_name}.dlq:{offset}" for offset in range(48, LETTERS, 100)]
    assert operator.sent_again(48) == expected

    # All of a kind at once, what was sent left out; then nothing is left to do, which is no failure.
    done = operator.json("resend", "--reason", "future", "--yes")
    statuses = [one["status"] for one in done]
    assert (statuses.count("sent"), statuses.count("sent before"), len(done)) == (9_700, 100, 9_800)
    again = operator.json("resend", "--reason", "future", "--yes")
    assert {one["status"] for one in again} == {"sent before"}
    assert operator.sent_again(48) == expected
    assert len(operator.sent_again(0)) == 200

    # A second session that reads the same topic has a letter of its own of the first bar, which is in the topic again already.
    other = f"{session_name[-20:]}-b"
    create_topics(bootstrap_servers, f"{other}.dlq")
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    said = headers(topic=operator.topics[0], partition=0, offset=0, code="future", message="as it was", stage="engine")
    producer.produce(f"{other}.dlq", b"{}", headers=[*said])
    assert producer.flush(60) == 0
    operator.session = other
    (told,) = operator.json("resend", "0", "--yes")
    assert (told["status"], told["new_offset"]) == ("sent before", 200)
    operator.session = session_name

    (forced,) = operator.json("resend", "0", "--yes", "--force")
    assert (forced["status"], forced["new_offset"]) == ("sent", 400)
