"""How many examples a property is tried with: a third in the ordinary run, all of them in `make chaos` (`EXAMPLES=all`)."""

from __future__ import annotations

import os

ALL = os.environ.get("EXAMPLES") == "all"


def examples(count: int) -> int:
    """`count` of examples, or a third of them in the ordinary run."""
    return count if ALL else max(4, count // 3)
