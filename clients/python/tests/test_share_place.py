"""Where a worker's socket may lie, and who may answer there."""
from __future__ import annotations

import fcntl
import os
import resource
import socket
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from vram_residency.errors import InvalidInput
from vram_residency.share import connect
from vram_residency.share.client import MAX_SHARDS
from vram_residency.share.errors import Disconnected, ProtocolFailure
from vram_residency.share.place import require_safe_place, require_trusted_peer
from vram_residency.share.wire import Wire

from .share_case import ShareCase

STRANGER = 4711


class PlaceTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.inner = self.folder / "inner"
        self.inner.mkdir(mode=0o755)
        self.path = str(self.inner / "share.sock")

    def refused(self, words: str, path: str, trust_owner: "int | None" = None) -> None:
        with self.assertRaisesRegex(InvalidInput, words):
            require_safe_place(path, trust_owner)

    def test_a_directory_that_others_can_write_or_below_one(self) -> None:
        for mode in (0o777, 0o1777, 0o775):
            self.inner.chmod(mode)
            self.refused("others can write", self.path)
        self.inner.chmod(0o755)
        self.folder.chmod(0o777)
        self.refused("others can write", self.path)
        # Nobody else can rename what is ours in a sticky one, such as /tmp.
        self.folder.chmod(0o1777)
        require_safe_place(self.path, None)

    def test_a_link_into_a_directory_that_others_can_write(self) -> None:
        outside = self.folder / "outside"
        outside.mkdir()
        outside.chmod(0o777)
        os.symlink(outside, self.inner / "link")
        self.refused("others can write", str(self.inner / "link" / "share.sock"))

    def test_a_directory_of_another_user_unless_trusted(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can give a directory away")
        os.chown(self.inner, STRANGER, STRANGER)
        self.refused(f"another user .uid {STRANGER}", self.path)
        self.refused("another user", self.path, STRANGER + 1)
        require_safe_place(self.path, STRANGER)

    def test_nothing_is_connected_to_in_such_a_place(self) -> None:
        self.inner.chmod(0o777)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.path)
            listening.listen(1)
            listening.settimeout(0.05)
            with self.assertRaisesRegex(InvalidInput, "others can write"):
                connect(self.path, timeout=1)
            with self.assertRaises(socket.timeout):
                listening.accept()

    def test_a_peer_of_another_user_is_told_nothing(self) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.path)
            listening.listen(8)
            # Who answers is this process: to be a stranger's, it has to be looked at as another user.
            with mock.patch("vram_residency.share.place._trusted", lambda owner: {STRANGER, owner}):
                with self.assertRaisesRegex(InvalidInput, f"trust_owner={os.geteuid()}"):
                    Wire(self.path, 1)
                Wire(self.path, 1, os.geteuid()).close()
            with socket.socket(socket.AF_UNIX) as ours:
                ours.connect(self.path)
                require_trusted_peer(ours, None)

    def test_a_user_id_that_is_none(self) -> None:
        for wrong in (-1, 1 << 32, "root", 0.5, True):
            with self.subTest(wrong), self.assertRaisesRegex(InvalidInput, "must be a user id"):
                connect(self.path, trust_owner=wrong)  # type: ignore[arg-type]
        with self.assertRaises(Disconnected):
            connect(self.path, trust_owner=0)


class ManyTest(ShareCase):
    def test_a_process_with_more_than_1024_descriptors_hears_its_worker(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if hard != resource.RLIM_INFINITY and hard < 1200:
            self.skipTest("this process may not open 1,200 files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with open("/dev/null", "rb") as first:
            held = [fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 3) for _ in range(1100)]
        try:
            lease = self.lend()
        finally:
            for one in held:
                os.close(one)
        self.assertEqual(lease.tensors["scale"].dtype, "BF16")
        lease.close()

    def test_ages_of_shards_that_were_not_lent_are_not_kept(self) -> None:
        def flood() -> None:
            for number in range(50):
                self.worker.say({"type": "verified", "shardId": f"other-{number}", "ageMs": 0})
            self.worker.say({"type": "verified", "shardId": ["s"], "ageMs": 0})
            self.worker.say({"type": "verified", "shardId": "s", "ageMs": 0})

        lease = self.lend(flood)
        lease.await_ages(5)
        lease.check(60_000)
        self.assertEqual(set(lease._ages), {"s"})
        lease.close()

    def test_shards_without_end_end_the_lease(self) -> None:
        with mock.patch("vram_residency.share.client.MAX_SHARDS", 0):
            with self.assertRaisesRegex(ProtocolFailure, "more than 0 shards"):
                self.lend()
        self.worker.stop()
        self.worker.failure = None
        self.assert_nothing_left()
        self.assertEqual(MAX_SHARDS, 1024)
