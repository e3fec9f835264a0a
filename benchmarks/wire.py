"""The prepared encoders and decoders beside fastavro, on the same records: microseconds a record."""

from __future__ import annotations

import io

import fastavro

from benchmarks.measure import Better, Plan, Row, in_turn, seconds_of
from streams.model.records import Bar, PublishedBar, SessionBar
from streams.times import MINUTE_US, parse_instant
from streams.wire.analysis import AnalysisEncoder, analysis_event
from streams.wire.codec import Codec

COUNT, SMALL_COUNT = 20_000, 500
SYMBOLS = 20
START_US = parse_instant("2013-10-07T13:30:00Z")


def rows(plan: Plan) -> list[Row]:
    """Decoding a bar, encoding an analysis record."""
    codec = Codec()
    count = SMALL_COUNT if plan.small else COUNT
    bars = [
        Bar(f"S{number % SYMBOLS:02d}", "1m", start, start + MINUTE_US, 167.4, 167.5, 167.3, 167.45, 1200.0)
        for number in range(count)
        for start in [START_US + number // SYMBOLS * MINUTE_US]
    ]
    values = [codec.bar_to_avro(bar) for bar in bars]
    schema = codec.ids.schema_of(codec.ids.id_of("Bar")).parsed
    published = [
        PublishedBar(
            number, bar.symbol, "1m", 1, 15985,
            SessionBar(
                bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, None, None, 1, 1, 0, True, "feed"
            ),
            bar.end_us + MINUTE_US,
        )
        for number, bar in enumerate(bars)
    ]  # fmt: skip
    encoder = AnalysisEncoder(codec, session="bench", epoch=1)
    now_us = START_US + 600 * MINUTE_US

    def per_record(run: object) -> float:
        return seconds_of(run) / count * 1e6  # type: ignore[arg-type]

    decoding = in_turn(
        "decode a bar",
        "us",
        {
            "prepared": lambda: per_record(lambda: codec.decode_bars(values)),
            "fastavro": lambda: per_record(lambda: [fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None) for value in values]),
        },
        plan.rounds,
        better=Better.LOWER,
    )
    encoding = in_turn(
        "encode an analysis record",
        "us",
        {
            "prepared": lambda: per_record(lambda: [encoder.encode(one, now_us) for one in published]),
            "fastavro": lambda: per_record(
                lambda: [codec.analysis_to(analysis_event(one, session="bench", epoch=1, emitted_us=now_us)) for one in published]
            ),
        },
        plan.rounds,
        better=Better.LOWER,
    )
    return decoding + encoding
