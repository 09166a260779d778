"""A worker in Python, on the emulated driver: it lends what a test tells it to, and says what a test tells it to say."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from kit.raw_memory import Mapped, write
from vram_residency.driver import Driver, Int, device_facts
from vram_residency.virtual_memory import (
    ALLOCATION_TYPE_PINNED,
    HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
    LOCATION_TYPE_DEVICE,
    AllocationProperties,
    Location,
)

F_ADD_SEALS = 1033
SEALS = 0x1 | 0x2 | 0x4 | 0x8
BLOCK = 4096

class SharedMemory(Mapped):
    """Device memory that can be exported."""

    def __init__(self, driver: Driver, data: bytes) -> None:
        super().__init__(driver, 0, len(data))
        write(driver, self.address, data)

    def wake(self, access: int = 3) -> None:
        self._properties = AllocationProperties(
            ALLOCATION_TYPE_PINNED, HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, Location(LOCATION_TYPE_DEVICE, 0), None
        )
        super().wake(access)

    def export(self) -> int:
        return self._driver.get(Int, "cuMemExportToShareableHandle", self._pages, HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0)


def manifest_of(tensors: Dict[str, Tuple[str, List[int], bytes]]) -> Tuple[bytes, bytes]:
    """A manifest, and the packed bytes that it describes."""
    entries, data, offset = [], b"", 0
    for name, (dtype, shape, content) in tensors.items():
        entries.append(
            {
                "name": name, "dtype": dtype, "shape": shape, "offset": len(data), "byteLength": len(content),
                "file": 0, "fileOffset": offset,
            }  # fmt: skip
        )
        offset += len(content)
        data += content + bytes(-len(content) % BLOCK)
    document = {"v": 1, "files": [{"name": "m", "byteLength": offset}], "tensors": entries}
    return json.dumps(document).encode(), data


def sealed_memfd(data: bytes, seals: int = SEALS) -> int:
    descriptor = os.memfd_create("manifest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    if seals:
        fcntl.fcntl(descriptor, F_ADD_SEALS, seals)
    return descriptor


class Worker:
    """One listening socket, one client. `serve` is run in a thread once the client has said hello."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.uuid: Optional[str] = device_facts(driver, 0)["uuid"]
        self._folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self._folder.name) / "share.sock")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen(1)
        self.heard: List[Any] = []
        self._thread: Optional[threading.Thread] = None
        self._client: Optional[socket.socket] = None
        self.failure: Optional[BaseException] = None

    def start(self, serve: Callable[[], None]) -> None:
        def run() -> None:
            try:
                self._client, _ = self._listening.accept()
                self._client.settimeout(10)
                self._lines = self._client.makefile("rb")
                self.hear()
                serve()
            except BaseException as error:
                self.failure = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def hear(self) -> Dict[str, Any]:
        message: Dict[str, Any] = json.loads(self._lines.readline() or b"null")
        self.heard.append(message)
        return message

    def say(self, message: Any, descriptors: Tuple[int, ...] = ()) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        assert self._client is not None
        if descriptors:
            socket.send_fds(self._client, [line], list(descriptors))
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            self._client.sendall(line)

    def welcome(self) -> None:
        device = {"uuid": self.uuid, "migUuid": None, "name": "emulated"}
        self.say(
            {"type": "welcome", "version": 1, "workerId": "w", "instance": "i", "device": device, "models": ["m"]}
        )

    def lend(self, memory: SharedMemory, manifest: bytes, byte_length: int, **changes: Any) -> None:
        """welcome, shard, lent; `changes` replace fields of the shard message and its seal."""
        self.welcome()
        self.hear()
        seal = {
            "shardId": "s", "byteLength": byte_length, "layout": "tensors",
            "tensors": hashlib.sha256(manifest).hexdigest(), "shared": True, **changes.pop("seal", {}),
        }  # fmt: skip
        shard = {"type": "shard", "shardId": "s", "seal": seal, "mappedBytes": memory.byte_length, **changes}
        self.say(shard, (memory.export(), sealed_memfd(manifest)))
        if self.hear() is not None:
            self.say({"type": "lent", "leaseId": "lease"})

    def hang_up(self) -> None:
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.join(20)
        for open_socket in (self._client, self._listening):
            if open_socket is not None:
                open_socket.close()
        if getattr(self, "_lines", None) is not None:
            self._lines.close()
        self._folder.cleanup()
