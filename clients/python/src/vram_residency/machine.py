"""A guard's resources on the GPU: context, memory, kernels. Acquired once, released once, never in a forked child."""
from __future__ import annotations

import weakref
from contextlib import ExitStack, contextmanager
from typing import Iterator, Optional

from .context import Context
from .driver import Driver, device_facts
from .hasher import Hasher
from .kernels import Kernels, shipped_ptx
from .known_answers import require_known_answers
from .scratch import Layout, Scratch
from .streams import EngineStreams, Streams


class Machine:
    """Ready to hash: the known answers were right."""

    def __init__(self, device: int, layout: Layout, streams: Optional[Streams]) -> None:
        """Errors: Unavailable, InvalidInput for a device that does not exist; nothing stays allocated then."""
        self.driver = Driver()
        self.facts = device_facts(self.driver, device)
        self.context = Context(self.driver, device)
        self.streams = EngineStreams(self.context, streams)
        taken = ExitStack()
        try:
            with self.context.entered():
                self.scratch = Scratch(self.context, layout)
                taken.callback(self.scratch.release)
                kernels = Kernels(self.driver, self.scratch.stream, shipped_ptx())
                taken.callback(kernels.unload)
                self.hasher = Hasher(self.context, self.scratch, kernels)
                require_known_answers(self.hasher, self.scratch)
        except BaseException:
            _release(self.context, taken)
            raise
        # Runs when the guard is collected, but not at interpreter exit: by then the driver may be gone, and all with it.
        self._taken = taken
        self._finalizer = weakref.finalize(self, _release, self.context, taken)
        self._finalizer.atexit = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The context is current and no stream that the engine named is captured. Errors: Busy, Forked, DriverFailure."""
        with self.context.entered():
            self.streams.require_no_capture()
            yield

    def wait_for_streams(self) -> None:
        """Makes the next run start after the work queued in the engine's streams now."""
        self.streams.order_before(self.scratch.stream, self.scratch.event)

    def wait_for_context(self) -> None:
        """For all work on the device, in whatever stream. It would invalidate a capture in a stream that was not named."""
        self.driver.call("cuCtxSynchronize")

    def release(self) -> None:
        """Harmless when repeated, which makes up for a first try that could not enter the context. Errors: DriverFailure."""
        _release(self.context, self._taken)
        self._finalizer.detach()


def _release(context: Context, taken: ExitStack) -> None:
    if context.forked:
        taken.pop_all()  # the parent's; CUDA calls are of no use here
        return
    with context.entered():
        taken.close()
    context.release()
