"""Lines and descriptors over the worker's Unix socket, within limits."""
from __future__ import annotations

import json
import os
import select
import socket
import time
from typing import Any, Dict, List, Optional, Tuple

from ..errors import InvalidInput
from .errors import Disconnected, ProtocolFailure
from .place import require_trusted_peer

MAX_LINE_BYTES = 65_536
DESCRIPTORS_PER_SHARD = 2

Message = Dict[str, Any]


class Wire:
    """One connection. Owns the socket and the received descriptors that were not taken yet."""

    def __init__(self, path: str, timeout: float, trust_owner: Optional[int] = None) -> None:
        """`timeout`: seconds for connecting and for each answer. Errors: Disconnected, InvalidInput (place.py)."""
        self._timeout = timeout
        self._pending = b""
        self._descriptors: List[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise Disconnected(f"no worker answers at the socket: {error.strerror or error}") from error
        try:
            require_trusted_peer(self._socket, trust_owner)
        except InvalidInput:
            self._socket.close()
            raise

    def say(self, message: Message) -> None:
        """Errors: Disconnected."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise Disconnected(f"the worker does not read: {error.strerror or error}") from error

    def next(self, seconds: Optional[float] = None) -> Optional[Message]:
        """
        The next message; None if none came within so many seconds (default: the timeout). Errors: Disconnected,
        ProtocolFailure.
        """
        until = time.monotonic() + (self._timeout if seconds is None else seconds)
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                return _message(line)
            if len(self._pending) >= MAX_LINE_BYTES:
                raise ProtocolFailure("the worker sent a line that is too long")
            if not self._wait(until - time.monotonic()):
                return None
            self._receive()

    def take_descriptors(self) -> Tuple[int, int]:
        """The two of a `shard` message: memory and manifest. The caller closes them. Errors: ProtocolFailure."""
        if len(self._descriptors) != DESCRIPTORS_PER_SHARD:
            raise ProtocolFailure("a shard came without its two descriptors")
        memory, manifest = self._descriptors
        self._descriptors = []
        return memory, manifest

    def close(self) -> None:
        """Does nothing when repeated."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        self._socket.close()

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def _wait(self, seconds: float) -> bool:
        if self.closed:
            raise Disconnected("the connection is closed")
        # Not select(): it refuses descriptors from 1024 on, which an engine with many files and sockets has.
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(max(0.0, seconds) * 1000))

    def _receive(self) -> None:
        try:
            # Descriptors come with the first byte of their line; a read never reaches past the bytes of the next ones.
            data, descriptors, flags, _ = socket.recv_fds(
                self._socket, MAX_LINE_BYTES, 2 * DESCRIPTORS_PER_SHARD, socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise Disconnected(f"the connection failed: {error.strerror or error}") from error
        self._descriptors += descriptors
        if flags & socket.MSG_CTRUNC or len(self._descriptors) > DESCRIPTORS_PER_SHARD:
            raise ProtocolFailure("the worker sent descriptors that were not requested")
        if not data:
            raise Disconnected("the worker closed the connection")
        self._pending += data


def _message(line: bytes) -> Message:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolFailure("the worker sent a line that is not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolFailure("the worker sent a message without a type")
    return message
