"""Bars from files to their topics and back, on a real broker, by the command line and by the client."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from streams.cli.main import run
from streams.client.producer import BarProducer
from streams.config.settings import Settings
from streams.errors import BrokerRefusedError, NobodyThereError
from streams.history.formats.selection import TimeWindow
from streams.history.lean.files import read_lean
from streams.kafka.clients import existing_topics
from streams.kafka.reader import BEGINNING, Record, TopicReader
from streams.model.records import Bar, Quote, Tick
from streams.times import MINUTE_US, SystemClock, interval_us, iso, parse_instant
from streams.wire.codec import Codec
from tests.support import create_topics, unique_symbol, wait_until
from tests.support.lean import SAMPLES

DATA = Path(__file__).parents[3] / "examples" / "data" / "lean" / "equity" / "usa"
START_US = parse_instant("2013-10-07T13:30:00Z")


def settings_for(bootstrap_servers: str, **more: object) -> Settings:
    return Settings.load(bootstrap_servers=bootstrap_servers, **more)


def bar(symbol: str, minute: int) -> Bar:
    start_us = START_US + minute * MINUTE_US
    return Bar(symbol, "1m", start_us, start_us + MINUTE_US, 167.4, 167.5, 167.3, 167.45, 1200.0 + minute, 167.42, 17)


def records_of(bootstrap_servers: str, topic: str) -> list[Record]:
    with TopicReader(settings_for(bootstrap_servers), topic, start=BEGINNING, missing="the topic should be there") as reader:
        return reader.read_to_end(20)


def lean_zip(folder: Path, symbol: str, source: str) -> Path:
    """The bars of a real zip under a symbol of the test's own."""
    path = folder / "equity" / "usa" / "minute" / symbol.lower() / "20131007_trade.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(DATA / source) as original, zipfile.ZipFile(path, "w") as copy:
        (name,) = original.namelist()
        copy.writestr(name, original.read(name))
    return path


