"""Who uses a mapping beside its lease."""
from __future__ import annotations

import threading
from typing import Callable


class Users:
    """Counts them. Array libraries let go from whatever thread they like."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def take(self) -> Callable[[], None]:
        """One user more; gives how to discount it, which does nothing when repeated."""
        taken = True
        with self._lock:
            self.count += 1

        def release() -> None:
            nonlocal taken
            with self._lock:
                if taken:
                    self.count -= 1
                taken = False

        return release
