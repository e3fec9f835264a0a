"""What the records of a session's topic are, for an audit: their epoch, a name for each, and where two of them differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from streams.audit.fields import FieldDifference, first_difference, in_words
from streams.errors import WireError
from streams.kafka.reader import Record as Found
from streams.times import iso
from streams.wire.deadletter import PREFIX
from streams.wire.messages import AnalysisEvent, CommandReply, SessionEvent
from streams.wire.outputs import Record

Decode = Callable[[bytes | None], Struct]


class RecordForm:
    """The form of a topic's records.

    Args:
        decode: makes values readable; None for dead letters, whose values are as received and say nothing of an epoch.
    """

    def __init__(self, decode: Decode | None) -> None:
        self._decode = decode

    @property
    def has_epochs(self) -> bool:
        """Whether records say which epoch they belong to."""
        return self._decode is not None

    def epoch_of(self, value: bytes | None) -> int | None:
        """The epoch that a value names."""
        match self._decoded(value):
            case AnalysisEvent() | SessionEvent() | CommandReply() as record:
                return record.epoch
            case _:
                return None

    def sequence_of(self, value: bytes | None) -> int | None:
        """The sequence of an analysis record."""
        decoded = self._decoded(value)
        return decoded.sequence if isinstance(decoded, AnalysisEvent) else None

    def name_of(self, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> str:
        """What a record is, in words."""
        if self._decode is None:
            given = dict(headers)
            texts = [given.get(f"{PREFIX}{name}", b"?").decode(errors="replace") for name in ("topic", "offset", "code")]
            return f"the dead letter of {texts[0]} offset {texts[1]} ({texts[2]})"
        words: list[str | None]
        match self._decoded(value):
            case AnalysisEvent() as event:
                words = [event.kind, event.symbol, event.interval, iso(event.bar.start_us) if event.bar else None]
            case SessionEvent() as event:
                words = ["the event", event.kind, event.symbol, event.attributes.get("interval")]
            case CommandReply() as reply:
                words = ["the reply", reply.status, "to", reply.command_id]
            case _:
                words = ["a record that can't be decoded"]
        return " ".join(word for word in words if word)

    def difference(self, expected: Record, found: Found) -> FieldDifference | None:
        """Where two records differ: in the value, field by field, the key or the headers; a dead letter's headers first."""
        headers = list(found.headers)
        if expected.value == found.value and expected.key == found.key and expected.headers == headers:
            return None
        in_headers = first_difference(expected.headers, headers, "headers")
        if in_headers is not None:
            in_headers = first_difference(_by_name(expected.headers), _by_name(headers)) or in_headers
        in_key = first_difference(expected.key, found.key, "key")
        if self._decode is None:
            return in_headers or in_key or first_difference(expected.value, found.value, "value")
        return self._difference_of_values(self._decode, expected.value, found.value) or in_key or in_headers

    def _difference_of_values(self, decode: Decode, expected: bytes | None, found: bytes | None) -> FieldDifference | None:
        if expected == found:
            return None
        try:
            return first_difference(decode(expected), decode(found))
        except WireError as error:
            return FieldDifference("value", "a record that can be decoded", in_words(str(error)))

    def _decoded(self, value: bytes | None) -> Struct | None:
        if self._decode is None:
            return None
        try:
            return self._decode(value)
        except WireError:
            return None


def _by_name(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    return {f"header {name}": value.decode(errors="replace") for name, value in headers}
