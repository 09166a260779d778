"""What a client refuses before it uses a byte, and what it says then."""
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List
from unittest import mock

from vram_residency.errors import InvalidInput
from vram_residency.share import (
    AccessRefused,
    DeviceNotVisible,
    Disconnected,
    ManifestMismatch,
    MpsRefused,
    ProtocolFailure,
    Refused,
    ShareError,
    connect,
)

from .share_case import ShareCase
from .worker import Worker, sealed_memfd


class RefusalTest(ShareCase):
    def refuse(self, error: type, **changes: Any) -> ShareError:
        with self.assertRaises(error) as raised:
            self.lend(**changes)
        self.worker.stop()
        self.worker.failure = None
        self.assert_nothing_left()
        return raised.exception

    def test_a_device_that_this_process_does_not_see(self) -> None:
        self.worker.uuid = "GPU-00000000-0000-0000-0000-000000000000"
        self.assertEqual(self.refuse(DeviceNotVisible).code, "DEVICE_NOT_VISIBLE")

    def test_a_worker_without_a_gpu(self) -> None:
        self.worker.uuid = None
        self.refuse(DeviceNotVisible)

    def test_mps(self) -> None:
        with tempfile.TemporaryDirectory() as pipes:
            (Path(pipes) / "control").touch()
            with mock.patch.dict(os.environ, CUDA_MPS_PIPE_DIRECTORY=pipes):
                self.refuse(MpsRefused)

    def test_a_mapping_that_is_not_read_only(self) -> None:
        self.emulator.configure("ignoreReadOnly=1")
        self.refuse(AccessRefused)

    def test_a_driver_that_refuses_any_call_on_the_way(self) -> None:
        calls = ["cuMemImportFromShareableHandle", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess", "cuMemGetAccess"]
        for name in calls:
            with self.subTest(name):
                self.worker.stop()
                self.worker = Worker(self.driver)
                self.emulator.fail_call(name, 1, 999)
                self.refuse(AccessRefused)

    def test_memory_that_is_shorter_than_the_shard(self) -> None:
        self.refuse(ManifestMismatch, mappedBytes=len(self.data) - 1)

    def test_a_manifest_that_was_not_sealed(self) -> None:
        self.refuse(ManifestMismatch, manifest=self.manifest + b" ", seal={"tensors": "0" * 64})

    def test_a_seal_that_names_no_manifest(self) -> None:
        self.refuse(ManifestMismatch, seal={"tensors": None})
        self.worker = Worker(self.driver)
        self.refuse(ManifestMismatch, seal={"layout": "bytes"})

    def test_a_manifest_that_can_still_change(self) -> None:
        with mock.patch("tests.worker.SEALS", 0):
            sealed = sealed_memfd
            with mock.patch("tests.worker.sealed_memfd", lambda data: sealed(data, 0)):
                self.refuse(ManifestMismatch)

    def test_manifests_that_describe_what_is_not_there(self) -> None:
        def changed(edit: Callable[[Dict[str, Any]], Any]) -> bytes:
            document = json.loads(self.manifest)
            edit(document)
            return json.dumps(document).encode()

        def tensor(**fields: Any) -> bytes:
            return changed(lambda document: document["tensors"][1].update(fields))

        cases: List[bytes] = [
            tensor(offset=4096 * 1000), tensor(byteLength=1 << 40), tensor(offset=1), tensor(offset=-4096),
            tensor(shape=[6]), tensor(shape=[5.0]), tensor(shape=[True]), tensor(shape="5"), tensor(name="scale"),
            tensor(name=7), tensor(extra=1), tensor(byteLength=None),
            changed(lambda document: document.update(v=2)), changed(lambda document: document.update(tensors={})),
            b"[" * 100_000, b"\xff", b'{"v":1,"v":1,"tensors":[]}',
        ]  # fmt: skip
        for position, manifest in enumerate(cases):
            with self.subTest(position):
                self.worker.stop()
                self.worker = Worker(self.driver)
                self.refuse(ManifestMismatch, manifest=manifest)

    def test_words_of_the_worker(self) -> None:
        self.worker.start(lambda: (self.worker.welcome(), self.worker.hear(), self.worker.say(
            {"type": "error", "code": "INTEGRITY_VIOLATION", "message": "damaged"})) and None)  # fmt: skip
        client = connect(self.worker.path)
        with self.assertRaises(Refused) as raised:
            client.lend("m")
        self.assertEqual(raised.exception.reason, "INTEGRITY_VIOLATION")
        client.close()

    def test_no_worker(self) -> None:
        with self.assertRaises(Disconnected):
            connect(self.worker.path + ".not")
        with self.assertRaises(InvalidInput):
            connect(self.worker.path, client="")

    def test_what_is_no_worker(self) -> None:
        for line in (b"HTTP/1.1 400\n", b"[]\n", b"{}\n", b'{"type":"lent"}\n', b"x" * 70_000 + b"\n", b"\xff\n"):
            with self.subTest(line[:20]):
                self.worker.stop()
                self.worker = Worker(self.driver)
                self.worker.start(lambda sent=line: self.worker.say(sent))  # type: ignore[misc]
                with self.assertRaises(ProtocolFailure):
                    connect(self.worker.path, timeout=5)
                self.worker.stop()
                self.worker.failure = None

    def test_descriptors_that_nobody_asked_for_are_closed(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        extra = tuple(os.open("/dev/null", os.O_RDONLY) for _ in range(3))
        self.worker.start(lambda: self.worker.say({"type": "welcome"}, extra))
        with self.assertRaises(ProtocolFailure):
            connect(self.worker.path)
        self.worker.stop()
        self.worker.failure = None
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before)
