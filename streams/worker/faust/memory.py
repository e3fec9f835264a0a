"""Python's garbage collector, set for a process that makes and drops many small records and seldom a cycle.

By default it looks at the youngest 700 objects again and again, and now and then at everything there is: modules, calendars,
the whole state. Measured, that is a tenth of a batch's time, and a pause of tens of milliseconds that bars wait for. What is
there once the worker is ready stays until it ends, so it is taken out of the collector's sight; young objects are looked at
less often. Cycles are still found and freed.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 20_000
YOUNG_BEFORE_MIDDLE: Final = 20
MIDDLE_BEFORE_OLD: Final = 50


def settle() -> None:
    """Collect once, then leave what there is alone."""
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_BEFORE_MIDDLE, MIDDLE_BEFORE_OLD)
    gc.collect()
    gc.freeze()
