"""Journal records, the prepared way: a batch of a hundred symbols has a hundred ranges in its record.

Every transaction writes one. What it holds is read back seldom, by a replay or an audit, so there is no decoder here.
"""

from __future__ import annotations

from collections.abc import Callable

from streams.model.inputs import InputKind, JournalInput, JournalRecord
from streams.model.rows import Columns
from streams.wire.fast.numbers import NULL, PRESENT, Longs, Texts, long_bytes

_RANGE_ENDING = NULL * 13


class JournalBytes:
    """Writes journal records under one schema id.

    Args:
        header: the framing header of the schema.
        write_columns: appends the bytes of bars.
    """

    def __init__(self, header: bytes, write_columns: Callable[[list[bytes], Columns], None]) -> None:
        self._header = header
        self._write_columns = write_columns
        self._longs = Longs()
        self._texts = Texts()

    def write(self, record: JournalRecord) -> bytes:
        """The framed bytes of a journal record."""
        longs, texts = self._longs, self._texts
        parts = [
            self._header,
            texts[record.session],
            longs[record.epoch],
            long_bytes(record.transaction),
            long_bytes(record.now_us),
            texts[record.owner],
            long_bytes(record.before_sequence),
            long_bytes(record.last_sequence),
        ]
        if record.inputs:
            parts.append(longs[len(record.inputs)])
            for given in record.inputs:
                self._write_input(parts, given)
        parts += (NULL, longs[record.rules])
        return b"".join(parts)

    def _write_input(self, parts: list[bytes], given: JournalInput) -> None:
        parts += (self._texts[given.kind.value], self._text(given.symbol))
        parts += map(_number, (given.incarnation, given.first_offset, given.next_offset))
        if given.kind is InputKind.RANGE and _is_plain(given):
            parts.append(_RANGE_ENDING)
            return
        parts += map(_number, (given.end_offset, given.deadline_us))
        parts += map(_long_text, (given.topic_id, given.reason, given.text))
        parts += (self._text(given.stream), self._text(given.interval))
        parts += map(_number, (given.trading_days, given.start_us, given.end_us, given.count))
        if given.bars is None:
            parts.append(NULL)
        else:
            parts.append(PRESENT)
            self._write_columns(parts, given.bars)
        parts.append(_long_text(given.calendar))

    def _text(self, value: str | None) -> bytes:
        return NULL if value is None else PRESENT + self._texts[value]


def _is_plain(given: JournalInput) -> bool:
    return (
        given.end_offset is None
        and given.deadline_us is None
        and given.topic_id is None
        and given.reason is None
        and given.text is None
        and given.stream is None
        and given.interval is None
        and given.trading_days is None
        and given.start_us is None
        and given.end_us is None
        and given.count is None
        and given.bars is None
        and given.calendar is None
    )  # fmt: skip


def _number(value: int | None) -> bytes:
    return NULL if value is None else PRESENT + long_bytes(value)


def _long_text(value: str | None) -> bytes:
    """Configs and reasons: they are not remembered, as they are long and hardly come twice."""
    if value is None:
        return NULL
    raw = value.encode()
    return PRESENT + long_bytes(len(raw)) + raw
