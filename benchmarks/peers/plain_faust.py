r"""Plain Faust, as its user writes it: one agent over the topics, at least once, a table in memory with its changelog.

    PEER_WORK='{"name": ..., "servers": ..., "topics": [...], "output": ..., "folder": ...}' \
        faust --loop uvloop -A plain_faust worker --without-web

uvloop and a large stream buffer, as Faust's documentation recommends for throughput; the rest is Faust's default.
"""

from __future__ import annotations

import json
import os

import faust
from bars import fold

work = json.loads(os.environ["PEER_WORK"])
app = faust.App(
    work["name"],
    broker=[f"kafka://{server}" for server in work["servers"].split(",")],
    store="memory://",
    datadir=work["folder"],
    topic_partitions=1,
    topic_disable_leader=True,
    stream_buffer_maxsize=131_072,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
windows = app.Table("windows", partitions=1)
bars = app.topic(*work["topics"], key_serializer="raw", value_serializer="raw")
output = app.topic(work["output"], key_serializer="raw", value_serializer="raw")


@app.agent(bars)
async def derive(stream: faust.StreamT) -> None:
    async for key, value in stream.items():
        symbol = key.decode()
        state = windows.get(symbol) or {}
        for record in fold(state, value):
            await output.send(key=key, value=record)
        windows[symbol] = state
