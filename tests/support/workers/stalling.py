"""The command line with a worker that stands still in the middle of its next transaction whenever SIGHUP has come.

    python -m tests.support.workers.stalling worker session.json

It stops itself, as SIGSTOP from outside would, once some records of the transaction are at the broker and others are not.
A transaction is open at the broker for a moment only, which a signal from outside hardly ever hits.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from confluent_kafka import Producer

from streams.cli.main import main
from streams.worker.ledger import ledger

_FLUSH_SECONDS = 20.0

_to_stall = threading.Event()


class StallingProducer(Producer):
    """The ledger's producer, which stops its own process between two records of a transaction when it is told to."""

    _produced = 0

    def begin_transaction(self) -> None:
        super().begin_transaction()
        self._produced = 0

    def produce(self, *record: Any, **more: Any) -> None:
        # A transaction of one record, as the heartbeat's, has no middle.
        if _to_stall.is_set() and self._produced:
            _to_stall.clear()
            assert self.flush(_FLUSH_SECONDS) == 0
            # To this very thread: one that is meant for the whole process reaches another thread first, and this one goes on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        super().produce(*record, **more)
        self._produced += 1


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, lambda *_: _to_stall.set())
    ledger.Producer = StallingProducer
    main()
