"""The command line as it was when workers elected in the group that is named after the session alone.

python -m tests.support.workers.former worker session.json
"""

from __future__ import annotations

from collections.abc import Callable

from streams.cli.main import main
from streams.config.settings import Settings
from streams.worker import app


def choose_group(settings: Settings, app_id: str, waiting: Callable[[], object]) -> str:
    """The former name, without a look at who is there."""
    return app_id


if __name__ == "__main__":
    app.choose_group = choose_group
    main()
