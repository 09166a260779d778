"""The users of a mapping besides its lease."""
from __future__ import annotations

import threading
from typing import Callable


class Users:
    """Counts them. Array libraries may release a mapping from any thread."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def take(self) -> Callable[[], None]:
        """Adds a user. Returns a function that removes it, which does nothing when repeated."""
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
