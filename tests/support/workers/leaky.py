"""A worker whose channel loses, whenever SIGHUP comes, the next few items that are put on it, as if it had been cleared.

python -m tests.support.workers.leaky worker session.json
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final

from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.worker.app import SessionWorker
from streams.worker.instance import Instance
from streams.worker.log import set_up
from streams.worker.process import run

DROPS: Final = 4
"""Both batches that the feed may be ahead, after which none comes, and some ticks or notices."""


def main() -> None:
    settings = Settings.load()
    set_up(settings)
    config = SessionConfig.load(Path(sys.argv[2]))
    worker = SessionWorker(config, settings, Instance.claim(settings, config.session_name))
    worker.prepare(settings)

    channel = worker._channel
    send = channel.send
    to_drop = 0

    async def leaky(**item: Any) -> Any:
        nonlocal to_drop
        if to_drop:
            to_drop -= 1
            return None
        return await send(**item)

    def tear() -> None:
        nonlocal to_drop
        to_drop = DROPS

    async def listen() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, tear)

    channel.send = leaky
    worker.app.task(listen)
    run(worker)


if __name__ == "__main__":
    main()
