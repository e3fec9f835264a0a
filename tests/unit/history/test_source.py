"""History sources: what a setting means, what is said when it means nothing, and when an empty answer is one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from streams.config.settings import Settings
from streams.errors import HistoryError, SettingsError
from streams.history.sources.opening import open_source
from streams.history.sources.source import (
    HistorySource,
    ObjectPlace,
    Place,
    StorePlace,
    TopicPlace,
    close_source,
    parse_place,
)
from streams.history.sources.stored import StoreHistory
from streams.history.store.store import HistoryStore
from streams.model.records import Bar
from streams.times import MINUTE_US, from_us
from tests.support.history import START_US, bar

OWN = """
class Source:
    adjustment = "split"
    def get_bars(self, symbol, interval, start, end):
        return []

class Closing:
    closed = False
    def get_bars(self, symbol, interval, start, end):
        return []
    def close(self):
        self.closed = True

ready = Closing()
text = "no source"

def make():
    return Closing()

def fails():
    raise OSError("no licence")
"""


def minute(number: int) -> datetime:
    return from_us(START_US + number * MINUTE_US)


def no_topics(place: TopicPlace, settings: Settings) -> HistorySource:
    raise AssertionError("nobody asked for topics")


def opened(text: str) -> HistorySource:
    source = open_source(Settings(history=text), adjustment="raw", of_topics=no_topics)
    assert source is not None
    return source


def complaint(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        open_source(Settings(history=text), adjustment="raw", of_topics=no_topics)
    return str(caught.value)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the working directory."""
    (tmp_path / "my_history_source.py").write_text(OWN)
    (tmp_path / "my_broken_source.py").write_text("1 / 0")
    (tmp_path / "my_needy_source.py").write_text("import no_such_vendor")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return "my_history_source"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("bars", StorePlace(Path("bars"))),
        ("/data/my bars", StorePlace(Path("/data/my bars"))),
        ("./a.b:c", StorePlace(Path("./a.b:c"))),
        ("desk.sources:vendor", ObjectPlace("desk.sources", "vendor")),
        ("kafka://other:9092", TopicPlace("other:9092", None, ())),
        ("kafka://a:1,[::1]:2/?pattern=md.{symbol}", TopicPlace("a:1,[::1]:2", "md.{symbol}", ())),
        ("kafka://a?sasl.username=me&sasl.password=p%26q", TopicPlace("a", None, (("sasl.username", "me"), ("sasl.password", "p&q")))),
    ],
)
def test_a_setting_names_a_store_topics_or_an_object(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "must be a store's folder, kafka://host:port of a cluster that has the bars, or module:attribute"),
        ("https://vendor", "got one that begins with https://"),
        ("kafka://", "must name brokers as in kafka://host:9092,other:9092, got ''"),
        ("kafka://a:1,b:0", "must name brokers as in kafka://host:9092,other:9092, got 'b:0'"),
        ("kafka://a:1/bars", "must have nothing but ?pattern=bars.{symbol} behind the brokers, got '/bars'"),
        ("kafka://a:1?pattern=bars", "pattern must have {symbol} in it once, such as bars.{symbol}, got 'bars'"),
        ("kafka://a:1?patern=bars.{symbol}", "and properties of librdkafka behind the brokers, not patern"),
        ("kafka://a:1?group.id=mine", "and properties of librdkafka behind the brokers, not group.id"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_place(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("STREAMS_HISTORY")


def test_without_a_setting_there_is_no_source() -> None:
    assert open_source(Settings(), adjustment="raw", of_topics=no_topics) is None


def test_topics_are_made_by_whoever_knows_kafka() -> None:
    asked: list[TopicPlace] = []

    class Topics:
        def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
            return []

    def make(place: TopicPlace, settings: Settings) -> HistorySource:
        asked.append(place)
        return Topics()

    assert isinstance(open_source(Settings(history="kafka://a:1"), adjustment="raw", of_topics=make), Topics)
    assert asked == [TopicPlace("a:1", None, ())]


def test_a_source_of_ones_own_is_an_object_or_made_by_a_call(own: str) -> None:
    ready, made, constructed = (opened(f"{own}:{name}") for name in ("ready", "make", "Closing"))
    assert {type(one).__name__ for one in (ready, made, constructed)} == {"Closing"}
    assert len({id(ready), id(made), id(constructed)}) == 3
    close_source(ready)
    assert ready.closed  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my_history_source:nothing", "my_history_source has no nothing"),
        ("my_history_source:text", "is a str without get_bars(symbol, interval, start, end)"),
        ("my_history_source:fails", "fails() raised OSError: no licence"),
        ("my_broken_source:source", "importing my_broken_source raised ZeroDivisionError: division by zero"),
        ("my_needy_source:source", "there is no module no_such_vendor, neither installed nor in "),
        ("no_such_module:source", "there is no module no_such_module, neither installed nor in "),
        ("my_history_source:Source", "gives split prices, and historical.adjustment of the config says raw"),
        ("no-such-folder", "is not a store"),
    ],
)
def test_a_source_that_can_not_be_had_is_refused_in_one_sentence(own: str, text: str, message: str) -> None:
    said = complaint(text)
    assert said.startswith(f"STREAMS_HISTORY={text}")
    assert message in said


def test_a_store_of_other_prices_is_refused(tmp_path: Path) -> None:
    HistoryStore.create(tmp_path / "bars", adjustment="total")
    assert "holds total prices and can't take or give raw ones" in complaint(str(tmp_path / "bars"))


def test_a_store_gives_the_bars_that_start_in_the_stretch(tmp_path: Path) -> None:
    HistoryStore.create(tmp_path / "bars").write_bars([bar(number) for number in range(5)])
    assert opened(str(tmp_path / "bars")).get_bars("SPY", "1m", minute(1), minute(3)) == [bar(1), bar(2)]


@pytest.mark.parametrize(
    ("minutes", "knows", "reason"),
    [
        ([0, 1, 5, 6], True, "bars on both sides"),
        ([0, 9], True, "far from it on both sides"),
        ([-2000, 3000], True, "on other days"),
        ([0, 1], False, "it may not have been filled so far"),
        ([5, 6], False, "it may not have been begun so early"),
        ([], False, "it knows nothing of the symbol"),
    ],
)
def test_that_a_store_has_none_is_believed_where_it_reaches_around_the_stretch(
    tmp_path: Path, minutes: list[int], knows: bool, reason: str
) -> None:
    store = HistoryStore.create(tmp_path / "bars")
    store.write_bars([bar(number) for number in minutes])
    source = StoreHistory(store)
    if knows:
        assert source.get_bars("SPY", "1m", minute(2), minute(5)) == [], reason
    else:
        with pytest.raises(HistoryError, match="it may not have been filled that far"):
            source.get_bars("SPY", "1m", minute(2), minute(5))


def test_what_a_source_is_needs_no_more_than_the_plain_install() -> None:
    modules = "streams.history.sources.source, streams.history.sources.opening, streams.history.sources.topics"
    code = f"import sys, {modules}; print('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
