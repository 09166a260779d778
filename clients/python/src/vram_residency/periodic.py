"""Periodic verification between steps: the loop that serves requests calls poll() and pays only when one is due."""
from __future__ import annotations

import time
from typing import Callable, Optional

from .errors import InvalidInput
from .guard import Guard
from .report import Report


class Periodic:
    """
    Calls guard.check() on the calling thread when `every_s` seconds have passed since it last did. `on_report` gets
    every report: write its line() to a log, and stop serving on `damaged`. A capture or a suspended guard is asked
    again at the next poll.
    """

    def __init__(
        self,
        guard: Guard,
        every_s: float,
        on_report: Callable[[Report], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Errors: InvalidInput for an interval that is not positive."""
        if not every_s > 0:
            raise InvalidInput(f"every_s must be over 0, got {every_s}")
        self._guard, self._every_s, self._on_report, self._clock = guard, every_s, on_report, clock
        self._due = clock() + every_s

    def poll(self) -> Optional[Report]:
        """Returns None if no verification is due. Errors: as guard.check()."""
        if self._clock() < self._due:
            return None
        report = self._guard.check()
        if report.outcome not in ("busy", "suspended"):
            self._due = self._clock() + self._every_s
        self._on_report(report)
        return report
