"""quixstreams, exactly once, as its user writes it: a stateful function over each topic, into one output topic.

    PEER_WORK='{"name": ..., "servers": ..., "topics": [...], "output": ..., "folder": ...,
        "commit_seconds": ...}' python quix.py

Its documentation: the longer the commit interval, the less there is to flush. A measurement is given its default of five
seconds, a trial run less.
"""

from __future__ import annotations

import json
import os

from bars import fold
from quixstreams import Application, State

work = json.loads(os.environ["PEER_WORK"])
app = Application(
    broker_address=work["servers"],
    consumer_group=work["name"],
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_interval=work["commit_seconds"],
    state_dir=work["folder"],
    loglevel="WARNING",
)
output = app.topic(work["output"], key_serializer="bytes", value_serializer="bytes")


def derive(value: bytes, state: State) -> list[bytes]:
    windows = state.get("windows", {})
    records = fold(windows, value)
    state.set("windows", windows)
    return records


for name in work["topics"]:
    topic = app.topic(name, key_deserializer="bytes", value_deserializer="bytes")
    app.dataframe(topic).apply(derive, stateful=True, expand=True).to_topic(output)

if __name__ == "__main__":
    app.run()
