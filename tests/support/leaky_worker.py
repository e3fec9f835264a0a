"""A worker whose channel loses, whenever SIGHUP comes, all that is put on it within a moment; Faust's may be cleared so.

python -m tests.support.leaky_worker session.json
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final

from streams.config import SessionConfig
from streams.settings import Settings
from streams.worker.app import SessionWorker
from streams.worker.instance import Instance
from streams.worker.log import set_up
from streams.worker.process import run

LEAKS_SECONDS: Final = 0.2
"""Long enough at a busy feed for both batches that it may be ahead."""


def main() -> None:
    settings = Settings.load()
    set_up(settings)
    config = SessionConfig.load(Path(sys.argv[2]))
    worker = SessionWorker(config, settings, Instance.claim(settings, config.session_name))
    worker.prepare(settings)

    channel = worker._channel
    send = channel.send
    holes = 0

    async def leaky(**item: Any) -> Any:
        return None if holes else await send(**item)

    def tear() -> None:
        nonlocal holes
        holes += 1
        asyncio.get_running_loop().call_later(LEAKS_SECONDS, mend)

    def mend() -> None:
        nonlocal holes
        holes -= 1

    async def listen() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, tear)

    channel.send = leaky
    worker.app.task(listen)
    run(worker)


if __name__ == "__main__":
    main()
