"""`verify`: a session's audit. Re-drives its journal over the source topics and compares every output and every row.

    report = verify(Settings.load(session="main"))
    assert report.is_equal, report.differences[0]

It only reads, and it does so while the session runs: the tables are read first, and the journal at least up to the transaction
that they stand at. What retention has taken is said in `report.unchecked`; a report with such is not equal.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from confluent_kafka.admin import AclOperation

from streams.audit.reading import SourceTopics, TopicTape, read_tables
from streams.audit.redrive import EpochChoice, compare
from streams.audit.report import Difference, DifferenceKind, VerifyReport
from streams.config.settings import Settings
from streams.kafka.clients import codec_of, existing_topics, session_of, topics_of
from streams.kafka.hidden import require_visible
from streams.times import Clock, SystemClock

__all__ = ["Difference", "DifferenceKind", "EpochChoice", "VerifyReport", "verify"]


def verify(
    settings: Settings,
    *,
    epoch: EpochChoice = "newest",
    clock: Clock | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> VerifyReport:
    """Audit a session.

    Args:
        settings: where the broker is, and which session.
        epoch: the newest, one by its number, or all that the journal holds from their beginning. Rows are those of the newest.
        clock: for deadlines, and for how long it took.
        progress: is told how far the journal has been driven: an offset, and the end.

    Raises:
        NobodyThereError: no broker answers, or no worker has ever run this session there.
        BrokerRefusedError: the broker does not let this client read.
        SettingsError: no session is named.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    codec, names = codec_of(settings), topics_of(settings)
    tables = read_tables(settings, codec, clock)
    with ExitStack() as stack:
        optional = {names.all_bars} & existing_topics(settings)
        if not optional:
            require_visible(settings, {names.all_bars: [AclOperation.READ]}, f"reading {names.all_bars}")
        written = (names.analysis, names.events, names.replies, names.dlq, *optional)
        # The journal last: then it holds the transaction of everything that is found before the other topics' ends.
        outputs = {topic: stack.enter_context(TopicTape(settings, topic, clock)) for topic in written}
        journal = stack.enter_context(TopicTape(settings, names.journal, clock))
        inputs = stack.enter_context(SourceTopics(settings, clock))
        report = compare(
            session=session_of(settings), codec=codec, names=names, journal=journal, inputs=inputs, outputs=outputs, tables=tables,
            epoch=epoch, progress=progress,
        )  # fmt: skip
    report.duration_seconds = clock.monotonic() - began
    return report
