"""A dead letter says where it came from and why, by the names of KIP-1034."""

from __future__ import annotations

from streams.errors import BodyError
from streams.wire import deadletter


def test_a_dead_letter_says_where_it_came_from_and_why() -> None:
    found = deadletter.headers(
        topic="bars.SPY", partition=0, offset=412, code="undecodable", message="cut off", stage="decode", exception=BodyError("cut off")
    )
    assert found == [
        ("__streams.errors.exception", b"streams.errors.BodyError"),
        ("__streams.errors.message", b"cut off"),
        ("__streams.errors.topic", b"bars.SPY"),
        ("__streams.errors.partition", b"0"),
        ("__streams.errors.offset", b"412"),
        ("__streams.errors.code", b"undecodable"),
        ("__streams.errors.stage", b"decode"),
    ]


def test_a_refusal_without_an_exception_has_its_code_in_that_place() -> None:
    found = dict(deadletter.headers(topic="t", partition=0, offset=1, code="future", message="5 s ahead: Ü", stage="engine"))
    assert found["__streams.errors.exception"] == b"future"
    assert found["__streams.errors.message"].decode() == "5 s ahead: Ü"


def test_a_dead_letter_that_kafka_would_refuse_is_cut_and_says_so() -> None:
    own = deadletter.headers(topic="bars.SPY", partition=0, offset=1, code="undecodable", message="m" * 999_000, stage="decode")
    for key, value, received in (
        (b"k", b"v" * 999_900, [("h", b"1")]),
        (b"k" * 999_900, b"v", [("h", b"1")]),
        (b"k" * 500_000, b"v" * 499_900, [("h", b"1")]),
        (None, b"v", [("h", b"1" * 999_900)]),
    ):
        kept_key, kept_value, headers = deadletter.fitted(key, value, received, own)
        size = len(kept_key or b"") + len(kept_value or b"") + sum(len(name) + len(text) for name, text in headers)
        assert size < 1_000_000
        assert (key or b"").startswith(kept_key or b"")
        assert value.startswith(kept_value or b"")
        lengths = f"key {len(key or b'')} bytes, value {len(value)} bytes, headers {len(received[0][1]) + 1} bytes"
        assert dict(headers)["__streams.errors.truncated"].decode() == f"as received: {lengths}"
        assert dict(headers)["__streams.errors.offset"] == b"1"


def test_a_dead_letter_that_fits_is_as_received() -> None:
    own = deadletter.headers(topic="bars.SPY", partition=0, offset=1, code="undecodable", message="cut off", stage="decode")
    assert deadletter.fitted(None, b"v" * 899_000, [("h", b"1")], own) == (None, b"v" * 899_000, [("h", b"1"), *own])