@pytest.mark.parametrize("as_json", [False, True], ids=["avro", "json"])
def test_bars_come_back_as_they_were_sent_with_their_symbol_as_key_and_their_end_as_time(bootstrap_servers: str, as_json: bool) -> None:
    symbol = unique_symbol("A/B")
    sent = [bar(symbol, minute) for minute in range(50)]
    with BarProducer(settings_for(bootstrap_servers), as_json=as_json) as producer:
        for each in sent:
            producer.send(each)
    found = records_of(bootstrap_servers, f"bars.{symbol.replace('/', '_2F')}")
    codec = Codec()
    assert [codec.bar_from(record.value) for record in found] == sent
    assert {record.key for record in found} == {symbol.encode()}
    assert [record.timestamp_ms for record in found] == [each.end_us // 1000 for each in sent]
    assert all((record.value or b"").startswith(b"{") is as_json for record in found)


def test_a_bar_topic_is_made_with_one_partition_and_keeps_old_bars_for_ever(bootstrap_servers: str) -> None:
    symbol = unique_symbol()
    with BarProducer(settings_for(bootstrap_servers)) as producer:
        assert producer.prepare([symbol]) == [f"bars.{symbol}"]
        assert producer.prepare([symbol]) == []
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    assert len(admin.list_topics(timeout=60).topics[f"bars.{symbol}"].partitions) == 1
    resource = ConfigResource(ResourceType.TOPIC, f"bars.{symbol}")
    config = admin.describe_configs([resource])[resource].result(60)
    assert (config["retention.ms"].value, config["cleanup.policy"].value) == ("-1", "delete")


def test_a_producer_that_may_not_create_topics_says_which_it_needs(bootstrap_servers: str) -> None:
    symbol = unique_symbol()
    wanted = rf"no topic bars\.{symbol}, .*1 partition and cleanup.policy=delete, retention.ms=-1"
    with BarProducer(settings_for(bootstrap_servers, create_topics=False)) as producer, pytest.raises(BrokerRefusedError, match=wanted):
        producer.send(bar(symbol, 0))


def test_a_bar_that_the_broker_refuses_is_named(bootstrap_servers: str) -> None:
    symbol = unique_symbol()
    create_topics(bootstrap_servers, f"bars.{symbol}", settings={"max.message.bytes": "64"})
    named = rf"the bar of {symbol} that ends at 2013-10-07T13:31:00Z to bars\.{symbol}.*MSG_SIZE_TOO_LARGE"
    producer = BarProducer(settings_for(bootstrap_servers))
    producer.send(bar(symbol, 0))
    with pytest.raises(BrokerRefusedError, match=named):
        producer.flush()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("interval", ["1d", "4h"])
@pytest.mark.parametrize("ends", ["by its interval", "at the close"])
def test_a_bar_that_the_close_cuts_off_is_produced_at_the_close(
    bootstrap_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], interval: str, form: str, ends: str
) -> None:
    """Its slot is over in 23, or three, hours: Kafka 4 takes no message that is more than an hour ahead."""
    symbol = unique_symbol()
    clock = SystemClock()
    close_us = clock.now_us() // MINUTE_US * MINUTE_US
    line = {"start": iso(close_us - 60 * MINUTE_US), "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}
    if ends == "at the close":
        line["end"] = iso(close_us)
    file = tmp_path / f"bars.{form}"
    file.write_text(json.dumps(line) if form == "jsonl" else f"{','.join(line)}\n{','.join(map(str, line.values()))}\n")
    words = ["produce", form, str(file), "--symbol", symbol, "--interval", interval, "--bootstrap", bootstrap_servers]
    began_us = clock.now_us()
    assert run(words) == 0, capsys.readouterr().err
    (record,) = records_of(bootstrap_servers, f"bars.{symbol}")
    if ends == "at the close":
        assert record.timestamp_ms == close_us // 1000
        assert Codec().bar_from(record.value).end_us == close_us
    else:
        assert began_us // 1000 <= record.timestamp_ms <= clock.now_us() // 1000
        assert Codec().bar_from(record.value).end_us == close_us - 60 * MINUTE_US + interval_us(interval)


def test_a_reader_of_a_missing_topic_says_so(bootstrap_servers: str) -> None:
    with pytest.raises(NobodyThereError, match=r"nothing was ever here: topic no\.such\.topic does not exist at"):
        TopicReader(settings_for(bootstrap_servers), "no.such.topic", start=BEGINNING, missing="nothing was ever here")


def test_a_reader_refuses_a_place_that_the_topic_does_not_have(bootstrap_servers: str) -> None:
    symbol = unique_symbol()
    with BarProducer(settings_for(bootstrap_servers)) as producer:
        producer.send(bar(symbol, 0))
    with pytest.raises(BrokerRefusedError, match=rf"bars\.{symbol} has no offset 7: it holds 0 to 1"):
        TopicReader(settings_for(bootstrap_servers), f"bars.{symbol}", start=7, missing="")


def test_produce_lean_sends_the_regular_hours_of_a_real_day(
    bootstrap_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol = unique_symbol()
    lean_zip(tmp_path, symbol, "minute/spy/20131007_trade.zip")
    words = ["produce", "lean", str(tmp_path), "--from", "09:30", "--to", "16:00", "--bootstrap", bootstrap_servers, "--json"]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["bars"], told["first_end"], told["last_end"]) == (390, "2013-10-07T13:31:00Z", "2013-10-07T20:00:00Z")
    assert told["created_topics"] == [f"bars.{symbol}"]
    codec = Codec()
    found = [codec.bar_from(record.value) for record in records_of(bootstrap_servers, f"bars.{symbol}")]
    regular = TimeWindow.parse("09:30", "16:00", zone=ZoneInfo("America/New_York"))
    expected = regular.select(read_lean(DATA / "minute/spy/20131007_trade.zip"))
    assert [(each.start_us, each.close, each.volume) for each in found] == [(each.start_us, each.close, each.volume) for each in expected]


def test_produce_lean_sends_each_contract_of_a_future_to_a_topic_of_its_own(
    bootstrap_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = unique_symbol()
    folder = tmp_path / "future" / "cme" / "minute" / root.lower()
    folder.mkdir(parents=True)
    shutil.copy(SAMPLES / "future" / "cme" / "minute" / "es" / "20131006_trade.zip", folder)
    assert run(["produce", "lean", str(tmp_path), "--from", "22:00", "--bootstrap", bootstrap_servers, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["symbols"] == {f"{root}.201312": 118, f"{root}.201403": 10}
    first, *_ = [Codec().bar_from(record.value) for record in records_of(bootstrap_servers, f"bars.{root}.201312")]
    # 79200000,1676.75,1677.25,1673.5,1675.25,1884
    assert (first.symbol, iso(first.start_us), first.open, first.volume) == (f"{root}.201312", "2013-10-06T22:00:00Z", 1676.75, 1884.0)


def test_produce_lean_rebased_ends_at_the_last_full_minute(
    bootstrap_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol = unique_symbol()
    lean_zip(tmp_path, symbol, "minute/ibm/20131007_trade.zip")
    before_us = SystemClock().now_us()
    assert run(["produce", "lean", str(tmp_path), "--rebase", "--bootstrap", bootstrap_servers, "--json"]) == 0
    last_end_us = parse_instant(json.loads(capsys.readouterr().out)["last_end"])
    assert before_us // MINUTE_US * MINUTE_US <= last_end_us <= SystemClock().now_us()
    assert len(records_of(bootstrap_servers, f"bars.{symbol}")) == 453


def test_produce_csv_takes_a_pipe_and_skips_what_it_was_told_to(
    bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol = unique_symbol()
    text = "time,open,high,low,close,volume\n1381152600,1,2,1,2,5\n1381152660,1,x,1,2,5\n1381152720,1,2,1,2,6\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    words = ["produce", "csv", "-", "--symbol", symbol, "--interval", "1m", "--bootstrap", bootstrap_servers]
    assert run([*words, "--max-errors", "1"]) == 0
    told = capsys.readouterr()
    assert "sent 2 bars" in told.out
    assert "standard input: line 3, column 3: high is 'x'" in told.err
    assert len(records_of(bootstrap_servers, f"bars.{symbol}")) == 2


def test_produce_jsonl_ends_at_a_bad_line_and_says_what_was_sent(
    bootstrap_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol = unique_symbol()
    line = json.dumps({"symbol": symbol, "interval": "1m", "start": START_US, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5})
    path = tmp_path / "bars.jsonl"
    path.write_text(f"{line}\nnot json\n{line}\n")
    assert run(["produce", "jsonl", str(path), "--json-values", "--bootstrap", bootstrap_servers]) == 1
    told = capsys.readouterr().err
    assert "sent 1 bar, then met a line that can't be read" in told
    assert f"{path}: line 2, column 1: is no JSON" in told
    assert len(records_of(bootstrap_servers, f"bars.{symbol}")) == 1


def test_an_interrupt_ends_a_paced_run_with_what_was_sent_counted(bootstrap_servers: str, tmp_path: Path) -> None:
    symbol = unique_symbol()
    path = tmp_path / "bars.csv"
    path.write_text("time,open,high,low,close,volume\n1381152600,1,2,1,2,5\n1381156200,1,2,1,2,5\n")  # an hour apart
    words = ["produce", "csv", str(path), "--symbol", symbol, "--interval", "1m", "--speed", "1", "--bootstrap", bootstrap_servers]
    with subprocess.Popen([sys.executable, "-m", "streams.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sending:
        wait_until(lambda: f"bars.{symbol}" in existing_topics(settings_for(bootstrap_servers)), f"topic bars.{symbol}")
        wait_until(lambda: records_of(bootstrap_servers, f"bars.{symbol}"), "the first bar")
        sending.send_signal(signal.SIGINT)
        told, said = sending.communicate(timeout=60)
    assert sending.returncode == 130
    assert b"sent 1 bar " in told
    assert b"Traceback" not in said


def test_quotes_and_ticks_go_to_topics_of_their_own(bootstrap_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    symbol, codec = unique_symbol(), Codec()
    (tmp_path / "quotes.csv").write_text("time,bid,ask\n2013-10-07T13:30:00Z,1,2\n2013-10-07T13:30:01Z,,2\n")
    (tmp_path / "ticks").write_text('{"time": "2013-10-07T13:30:00Z", "price": 1, "size": 2}\n')
    where = ["--symbol", symbol, "--bootstrap", bootstrap_servers]
    assert run(["produce", "quotes", str(tmp_path / "quotes.csv"), *where]) == 0
    assert "sent 2 quotes in " in capsys.readouterr().out
    assert run(["produce", "ticks", str(tmp_path / "ticks"), *where, "--json-values", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ticks"], report["symbols"]) == (1, {symbol: 1})
    quotes, ticks = records_of(bootstrap_servers, f"quotes.{symbol}"), records_of(bootstrap_servers, f"ticks.{symbol}")
    assert [codec.quote_from(record.value) for record in quotes] == [
        Quote(symbol, START_US, 1.0, 2.0),
        Quote(symbol, START_US + 1_000_000, None, 2.0),
    ]
    assert [codec.tick_from(record.value) for record in ticks] == [Tick(symbol, START_US, 1.0, 2.0)]
    assert [record.timestamp_ms for record in quotes] == [START_US // 1000, START_US // 1000 + 1000]
