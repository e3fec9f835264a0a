"""What each path answers with the gate open and shut, with tokens and without, and what it says of a request that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from streams.api.answers import SymbolView
from streams.engine.reads import SymbolSnapshot
from streams.errors import NotActiveError
from streams.times import SECOND_US
from tests.support.api import ANALYSIS_OFFSET, COMMAND_TOKEN, READ_TOKEN, Client, DeskCommander, app_over, bearer
from tests.support.engine import Desk, at, bar, config
from tests.unit.api.worlds import ODD, active_desk, inactive_desk

Body = dict[str, Any]
SYMBOLS = sorted(["SPY", "IBM", "NEW", ODD])

# 09:30 in New York is 13:30 in UTC.
TUESDAYS = ["13:30", "13:31", "13:32", *[f"13:{minute}" for minute in range(35, 45)]]
MONDAYS = [f"19:{minute}" for minute in range(50, 60)]


def clocks(bars: list[Body]) -> list[str]:
    return [bar["start"][11:16] for bar in bars]


TABLE: list[tuple[str, Callable[[Body], object], object, object]] = [
    ("session", lambda one: (one["trading_date"], one["gate_reason"], one["lagging"]), ("2013-10-08", "loaded", []), (None, None, [])),
    ("session", lambda one: one["active_symbols"], SYMBOLS, []),
    ("session", lambda one: one["loaded_symbols"], sorted(["SPY", "IBM", ODD]), []),
    ("session", lambda one: one["pending_symbols"], ["NEW"], []),
    ("session", lambda one: one["symbols_with_derived"], SYMBOLS, []),
    ("symbols", lambda one: (one["count"], [symbol["symbol"] for symbol in one["symbols"]]), (4, SYMBOLS), (0, [])),
    (
        "symbols/SPY",
        lambda one: one["symbol"] and [one["symbol"][key] for key in ("symbol", "status", "offset", "base_interval", "derived_intervals")],
        ["SPY", "loaded", 23, "1m", ["5m"]], None,
    ),
    ("symbols/SPY", lambda one: one["symbol"] and one["symbol"]["latest_bar"]["start"], "2013-10-08T13:44:00Z", None),
    ("symbols/SPY", lambda one: one["export"], {"number": 0, "is_pending": False}, None),
    ("symbols/SPY/bars", lambda one: (one["interval"], one["bar_count"], clocks(one["bars"])), ("1m", 13, TUESDAYS), (None, 0, [])),
    ("symbols/SPY/bars?interval=5m", lambda one: (one["interval"], clocks(one["bars"])), ("5m", ["13:30", "13:35", "13:40"]), ("5m", [])),
    ("symbols/SPY/bars?last=2", lambda one: clocks(one["bars"]), ["13:43", "13:44"], []),
    ("symbols/SPY/bars?last=0", lambda one: clocks(one["bars"]), [], []),
    ("symbols/SPY/bars?since=2013-10-08T09:43:00-04:00", lambda one: clocks(one["bars"]), ["13:43", "13:44"], []),
    (
        "symbols/SPY/bars?start=2013-10-08T13:32:00Z&end=2013-10-08T13:36:00Z", lambda one: clocks(one["bars"]),
        ["13:32", "13:35"], [],
    ),
    ("symbols/SPY/bars?end=2013-10-08T13:36:00Z&last=1", lambda one: clocks(one["bars"]), ["13:35"], []),
    ("symbols/SPY/latest?interval=5m", lambda one: one["bar"] and one["bar"]["end"], "2013-10-08T13:45:00Z", None),
    (
        # 13 of the 15 minutes since 09:30; all three five-minute bars, the first of them from three of its five.
        "symbols/SPY/quality", lambda one: [(each["interval"], round(each["quality"], 4)) for each in one["intervals"]],
        [("1m", 86.6667), ("5m", 100.0)], [],
    ),
    (
        "symbols/SPY/quality", lambda one: [(each["expected"], each["present"], each["missing"]) for each in one["intervals"]],
        [(15, 13, 2), (3, 3, 0)], [],
    ),
    ("symbols/SPY/quality?interval=5m", lambda one: [each["quality"] for each in one["intervals"]], [100.0], []),
    (
        "symbols/SPY/gaps", lambda one: (one["gap_count"], one["missing_bars"], [(gap["start"], gap["end"]) for gap in one["gaps"]]),
        (1, 2, [("2013-10-08T13:33:00Z", "2013-10-08T13:35:00Z")]), (0, 0, []),
    ),
    ("symbols/SPY/gaps?start=2013-10-08T13:34:00Z", lambda one: (one["gap_count"], one["gaps"]), (1, []), (0, [])),
    (
        # 3 x 10 and 10 x 20; highs and lows are a quarter around 100 and 120.
        "symbols/SPY/metrics", lambda one: one["metrics"],
        {"volume": 230.0, "high": 120.25, "low": 99.75, "bar_count": 13, "last_update": "2013-10-08T13:45:00Z"}, None,
    ),
    (
        "symbols/SPY/indicators", lambda one: (one["trading_date"], one["indicators"]),
        ("2013-10-08", {"close": 100.0, "mean": None}), (None, {}),
    ),
    (
        "symbols/SPY/quotes", lambda one: one["quotes"],
        {
            "latest": {
                "time": "2013-10-08T13:44:00Z", "bid": 99.5, "ask": 100.5, "bid_size": 100.0, "ask_size": 100.0, "provenance": "feed",
            },
            "count": 1, "total": 2, "last_update": "2013-10-08T13:45:00Z", "trading_date": "2013-10-08",
            "out_of_hours": 0, "rejected": 0, "reason": None,
        },
        None,
    ),
    (
        "symbols/SPY/ticks", lambda one: one["ticks"] and (one["ticks"]["latest"], one["ticks"]["count"]),
        ({"time": "2013-10-08T13:44:30Z", "price": 100.0, "size": 10.0, "provenance": "feed"}, 1), None,
    ),
    ("symbols/NEW/quotes", lambda one: one["quotes"], None, None),
    ("symbols/SPY/history", lambda one: (one["dates"], clocks(one["bars"])), (["2013-10-07"], MONDAYS), ([], [])),
    ("symbols/SPY/history?on=2013-10-07&interval=5m", lambda one: clocks(one["bars"]), ["19:50", "19:55"], []),
    ("symbols/SPY/history?on=2013-10-04", lambda one: clocks(one["bars"]), [], []),
    (f"symbols/{quote(ODD, safe='')}", lambda one: one["symbol"] and one["symbol"]["symbol"], ODD, None),
    (f"symbols/{quote(ODD, safe='')}/bars", lambda one: (one["symbol"], one["bars"]), (ODD, []), (ODD, [])),
]  # fmt: skip


@pytest.fixture(scope="module")
def active() -> Client:
    return Client(app_over(active_desk()))


@pytest.fixture(scope="module")
def inactive() -> Client:
    return Client(app_over(inactive_desk()))


@pytest.mark.parametrize(("path", "seen_as", "content", "nothing"), TABLE)
def test_a_read_is_answered_while_the_session_is_active_and_to_one_with_the_token_always(
    path: str, seen_as: Callable[[Body], object], content: object, nothing: object, active: Client, inactive: Client
) -> None:
    path = f"/v1/{path}"
    past_the_gate = f"{path}{'&' if '?' in path else '?'}internal=true"
    for client, is_active in ((active, True), (inactive, False)):
        external, internal = client.get(path), client.get(past_the_gate, token=READ_TOKEN)
        for answered in (external, internal):
            assert answered.status_code == 200, answered.text
            assert answered.json()["session_active"] is is_active
            assert answered.json()["as_of"]["analysis_offset"] == ANALYSIS_OFFSET
        assert seen_as(external.json()) == (content if is_active else nothing)
        if is_active or "gate_reason" not in internal.text:
            assert seen_as(internal.json()) == content, "an internal read passes the closed gate"


def test_the_table_has_every_read(active: Client) -> None:
    of_others = re.compile("/commands/|/export")
    paths = {path for path in active.get("/openapi.json").json()["paths"] if path.startswith("/v1") and not of_others.search(path)}
    shown = {
        path.partition("?")[0].replace(quote(ODD, safe=""), "{symbol}").replace("SPY", "{symbol}").replace("NEW", "{symbol}")
        for path, *_ in TABLE
    }
    assert {f"/v1/{path}" for path in shown} == paths


def test_a_lagging_symbol_is_told_to_one_with_the_token(inactive: Client) -> None:
    said = inactive.get("/v1/session?internal=true", token=READ_TOKEN).json()
    # The bar of 09:30 is known at 09:31, and it is 09:45.
    assert said["lagging"] == [{"symbol": "IBM", "lag_seconds": 840.0}]
    assert said["gate_reason"] == "lagging"


def test_an_answer_says_which_state_it_is_of(active: Client) -> None:
    said = active.get("/v1/session").json()["as_of"]
    state = active_desk().session.state
    assert said == {
        "session": "main", "epoch": 1, "sequence": state.sequence, "analysis_offset": ANALYSIS_OFFSET, "committed_seconds": 0.0,
        "now": "2013-10-08T13:45:00Z", "active": True,
    }  # fmt: skip


def test_a_symbol_is_told_with_all_that_is_known_of_it() -> None:
    assert set(SymbolSnapshot.__struct_fields__) <= set(SymbolView.__struct_fields__)


@pytest.mark.parametrize("path", ["/v1/symbols/SPY/bars", "/v1/symbols/SPY/history", "/v1/symbols"])
def test_pages_lead_through_all_there_is(active: Client, path: str) -> None:
    whole = active.get(path).json()
    of = "symbols" if path.endswith("symbols") else "bars"
    assert whole["next"] is None
    found, following = [], f"{path}?limit=3&internal=true"
    while following:
        page = active.get(following, token=READ_TOKEN).json()
        assert 0 < len(page[of]) <= 3
        found += page[of]
        following = page["next"]
    assert found == whole[of]


def test_the_page_after_the_newest_bars_ends_where_they_end(active: Client) -> None:
    first = active.get("/v1/symbols/SPY/bars?last=5&end=2013-10-08T13:44:00Z&limit=3").json()
    second = active.get(first["next"]).json()
    assert clocks(first["bars"] + second["bars"]) == ["13:39", "13:40", "13:41", "13:42", "13:43"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "status", "code", "says"),
    [
        ("symbols/SPX", 404, "unknown_symbol", "SPX is not in the session: /v1/symbols lists what is"),
        ("symbols/SPX/bars", 404, "unknown_symbol", "SPX is not in the session"),
        ("symbols/BTC/USD/bars", 404, "no_such_path", "/openapi.json lists what is; a slash in a symbol is sent as %2F"),
        ("symbols/SPY/bars?interval=7m", 404, "unknown_interval", "SPY has no bars of 7m: it has 1m, 5m"),
        ("symbols/SPY/bars?interval=soon", 422, "invalid", "interval: 'soon' is no interval: write a number and s, m, h or d"),
        ("symbols/SPY/bars?intervall=5m", 422, "invalid", "intervall is no parameter here: interval, last, since, start"),
        ("symbols/SPY/bars?start=2013-10-08T09:30:00", 422, "invalid", "has no time zone, so it names no instant: write"),
        ("symbols/SPY/bars?start=noon", 422, "invalid", "is not an instant: write one such as 2013-10-07T13:30:00Z"),
        ("symbols/SPY/bars?start=93000", 422, "invalid", "as seconds since 1970 it is 1970-01-02T01:50:00Z, before 1973"),
        ("symbols/SPY/bars?limit=5001", 422, "invalid", 'limit must be <= 5000, got "5001"'),
        ("symbols/SPY/bars?last=-1", 422, "invalid", 'last must be >= 0, got "-1"'),
        ("symbols/SPY/bars?last=few", 422, "invalid", 'last must be a whole number, got "few"'),
        ("symbols/SPY/export?format=xml", 422, "invalid", 'format must be "json", "csv" or "parquet", got "xml"'),
        ("symbols/SPY/history?on=0", 422, "invalid", "on must be a date such as 2013-10-07, got '0'"),
        ("session?internal=perhaps", 422, "invalid", 'internal must be true or false, got "perhaps"'),
        ("nonsense", 404, "no_such_path", "there is no /v1/nonsense here: /openapi.json lists what is"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_what_would_be_right(active: Client, path: str, status: int, code: str, says: str) -> None:
    answered = active.get(f"/v1/{path}")
    error = answered.json()["error"]
    assert (answered.status_code, error["code"]) == (status, code)
    assert says in error["message"]
    assert set(answered.json()) == {"error"}
    assert set(error) == {"code", "message"}


@pytest.mark.parametrize("path", ["symbols/SPX", "symbols/SPX/bars", "symbols/SPY/bars?interval=7m"])
def test_what_there_is_is_not_told_while_the_gate_is_shut(inactive: Client, path: str) -> None:
    answered = inactive.get(f"/v1/{path}")
    assert (answered.status_code, answered.json()["session_active"]) == (200, False)
    with_token = inactive.get(f"/v1/{path}{'&' if '?' in path else '?'}internal=true", token=READ_TOKEN)
    assert with_token.status_code == 404


@pytest.mark.parametrize(
    "sent", ["2013-10-08T13:43:00Z", "2013-10-08T13:43:00%2B00:00", "2013-10-08T13:43:00+00:00", "2013-10-08T09:43-04:00"]
)
def test_an_instant_has_a_zone_of_whatever_form(active: Client, sent: str) -> None:
    assert clocks(active.get(f"/v1/symbols/SPY/bars?start={sent}").json()["bars"]) == ["13:43", "13:44"]


# ------------------------------------------------------------------------------------------------------- tokens

ADDING = {"symbol": "XYZ"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "no_token"),
        ("", "no_token"),
        (READ_TOKEN, "no_token"),
        (f"Basic {READ_TOKEN}", "no_token"),
        ("Bearer", "no_token"),
        ("Bearer ", "wrong_token"),
        (f"Bearer {READ_TOKEN}x", "wrong_token"),
        (f"Bearer {READ_TOKEN[:-1]}", "wrong_token"),
        (f"Bearer {COMMAND_TOKEN}", "wrong_token"),
        ("Bearer ü", "wrong_token"),
    ],
)
def test_who_has_not_the_read_token_does_not_look_past_the_gate(inactive: Client, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answered = inactive.ask("GET", "/v1/symbols/SPY/bars?internal=true", headers=headers)
    assert (answered.status_code, answered.json()["error"]["code"]) == (401, code)
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")
    assert "13:30" not in answered.text


def test_the_word_bearer_counts_in_any_case(inactive: Client) -> None:
    answered = inactive.ask("GET", "/v1/session?internal=true", headers={"authorization": f"bEARER {READ_TOKEN}"})
    assert answered.status_code == 200


@pytest.mark.parametrize("token", [None, READ_TOKEN])
def test_the_read_token_does_not_open_commands(active: Client, token: str | None) -> None:
    headers = {} if token is None else bearer(token)
    for method, path, options in (
        ("POST", "/v1/symbols", {"json": ADDING}), ("DELETE", "/v1/symbols/SPY", {}), ("GET", "/v1/commands/the-command", {}),
    ):  # fmt: skip
        answered = active.ask(method, path, headers=headers, **options)
        assert (answered.status_code, "STREAMS_COMMAND_TOKEN" in answered.text) == (401, True), path


def test_a_door_without_a_token_is_closed_and_says_how_it_is_opened() -> None:
    client = Client(app_over(active_desk(), tokens=False))
    for token in (None, "", "None", READ_TOKEN):
        headers = {} if token is None else bearer(token)
        read = client.ask("GET", "/v1/session?internal=true", headers=headers)
        command = client.ask("POST", "/v1/symbols", headers=headers, json=ADDING)
        assert (read.status_code, "set STREAMS_READ_TOKEN" in read.text) == (403, True)
        assert (command.status_code, "set STREAMS_COMMAND_TOKEN" in command.text) == (403, True)
    assert client.get("/v1/session").status_code == 200, "an external read needs no token"


# ----------------------------------------------------------------------------------------------------- commands


def command(client: Client, method: str, path: str, **options: Any) -> tuple[int, Body]:
    answered = client.ask(method, f"/v1/{path}", headers=bearer(COMMAND_TOKEN), **options)
    return answered.status_code, answered.json()


def test_a_symbol_is_added_and_removed_by_commands_as_they_were_asked_for() -> None:
    desk = active_desk()
    commander = DeskCommander(desk)
    client = Client(app_over(desk, commander=commander))
    asked = {"symbol": "XYZ", "streams": ["1m", "quotes"], "start": "2013-10-08T13:30:00Z", "must_exist": True, "command_id": "a-1"}
    assert command(client, "POST", "symbols", json=asked)[1]["status"] == "completed"
    assert command(client, "DELETE", f"symbols/{quote(ODD, safe='')}?immediate=true&wait_seconds=0.5")[0] == 200
    assert command(client, "DELETE", "symbols/SPY")[0] == 200
    (added, waited), (removed, short), (drained, _) = commander.sent
    assert (added.id, added.kind, added.symbol, added.streams, added.must_exist) == ("a-1", "add_symbol", "XYZ", ("1m", "quotes"), True)
    assert added.start_us == 1_381_239_000_000_000
    assert (removed.kind, removed.symbol, removed.immediate) == ("remove_symbol", ODD, True)
    assert (drained.symbol, drained.immediate) == ("SPY", False)
    assert (waited, short) == (10.0, 0.5)
    assert added.id != removed.id != drained.id


@pytest.mark.parametrize(("hears", "status"), [("completed", 200), ("accepted", 202), (None, 202)])
def test_a_command_whose_final_reply_does_not_come_in_time_is_not_lost(hears: str | None, status: int) -> None:
    desk = active_desk()
    client = Client(app_over(desk, commander=DeskCommander(desk, hears)))
    got, said = command(client, "POST", "symbols", json=ADDING)
    assert (got, said["status"]) == (status, hears or "sent")
    assert said["command_id"]


def test_what_became_of_a_command_can_be_asked_for(active: Client) -> None:
    assert command(active, "GET", "commands/the-command") == (
        200,
        {
            "command_id": "the-command", "command": "add_symbol", "symbol": "NEW", "status": "accepted", "reason": None,
            "time": "2013-10-08T04:30:00Z",
        },
    )  # fmt: skip
    status, said = command(active, "GET", "commands/another")
    assert (status, said["error"]["code"]) == (404, "unknown_command")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "symbol is missing"),
        ({"symbol": ""}, "symbol: a symbol must not be empty"),
        ({"symbol": "A B"}, "has a blank, a control character or a '|' in it"),
        ({"symbol": "A", "streams": ["soon"]}, "streams.0: 'soon' is no interval"),
        ({"symbol": "A", "start": "2013-10-08T09:30:00"}, "start: '2013-10-08T09:30:00' has no time zone"),
        ({"symbol": "A", "wait_seconds": 61}, "wait_seconds must be <= 60, got 61"),
        ({"symbol": "A", "stream": ["1m"]}, "stream is no field here: did you mean streams?"),
        ({"symbol": "A", "colour": 1}, "colour is no field here: there are symbol, streams, start, must_exist, command_id, wait_seconds"),
        ({"symbol": "A", "streams": "1m"}, 'streams must be a list, got "1m"'),
        ([], "the body must be an object, got []"),
    ],
)
def test_a_command_that_is_none_is_refused(active: Client, body: object, says: str) -> None:
    status, said = command(active, "POST", "symbols", json=body)
    assert (status, said["error"]["code"]) == (422, "invalid")
    assert says in said["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 10_000])
def test_a_body_that_is_no_json_is_refused(active: Client, body: bytes) -> None:
    answered = active.ask("POST", "/v1/symbols", content=body, headers={**bearer(COMMAND_TOKEN), "Content-Type": "application/json"})
    assert (answered.status_code, answered.json()["error"]["code"]) == (422, "invalid")
    assert "JSON" in answered.json()["error"]["message"]


def test_a_body_that_is_not_sent_as_json_is_refused_with_the_header_that_is_missing(active: Client) -> None:
    headers = {**bearer(COMMAND_TOKEN), "Content-Type": "application/x-www-form-urlencoded"}  # what curl -d sends
    answered = active.ask("POST", "/v1/symbols", content=b'{"symbol": "XYZ"}', headers=headers)
    assert answered.status_code == 422
    assert "Content-Type: application/json" in answered.json()["error"]["message"]


def test_what_the_session_refuses_is_a_conflict_with_its_reason(active: Client) -> None:
    status, said = command(active, "POST", "symbols", json={"symbol": "SPY"})
    assert (status, said["error"]) == (409, {"code": "refused", "message": "SPY can't be that"})
    status, said = command(active, "DELETE", "symbols/A%20B")
    assert (status, said["error"]["code"]) == (404, "unknown_symbol")


# ----------------------------------------------------------------------------------------------------- elsewhere


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/symbols/BTC%2FUSD/bars?interval=5m&internal=true"),
        ("GET", "/v1/session"),
        ("POST", "/v1/symbols"),
        ("DELETE", "/v1/symbols/SPY"),
        ("GET", "/v1/commands/x"),
    ],
)
def test_a_standby_sends_on_to_the_active_worker_whoever_asks(method: str, path: str) -> None:
    client = Client(app_over(active_desk(), tokens=False, elsewhere=NotActiveError("a standby", "http://worker-1:6066")))
    answered = client.ask(method, path, json=ADDING if method == "POST" else None)
    assert (answered.status_code, answered.headers["Location"]) == (307, f"http://worker-1:6066{path}")
    assert answered.json()["error"] == {"code": "elsewhere", "message": "this worker is a standby: ask http://worker-1:6066"}


def test_a_worker_that_knows_of_no_other_says_when_to_ask_again() -> None:
    client = Client(app_over(active_desk(), elsewhere=NotActiveError("the worker is recovering")))
    answered = client.get("/v1/session")
    assert (answered.status_code, answered.headers["Retry-After"]) == (503, "1")
    assert answered.json()["error"] == {"code": "not_active", "message": "the worker is recovering: ask again in a second"}
    assert client.get("/health").json() == {"status": "active"}


def test_head_says_what_get_would_without_a_body(active: Client) -> None:
    get, head = active.get("/v1/symbols/SPY"), active.ask("HEAD", "/v1/symbols/SPY")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert active.ask("HEAD", "/health").status_code == 200


def test_a_path_says_what_it_is_for(active: Client) -> None:
    answered = active.ask("PUT", "/v1/symbols")
    assert (answered.status_code, answered.headers["Allow"]) == (405, "GET, POST")
    assert "GET, POST is" in answered.json()["error"]["message"]


def test_by_default_the_newest_thousand_come_in_order_and_lead_back_to_the_older_ones() -> None:
    # 1,200 one-second bars from 10:00:00 on; the 200th begins at 10:03:20 in New York, which is 14:03:20 UTC.
    desk = Desk(config("SPY", streams=["1s"], sparse_intervals=[]), at("10:00"))
    desk.load("SPY")
    desk.feed(*(bar("SPY", at("10:00") + second * SECOND_US, "1s") for second in range(1200)), now_us=at("10:20"))
    client = Client(app_over(desk))
    newest = client.get("/v1/symbols/SPY/bars?interval=1s").json()
    assert [newest["bars"][place]["start"] for place in (0, -1)] == ["2013-10-07T14:03:20Z", "2013-10-07T14:19:59Z"]
    assert (len(newest["bars"]), newest["bar_count"], newest["next"]) == (1000, 1200, None)
    older = client.get(newest["previous"]).json()
    assert [older["bars"][place]["start"] for place in (0, -1)] == ["2013-10-07T14:00:00Z", "2013-10-07T14:03:19Z"]
    assert (len(older["bars"]), older["previous"]) == (200, None)
    oldest = client.get("/v1/symbols/SPY/bars?interval=1s&limit=1000").json()
    assert (oldest["bars"][0]["start"], oldest["previous"]) == ("2013-10-07T14:00:00Z", None)
    assert client.get(oldest["next"]).json()["bars"][-1]["start"] == "2013-10-07T14:19:59Z"
    until = client.get("/v1/symbols/SPY/bars?interval=1s&end=2013-10-07T14:18:00Z").json()
    assert [until["bars"][place]["start"] for place in (0, -1)] == ["2013-10-07T14:01:20Z", "2013-10-07T14:17:59Z"]
    since = client.get("/v1/symbols/SPY/bars?interval=1s&start=2013-10-07T14:01:00Z").json()
    assert (since["bars"][0]["start"], len(since["bars"]), since["next"] is None) == ("2013-10-07T14:01:00Z", 1000, False)


def test_gaps_come_from_the_newest_back_too() -> None:
    # Every other second is missing: 1,200 gaps of one second.
    desk = Desk(config("SPY", streams=["1s"], sparse_intervals=[], grace_seconds=0), at("09:30"))
    desk.load("SPY")
    desk.feed(*(bar("SPY", at("09:30") + second * SECOND_US, "1s") for second in range(1, 2401, 2)), now_us=at("10:10"))
    page = Client(app_over(desk)).get("/v1/symbols/SPY/gaps?interval=1s").json()
    assert (page["gap_count"], len(page["gaps"]), page["gaps"][-1]["start"]) == (1200, 1000, "2013-10-07T14:09:58Z")
    older = Client(app_over(desk)).get(page["previous"]).json()
    assert (len(older["gaps"]), older["gaps"][0]["start"], older["previous"]) == (200, "2013-10-07T13:30:00Z", None)
