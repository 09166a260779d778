"""A clock that keeps running while the machine sleeps."""
from __future__ import annotations

import time

# Without it (not Linux) the age of a verification would not grow while the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> float:
    return time.clock_gettime(_CLOCK) * 1000
