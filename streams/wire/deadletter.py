"""Headers of dead letters, after KIP-1034.

A dead letter has the key and the value as received, byte for byte, so that it can be produced again once the cause is
mended. What happened stands in headers, by the names that Kafka Streams uses, so that tools for those work here too; values
are UTF-8 text, numbers included. `code` and `stage` are our own: `code` is a word of a closed set to count and filter
by, `stage` where on its way the record failed (`decode`, `engine`, `control`).

A record may be as large as Kafka takes, and with headers it would be larger: then what does not fit is cut off, and
`truncated` says how long it was. A record that can't be written would end the worker, at every start again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

PREFIX: Final = "__streams.errors."
LARGEST_BYTES: Final = 900_000
"""Key, value and headers of a dead letter; Kafka's clients and brokers take a million unless they are told otherwise."""
LONGEST_TEXT: Final = 2_000

_LARGEST_PART: Final = LARGEST_BYTES // 10


def headers(
    *, topic: str, partition: int, offset: int, code: str, message: str, stage: str, exception: BaseException | None = None
) -> list[tuple[str, bytes]]:
    """The headers of a dead letter.

    Args:
        topic: where the record came from, with `partition` and `offset`.
        code: why, as one word, such as a `Rejection`.
        message: why, in a sentence.
        stage: where on its way it failed.
        exception: what was raised, if anything; its class is named, else `code` stands in its place.
    """
    name = code if exception is None else f"{type(exception).__module__}.{type(exception).__qualname__}"
    texts = {
        "exception": name,
        "message": message,
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "code": code,
        "stage": stage,
    }
    return [(PREFIX + key, shortened(text).encode(errors="replace")) for key, text in texts.items()]


def shortened(text: str) -> str:
    """The text, or its beginning where what it quotes makes it too long to be carried along."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}... ({len(text)} characters)"


def fitted(
    key: bytes | None, value: bytes | None, received: Sequence[tuple[str, bytes]], own: Sequence[tuple[str, bytes]]
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """Key, value and headers of a dead letter: as received where that can be written, else cut to what can.

    Args:
        key, value, received: the record and its headers as received.
        own: the headers that say what happened; they always stay.
    """
    key_bytes, value_bytes, header_bytes = len(key or b""), len(value or b""), _size(received)
    if key_bytes + value_bytes + header_bytes + _size(own) <= LARGEST_BYTES:
        return key, value, [*received, *own]
    note = f"as received: key {key_bytes} bytes, value {value_bytes} bytes, headers {header_bytes} bytes"
    headers = [*own, (f"{PREFIX}truncated", note.encode())]
    if header_bytes <= _LARGEST_PART:
        headers = [*received, *headers]
    key = None if key is None else key[:_LARGEST_PART]
    value = None if value is None else value[: LARGEST_BYTES - len(key or b"") - _size(headers)]
    return key, value, headers


def _size(some: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name.encode()) + len(value) for name, value in some)
