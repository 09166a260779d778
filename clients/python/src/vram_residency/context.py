"""The CUDA context of the guarded tensors, entered and left without the engine noticing."""
from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import Iterator

from .driver import CAPTURE_MODE_RELAXED, Driver, Handle, Int
from .errors import Forked


class Context:
    """The calling thread's context if it is of this device, else the device's primary context, which is then retained."""

    def __init__(self, driver: Driver, device: int) -> None:
        """Errors: DriverFailure."""
        self.driver = driver
        self.device = device
        self._process = os.getpid()
        self._retained = False
        current = driver.get(Handle, "cuCtxGetCurrent")
        if current is not None and driver.get(Int, "cuCtxGetDevice") == device:
            self._handle = current
        else:
            self._handle = driver.get(Handle, "cuDevicePrimaryCtxRetain", device)
            self._retained = True

    def require_same_process(self) -> None:
        """Errors: Forked."""
        if self.forked:
            raise Forked("the process forked since this guard was built: build one in the child")

    @property
    def forked(self) -> bool:
        return os.getpid() != self._process

    @contextmanager
    def entered(self) -> Iterator[None]:
        """
        Makes the context current and the thread relaxed towards captures, so that no call in here invalidates one. Both
        are as before afterwards, on every path. Errors: Forked, DriverFailure.
        """
        self.require_same_process()
        self.driver.call("cuCtxPushCurrent_v2", self._handle)
        try:
            mode = Int(CAPTURE_MODE_RELAXED)
            self.driver.call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
            try:
                yield
            finally:
                self.driver.call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
        finally:
            self.driver.call("cuCtxPopCurrent_v2", ctypes.byref(Handle()))

    def release(self) -> None:
        """Releases what the constructor retained. Does nothing when repeated. Errors: DriverFailure."""
        if self._retained:
            self._retained = False
            self.driver.call("cuDevicePrimaryCtxRelease_v2", self.device)
