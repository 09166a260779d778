"""A clock that goes on while the machine sleeps."""
from __future__ import annotations

import time

# Without it (not Linux) the age of a verification would stand still in a suspended machine.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> float:
    return time.clock_gettime(_CLOCK) * 1000
