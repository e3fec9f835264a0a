"""Exports over HTTP: what is in them, who gets one, and how many at once."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
from contextlib import suppress
from urllib.parse import quote

import httpx
import pyarrow.parquet
import pytest

from streams.api import export
from streams.exports.content import Content
from tests.support.api import ANALYSIS_OFFSET, READ_TOKEN, Client, app_over
from tests.support.engine import Desk, at, bar, config
from tests.unit.api.worlds import DAY, ODD, active_desk, inactive_desk


@pytest.fixture(scope="module")
def active() -> Client:
    return Client(app_over(active_desk()))


@pytest.fixture(scope="module")
def inactive() -> Client:
    return Client(app_over(inactive_desk()))


def rows(answered: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answered.text)))


def test_a_symbol_is_exported_with_all_that_it_has(active: Client) -> None:
    answered = active.get("/v1/symbols/SPY/export")
    (symbol,) = answered.json()["symbols"]
    assert symbol["symbol"] == "SPY"
    # 09:33 and 09:34 are missing; Monday's last ten minutes are kept.
    assert symbol["bars"]["1m"]["gaps"] == {
        "gap_count": 1, "missing_bars": 2,
        "ranges": [{"start_time": "2013-10-08T13:33:00Z", "end_time": "2013-10-08T13:35:00Z", "bar_count": 2}],
    }  # fmt: skip
    assert [len(symbol["bars"][interval]["bars"]) for interval in ("1m", "5m")] == [13, 3]
    assert len(symbol["historical"]["2013-10-07"]["1m"]) == 10
    assert answered.headers["Content-Disposition"] == 'attachment; filename="main-SPY.json"'
    assert answered.headers["X-As-Of-Analysis-Offset"] == str(ANALYSIS_OFFSET)
    assert answered.headers["X-As-Of-Now"] == "2013-10-08T13:45:00Z"
    assert answered.headers["X-Session-Active"] == "true"


def test_the_session_is_exported_whole_or_some_of_its_symbols(active: Client) -> None:
    assert [one["symbol"] for one in active.get("/v1/export").json()["symbols"]] == sorted(["SPY", "IBM", "NEW", ODD])
    some = active.get(f"/v1/export?symbol=SPY&symbol={quote(ODD, safe='')}&symbol=NOBODY&symbol=SPY").json()
    assert [one["symbol"] for one in some["symbols"]] == sorted(["SPY", ODD])


def test_tables_have_the_same_bars(active: Client) -> None:
    as_csv = active.get("/v1/symbols/SPY/export?format=csv")
    assert as_csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    found = [(row["interval"], row["start"], float(row["close"])) for row in rows(as_csv)]
    assert len(found) == 10 + 2 + 13 + 3
    as_parquet = active.get("/v1/export?format=parquet&symbol=SPY")
    assert as_parquet.headers["Content-Type"] == "application/vnd.apache.parquet"
    table = pyarrow.parquet.read_table(io.BytesIO(as_parquet.content))
    assert table.column("close").to_pylist() == [close for _, _, close in found]


@pytest.mark.parametrize("path", ["/v1/symbols/SPY/export", "/v1/export", "/v1/export?symbol=SPY", "/v1/symbols/NOBODY/export"])
def test_while_the_gate_is_shut_an_export_has_no_symbols_but_for_one_with_the_token(inactive: Client, path: str) -> None:
    outside = inactive.get(path)
    assert (outside.json()["gate_reason"], outside.json()["trading_date"]) == (None, None), "as of the session itself"
    assert (outside.status_code, outside.json()["symbols"], outside.headers["X-Session-Active"]) == (200, [], "false")
    joined = f"{path}{'&' if '?' in path else '?'}"
    assert rows(inactive.get(f"{joined}format=csv")) == []
    assert inactive.get(f"{joined}internal=true").status_code == 401
    inside = inactive.get(f"{joined}internal=true", token=READ_TOKEN)
    if "NOBODY" in path:
        assert (inside.status_code, inside.json()["error"]["code"]) == (404, "unknown_symbol")
    else:
        assert "SPY" in [one["symbol"] for one in inside.json()["symbols"]]
        assert inside.json()["gate_reason"] == "lagging"


def test_what_is_new_is_there_by_its_number_until_it_is_ended() -> None:
    desk = active_desk()
    client = Client(app_over(desk))
    desk.command("begin_export", "SPY")
    found = client.get("/v1/symbols/SPY/export?number=1").json()
    assert (found["kind"], found["number"]) == ("new", 1)
    assert [(one["interval"], len(one["bars"])) for one in found["series"]] == [("1m", 13), ("5m", 3)]
    desk.command("end_export", "SPY", export_number=1)
    refused = client.get("/v1/symbols/SPY/export?number=1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_under_way")
    desk.feed(bar("SPY", at("09:33", DAY)))
    desk.command("begin_export", "SPY")
    answered = client.get("/v1/symbols/SPY/export?number=2&format=csv")
    assert [(row["interval"], row["start"][11:16], row["revision"]) for row in rows(answered)] == [
        ("1m", "13:33", "0"),
        ("5m", "13:30", "1"),
    ]
    assert answered.headers["Content-Disposition"] == 'attachment; filename="main-SPY-2.csv"'


def test_while_the_gate_is_shut_what_is_new_is_refused_since_nothing_would_be_taken_for_all() -> None:
    desk = inactive_desk()
    client = Client(app_over(desk))
    desk.command("begin_export", "SPY")
    refused = client.get("/v1/symbols/SPY/export?number=1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "inactive")
    assert len(client.get("/v1/symbols/SPY/export?number=1&internal=true", token=READ_TOKEN).json()["series"]) == 2


def test_a_format_that_is_none_is_refused(active: Client) -> None:
    answered = active.get("/v1/export?format=xls")
    assert answered.status_code == 422
    assert 'format must be "json", "csv" or "parquet", got "xls"' in answered.json()["error"]["message"]


def test_an_install_that_can_not_write_a_format_says_so(active: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answered = active.get("/v1/export?format=parquet")
    assert (answered.status_code, answered.json()["error"]["code"]) == (501, "not_installed")
    assert active.get("/v1/export?format=csv").status_code == 200


def test_no_more_than_so_many_exports_are_under_way_and_each_that_ends_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        client = Client(app_over(active_desk()))
        started, go = asyncio.Semaphore(0), asyncio.Event()
        loop = asyncio.get_running_loop()
        pieces = Content.pieces

        def waiting(self: Content, form: object) -> object:
            loop.call_soon_threadsafe(started.release)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            yield from pieces(self, form)  # type: ignore[arg-type]

        monkeypatch.setattr(Content, "pieces", waiting)
        first = [asyncio.create_task(client.asked("GET", "/v1/export")) for _ in range(export.AT_ONCE)]
        for _ in first:
            await started.acquire()
        third = await client.asked("GET", "/v1/export")
        assert (third.status_code, third.json()["error"]["code"]) == (503, "busy")
        assert (await client.asked("GET", "/v1/session")).status_code == 200
        go.set()
        assert {one.status_code for one in await asyncio.gather(*first)} == {200}
        assert (await client.asked("GET", "/v1/export")).status_code == 200

    asyncio.run(ask())


def test_an_export_that_fails_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(app_over(active_desk()))

    def broken(self: Content, form: object) -> object:
        yield b"a"
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Content, "pieces", broken)
        for _ in range(export.AT_ONCE + 1):
            with suppress(AssertionError):  # in process nobody closes the connection for want of the rest
                client.get("/v1/export")
    assert client.get("/v1/export").status_code == 200


def test_an_export_of_some_symbols_says_as_of_which_record_it_is_while_a_bar_of_another_is_awaited() -> None:
    desk = Desk(config("AAA", "BBB", interval_complete=None), now_us=at("09:30"))
    desk.load("AAA", "BBB")
    desk.flow(bar("AAA", at("09:30")))
    client = Client(app_over(desk))
    for path in ("/v1/symbols/AAA/export", "/v1/export?symbol=AAA", "/v1/export"):
        answer = client.get(path)
        assert (answer.json()["sequence"], int(answer.headers["X-As-Of-Sequence"])) == (desk.session.state.sequence,) * 2
